"""Detections as pictures and tables."""

import csv
import io
import json

import numpy as np
import pytest

from bigmodel.object_detection import drawing, tables
from bigmodel.object_detection.runtime import Detections

LABELS = ["cell", "other"]


@pytest.fixture
def found():
    boxes = np.array([[10, 20, 30, 40], [0, 0, 8, 8]], np.float32)
    return Detections(
        boxes, ["other", "cell"], np.array([0.9, 0.4], np.float32), (60, 50), np.zeros((50, 60, 3), np.uint8)
    )


def test_boxes_of_a_tall_narrow_picture_stand_where_they_are():
    boxes = np.array([[0, 18_000, 400, 19_000]], np.float32)
    pixels = np.zeros((2000, 41, 3), np.uint8)  # of 405 x 20,000
    drawn = drawing.draw(Detections(boxes, ["cell"], np.ones(1, np.float32), (405, 20_000), pixels), LABELS)
    rows = np.flatnonzero(drawn.any((1, 2)))
    assert (rows[0], rows[-1]) == (1800, 1899)


def test_thresholds_keep_the_best(found):
    assert found.above(0.5).labels == ["other"] and len(found.above(0.5).boxes) == 1
    assert found.above(0).counts(LABELS) == {"cell": 1, "other": 1}
    assert found.above(0.95).counts(LABELS) == {"cell": 0, "other": 0}


def test_csv_can_be_read_again_and_holds_no_formula(found):
    text = tables.to_csv({"=SUM(A1).png": found, "b, c.png": found.above(0.5)})
    header, *lines = csv.reader(io.StringIO(text))
    assert header == ["file", "label", "score", "x0", "y0", "x1", "y1"]
    assert [line[0] for line in lines] == ["'=SUM(A1).png"] * 2 + ["b, c.png"]
    assert lines[0][1:] == ["other", "0.9", "10.0", "20.0", "30.0", "40.0"]


def test_coco_is_read_by_pycocotools(found, tmp_path):
    from pycocotools import coco

    path = tmp_path / "found.json"
    path.write_text(tables.to_coco({"a.png": found, "b.png": found.above(2)}, LABELS))
    read = coco.COCO(str(path))
    assert [image["file_name"] for image in read.loadImgs(read.getImgIds())] == ["a.png", "b.png"]
    annotations = read.loadAnns(read.getAnnIds(imgIds=[1]))
    assert annotations[0]["bbox"] == [10, 20, 20, 20] and annotations[0]["category_id"] == 2
    assert json.loads(path.read_text())["images"][0]["width"] == 60


def test_boxes_are_drawn_where_they_are(found):
    drawn = drawing.draw(found, LABELS)
    assert drawn.shape == (50, 60, 3) and found.pixels.max() == 0
    assert drawn[20, 20].any() and drawn[39, 29].any() and not drawn[30, 20].any()


def test_the_figure_names_what_it_shows_as_text(found):
    hostile = Detections(found.boxes, ["<b>&", "cell"], found.scores, found.size)
    svg = drawing.figure(hostile, ["<b>&", "cell"], drawing.data_uri(found.pixels), "1 &lt;b&gt;&amp;")
    assert "<b>" not in svg and svg.count("<rect") == 2 and "&lt;b&gt;&amp; 90%" in svg
