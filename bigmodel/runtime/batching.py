"""Many texts, asked for by many threads, decoded in one batch.

No thread is kept for it: whoever needs a token takes the lock and makes a step for everyone who is waiting for one.
"""

import threading
import time
from collections import deque

import numpy as np

_AHEAD = 8  # tokens that a text may be ahead of a slow reader
_POLL_S = 0.05  # a text may leave without a signal, see SharedBatch.leave


class Row:
    """One text that is being written.

    Args:
        prompt: its first token ids.
        sampler: sampling.Sampler.
        max_new_tokens: tokens to write at most.
        constrain: None, or function of the new ids that returns None (anything), an id, or ids that may come.
        keep: when the cache is full, go on from the first token and so many last ones; 0 ends the text.
    """

    def __init__(self, prompt, sampler, max_new_tokens, constrain=None, keep=0):
        self.prompt, self.sampler, self.constrain, self.keep = list(prompt), sampler, constrain, keep
        self.remaining = max_new_tokens
        self.ids = []  # new tokens so far
        self.ready = deque()  # those that nobody has fetched yet
        self.slot = None
        self.cancelled = self.ended = False
        self.error = None


class SharedBatch:
    """Decodes rows together; safe to use from several threads.

    Args:
        decoder: decoding.Decoder.
        end_ids: tokens after which a text ends; they are not delivered.
        suppressed: ids that are never chosen.
    """

    def __init__(self, decoder, end_ids, suppressed=()):
        self.decoder = decoder
        self.end_ids = frozenset(end_ids)
        self.suppressed = np.array(sorted(suppressed), np.int64)
        self._banned = np.zeros(decoder.vocab_size, bool)
        self._banned[self.suppressed] = True
        self._rows = {}  # slot -> Row
        self._lock = threading.Condition(threading.Lock())

    @property
    def active(self):
        """Texts that own a slot."""
        return sum(not row.cancelled for row in list(self._rows.values()))

    def join(self, row, *, deadline=None, wait=True):
        """Give a row a slot and read its prompt; it has its first token then.

        Args:
            row: Row.
            deadline: time.monotonic() after which waiting is in vain.
            wait: for a slot to be free.

        Returns:
            Whether it has joined.
        """
        with self._lock:
            while not (free := self._free_slots()):
                if not wait or (deadline is not None and time.monotonic() > deadline):
                    return False
                self._lock.wait(_POLL_S)
            row.slot = free[0]
            self._rows[row.slot] = row
            try:
                self._choose([row], self.decoder.prefill(row.slot, row.prompt))
            except BaseException:
                row.cancelled = True
                raise
            return True

    def next(self, row):
        """Return a row's next token id, or None where its text has ended.

        Raises:
            Exception: what the row's constraint raised.
        """
        while not row.ready:
            if row.error:
                raise row.error
            if row.ended or row.cancelled:
                return None
            with self._lock:
                if not row.ready and not row.ended:
                    self._step()
        return row.ready.popleft()

    def step(self):
        """Make one step for every row that is not far ahead of its reader."""
        with self._lock:
            self._step()

    def leave(self, row):
        """Free a row's slot at once; safe in a generator that is being collected, inside of any other call."""
        row.cancelled = True
        if self._lock.acquire(blocking=False):
            try:
                self._free_slots()
                self._lock.notify_all()
            finally:
                self._lock.release()

    def run_alone(self, task):
        """Return ``task(decoder, slot)``, which may use a free slot while nobody else decodes."""
        with self._lock:
            while not (free := self._free_slots()):
                self._lock.wait(_POLL_S)
            try:
                return task(self.decoder, free[0])
            finally:
                self.decoder.lengths[free[0]] = 0

    def _free_slots(self):
        for slot, row in list(self._rows.items()):
            if row.cancelled:
                del self._rows[slot]
                self.decoder.lengths[slot] = 0
        return [slot for slot in range(self.decoder.slots) if slot not in self._rows]

    def _step(self):
        self._free_slots()
        rows = [self._rows[slot] for slot in sorted(self._rows)]
        rows = [row for row in rows if not row.ended and len(row.ready) < _AHEAD]
        full = [row for row in rows if self.decoder.lengths[row.slot] == self.decoder.max_length]
        for row in full:
            self._make_room(row)
        rows = [row for row in rows if row not in full]
        if rows:
            self._choose(rows, self.decoder.step([row.slot for row in rows], [row.ids[-1] for row in rows]))

    def _make_room(self, row):
        """Read the end of a long text again, as if it were the prompt."""
        if not row.keep:
            row.ended = True
            return
        text = row.prompt + row.ids
        self._choose([row], self.decoder.prefill(row.slot, text[:1] + text[-row.keep :]))

    def _choose(self, rows, logits):
        """Draw each row's next token from its logits (len(rows), vocab_size)."""
        candidates = zip(*self.decoder.candidates, strict=True) if self.decoder.candidates else [None] * len(rows)
        if len(self.suppressed):
            logits[:, self.suppressed] = -np.inf
        for row, row_logits, few in zip(rows, logits, candidates, strict=True):
            try:
                token = self._choose_one(row, row_logits, few)
            except Exception as error:  # belongs to this row's reader alone
                row.error, row.ended = error, True
                continue
            row.remaining -= 1
            if token in self.end_ids:
                row.ended = True
                continue
            row.ids.append(token)
            row.ready.append(token)
            row.ended = row.remaining <= 0

    def _choose_one(self, row, logits, candidates):
        allowed = row.constrain(row.ids) if row.constrain else None
        if allowed is None:
            top_k = row.sampler.top_k
            if candidates and 0 < top_k <= len(candidates[1]) and not self._banned[candidates[1][:top_k]].any():
                return row.sampler.among(*candidates)
            return row.sampler(logits)
        if np.ndim(allowed) == 0:
            return int(allowed)
        return row.sampler(logits, allowed)
