"""From a checked request to text as it comes: what the page and the endpoints share."""

import time
from contextlib import closing
from dataclasses import dataclass, field

from bigmodel.limits import LIMITS
from bigmodel.runtime.batching import Ending

INTERVAL_S = 0.05  # between two pieces of a text on a quiet host
PIECES_PER_S = 100  # of all texts: each costs about a millisecond, which the model needs more


@dataclass
class Progress:
    """A text on its way.

    Attributes:
        pieces: the new text, about one piece a token.
        tokens: of the new text.
        seconds: from the request to the last piece.
        note: "" while it runs or when it ended by itself, else the key of a text that says why it ended.
    """

    pieces: list = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def tokens_per_second(self):
        """Return the tokens of each second so far."""
        return self.tokens / self.seconds if self.seconds else 0.0


def write(generator, request, body):
    """Return an iterator of the Progress of going on from ``body``, at most 20 times a second, and once at the end.

    Closing this generator stops the model's work.

    Args:
        generator: a TextGenerator.
        request: a Request.
        body: the visitor's prompt and what was written so far.

    Raises:
        InputError: the model cannot go on from that.
    """
    ending, start = Ending(), time.monotonic()
    stream = generator.bursts(
        request.opening(generator, body),
        max_new_tokens=request.tokens_of(generator),
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        seed=request.seed,
        constraint=request.constraint(generator, body),
        deadline=LIMITS.text_seconds,
        ending=ending,
        interval=lambda: max(INTERVAL_S, generator.batch.active / PIECES_PER_S),
    )
    return _progress(stream, ending, start)


def _progress(stream, ending, start):
    progress = Progress()
    with closing(stream):
        for pieces in stream:
            progress.pieces += pieces
            progress.tokens = ending.tokens
            progress.seconds = time.monotonic() - start
            yield progress
    if time.monotonic() - start >= LIMITS.text_seconds:
        progress.note = "time_limit"
    yield progress


def next_tokens(generator, request, body, k):
    """Return the k likeliest tokens after ``body``: a list of [token, probability], the likeliest first."""
    rows = generator.next_tokens(request.opening(generator, body), k)
    return [[token, round(float(probability), 6)] for token, probability in rows]
