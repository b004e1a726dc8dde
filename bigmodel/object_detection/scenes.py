"""Scenes: emoji on a coloured ground, composed as they are needed, so that every box is exact."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from bigmodel.errors import DataError
from bigmodel.training.pictures import cut_out, decode, read_parquet

MOST, SIDES = 6, (24, 56)  # objects of a scene, and pixels of an object's longer side
OVERLAP = 0.2  # share of an object that another may cover, at most


@dataclass(frozen=True)
class Cutout:
    """A thing to be put into a scene.

    Attributes:
        label: number of its class.
        style: of its drawing.
        picture: PIL picture, RGBA, cut to what is not transparent.
    """

    label: int
    style: str
    picture: Image.Image


def read_cutouts(path, labels, split):
    """Read the emoji of a split that have one of the names.

    Args:
        path: parquet with columns image, name, tone, style, split.
        labels: names of the concepts.
        split: "train", or "test_style": concepts in a style that no training picture of them has.

    Returns:
        list of Cutout.

    Raises:
        DataError: a label has no picture in the training split.
    """
    numbers = {name: i for i, name in enumerate(labels)}
    rows = (row for row in read_parquet(path, split) if row["name"] in numbers and not row["tone"])
    cutouts = [Cutout(numbers[row["name"]], row["style"], cut_out(decode(row["image"]))) for row in rows]
    cutouts = [cutout for cutout in cutouts if cutout.picture]
    missing = set(range(len(labels))) - {cutout.label for cutout in cutouts}
    if split == "train" and missing:
        raise DataError(f"{path} has no picture of {', '.join(labels[i] for i in sorted(missing))}")
    return cutouts


def compose(cutouts, size, rng):
    """Draw a scene.

    Args:
        cutouts: list of Cutout to choose from.
        size: (height, width) of the scene, in pixels.
        rng: np.random.Generator.

    Returns:
        image: (height, width, 3) uint8.
        boxes: (objects, 4) float32 xyxy in 0..1.
        labels: (objects,) int64.
    """
    height, width = size
    scene = ground(size, rng)
    boxes, labels = [], []
    for _ in range(rng.integers(1, MOST + 1)):
        cutout = cutouts[rng.integers(len(cutouts))]
        scale = min(rng.uniform(*SIDES), *size) / max(cutout.picture.size)
        wide, high = (max(4, round(side * scale)) for side in cutout.picture.size)
        for _ in range(10):  # places are tried until one is free enough
            left, top = rng.integers(0, width - wide + 1), rng.integers(0, height - high + 1)
            box = np.array([left, top, left + wide, top + high])
            if all(_covered(box, other) <= OVERLAP for other in boxes):
                picture = cutout.picture.resize((wide, high), Image.Resampling.BILINEAR)
                if rng.random() < 0.5:
                    picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                scene.paste(picture, (int(left), int(top)), picture)
                boxes.append(box)
                labels.append(cutout.label)
                break
    boxes = np.array(boxes, np.float32) / np.array([width, height, width, height], np.float32)
    return np.asarray(scene), boxes, np.array(labels, np.int64)


def ground(size, rng):
    """Return a PIL picture of a colour that runs into another."""
    height, width = size
    first, second = rng.integers(0, 256, (2, 3))
    second = first + (second - first) * rng.uniform(0, 1)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    ramp = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.5
    colours = first + np.clip(ramp, 0, 1)[..., None] * (second - first)
    return Image.fromarray(np.clip(colours + rng.normal(0, rng.uniform(0, 6), colours.shape), 0, 255).astype(np.uint8))


def _covered(box, other):
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    areas = (np.prod(b[2:] - b[:2]) for b in (box, other))
    return np.prod(np.maximum(high - low, 0)) / min(areas)
