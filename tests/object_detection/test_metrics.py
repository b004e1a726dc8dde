"""Average precision on cases that can be worked out by hand."""

import numpy as np
import pytest

from bigmodel.object_detection.metrics import average_precision, best_threshold, hits, mean_precision

TRUTHS = [(np.array([[10, 10, 30, 30], [50, 50, 90, 90]]), [0, 1]), (np.array([[0, 0, 20, 40]]), [0])]


def found(*shift):
    """The truths themselves, moved to the right."""
    return [(boxes + np.array([shift[0], 0, shift[0], 0]), labels, [0.9] * len(labels)) for boxes, labels in TRUTHS]


def test_a_perfect_detector():
    scored = average_precision(found(0), TRUTHS, 2)
    assert scored["map"] == pytest.approx(1) and scored["map_50"] == pytest.approx(1)


def test_nothing_found():
    empty = [(np.zeros((0, 4)), [], []) for _ in TRUTHS]
    scored = average_precision(empty, TRUTHS, 3)
    assert scored["map"] == scored["map_50"] == 0 and np.isnan(scored["classes"][2])


def test_looser_boxes_count_at_looser_overlaps():
    # moved by 4: overlaps of 20 wide 16/24 = 0.667, of 40 wide 36/44 = 0.818
    scored = average_precision(found(4), TRUTHS, 2)
    assert scored["map_50"] == pytest.approx(1)
    assert scored["classes"][0] == pytest.approx(4 / 10) and scored["classes"][1] == pytest.approx(7 / 10)


def test_a_double_before_the_second_object_costs_precision():
    boxes = np.array([[10, 10, 30, 30], [10, 10, 30, 30]])
    doubled = [(boxes, [0, 0], [0.9, 0.8]), (TRUTHS[1][0], [0], [0.7])]
    # recall 1/2 at precision 1, then 1 at precision 2/3: 51 and 50 of 101 points
    truths = [(TRUTHS[0][0][:1], [0]), TRUTHS[1]]
    assert average_precision(doubled, truths, 1)["map_50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_the_wrong_label_is_a_miss():
    wrong = [(boxes, [1 - label for label in labels], [0.9] * len(labels)) for boxes, labels in TRUTHS]
    assert average_precision(wrong, TRUTHS, 2)["map_50"] == 0


@pytest.mark.parametrize("seed", range(8))
def test_by_numpy_as_by_pycocotools(seed):
    rng = np.random.default_rng(seed)
    truths, detections = [], []
    for _ in range(12):
        corner, count = rng.uniform(0, 80, (rng.integers(0, 5), 2)), rng.integers(0, 15)
        boxes = np.concatenate([corner, corner + rng.uniform(5, 40, corner.shape)], 1).astype(np.float32)
        truths.append((boxes, rng.integers(0, 3, len(boxes))))
        near = boxes[rng.integers(0, len(boxes), count)] if len(boxes) else np.tile([5, 5, 30, 30], (count, 1))
        moved = near + np.tile(rng.normal(0, 2, (count, 2)), 2).astype(np.float32)
        detections.append((moved, rng.integers(0, 3, count), np.sort(rng.random(count))[::-1]))
    theirs, ours = average_precision(detections, truths, 4), mean_precision(detections, truths, 4)
    assert ours == {name: pytest.approx(theirs[name], abs=1e-9) for name in ("map", "map_50")}
    assert 0 < ours["map"] < ours["map_50"]


def test_by_numpy_where_there_is_nothing():
    empty = [(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0)) for _ in TRUTHS]
    assert mean_precision(empty, TRUTHS, 3) == {"map": 0, "map_50": 0}
    nobody = [(np.zeros((0, 4)), np.zeros(0, int)) for _ in TRUTHS]
    assert mean_precision(found(0), nobody, 2) == {"map": 0, "map_50": 0}


def test_an_object_is_met_once():
    boxes, labels = TRUTHS[0]
    doubled = np.concatenate([boxes, boxes[:1]])
    assert hits(doubled, [0, 1, 0], boxes, np.array(labels)).tolist() == [True, True, False]
    assert hits(doubled, [1, 0, 0], boxes, np.array(labels)).tolist() == [False, False, True]
    assert hits(boxes, labels, np.zeros((0, 4)), np.array([])).tolist() == [False, False]


def test_the_best_threshold_is_below_the_last_right_detection():
    truths = [(boxes.astype(float), np.array(labels)) for boxes, labels in TRUTHS]
    boxes = np.concatenate([truths[0][0], [[60, 0, 70, 10]]])
    detections = [(boxes, np.array([0, 1, 0]), [0.9, 0.6, 0.2]), (truths[1][0], np.array([0]), [0.5])]
    assert best_threshold(detections, truths) == 0.5
    assert best_threshold([(boxes[:0], np.array([], int), [])] * 2, truths) == 0.5
