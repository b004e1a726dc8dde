"""Does a graph say what its model says? At prefill, at every cached step, and for rows of different lengths at once.

The graph is run as it is served: past and present are the same buffers.
"""

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import torch

from bigmodel.errors import ExportError
from bigmodel.nn.cache import KVCache
from bigmodel.runtime.session import cpu_options


@dataclass(frozen=True)
class Difference:
    """How far a graph's outputs, such as log-probabilities, are from the model's.

    Attributes:
        largest: over every position, row and token of the vocabulary.
        expected: weighted by the model's probability and averaged over positions; what a reader of text would meet.
        unit: of both.
    """

    largest: float
    expected: float
    unit: str = "nats"

    def check(self, what, tolerance):
        """Fail where a figure is above its tolerance.

        Args:
            what: the graph's name, for the message.
            tolerance: Difference.

        Raises:
            ExportError: with the figures and the limits.
        """
        # written so that NaN fails
        if not (self.largest <= tolerance.largest and self.expected <= tolerance.expected):
            raise ExportError(
                f"{what} differs from its model: largest difference {self.largest:.2e} {self.unit} "
                f"(at most {tolerance.largest:.0e}), expected {self.expected:.2e} (at most {tolerance.expected:.0e})"
            )


TOLERANCES = {
    "fp32": Difference(largest=1e-3, expected=1e-4),
    "fp16": Difference(largest=0.5, expected=1e-2),
    "quantized": Difference(largest=float("inf"), expected=0.2),
}
PROMPT = 6  # tokens before the first cached step


def open_graph(path):
    """Return the ort.InferenceSession of a graph's file, on one CPU thread and with the kernels that serve it."""
    return ort.InferenceSession(str(path), cpu_options(1), providers=["CPUExecutionProvider"])


class CachedGraph:
    """A decoder graph with a cache that it writes in place.

    Args:
        path: the .onnx file.
        config: TransformerConfig.
        rows: of the cache.
    """

    def __init__(self, path, config, rows):
        self.session = open_graph(path)
        pasts = [i for i in self.session.get_inputs() if i.name.startswith("past_key_values.")]
        dtype = np.float16 if pasts[0].type == "tensor(float16)" else np.float32
        shape = rows, config.num_key_value_heads, config.max_position_embeddings, config.head_dim
        self.vocab_size = config.vocab_size
        self.cache = {i.name: ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype)) for i in pasts}

    def __call__(self, input_ids, lengths, keep):
        """Return float32 logits (batch, keep, vocab_size).

        Args:
            input_ids: (batch, sequence) int64.
            lengths: (batch,) tokens that each row's cache holds after this step.
            keep: last positions that get logits.
        """
        lengths = np.asarray(lengths, np.int32)
        binding = self.session.io_binding()
        for name, value in self.cache.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name.replace("past_key_values", "present"), value)
        logits = np.empty((len(lengths), keep, self.vocab_size), np.float32)
        values = {
            "input_ids": np.asarray(input_ids, np.int64),
            "seqlens_k": lengths - 1,
            "total_sequence_length": np.array(lengths.max(), np.int32),
            "logits_from": np.array([-keep]),
        }
        # an OrtValue on the CPU is a view: the arrays must outlive the run
        for name, value in values.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value))
        binding.bind_ortvalue_output("logits", ort.OrtValue.ortvalue_from_numpy(logits))
        self.session.run_with_iobinding(binding)
        return logits


@torch.inference_mode()
def sample_rows(model, lengths):
    """Draw texts from the model itself, so that the comparison is where the model is used.

    Args:
        model: CausalLM in float32.
        lengths: tokens of each row.

    Returns:
        List of (length,) int64 arrays.
    """
    generator = torch.Generator().manual_seed(0)
    cache, ids = KVCache(), [torch.zeros(len(lengths), 1, dtype=torch.int64)]
    while len(ids) < max(lengths):
        probabilities = model(ids[-1], cache=cache)[:, -1].softmax(-1)
        ids.append(torch.multinomial(probabilities, 1, generator=generator))
    rows = torch.cat(ids, 1).numpy()
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


@torch.inference_mode()
def expected_logits(model, row):
    """Return the model's logits (length, vocab_size) at every position of a row, without a cache."""
    return model(torch.from_numpy(row)[None])[0].float().numpy()


def graph_logits(path, config, rows):
    """Yield the graph's logits of each row (length, vocab_size), three ways in turn.

    First all positions at once; then a prompt and single cached steps; then all rows in one batch, from prompts of
    different lengths (row r's has r tokens more), where a row that has ended is fed again at its last position.

    Args:
        path: the .onnx file.
        config: TransformerConfig.
        rows: list of (length,) int64.

    Yields:
        (way, row index, logits).
    """
    single = CachedGraph(path, config, rows=1)
    for r, row in enumerate(rows):
        yield "prefill", r, single(row[None], [len(row)], len(row))[0]
    for r, row in enumerate(rows):
        steps = [single(row[None, :PROMPT], [PROMPT], PROMPT)[0]]
        steps += [single(row[None, i : i + 1], [i + 1], 1)[0] for i in range(PROMPT, len(row))]
        yield "cached", r, np.concatenate(steps)
    batch, collected = CachedGraph(path, config, rows=len(rows)), []
    for r, row in enumerate(rows):
        collected.append([single(row[None, : PROMPT + r], [PROMPT + r], PROMPT + r)[0]])
        for name, value in single.cache.items():
            batch.cache[name].numpy()[r] = value.numpy()[0]
    for step in range(max(len(row) - PROMPT - r for r, row in enumerate(rows))):
        at = [min(PROMPT + r + step, len(row) - 1) for r, row in enumerate(rows)]
        logits = batch([[row[i]] for row, i in zip(rows, at, strict=True)], np.array(at) + 1, 1)
        for r, row in enumerate(rows):
            if PROMPT + r + step < len(row):
                collected[r].append(logits[r])
    for r, steps in enumerate(collected):
        yield "ragged", r, np.concatenate(steps)


def log_softmax(logits):
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def measure(path, model, lengths=(40, 33, 25)):
    """Compare a graph with its model.

    Args:
        path: the .onnx file.
        model: CausalLM in float32.
        lengths: tokens of the rows.

    Returns:
        dict of "prefill", "cached", "ragged" -> Difference.
    """
    longest = model.config.max_position_embeddings
    rows = sample_rows(model, [min(n, longest) for n in lengths])
    references = [log_softmax(expected_logits(model, row)) for row in rows]
    seen = {}
    for way, r, logits in graph_logits(path, model.config, rows):
        error = np.abs(log_softmax(logits) - references[r])
        seen.setdefault(way, []).append((error.max(), (np.exp(references[r]) * error).sum(-1).mean()))
    return {
        way: Difference(float(max(e[0] for e in errors)), float(np.mean([e[1] for e in errors])))
        for way, errors in seen.items()
    }
