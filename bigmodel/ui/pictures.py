"""Pictures on the page: a visitor's files, undecoded, and pictures within HTML."""

import base64
import io
import warnings
from pathlib import Path

import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image

from bigmodel.errors import InputError
from bigmodel.limits import LIMITS
from bigmodel.runtime.pictures import PictureLimits

PICTURE_LIMITS = PictureLimits(LIMITS.picture_pixels, LIMITS.upload_bytes)
MAX_SKETCH = 1_000_000  # characters
SHOWN = 320  # pixels of the longer side of a picture within HTML
HOT = (255, 176, 32)  # what shines where a model looked


def limit_decoding():
    """Let nothing in this process decode a picture that is larger than any that is taken."""
    Image.MAX_IMAGE_PIXELS = PICTURE_LIMITS.pixels
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def uploaded(value):
    """Return the path of what a ``gr.Image`` holds, or None; of an event with ``preprocess=False``.

    Otherwise Gradio would decode the picture, however large, before anyone could look at it. It does not look where a
    path leads that comes without the mark of its own files: here one that is no upload is none.
    """
    path = value.get("path") if isinstance(value, dict) else None
    try:
        inside = isinstance(path, str) and Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    except (OSError, ValueError):  # no path at all
        inside = False
    return path if inside else None


def sketched(url):
    """Return the encoded bytes of a small picture: a sketch, which the page's pad sends as a data URL, or a link's.

    Raises:
        InputError: it is none, or larger than a pad can be.
    """
    head, _, data = str(url).partition(",")
    if head not in ("data:image/png;base64", "data:image/webp;base64") or len(data) > MAX_SKETCH:
        raise InputError("sketch", "is missing; draw something")
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise InputError("sketch", "is missing; draw something") from error


def linkable(pixels):
    """Return pixels (height, width[, 3]) uint8 as a data URL for a link: nothing is lost, and it is short."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=100)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def shared(shown):
    """Return what a shared result is of, such as {"picture": data URL}; {} where it is of a file of the visitor's.

    Args:
        shown: the value of a tab's ``Sharing`` result, which comes back from the browser.
    """
    link = shown.get("link") if isinstance(shown, dict) and not shown.get("uploaded") else None
    return link if isinstance(link, dict) else {}


def shown_again(event, part, picture, shown):
    """Return what ``shared`` does where an event asks for what is shown; {} where it asks for the field's picture.

    Args:
        event: gr.EventData; of the field, of the button, or of another choice.
        part: of the page: "classify" or "detect".
        picture: the value of the field; its button means it, where there is one.
        shown: see ``shared``.
    """
    pressed = getattr(event.target, "elem_id", None)
    meant = pressed == f"{part}-picture" or (pressed == f"{part}-button" and uploaded(picture))
    return {} if meant else shared(shown)


def picture_html(pixels, alt, *, pixelated=False):
    """Return an <img> of pixels (height, width[, 3]) uint8; ``alt`` is HTML already."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    kind = ' class="pixelated"' if pixelated else ""
    return f'<img{kind} src="data:image/png;base64,{data}" alt="{alt}">'


def cut(pixels, box):
    """Return the part ``box`` (left, top, right, bottom) of pixels (height, width, 3), its longer side SHOWN."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = SHOWN / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, box=box))


def glow(pixels, weights):
    """Return pixels (height, width, 3) dark where weights (rows, columns) are low, and glowing where they are high."""
    height, width = pixels.shape[:2]
    heat = Image.fromarray((weights / max(weights.max(), 1e-12)).astype(np.float32))
    heat = np.asarray(heat.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    lit = pixels * (0.35 + 0.65 * heat) * (1 - 0.45 * heat) + np.array(HOT) * 0.45 * heat
    return lit.clip(0, 255).astype(np.uint8)
