"""From a checked request to text as it comes: what the page and the endpoints share."""

import time
from contextlib import closing
from dataclasses import dataclass, field

INTERVAL_S = 0.05
TIME_LIMIT_S = 120
CONCURRENT = 8  # texts that are written at once, in one batch


@dataclass
class Progress:
    """A text on its way.

    Attributes:
        pieces: the new text, about one piece a token.
        seconds: from the request to the last piece.
        note: "" while it runs or when it ended by itself, else the key of a text that says why it ended.
    """

    pieces: list = field(default_factory=list)
    seconds: float = 0.0
    note: str = ""

    @property
    def tokens_per_second(self):
        """Return the pieces of each second so far."""
        return len(self.pieces) / self.seconds if self.seconds else 0.0


def write(generator, request, body):
    """Yield the Progress of going on from ``body``, at most 20 times a second, and once at the end.

    Closing this generator stops the model's work.

    Args:
        generator: a TextGenerator.
        request: a Request.
        body: the visitor's prompt and what was written so far.
    """
    progress, start, sent = Progress(), time.monotonic(), 0.0
    stream = generator.stream(
        request.opening(generator, body),
        max_new_tokens=request.max_new_tokens,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        seed=request.seed,
        constraint=request.constraint(generator, body),
        deadline=TIME_LIMIT_S,
    )
    with closing(stream):
        for piece in stream:
            now = time.monotonic()
            progress.pieces.append(piece)
            progress.seconds = now - start
            if now - sent >= INTERVAL_S:
                sent = now
                yield progress
    if time.monotonic() - start >= TIME_LIMIT_S:
        progress.note = "time_limit"
    yield progress


def next_tokens(generator, request, body, k):
    """Return the k likeliest tokens after ``body``: a list of [token, probability], the likeliest first."""
    rows = generator.next_tokens(request.opening(generator, body), k)
    return [[token, round(float(probability), 6)] for token, probability in rows]
