"""Compositions: one to three things of one style on a coloured ground, two of them in a relation."""

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from PIL import Image

from bigmodel.errors import DataError
from bigmodel.text_to_image.captions import COLOURS, RELATIONS, REVERSED, Subject, describe_scene, is_held_out
from bigmodel.text_to_image.config import COUNTS
from bigmodel.training.pictures import cut_out

# how large a thing is, as a share of the picture's side, by how many there are
SIZES = {1: (0.5, 0.9), 2: (0.4, 0.5), 3: (0.29, 0.34)}


@dataclass(frozen=True)
class Scene:
    """What a composition shows.

    Attributes:
        subjects: one; two, the first in a relation to the second; or three, from left to right.
        relation: key of captions.RELATIONS for two, else None.
        style: of all.
        colour: key of captions.COLOURS, of the ground.
    """

    subjects: tuple[Subject, ...]
    relation: str | None
    style: str
    colour: str

    @property
    def caption(self):
        """The plainest one."""
        return describe_scene(self.subjects, self.relation, self.style, self.colour)

    @property
    def held_out(self):
        """Whether no training composes it."""
        relation = self.relation or "left of"  # three things stand in a row
        return any(is_held_out(a.name, relation, b.name) for a, b in combinations(self.subjects, 2))


class Composer:
    """Composes pictures of things on a coloured ground.

    Args:
        pictures: list of Picture, of the training.
        things: names of those that are composed.
        size: pixels of a composition's side.
        counts, in_order: see TextToImageConfig.

    Raises:
        DataError: too few of the things are among the pictures, or only such as no training composes.
    """

    def __init__(self, pictures, things, size, counts=COUNTS, in_order=0.0):
        self.size, self.counts, self.in_order = size, counts, in_order
        self.cutouts, subjects = {}, {}
        for picture in pictures:
            if picture.subject.name in things and (cutout := cut_out(picture.image)):
                subjects[picture.subject.name] = picture.subject
                self.cutouts.setdefault(picture.style, {}).setdefault(picture.subject.name, cutout)
        self.cutouts = {style: named for style, named in self.cutouts.items() if len(named) >= 3}
        if not self.cutouts:
            raise DataError(f"no style has three of the things {', '.join(things[:5])} …")
        self.styles, self.subjects = sorted(self.cutouts), subjects
        pairs = {pair for named in self.cutouts.values() for pair in permutations(sorted(named), 2)}
        kept = {is_held_out(a, relation, b) for a, b in pairs for relation in RELATIONS}
        if kept == {True}:
            named = ", ".join(sorted(subjects)[:5])
            raise DataError(f"every pair of {named} … is kept from training; add another thing")
        self._any_held_out = True in kept

    def draw(self, rng, *, count=None, held_out=False):
        """Return a Scene.

        Args:
            rng: np.random.Generator.
            count: things; None for one to three.
            held_out: one that no training composes (True), where there is any, or one that it may.
        """
        held_out &= self._any_held_out
        while True:
            number = count or int(rng.choice(3, p=self.counts)) + 1
            style = self.styles[rng.integers(len(self.styles))]
            names = sorted(self.cutouts[style])
            subjects = tuple(self.subjects[names[i]] for i in rng.choice(len(names), number, replace=False))
            relation = list(RELATIONS)[rng.integers(4)] if number == 2 else None
            if relation in REVERSED and self.in_order and rng.random() < self.in_order:
                relation = RELATIONS[relation][1]
            scene = Scene(subjects, relation, style, list(COLOURS)[rng.integers(len(COLOURS))])
            if scene.held_out == held_out:
                return scene

    def compose(self, scene, rng):
        """Return a picture (size, size, 3) uint8 of a Scene; ``rng`` moves and scales its things a little."""
        ground = Image.new("RGB", (self.size, self.size), COLOURS[scene.colour][1])
        count = len(scene.subjects)
        for i, subject in enumerate(scene.subjects):
            cutout = self.cutouts[scene.style][subject.name]
            scale = self.size * rng.uniform(*SIZES[count]) / max(cutout.size)
            side = tuple(max(2, round(edge * scale)) for edge in cutout.size)
            centre = self._place(scene, i, side, rng)
            corner = tuple(int(np.clip(round(c - s / 2), 0, self.size - s)) for c, s in zip(centre, side, strict=True))
            thing = cutout.resize(side, Image.Resampling.LANCZOS)
            ground.paste(thing, corner, thing)
        return np.asarray(ground)

    def _place(self, scene, i, side, rng):
        """Return where the centre (x, y) of the i-th thing goes, in pixels."""
        count = len(scene.subjects)
        if count == 1:
            return tuple(rng.uniform(s / 2, max(s / 2, self.size - s / 2)) for s in side)
        along = self.size * ((i + 0.5) / count)
        across = self.size * rng.uniform(0.38, 0.62)
        if count == 3:
            return along, across
        first = scene.relation not in REVERSED
        along = along if first else self.size - along
        return (along, across) if scene.relation in ("left of", "right of") else (across, along)
