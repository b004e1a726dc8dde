"""Step by step decoding of several texts at once, over a cache that never moves.

The graph's past and present are one buffer, of which every text owns a row (a slot). A text's prompt goes into its
row alone, by the row's address; then one run continues all rows, each at its own length. So texts join and leave at
any step.
"""

import numpy as np
import onnxruntime as ort

ELEMENT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Decoder:
    """A decoder graph and its cache. Not thread-safe; see batching.SharedBatch.

    Args:
        session: session.Session of a graph with the inputs input_ids, seqlens_k, total_sequence_length, logits_to_keep
            and past_key_values.*.
        config: dict of config.json.
        slots: texts at once.

    Attributes:
        lengths: (slots,) int32, tokens in each slot's cache.
        max_length: tokens that a slot holds.
        vocab_size: columns of the logits.
        candidates: of the last call: (logits, ids) of the likeliest tokens, best first, a row for each row of logits;
            None where the graph does not give them.
    """

    def __init__(self, session, config, slots=16):
        self.session, self.device = session.ort, session.device
        self.slots, self.vocab_size = slots, config["vocab_size"]
        self.max_length = config["max_position_embeddings"]
        pasts = [i for i in self.session.get_inputs() if i.name.startswith("past_key_values.")]
        self.dtype = np.dtype(ELEMENT_TYPES[pasts[0].type])
        self.row_shape = (config["num_key_value_heads"], self.max_length, config["head_dim"])
        self.row_bytes = int(np.prod(self.row_shape)) * self.dtype.itemsize
        self.lengths = np.zeros(slots, np.int32)
        self._keep_alive = []
        self._cache = [(i.name, i.name.replace("past_key_values", "present"), self._allocate()) for i in pasts]
        # on the CPU the graph reads and writes these arrays in place
        self._ids = np.zeros((slots, 1), np.int64)
        self._seqlens = np.zeros(slots, np.int32)
        self._total = np.zeros((), np.int32)
        self._one = np.ones((), np.int64)
        self._logits = np.zeros((slots, self.vocab_size), np.float32)
        count = next((o.shape[-1] for o in self.session.get_outputs() if o.name == "top_ids"), 0)
        self._top_logits = np.zeros((slots, count), np.float32)
        self._top_ids = np.zeros((slots, count), np.int64)
        self.candidates = None
        self._bindings = {}

    def _allocate(self):
        """Return the address of a zeroed buffer for every slot; untouched pages of it cost no memory."""
        shape = (self.slots, *self.row_shape)
        if self.device == "cpu":
            buffer = np.zeros(shape, self.dtype)
            self._keep_alive.append(buffer)
            return buffer.ctypes.data
        buffer = ort.OrtValue.ortvalue_from_shape_and_type(shape, self.dtype, self.device, 0)
        buffer.update_inplace(np.zeros(shape, self.dtype))  # NaN in unused memory would spread
        self._keep_alive.append(buffer)
        return buffer.data_ptr()

    def _bind_cache(self, first, count):
        """Return a binding whose past and present are the slots first … first + count - 1."""
        binding = self.session.io_binding()
        shape = (count, *self.row_shape)
        for past, present, address in self._cache:
            here = address + first * self.row_bytes
            binding.bind_input(past, self.device, 0, self.dtype, shape, here)
            binding.bind_output(present, self.device, 0, self.dtype, shape, here)
        return binding

    @staticmethod
    def _bind_input(binding, name, array):
        binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def prefill(self, slot, ids, logits_to_keep=1):
        """Put a text into a slot, over whatever is there.

        Args:
            slot: index of the slot.
            ids: 1 to max_length token ids.
            logits_to_keep: last positions whose logits are wanted.

        Returns:
            (logits_to_keep, vocab_size) float32 logits of the token after each of these positions.
        """
        length = len(ids)
        inputs = {
            "input_ids": np.asarray(ids, np.int64)[None],
            "seqlens_k": np.array([length - 1], np.int32),
            "total_sequence_length": np.array(length, np.int32),
            "logits_to_keep": np.array(logits_to_keep, np.int64),
        }
        logits = np.empty((1, logits_to_keep, self.vocab_size), np.float32)
        binding = self._bind_cache(slot, 1)
        for name, array in inputs.items():
            self._bind_input(binding, name, array)
        top = [np.empty((1, logits_to_keep, a.shape[1]), a.dtype) for a in (self._top_logits, self._top_ids)]
        self._bind_outputs(binding, logits, *top)
        self.session.run_with_iobinding(binding)
        self.candidates = (top[0][0], top[1][0]) if top[0].size else None
        self.lengths[slot] = length
        return logits[0]

    def step(self, slots, tokens):
        """Append a token to each of these slots, in one run.

        Args:
            slots: indices, in increasing order; each holds a text shorter than max_length.
            tokens: a token id for each.

        Returns:
            (len(slots), vocab_size) float32 logits of the tokens after those; valid until the next call.
        """
        first, last = slots[0], slots[-1] + 1
        # a row that sits out writes where its next token will, so nothing of its text is lost
        np.minimum(self.lengths, self.max_length - 1, out=self._seqlens)
        for slot, token in zip(slots, tokens, strict=True):
            self._ids[slot, 0] = token
            self.lengths[slot] += 1
        self._total[...] = self._seqlens[first:last].max() + 1
        binding = self._bindings.get((first, last)) or self._bind_step(first, last)
        if self.device != "cpu":
            self._bind_step_inputs(binding, first, last)  # inputs are copied to the device when bound
        self.session.run_with_iobinding(binding)
        rows = slice(first, last) if last - first == len(slots) else slots
        self.candidates = (self._top_logits[rows], self._top_ids[rows]) if self._top_ids.size else None
        return self._logits[rows]

    def _bind_step(self, first, last):
        binding = self._bind_cache(first, last - first)
        self._bind_step_inputs(binding, first, last)
        outputs = (self._logits, self._top_logits, self._top_ids)
        self._bind_outputs(binding, *(a[first:last, None] for a in outputs))
        self._bindings[first, last] = binding
        return binding

    @staticmethod
    def _bind_outputs(binding, logits, top_logits, top_ids):
        for name, array in (("logits", logits), ("top_logits", top_logits), ("top_ids", top_ids)):
            if array.size:
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def _bind_step_inputs(self, binding, first, last):
        self._bind_input(binding, "input_ids", self._ids[first:last])
        self._bind_input(binding, "seqlens_k", self._seqlens[first:last])
        self._bind_input(binding, "total_sequence_length", self._total)
        self._bind_input(binding, "logits_to_keep", self._one)
