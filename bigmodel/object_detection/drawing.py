"""A picture with its boxes: as a picture for programs, as SVG for the page."""

import base64
import io

import numpy as np
from PIL import Image, ImageDraw

from bigmodel.ui.widgets import label_words

# of labels in their order; told apart by those who see few colours (Okabe and Ito 2008), and by their names
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8b5a2b", "#4b0082")
SHOWN_SIDE = 1024  # pixels of the page's picture, at most
MOST_NAMED = 12  # boxes; more names would hide the picture


def palette(found, labels):
    """Return label -> colour as "#rrggbb" of what was found; the same in all pictures where the labels are few.

    Args:
        found: runtime.Detections.
        labels: names of all classes.
    """
    shown = labels if len(labels) <= len(COLOURS) else [name for name in labels if name in found.labels]
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(shown)}


def draw(found, labels):
    """Return the picture (height, width, 3) uint8, made smaller where it is large, with its boxes drawn in.

    Args:
        found: runtime.Detections.
        labels: names of all classes.
    """
    picture = Image.fromarray(found.pixels)
    pen, width = ImageDraw.Draw(picture), max(1, round(max(picture.size) / 300))
    boxes = found.boxes * np.tile(np.array(picture.size) / found.size, 2)
    colours = palette(found, labels)
    for box, label in zip(boxes.tolist(), found.labels, strict=True):
        x0, y0, x1, y1 = box
        pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colours[label], width=width)
    return np.asarray(picture)


def data_uri(pixels):
    """Return a picture (height, width, 3) uint8 as the address of a JPEG, made smaller where it is large."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def figure(found, labels, address, said):
    """Return a picture and its boxes as SVG, which names each box where one points at it.

    Args:
        found: runtime.Detections.
        labels: names of all classes.
        address: of the picture; see data_uri.
        said: what is said instead of the picture, such as the counts; HTML already.
    """
    (width, height), colours = found.size, palette(found, labels)
    boxes = []
    for box, label, score in zip(found.boxes.tolist(), found.labels, found.scores, strict=True):
        x0, y0, x1, y1 = (round(edge, 1) for edge in box)
        name = ""
        if len(found.labels) <= MOST_NAMED:
            size = max(width, height) / 42
            name = f'<text x="{x0 + size / 4:.1f}" y="{max(size, y0 - size / 3):.1f}" font-size="{size:.1f}">'
            name += f"{label_words(label)}</text>"
        boxes.append(
            f'<g style="--colour:{colours[label]}"><rect x="{x0}" y="{y0}" width="{x1 - x0:.1f}" '
            f'height="{y1 - y0:.1f}"><title>{label_words(label)} {score:.0%}</title></rect>{name}</g>'
        )
    return (
        f'<svg class="boxes" viewBox="0 0 {width} {height}" role="img" aria-label="{said}">'
        f'<image href="{address}" width="{width}" height="{height}" preserveAspectRatio="none"/>{"".join(boxes)}</svg>'
    )
