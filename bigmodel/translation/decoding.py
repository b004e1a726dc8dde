"""Step by step decoding of several hypotheses of several sentences, over the two graphs of a translator."""

import numpy as np
import onnxruntime as ort

from bigmodel.runtime.decoding import ELEMENT_TYPES

_HIDDEN = -1e4  # what the ancestors of other hypotheses get; softmax makes it 0


def padded(sources, end):
    """Return lists of ids as one array, filled up with ``end``, and its mask, 0 there; (sources, longest) int64."""
    ids = np.full((len(sources), max(map(len, sources))), end, np.int64)
    mask = np.zeros_like(ids)
    for row, source in enumerate(sources):
        ids[row, : len(source)], mask[row, : len(source)] = source, 1
    return ids, mask


class EncoderDecoder:
    """The sessions of a translator.

    Args:
        encoder, decoder: session.Session of the graphs that export.translation describes.
        config: dict of config.json.
    """

    def __init__(self, encoder, decoder, config):
        self.encoder, self.decoder, self.device = encoder.ort, decoder.ort, decoder.device
        self.end, self.heads = config["eos_token_id"], config["num_heads"]
        self.layers, self.head_dim = config["num_decoder_layers"], config["d_kv"]
        self.max_length = config["n_positions"]
        types = {i.name: i.type for i in self.decoder.get_inputs()}
        self.dtype = np.dtype(ELEMENT_TYPES[types["ancestors"]])
        self.encoded = [o.name for o in self.encoder.get_outputs()]

    def start(self, sources, num_beams):
        """Return the Hypotheses of sentences.

        Args:
            sources: lists of token ids, direction and end included.
            num_beams: hypotheses a sentence.
        """
        ids, mask = padded(sources, self.end)
        binding = self.encoder.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("attention_mask", mask)
        for name in self.encoded:
            binding.bind_output(name, self.device)
        self.encoder.run_with_iobinding(binding)
        names = [name.replace("present", "past_key_values") for name in self.encoded]
        return Hypotheses(self, mask, dict(zip(names, binding.get_outputs(), strict=True)), num_beams)


class Hypotheses:
    """Hypotheses of sentences, all of one length.

    Args:
        model: EncoderDecoder.
        mask: (sentences, source) int64, 0 at padding.
        encoded: name -> OrtValue, the encoder's keys and values.
        num_beams: hypotheses a sentence.

    Attributes:
        steps: tokens of each hypothesis.
    """

    def __init__(self, model, mask, encoded, num_beams):
        self.model, self.mask, self.encoded, self.num_beams, self.steps = model, mask, encoded, num_beams, 0
        empty = np.zeros((len(mask), model.heads, 0, model.head_dim), model.dtype)
        names = [f"past_key_values.{i}.decoder.{part}" for i in range(model.layers) for part in ("key", "value")]
        self.cache = {name: ort.OrtValue.ortvalue_from_numpy(empty) for name in names}
        self.presents = [name.replace("past_key_values", "present") for name in names]
        self._ancestors = np.zeros((len(mask), 1, num_beams, 0), model.dtype)
        self._own = np.where(np.eye(num_beams, dtype=bool), 0, _HIDDEN).astype(model.dtype)[None, None]
        self._distances = np.arange(model.max_length)[::-1].repeat(num_beams)
        self._bind()

    def _bind(self):
        """Bind what stays the same from step to step."""
        self._binding, self._num_candidates = self.model.decoder.io_binding(), None
        self._binding.bind_cpu_input("attention_mask", self.mask)
        for name, value in self.encoded.items():
            self._binding.bind_ortvalue_input(name, value)

    def step(self, tokens, parents, num_candidates, outputs=()):
        """Continue every hypothesis by a token.

        Args:
            tokens: (sentences, beams) int64.
            parents: (sentences, beams) int64, the hypothesis that each continues.
            num_candidates: so many next tokens are wanted.
            outputs: names of further outputs of the graph that are wanted.

        Returns:
            log_probs, ids: (sentences, beams, num_candidates), the likeliest next tokens, best first; then a list of
            the further outputs, where any were asked for.
        """
        self.steps += 1
        total, binding = self.steps * self.num_beams, self._binding
        inputs = {
            "input_ids": np.ascontiguousarray(tokens),
            "ancestors": self._follow(parents),
            "distances": self._distances[-total:],
        }
        if num_candidates != self._num_candidates:
            inputs["num_candidates"], self._num_candidates = np.array([num_candidates]), num_candidates
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name, value in self.cache.items():
            binding.bind_ortvalue_input(name, value)
        binding.clear_binding_outputs()
        for name in ("top_log_probs", "top_ids", *outputs):
            binding.bind_output(name, "cpu")
        for name in self.presents:
            binding.bind_output(name, self.model.device)
        self.model.decoder.run_with_iobinding(binding)
        log_probs, ids, *rest = binding.get_outputs()
        self.cache = dict(zip(self.cache, rest[len(outputs) :], strict=True))
        found = log_probs.numpy(), ids.numpy()
        return (*found, [value.numpy() for value in rest[: len(outputs)]]) if outputs else found

    def _follow(self, parents):
        """Return which tokens each hypothesis sees: its parent's, and the new one of its own."""
        if self.num_beams == 1:  # all of its sentence's
            return np.zeros((1, 1, 1, self.steps), self.model.dtype)
        kept = self._ancestors[np.arange(len(parents))[:, None], :, parents].transpose(0, 2, 1, 3)
        self._ancestors = np.concatenate([kept, self._own.repeat(len(parents), 0)], axis=-1)
        return self._ancestors

    def keep(self, rows):
        """Go on with these sentences alone."""
        self.mask, self._ancestors = self.mask[rows], self._ancestors[rows]
        for values in (self.cache, self.encoded):
            for name, value in values.items():
                values[name] = ort.OrtValue.ortvalue_from_numpy(value.numpy()[rows], self.model.device)
        self._bind()
