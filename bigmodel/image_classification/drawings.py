"""Pieces of clothes, drawn from polygons: examples that are nobody's pictures."""

import numpy as np
from PIL import Image, ImageDraw

SIDE = 280  # pixels
# label -> list of (grey level, corners in 28ths of the side)
SHAPES = {
    "T-shirt": [
        (
            190,
            [
                (9, 3),
                (12, 4),
                (16, 4),
                (19, 3),
                (25, 8),
                (22, 12),
                (19, 10),
                (19, 25),
                (9, 25),
                (9, 10),
                (6, 12),
                (3, 8),
            ],
        )
    ],
    "trouser": [(170, [(9, 2), (19, 2), (20, 26), (15, 26), (14, 9), (13, 26), (8, 26)])],
    "ankle boot": [
        (150, [(13, 4), (21, 4), (21, 22), (3, 22), (3, 17), (9, 14), (13, 11)]),
        (90, [(3, 22), (22, 22), (22, 24), (3, 24)]),
    ],
    "bag": [
        (200, [(4, 11), (24, 11), (25, 24), (3, 24)]),
        (140, [(9, 11), (10, 5), (18, 5), (19, 11), (17, 11), (16, 7), (12, 7), (11, 11)]),
    ],
}


def draw(label):
    """Return a drawing of SHAPES as (SIDE, SIDE) uint8, light on black."""
    picture = Image.new("L", (SIDE, SIDE))
    for level, corners in SHAPES[label]:
        ImageDraw.Draw(picture).polygon([(SIDE * x / 28, SIDE * y / 28) for x, y in corners], fill=level)
    return np.asarray(picture)
