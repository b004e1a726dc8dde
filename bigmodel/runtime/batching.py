"""Many texts, asked for by many threads, decoded in one batch.

No thread is kept for it: of those who wait for tokens one leads, and makes steps for everyone until it has what it
wants; then another leads. Texts join between two steps and leave at any time.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial

import numpy as np

from bigmodel.runtime.sampling import TOGETHER, among_rows

_AHEAD = 64  # tokens that a text may be ahead of a slow reader
_POLL_S = 0.02  # a text may leave without a signal, see SharedBatch.leave
_SAFETY_S = 0.25  # one who does not lead is woken; this is for what nobody thought of
_PROMPT_TOKENS = 64  # read in one step at most, but one prompt whole; those who write wait no longer
_LONG_S = 0.1  # of reading, after which those who write have as much time before the next that comes


@dataclass
class Ending:
    """How a text ended.

    Attributes:
        tokens: of the text so far, those of a stop text included.
        by_itself: the model ended it, or a stop text did, and no limit of tokens, context or time.
    """

    tokens: int = 0
    by_itself: bool = False


class _Wanted:
    """What a thread waits for."""

    def __init__(self):
        self.ready = deque()  # what nobody has fetched yet
        self.cancelled = self.ended = False
        self.error = None
        self.reading, self.until, self.wake = False, 0.0, threading.Event()

    @property
    def due(self):
        """Whether its reader need not wait any longer."""
        return self.ended or self.cancelled or (bool(self.ready) and time.monotonic() >= self.until)


class Row(_Wanted):
    """One text that is being written.

    Args:
        prompt: its first token ids.
        sampler: sampling.Sampler.
        max_new_tokens: tokens to write at most.
        constrain: None, or function of the new ids that returns None (anything), an id, or ids that may come.
        keep: when the cache is full, go on from the first token and so many last ones; 0 ends the text.
        ahead: tokens that may be written before they are read.
    """

    def __init__(self, prompt, sampler, max_new_tokens, constrain=None, keep=0, ahead=_AHEAD):
        super().__init__()
        self.prompt, self.sampler, self.constrain, self.keep = list(prompt), sampler, constrain, keep
        self.remaining, self.ahead = max_new_tokens, ahead
        self.ids = []  # new tokens so far
        self.finished = False  # by a token that ends a text
        self.slot = None

    @property
    def wanted(self):
        """Whether its next token is: by one who waits, or by one who is not far behind."""
        return self.reading or len(self.ready) < self.ahead

    def take(self, token, end):
        """Go on by a token; ``end`` ends the text instead."""
        self.remaining -= 1
        if not end:
            self.ids.append(token)
            self.ready.append(token)
        self.finished = end
        self.ended = end or self.remaining <= 0


class _Errand(_Wanted):
    """Work with the decoder that is no text, such as scoring one."""

    def __init__(self, task):
        super().__init__()
        self.task = task


class SharedBatch:
    """Decodes rows together; safe to use from several threads.

    Args:
        decoder: decoding.Decoder; its last slot is kept for ``run_alone``.
        end_ids: tokens after which a text ends; they are not delivered.
        suppressed: ids that are never chosen.

    Attributes:
        slots: texts at once; those beyond wait in the order of their coming.
    """

    def __init__(self, decoder, end_ids, suppressed=()):
        self.decoder, self.slots = decoder, decoder.slots - 1
        self.end_ids = frozenset(end_ids)
        self.suppressed = np.array(sorted(suppressed), np.int64)
        self._banned = np.zeros(decoder.vocab_size, bool)
        self._banned[self.suppressed] = True
        self._rows, self._rest = {}, 0.0  # slot -> Row; time.monotonic() before which nobody is let in
        self._arrivals = deque()
        self._lock = threading.Lock()  # of the one who leads

    @property
    def active(self):
        """Texts that are being written."""
        return sum(not (row.cancelled or row.ended) for row in list(self._rows.values()))

    def join(self, row):
        """Let a row have the next free slot; it has its first token as soon as its prompt is read."""
        self._arrivals.append(row)

    def read(self, row, until=0.0, deadline=None):
        """Return a row's new token ids, at least one; none where its text has ended.

        Args:
            row: Row that has joined.
            until: time.monotonic() before which the caller has no use for them.
            deadline: time.monotonic() after which waiting is in vain.

        Raises:
            Exception: what the row's constraint raised.
        """
        self._wait(row, until, deadline)
        ids = [row.ready.popleft() for _ in range(len(row.ready))]
        if row.error and not ids:
            raise row.error
        return ids

    def leave(self, row):
        """Give a row's slot back; safe in a generator that is being collected, inside of any other call."""
        row.cancelled = True

    def run_alone(self, task):
        """Return ``task(decoder, slot)``, which may use that slot while nobody else decodes."""
        errand = _Errand(task)
        self._arrivals.append(errand)
        self._wait(errand)
        if errand.error:
            raise errand.error
        return errand.ready.popleft()

    def _wait(self, wanted, until=0.0, deadline=None):
        """Lead, or let another lead, until ``wanted`` is due."""
        wanted.until, wanted.reading = until, True
        try:
            while True:
                wanted.wake.clear()
                if wanted.due or (deadline is not None and time.monotonic() >= deadline):
                    return
                if not self._lock.acquire(blocking=False):
                    left = _SAFETY_S if deadline is None else deadline - time.monotonic()
                    wanted.wake.wait(max(min(_SAFETY_S, left), 0))
                    continue
                try:
                    while (going := self._step()) and not wanted.due:
                        if deadline is not None and time.monotonic() >= deadline:
                            break
                finally:
                    self._lock.release()
                if not going and not wanted.due:
                    wanted.wake.wait(_POLL_S)  # every slot belongs to a slow reader
        finally:
            wanted.reading = False
            self._pass_on()

    def _pass_on(self):
        """Wake one who waits, where nobody leads."""
        if not self._lock.locked():
            waiting = [row for row in (*list(self._rows.values()), *list(self._arrivals)) if row.reading]
            if waiting:
                min(waiting, key=lambda row: len(row.ready)).wake.set()

    def _step(self):
        """Read the prompts of who has come, then write a token of every text; False where there is nothing to do."""
        free = self._free_slots()
        arrived = self._admit(free)
        rows = [self._rows[slot] for slot in sorted(self._rows)]
        rows = [row for row in rows if not row.ended and row.wanted and row not in arrived]
        full = [row for row in rows if self.decoder.lengths[row.slot] == self.decoder.max_length]
        for row in full[:1]:  # to read half a text again takes long: one in a step
            self._safely([row], partial(self._make_room, row))
        rows = [row for row in rows if row not in full]
        if rows:
            self._safely(rows, partial(self._go_on, rows))
        for wanted in (*arrived, *full, *rows):
            if wanted.reading and wanted.due:
                wanted.wake.set()
        return bool(arrived or full or rows)

    def _free_slots(self):
        for slot, row in list(self._rows.items()):
            if row.cancelled or row.ended:
                del self._rows[slot]
                self.decoder.lengths[slot] = 0
        return [slot for slot in range(self.slots) if slot not in self._rows]

    def _admit(self, free):
        """Let those who wait in, as many as there are slots and as their prompts are short; return them."""
        admitted, budget, waiting, begun = [], _PROMPT_TOKENS, [], time.monotonic()
        if begun < self._rest and any(row.wanted and not row.ended for row in self._rows.values()):
            return admitted
        while self._arrivals and budget > 0:
            wanted = self._arrivals.popleft()
            if wanted.cancelled:
                continue
            if isinstance(wanted, _Errand):
                budget = 0
                self._safely([wanted], partial(self._run, wanted))
            elif free:
                budget -= len(wanted.prompt)
                wanted.slot = free.pop(0)
                self._rows[wanted.slot] = wanted
                self._safely([wanted], partial(self._begin, wanted))
            else:
                waiting.append(wanted)
                continue
            admitted.append(wanted)
        self._arrivals.extendleft(reversed(waiting))
        spent = time.monotonic() - begun
        self._rest = begun + 2 * spent if spent > _LONG_S else 0.0
        return admitted

    @staticmethod
    def _safely(wanted, work):
        """Do some work; a fault of it is told to those whose work it is, whoever leads."""
        try:
            work()
        except Exception as error:
            for one in wanted:
                one.error, one.ended = error, True

    def _run(self, errand):
        slot = self.slots
        try:
            errand.ready.append(errand.task(self.decoder, slot))
        finally:
            self.decoder.lengths[slot] = 0

    def _begin(self, row):
        self.decoder.prefill(row.slot, row.prompt, logits=False)
        self._choose([row])

    def _make_room(self, row):
        """Read the end of a long text again, as if it were the prompt."""
        if not row.keep:
            row.ended = True
            return
        text = row.prompt + row.ids
        self.decoder.prefill(row.slot, text[:1] + text[-row.keep :], logits=False)
        self._choose([row])

    def _go_on(self, rows):
        self.decoder.step([row.slot for row in rows], [row.ids[-1] for row in rows], logits=False)
        self._choose(rows)

    def _choose(self, rows):
        """Draw the next token of each row of the decoder's last call."""
        tokens, quick, slow, few = [None] * len(rows), [], [], self.decoder.candidates
        known = self._known(few[1]) if few else [0] * len(rows)
        together = len(rows) >= TOGETHER
        for i, row in enumerate(rows):
            try:
                allowed = row.constrain(row.ids) if row.constrain else None
                if allowed is not None and np.ndim(allowed) == 0:
                    tokens[i] = int(allowed)
                elif allowed is not None or not 0 < row.sampler.top_k <= known[i]:
                    slow.append((i, allowed))
                elif together:
                    quick.append(i)
                else:
                    tokens[i] = row.sampler.among(few[0][i], few[1][i])
            except Exception as error:  # belongs to this row's reader alone
                row.error, row.ended = error, True
        if quick:
            candidates = few if len(quick) == len(rows) else (values[quick] for values in few)
            for i, token in zip(quick, among_rows([rows[i].sampler for i in quick], *candidates), strict=True):
                tokens[i] = token
        if slow:
            logits = self.decoder.logits
            if len(self.suppressed):
                logits[:, self.suppressed] = -np.inf
            for i, allowed in slow:
                try:
                    tokens[i] = rows[i].sampler(logits[i], allowed)
                except Exception as error:
                    rows[i].error, rows[i].ended = error, True
        for row, token in zip(rows, tokens, strict=True):
            if token is not None:
                row.take(token, token in self.end_ids)

    def _known(self, ids):
        """Return how many candidates of each row stand before the first that is never chosen."""
        banned = self._banned[ids]
        if not banned.any():
            return [ids.shape[1]] * len(ids)
        return np.where(banned.any(1), banned.argmax(1), ids.shape[1]).tolist()
