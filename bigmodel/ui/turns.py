"""Turns at a model: long requests give way between their pieces, so that nobody waits for the end of another."""

import threading
import time
from collections import deque
from contextlib import closing

FREE_S = 5  # that each works at once, beside those that take turns: a page of text and a picture or two need less
_END = object()


class Turns:
    """Places to work at, which long streams take for one piece at a time, in the order in which they ask.

    Args:
        places: pieces of long streams that are worked on at once.
    """

    def __init__(self, places):
        self._free, self._waiting, self._changed = places, deque(), threading.Condition()

    def share(self, stream):
        """Yield (seconds worked, piece) of a generator, which works when it is its turn; closing this closes it.

        The seconds are those of its own work, without the waits.
        """
        worked = 0.0
        with closing(stream):
            while True:
                long = worked > FREE_S
                if long:
                    self._enter()
                started = time.monotonic()
                try:
                    piece = next(stream, _END)
                finally:
                    worked += time.monotonic() - started
                    if long:
                        self._leave()
                if piece is _END:
                    return
                yield worked, piece

    def _enter(self):
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._free and self._waiting[0] is ticket)
            self._waiting.popleft()
            self._free -= 1
            self._changed.notify_all()  # another place may be free

    def _leave(self):
        with self._changed:
            self._free += 1
            self._changed.notify_all()
