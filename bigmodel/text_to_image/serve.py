"""From a checked request to pictures as they sharpen: what the page and the endpoint share."""

import time
from contextlib import closing
from dataclasses import dataclass

from bigmodel.limits import LIMITS
from bigmodel.ui.turns import Turns

INTERVAL_S = 0.25  # between two previews
TURNS = Turns(LIMITS.drawings_at_once)


@dataclass(frozen=True)
class Drawn:
    """Pictures on their way.

    Attributes:
        progress: the runtime's Progress.
        seconds: since the request.
        note: "" while it runs or when it is finished, else the key of a text that says why it ended.
    """

    progress: object
    seconds: float
    note: str = ""

    @property
    def finished(self):
        """Whether these are the pictures themselves."""
        return self.progress.step == self.progress.steps


def draw(generator, request):
    """Yield Drawn about four times a second, and once at the end: finished, or where the time is up.

    Closing this generator stops the model's work.

    Args:
        generator: an ImageGenerator.
        request: a Request.
    """
    start, begun, shown = time.monotonic(), None, None
    stream = generator.stream(
        request.prompt,
        num_images=request.num_images,
        steps=request.steps_of(generator),
        guidance=request.guidance,
        seed=request.seed,
        sampler=request.sampler,
        variation_of=request.variation_of,
        strength=request.strength,
    )
    with closing(TURNS.share(stream)) as shared:
        for worked, progress in shared:
            now = time.monotonic()
            begun = worked if begun is None else begun  # where a GPU is lent, it may have to be waited for
            drawn = Drawn(progress, now - start)
            if not drawn.finished and worked - begun >= LIMITS.drawing_seconds:
                yield Drawn(progress, drawn.seconds, "time_limit")
                return
            if drawn.finished or shown is None or now - shown >= INTERVAL_S:
                shown = now
                yield drawn
