"""Drawn examples: the same for a seed, for what a model knows, and found by the shipped models."""

import numpy as np
import pytest

from bigmodel.object_detection.examples import example
from bigmodel.object_detection.runtime import ObjectDetector

BLOOD = ["RBC", "WBC", "Platelets"]


def test_the_same_seed_draws_the_same_picture():
    for labels in (BLOOD, ["star", "frog", "balloon"]):
        first, again, other = (example(labels, seed) for seed in (1, 1, 2))
        assert first.dtype == np.uint8 and first.ndim == 3 and (first == again).all() and (first != other).any()


def test_only_what_a_model_knows_is_drawn():
    assert example(["frog", "person"], 0) is None
    colours = np.unique(example(["star", "frog"], 3).reshape(-1, 3), axis=0)
    assert (abs(colours.astype(int) - (255, 196, 40)).sum(1) < 30).any()  # a star
    assert not (abs(colours.astype(int) - (221, 46, 68)).sum(1) < 30).any()  # and no heart


@pytest.mark.parametrize(
    ("name", "least"), [("blood-cells", {"RBC": 60, "Platelets": 8}), ("scenes", {"red heart": 3, "balloon": 3})]
)
def test_the_shipped_models_find_what_is_drawn(name, least):
    detector, counts = ObjectDetector.from_pretrained(name), dict.fromkeys(least, 0)
    for seed in range(6):
        found = detector.detect(example(detector.labels, seed))
        counts = {label: counts[label] + found.labels.count(label) for label in least}
    assert all(counts[label] >= count for label, count in least.items()), counts
