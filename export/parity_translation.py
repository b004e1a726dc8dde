"""Do the encoder's and the decoder's graph say what their model says? One sentence, several, and beams that cross."""

import numpy as np
import torch

from export.parity import Difference, log_softmax, open_graph

_HIDDEN = -1e4  # a score that softmax makes 0, in 16 bits too


class TranslationGraphs:
    """The two graphs, run step by step as they are served, but with every token's log-probability.

    Args:
        encoder, decoder: paths of the graphs.
        vocab_size: so many candidates are asked for.
    """

    def __init__(self, encoder, decoder, vocab_size):
        self.encoder, self.decoder = open_graph(encoder), open_graph(decoder)
        self.vocab_size = vocab_size
        self.types = {i.name: np.float16 if "float16" in i.type else np.float32 for i in self.decoder.get_inputs()}

    def log_probs(self, source_ids, source_mask, target_ids, parents):
        """Return (batch, beams, length, vocab_size) float32: after each token of each hypothesis.

        Args:
            source_ids, source_mask: (batch, source) int64.
            target_ids: (length, batch, beams) int64, the token that each beam reads at each step.
            parents: (length, batch, beams), the beam that each hypothesis continues.
        """
        inputs = {"attention_mask": source_mask, "num_candidates": np.array([self.vocab_size])}
        names = [o.name for o in self.encoder.get_outputs()]
        encoded = self.encoder.run(names, {"input_ids": source_ids, "attention_mask": source_mask})
        inputs |= {n.replace("present", "past_key_values"): a for n, a in zip(names, encoded, strict=True)}
        length, batch, beams = target_ids.shape
        for name, kind in self.types.items():
            if name.endswith((".decoder.key", ".decoder.value")):
                shape = inputs[name.replace("decoder", "encoder")].shape
                inputs[name] = np.zeros((batch, shape[1], 0, shape[3]), kind)
        ancestors = np.full((batch, 1, beams, length * beams), _HIDDEN, self.types["ancestors"])
        outputs, steps = [o.name for o in self.decoder.get_outputs()], []
        for step in range(length):
            ancestors = np.take_along_axis(ancestors, parents[step][:, None, :, None], 2)
            for beam in range(beams):
                ancestors[:, 0, beam, step * beams + beam] = 0
            inputs["input_ids"], inputs["ancestors"] = target_ids[step], ancestors[..., : (step + 1) * beams]
            inputs["distances"] = np.arange(step, -1, -1).repeat(beams)
            found = dict(zip(outputs, self.decoder.run(outputs, inputs), strict=True))
            for name, array in found.items():
                if name.startswith("present"):
                    inputs[name.replace("present", "past_key_values")] = array
            scores = np.empty((batch, beams, self.vocab_size), np.float32)
            np.put_along_axis(scores, found["top_ids"], found["top_log_probs"], -1)
            steps.append(scores)
        return np.stack(steps, 2)


@torch.inference_mode()
def measure(encoder, decoder, model):
    """Compare the graphs with their model.

    Args:
        encoder, decoder: paths of the graphs.
        model: EncoderDecoder in float32.

    Returns:
        dict of "alone", "padded", "beams" -> Difference of the log-probabilities.
    """
    rng, vocab_size = np.random.default_rng(0), model.encoder.config.vocab_size
    graphs = TranslationGraphs(encoder, decoder, vocab_size)
    lengths, steps = np.array([11, 4, 7]), 8
    source = rng.integers(0, vocab_size, (len(lengths), lengths.max()))
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)

    def expected(rows, tokens):
        ids, seen = torch.from_numpy(source[rows]), torch.from_numpy(mask[rows])
        return log_softmax(model(ids, torch.from_numpy(tokens), source_mask=seen).float().numpy())

    report = {}
    for way, rows, beams in (("alone", [0], 1), ("padded", [0, 1, 2], 1), ("beams", [0, 1, 2], 3)):
        tokens = rng.integers(0, vocab_size, (steps, len(rows), beams))
        parents = rng.integers(0, beams, (steps, len(rows), beams))
        parents[0] = np.arange(beams)
        found = graphs.log_probs(source[rows], mask[rows], tokens, parents)
        histories = np.zeros((len(rows), beams, 0), np.int64)
        largest, weighted = [], []
        for step in range(steps):
            histories = np.take_along_axis(histories, parents[step][..., None], 1)
            histories = np.concatenate([histories, tokens[step][..., None]], 2)
            for beam in range(beams):
                wanted = expected(rows, histories[:, beam])[:, -1]
                error = np.abs(found[:, beam, step] - wanted)
                largest.append(error.max())
                weighted.append((np.exp(wanted) * error).sum(-1).mean())
        report[way] = Difference(float(max(largest)), float(np.mean(weighted)))
    return report
