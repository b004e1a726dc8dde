"""The detector as it is served, against its model in torch; boxes in the picture's own pixels; wrong input."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from bigmodel.errors import InputError, ModelFolderError  # noqa: E402
from bigmodel.object_detection.detections import decode  # noqa: E402
from bigmodel.object_detection.drawing import draw  # noqa: E402
from bigmodel.object_detection.engines import open_engine  # noqa: E402
from bigmodel.object_detection.runtime import ObjectDetector  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def detector(tiny_detector):
    return ObjectDetector.from_pretrained(tiny_detector)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_both_engines_find_the_same(detector, tiny_detector):
    other, name = open_engine("torch", tiny_detector)
    assert name == "torch"
    ours, theirs = (d.detect(noise(32, 48), threshold=0.3) for d in (detector, other))
    assert len(ours.labels) > 5 and ours.labels == theirs.labels
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.05)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)


def test_alone_and_together(detector):
    pictures = [noise(32, 48, i) for i in range(10)]
    for picture, found in zip(pictures, detector.detect(pictures, threshold=0.3), strict=True):
        alone = detector.detect(picture, threshold=0.3)
        assert alone.labels == found.labels
        np.testing.assert_allclose(alone.boxes, found.boxes, atol=1e-3)


def test_boxes_are_in_the_picture_s_own_pixels(detector):
    small = noise(32, 48)
    large = np.asarray(Image.fromarray(small).resize((480, 320), Image.Resampling.NEAREST))
    ours, larger = (detector.detect(picture, threshold=0.4) for picture in (small, large))
    assert larger.size == (480, 320)
    assert (ours.boxes >= 0).all() and (ours.boxes <= [48, 32, 48, 32]).all()
    assert (larger.boxes[:, 2:] > larger.boxes[:, :2]).all() and larger.boxes.max() > 48


@pytest.mark.parametrize("turned", [1, 6])
def test_boxes_of_a_picture_that_is_made_smaller(detector, turned):
    small = Image.fromarray(noise(32, 48)).resize((1200, 800), Image.Resampling.NEAREST)
    large, file = small.resize((4800, 3200), Image.Resampling.NEAREST), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = turned
    (large if turned == 1 else large.transpose(Image.Transpose.ROTATE_90)).save(file, "PNG", exif=exif)
    ours, larger = (detector.detect(picture, threshold=0.4) for picture in (small, file.getvalue()))
    assert larger.size == (4800, 3200) and larger.pixels.shape == (1067, 1600, 3)
    assert len(ours.labels) > 5 and larger.labels[:4] == ours.labels[:4]
    np.testing.assert_allclose(larger.boxes[:4], 4 * ours.boxes[:4], atol=40)
    drawn = draw(
        replace(larger, boxes=np.float32([[2400, 1600, 4800, 3200]]), labels=detector.labels[:1]),
        ["a", *detector.labels],
    )
    changed = np.argwhere((drawn != larger.pixels).any(-1))
    assert abs(changed.min(0) - [533, 800]).max() < 9


def test_a_picture_of_another_shape_keeps_its_boxes_inside(detector):
    found = detector.detect(noise(200, 50), threshold=0.2)
    assert len(found.labels) and (found.boxes <= [50, 200, 50, 200]).all() and (found.boxes >= 0).all()


def test_a_higher_threshold_keeps_the_best(detector):
    everything, some = (detector.detect(noise(32, 48), threshold=t) for t in (0.1, 0.5))
    assert some.labels == everything.above(0.5).labels and 0 < len(some.labels) < len(everything.labels)


@pytest.mark.parametrize(
    ("image", "threshold", "message"),
    [
        (noise(32, 48), 1.5, "threshold: '1.5' is not a number from 0 to 1"),
        (noise(32, 48), "high", "threshold: 'high' is not a number"),
        (b"<svg/>", 0.5, "image: cannot be read as a picture"),
        (None, 0.5, "image: is missing"),
    ],
)
def test_wrong_input(detector, image, threshold, message):
    with pytest.raises(InputError, match=message):
        detector.detect(image, threshold=threshold)


def test_a_folder_without_graphs(tmp_path):
    with pytest.raises(ModelFolderError, match="has no ONNX files; export it first"):
        open_engine("onnx", tmp_path)


def test_decode_by_hand():
    scores = np.array([[0.2, 0.9], [0.6, 0.1]])
    boxes = np.array([[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.4, 0.2]])
    found, labels, kept = decode(scores, boxes, (100, 200), threshold=0.5)
    assert labels.tolist() == [1, 0] and kept.tolist() == pytest.approx([0.9, 0.6])
    np.testing.assert_allclose(found, [[80, 30, 120, 70], [0, 0, 60, 20]], atol=1e-4)
