"""Step by step decoding of several texts at once, over a cache that never moves.

The graph's past and present are one buffer, of which every text owns a row (a slot). A text's prompt goes into its
row alone, by the row's address; then one run continues all rows, each at its own length. So texts join and leave at
any step.

On a device the cache, a step's inputs and its outputs stay there: a step copies a token and a length a slot to it, and
the likeliest tokens back. All logits are copied when they are asked for. A step then runs the first 1, 2, 4 … slots,
whoever writes in them, so that CUDA can record few runs and replay them. The tests run that with a device that is the
host's memory, copies included.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort

from bigmodel.errors import ModelFolderError, first_line
from bigmodel.runtime.buffers import Buffer

ELEMENT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_NOT_RECORDED = -1


class Decoder:
    """A decoder graph and its cache. Not thread-safe; see batching.SharedBatch.

    Args:
        session: session.Session of a graph with the inputs input_ids, seqlens_k, total_sequence_length, logits_from and
            past_key_values.*.
        config: dict of config.json.
        slots: texts at once.

    Attributes:
        lengths: (slots,) int32, tokens in each slot's cache.
        max_length: tokens that a slot holds.
        vocab_size: columns of the logits.
        candidates: of the last call: (logits, ids) of the likeliest tokens, best first, a row for each row of logits;
            None where the graph does not give them.
        recording: whether CUDA records steps.
        not_recorded: why it could not record a step, which then ran as others do; "" where it could.
    """

    def __init__(self, session, config, slots=16):
        self.session, self.device, self.staged = session.ort, session.device, session.staged
        self.recording, self.not_recorded = session.cuda_graph, ""
        # CUDA keeps a recording, and memory, for each thread that ever ran it: here one for all
        self._thread = ThreadPoolExecutor(1, "cuda-graph") if self.recording else None
        self.slots, self.vocab_size = slots, config["vocab_size"]
        self.max_length = config["max_position_embeddings"]
        inputs = {i.name: i for i in self.session.get_inputs()}
        if "logits_from" not in inputs:
            raise ModelFolderError(f"{session.path} is an older export; export the model again")
        pasts = [i for name, i in inputs.items() if name.startswith("past_key_values.")]
        shape = slots, config["num_key_value_heads"], self.max_length, config["head_dim"]
        dtype = ELEMENT_TYPES[pasts[0].type]
        self._cache = {i.name: Buffer(session, shape, dtype, mirrored=False) for i in pasts}
        self.lengths = np.zeros(slots, np.int32)
        self._ids, self._seqlens = Buffer(session, (slots, 1), np.int64), Buffer(session, (slots,), np.int32)
        # the kernels read these two on the host
        self._total, self._last_position = np.zeros((), np.int32), np.array([-1])
        count = next((o.shape[-1] for o in self.session.get_outputs() if o.name == "top_ids"), 0)
        shapes = {
            "logits": (self.vocab_size, np.float32),
            "top_logits": (count, np.float32),
            "top_ids": (count, np.int64),
        }
        self._outputs = {
            name: Buffer(session, (slots, 1, width), kind) for name, (width, kind) in shapes.items() if width
        }
        self._top = [self._outputs[name] for name in list(self._outputs)[1:]]
        self.candidates, self._last = None, None
        self._bindings, self._options = {}, {}

    @property
    def logits(self):
        """Logits of the last call, as it returns them; valid until the next one."""
        values, rows = self._last
        return values.numpy()[0] if rows is None else values.pull()[rows, 0]

    def _bind_cache(self, first, count):
        """Return a binding whose past and present are the slots first … first + count - 1."""
        binding = self.session.io_binding()
        for past, buffer in self._cache.items():
            buffer.bind(binding.bind_input, past, first, count)
            buffer.bind(binding.bind_output, past.replace("past_key_values", "present"), first, count)
        return binding

    def prefill(self, slot, ids, logits_to_keep=1, *, logits=True):
        """Put a text into a slot, over whatever is there.

        Args:
            slot: index of the slot.
            ids: 1 to max_length token ids.
            logits_to_keep: last positions whose logits are wanted.
            logits: False leaves them where they are, see ``logits`` and ``candidates``.

        Returns:
            (logits_to_keep, vocab_size) float32 logits of the token after each of these positions.
        """
        length = len(ids)
        inputs = {
            "input_ids": np.asarray(ids, np.int64)[None],
            "seqlens_k": np.array([length - 1], np.int32),
            "total_sequence_length": np.array(length, np.int32),
            "logits_from": np.array([-logits_to_keep]),
        }
        binding = self._bind_cache(slot, 1)
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name in self._outputs:
            binding.bind_output(name, self.device)
        self._run(binding)
        found = dict(zip(self._outputs, binding.get_outputs()[len(self._cache) :], strict=True))
        self._last = found.pop("logits"), None
        self.candidates = tuple(value.numpy()[0] for value in found.values()) or None
        self.lengths[slot] = length
        return self.logits if logits else None

    def step(self, slots, tokens, *, logits=True):
        """Append a token to each of these slots, in one run.

        Args:
            slots: indices, in increasing order; each holds a text shorter than max_length.
            tokens: a token id for each.
            logits: False leaves them where they are, see ``logits`` and ``candidates``.

        Returns:
            (len(slots), vocab_size) float32 logits of the tokens after those; valid until the next call.
        """
        first, last = slots[0], slots[-1] + 1
        if self.staged:
            first, last = 0, min(1 << (int(last) - 1).bit_length(), self.slots)
        # a row that sits out writes where its next token will, so nothing of its text is lost
        np.minimum(self.lengths, self.max_length - 1, out=self._seqlens.array)
        for slot, token in zip(slots, tokens, strict=True):
            self._ids.array[slot, 0] = token
            self.lengths[slot] += 1
        # replayed, a run has the number that it was recorded with
        self._total[...] = self.max_length if self.recording else self._seqlens.array[first:last].max() + 1
        if self.staged:
            self._ids.push()
            self._seqlens.push()
        self._run(self._bindings.get((first, last)) or self._bind_step(first, last), last)
        rows = slice(first, last) if last - first == len(slots) else slots
        self._last = self._outputs["logits"], rows
        self.candidates = tuple([values.pull()[rows, 0] for values in self._top]) or None
        return self.logits if logits else None

    def _bind_step(self, first, last):
        binding, count = self._bind_cache(first, last - first), last - first
        self._ids.bind(binding.bind_input, "input_ids", first, count)
        self._seqlens.bind(binding.bind_input, "seqlens_k", first, count)
        for name, array in (("total_sequence_length", self._total), ("logits_from", self._last_position)):
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, buffer in self._outputs.items():
            buffer.bind(binding.bind_output, name, first, count)
        self._bindings[first, last] = binding
        return binding

    def _run(self, binding, recording=_NOT_RECORDED):
        """Run the graph; where CUDA records, under the number of a recording that all its runs have."""
        if self.recording:
            self._thread.submit(self._run_recorded, binding, recording).result()
        else:
            self.session.run_with_iobinding(binding)

    def _run_recorded(self, binding, recording):
        try:
            self.session.run_with_iobinding(binding, self._numbered(recording))
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            if recording == _NOT_RECORDED:
                raise
            self.not_recorded = first_line(error)
            self._numbered(recording).add_run_config_entry("gpu_graph_id", str(_NOT_RECORDED))
            self.session.run_with_iobinding(binding, self._numbered(recording))

    def _numbered(self, recording):
        if recording not in self._options:
            self._options[recording] = ort.RunOptions()
            self._options[recording].add_run_config_entry("gpu_graph_id", str(recording))
        return self._options[recording]
