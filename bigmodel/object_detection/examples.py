"""Pictures to try a detector on, drawn anew each time: a blood smear, things on a ground; nobody's photographs."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_FINER = 3  # drawn so many times as large, then made smaller, for smooth edges


def example(labels, seed):
    """Draw a picture of what a detector knows.

    Args:
        labels: names of all that it knows.
        seed: of what is drawn where.

    Returns:
        (height, width, 3) uint8; None where nothing that it knows can be drawn.
    """
    rng = np.random.default_rng(seed)
    if {"RBC", "WBC", "Platelets"} <= set(labels):
        return _smear(rng)
    known = [name for name in _THINGS if name in labels]
    return _scene(known, rng) if known else None


class _Canvas:
    """A picture of which polygons are drawn in pixels, x and y in (width, height)."""

    def __init__(self, size, ground):
        self.size = size
        self._picture = Image.new("RGB", tuple(_FINER * side for side in size), ground)
        self._draw = ImageDraw.Draw(self._picture)

    def polygon(self, corners, colour):
        self._draw.polygon([(_FINER * x, _FINER * y) for x, y in corners], fill=tuple(map(int, colour)))

    def finish(self, rng, *, blur=0.0, noise=0.0):
        picture = self._picture.resize(self.size, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(blur))
        grain = rng.normal(0, noise, (*self.size[::-1], 1))
        return np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8)


# a blood smear under a microscope, as it is stained and as large as in the training's pictures

_WIDTH, _HEIGHT = 320, 240
_RED, _RIM, _PALE, _NUCLEUS, _PLATELET = (
    (186, 142, 138),
    (170, 125, 125),
    (208, 196, 192),
    (98, 84, 190),
    (120, 100, 185),
)


def _smear(rng):
    canvas = _Canvas((_WIDTH, _HEIGHT), (205, 212, 210))
    white = rng.uniform((60, 60), (_WIDTH - 60, _HEIGHT - 60))
    red = []
    for place in rng.uniform((8, 8), (_WIDTH - 8, _HEIGHT - 8), (400, 2)):
        if len(red) < 18 and _apart(place, [white], 62) and _apart(place, red, 40):
            red.append(place)
            _red_cell(canvas, place, rng)
    _white_cell(canvas, white, rng)
    platelets = []
    for place in rng.uniform((15, 15), (_WIDTH - 15, _HEIGHT - 15), (400, 2)):
        if len(platelets) < 3 and _apart(place, [white], 60) and _apart(place, red + platelets, 28):
            platelets.append(place)
            _blob(canvas, place, 7, (150, 130, 190), rng, squeeze=0.15)
            _blob(canvas, place, 5, _PLATELET, rng, squeeze=0.15)
    return canvas.finish(rng, blur=1.2, noise=2.5)


def _red_cell(canvas, place, rng):
    radius = rng.uniform(19, 24)
    _blob(canvas, place, radius + 1.5, _tint(_RIM, rng), rng)
    _blob(canvas, place, radius, _tint(_RED, rng), rng)
    if rng.random() < 0.5:  # pale in its middle, where it is thin
        for share in np.arange(6) / 6:
            colour = (1 - share) * np.array(_RED) + share * np.array(_PALE)
            _blob(canvas, place, radius * (0.55 - 0.36 * share), colour, rng)


def _white_cell(canvas, place, rng):
    _blob(canvas, place, 45, (190, 178, 205), rng, squeeze=0.06)
    for angle, distance in rng.uniform((0, 0), (2 * np.pi, 40), (40, 2)):
        _blob(canvas, place + _towards(angle, distance), 3, _tint((180, 160, 200), rng), rng)
    for angle in rng.uniform(0, 2 * np.pi) + 1.4 * np.arange(4):  # the lobes of its nucleus
        _blob(canvas, place + _towards(angle, 17), rng.uniform(12, 16), _tint(_NUCLEUS, rng), rng, squeeze=0.15)


def _blob(canvas, place, radius, colour, rng, squeeze=0.12):
    """Draw a disc that is pressed a little from two sides, with an uneven edge."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = radius * (1 + squeeze * np.sin(2 * angles + rng.uniform(0, 7))) * rng.normal(1, 0.02, len(angles))
    canvas.polygon(place + _towards(angles, radii).T, colour)


def _towards(angle, distance):
    return distance * np.array([np.cos(angle), np.sin(angle)])


def _tint(colour, rng):
    return np.clip(np.array(colour) + rng.normal(0, 5) + rng.normal(0, 2, 3), 0, 255)


def _apart(place, others, distance):
    return all(np.hypot(*(place - other)) > distance for other in others)


# things on a ground: name -> list of (colour, corners in shares of its side), from the back to the front

_CELL, _COLUMNS, _ROWS = (64, 72), 3, 2
_TURN = np.linspace(0, 2 * np.pi, 60)


def _ring(x, y, width, height, turn=_TURN):
    return np.stack([x + width * np.sin(turn), y - height * np.cos(turn)], 1)


def _seam(x, y, width, height, turn):
    return np.concatenate([_ring(x, y, width, height, turn), _ring(x, y, width + 0.02, height, turn[::-1])])


_HEART = np.stack(
    [
        0.5 + 0.48 * np.sin(_TURN) ** 3,
        0.46 - 0.03 * (13 * np.cos(_TURN) - 5 * np.cos(2 * _TURN) - 2 * np.cos(3 * _TURN) - np.cos(4 * _TURN)),
    ],
    1,
)
_STAR = [(0.5 + r * np.sin(i * np.pi / 5), 0.52 - r * np.cos(i * np.pi / 5)) for i, r in enumerate([0.5, 0.21] * 5)]
_SEAM = (90, 50, 20)
_THINGS = {
    "red heart": [((221, 46, 68), _HEART)],
    "star": [((255, 196, 40), _STAR)],
    "evergreen tree": [
        ((140, 84, 50), [(0.44, 0.8), (0.56, 0.8), (0.56, 1), (0.44, 1)]),
        ((40, 120, 50), [(0.5, 0.35), (0.86, 0.85), (0.14, 0.85)]),
        ((50, 140, 60), [(0.5, 0.15), (0.8, 0.6), (0.2, 0.6)]),
        ((60, 155, 65), [(0.5, 0), (0.72, 0.34), (0.28, 0.34)]),
    ],
    "balloon": [
        ((120, 120, 120), [(0.49, 0.7), (0.51, 0.7), (0.53, 1), (0.51, 1)]),
        ((215, 40, 50), [(0.5, 0.7), (0.56, 0.8), (0.44, 0.8)]),
        ((220, 46, 60), _ring(0.5, 0.37, 0.33, 0.37)),
        ((240, 130, 140), _ring(0.38, 0.22, 0.06, 0.06)),
    ],
    "basketball": [
        ((245, 135, 40), _ring(0.5, 0.5, 0.48, 0.48)),
        (_SEAM, [(0.49, 0.02), (0.51, 0.02), (0.51, 0.98), (0.49, 0.98)]),
        (_SEAM, [(0.02, 0.49), (0.98, 0.49), (0.98, 0.51), (0.02, 0.51)]),
        (_SEAM, _seam(-0.07, 0.5, 0.37, 0.42, np.linspace(0.6, np.pi - 0.6, 20))),
        (_SEAM, _seam(1.07, 0.5, -0.37, 0.42, np.linspace(0.6, np.pi - 0.6, 20))),
    ],
}


def _scene(names, rng):
    """Draw some of the things, each in a cell of its own."""
    (width, height), corner = _CELL, np.array([4, 4])
    canvas = _Canvas((_COLUMNS * width, _ROWS * height), tuple(map(int, rng.integers(150, 240, 3))))
    cells = rng.permutation([(column, row) for column in range(_COLUMNS) for row in range(_ROWS)])
    for cell, name in zip(cells, rng.permutation(names), strict=False):
        side = rng.uniform(40, 52)
        place = cell * np.array(_CELL) + rng.uniform(corner, np.array(_CELL) - corner - side)
        for colour, corners in _THINGS[str(name)]:
            canvas.polygon(place + side * np.asarray(corners), colour)
    return canvas.finish(rng)
