"""Boxes stay on their objects through every change, scenes are exact, batches depend on their step alone."""

import io
import json

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from bigmodel.errors import DataError  # noqa: E402
from bigmodel.object_detection.config import Augmentation  # noqa: E402
from bigmodel.object_detection.data import BoxBatches, Picture, augment, letterbox, read_boxes, scenes  # noqa: E402
from bigmodel.object_detection.scenes import Cutout, cut_out, read_cutouts  # noqa: E402
from bigmodel.runtime.pictures import Preparation  # noqa: E402

RED, BLUE = (255, 0, 0), (0, 0, 255)


def painted(size=(60, 80), box=(0.2, 0.3, 0.5, 0.7), colour=RED):
    """A picture of one coloured rectangle on grey, and its box."""
    high, wide = size
    image = np.full((high, wide, 3), 128, np.uint8)
    left, top, right, bottom = (round(share * side) for share, side in zip(box, (wide, high) * 2, strict=True))
    image[top:bottom, left:right] = colour
    return Picture(image, np.array([box], np.float32), np.array([0]))


def extent(image, colour=RED):
    """Return the box, in pixels, of what has a colour."""
    rows, columns = np.nonzero((np.abs(image.astype(int) - colour) < 90).all(-1))
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


@pytest.mark.parametrize("seed", range(25))
def test_boxes_follow_their_objects(seed):
    rng = np.random.default_rng(seed)
    changed = augment(painted(), (60, 80), Augmentation(turn=True, zoom=(0.7, 1.6)), (128, 128, 128), rng)
    assert changed.image.shape == (60, 80, 3)
    for box in changed.boxes:
        np.testing.assert_allclose(box * [80, 60, 80, 60], extent(changed.image), atol=1.6)


def test_what_is_cut_away_is_forgotten():
    kept = [
        len(augment(painted(), (60, 80), Augmentation(zoom=(2.5, 2.5)), (0, 0, 0), np.random.default_rng(i)).labels)
        for i in range(40)
    ]
    assert 0 < sum(kept) < 40


def on_white(colour, size=64):
    array = np.full((size, size, 3), 255, np.uint8)
    array[16:48, 24:40] = colour
    array[30:34, 30:34] = 255  # white within, as an eye has
    return array


def test_only_the_ground_is_transparent():
    picture = cut_out(on_white(RED))
    assert picture.size == (16, 32)
    alpha = np.asarray(picture)[..., 3]
    assert alpha.min() == 255  # the white within stays


def test_an_empty_picture_has_nothing_to_cut_out():
    assert cut_out(np.full((8, 8, 3), 255, np.uint8)) is None


def test_boxes_of_scenes_are_exact():
    cutouts = [Cutout(0, "plain", Image.new("RGBA", (20, 10), (*RED, 255)))]
    for picture in scenes(cutouts, (96, 96), 20, seed=1):
        assert 1 <= len(picture.labels) <= 6 and set(picture.labels) == {0}
        for left, top, right, bottom in (picture.boxes * 96).round().astype(int):
            assert (picture.image[top + 1 : bottom - 1, left + 1 : right - 1] == RED).all(-1).mean() > 0.75
            sides = right - left, bottom - top
            assert 23 <= max(sides) <= 57 and sides[0] == pytest.approx(2 * sides[1], abs=2)


def test_the_same_seed_draws_the_same_scene():
    cutouts = [Cutout(0, "plain", Image.new("RGBA", (20, 10), (*RED, 255)))]
    first, second, other = (scenes(cutouts, (64, 64), 1, seed)[0] for seed in (1, 1, 2))
    assert (first.image == second.image).all() and not np.array_equal(first.image, other.image)


def test_batches_depend_on_their_step_alone():
    pictures = [painted(colour=(i, 0, 0)) for i in range(5)]

    def make():
        draw = lambda index, rng: pictures[index]  # noqa: E731
        return BoxBatches(draw, count=5, batch_size=2, mean=[0.5] * 3, std=[0.25] * 3, seed=3)

    batches = make()
    for step in range(4):
        batches.batch(step)
    for ours, theirs in zip(batches.batch(4), make().batch(4), strict=True):
        assert torch.equal(ours, theirs)
    pixel_values, labels, boxes = make().batch(0)
    assert pixel_values.shape == (2, 3, 60, 80) and labels.tolist() == [[0], [0]]
    torch.testing.assert_close(boxes[0, 0], torch.tensor([0.35, 0.5, 0.3, 0.4]))


def test_an_epoch_shows_every_picture_once():
    drawn = []
    draw = lambda index, rng: drawn.append(index) or painted()  # noqa: E731
    batches = BoxBatches(draw, count=6, batch_size=2, mean=[0.5] * 3, std=[0.25] * 3, seed=3)
    for step in range(6):
        batches.batch(step)
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == list(range(6)) and drawn[:6] != drawn[6:]


def test_scenes_have_no_epoch():
    options = {"count": 6, "batch_size": 2, "mean": [0.5] * 3, "std": [0.25] * 3, "seed": 3}
    assert BoxBatches(None, **options).tokens_of_corpus == 6
    assert BoxBatches(None, **options, composed=True).tokens_of_corpus is None


@pytest.mark.parametrize("size", [(60, 80), (64, 64), (32, 128), (33, 90)])
def test_validation_sees_pictures_as_they_are_served(size):
    picture, mean = painted(), (0.5, 0.3, 0.1)
    seen, placement = Preparation(size, mean, (0.2,) * 3).see(picture.image, "pad")
    padded = letterbox(picture, size, tuple(round(255 * value) for value in mean))
    np.testing.assert_array_equal(padded.image, seen.transpose(1, 2, 0))
    served = placement.forth(picture.boxes * [80, 60, 80, 60]) / np.tile(size[::-1], 2)
    np.testing.assert_allclose(padded.boxes, served, atol=1e-6)
    if size == (60, 80):
        assert (padded.boxes == picture.boxes).all() and (padded.image == picture.image).all()


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def test_parquet_with_boxes(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    rows = [
        {"image": png(painted().image), "boxes": [[0.2, 0.3, 0.5, 0.7]], "labels": ["red"], "split": "train"},
        {"image": png(painted().image), "boxes": [], "labels": [], "split": "train"},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "some.parquet")
    pictures, names = read_boxes(tmp_path / "some.parquet", "train")
    assert names == ["red"] and [len(p.labels) for p in pictures] == [1, 0]
    with pytest.raises(DataError, match="labels red are not among blue"):
        read_boxes(tmp_path / "some.parquet", "train", ["blue"])
    with pytest.raises(DataError, match="no pictures of the split val"):
        read_boxes(tmp_path / "some.parquet", "val")
    for boxes, labels, message in (
        ([[0.2, 0.3, 0.5]], ["red"], r"row 1: the box \[0.2, 0.3, 0.5\] is not four numbers"),
        ([[0.2, 0.3, 0.5, 0.7]], [], "row 1: 1 boxes have the labels"),
        ([[0.2, 0.3, 0.5, 0.7]], [None], "row 1: 1 boxes have the labels"),
        ([[16.0, 18, 40, 42]], ["red"], r"row 1: the box .* is not in shares of the picture, from 0 to 1"),
        ([[0.2, 0.3, 0.5, 1.02]], ["red"], r"row 1: the box .* is not in shares of the picture, from 0 to 1"),
        ([[0.2, 0.3, 0.2, 0.7]], ["red"], "no picture of the split train has a box that lies within it"),
    ):
        row = {**rows[0], "boxes": boxes, "labels": labels}
        parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "bad")
        with pytest.raises(DataError, match=message):
            read_boxes(tmp_path / "bad", "train")


def test_a_folder_with_cocos_json(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train/a.png").write_bytes(png(painted().image))
    values = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "red"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [16, 18, 24, 24]}],
    }
    (tmp_path / "train/boxes.json").write_text(json.dumps(values))
    [picture], names = read_boxes(tmp_path, "train")
    assert names == ["red"]
    np.testing.assert_allclose(picture.boxes, [[0.2, 0.3, 0.5, 0.7]], atol=1e-6)
    for text in ("{}", "[]", '{"categories": [null]}'):
        (tmp_path / "train/boxes.json").write_text(text)
        with pytest.raises(DataError, match="not COCO's JSON"):
            read_boxes(tmp_path, "train")
    (tmp_path / "train/boxes.json").write_text(json.dumps({**values, "annotations": []}))
    with pytest.raises(DataError, match="no picture of the split train has a box"):
        read_boxes(tmp_path, "train")
    for bbox in ([16, 18, 24], None, "none", ["16", "18", "24", "24"], [16, 18, 24, None]):
        values["annotations"][0]["bbox"] = bbox
        (tmp_path / "train/boxes.json").write_text(json.dumps(values))
        with pytest.raises(DataError, match=r"boxes.json, a.png: the box .* is not four numbers"):
            read_boxes(tmp_path, "train")


def test_a_photograph_is_made_smaller_once_and_without_moire(tmp_path):
    (tmp_path / "train").mkdir()
    grid = (np.indices((1200, 1600)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(grid).save(tmp_path / "train/a.png")
    values = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "red"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [800, 600, 800, 600]}],
    }
    (tmp_path / "train/boxes.json").write_text(json.dumps(values))
    [picture], _ = read_boxes(tmp_path, "train", pixels=640 * 480)
    assert picture.image.shape == (480, 640, 3) and picture.image.std() < 10
    np.testing.assert_allclose(picture.boxes, [[0.5, 0.5, 1, 1]])


def test_boxes_are_of_the_stored_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "train").mkdir()
    Image.fromarray(painted().image).save(tmp_path / "train/a.jpg", exif=exif)
    values = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "categories": [{"id": 3, "name": "red"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [16, 18, 24, 24]}],
    }
    (tmp_path / "train/boxes.json").write_text(json.dumps(values))
    [picture], _ = read_boxes(tmp_path, "train")
    assert picture.image.shape == (60, 80, 3)
    np.testing.assert_allclose(picture.boxes[0] * [80, 60, 80, 60], extent(picture.image), atol=1.6)


def annotated(folder, sides, bbox, orientation=1):
    """Write the painted picture, 80x60 as it is stored, and COCO's JSON that gives it other sides."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (folder / "train").mkdir()
    Image.fromarray(painted().image).save(folder / "train/a.jpg", exif=exif, quality=95)
    values = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": sides[0], "height": sides[1]}],
        "categories": [{"id": 3, "name": "red"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": bbox}],
    }
    (folder / "train/boxes.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("sides", "bbox", "orientation", "shape"),
    [
        ((80, 60), [16, 18, 24, 24], 1, (60, 80)),
        ((0, 0), [16, 18, 24, 24], 1, (60, 80)),  # not known
        ((80, 60), [16, 18, 24, 24], 6, (60, 80)),
        ((800, 600), [160, 180, 240, 240], 1, (60, 80)),  # made smaller since
        ((801, 596), [160, 179, 240, 238], 1, (60, 80)),
        ((60, 80), [18, 16, 24, 24], 6, (80, 60)),  # x is what was left of the bottom, 60 - 42
        ((600, 800), [180, 160, 240, 240], 6, (80, 60)),
    ],
)
def test_boxes_are_of_the_sides_that_coco_gives(tmp_path, sides, bbox, orientation, shape):
    annotated(tmp_path, sides, bbox, orientation)
    [picture], _ = read_boxes(tmp_path, "train")
    assert picture.image.shape[:2] == shape
    np.testing.assert_allclose(picture.boxes[0] * (*shape[::-1], *shape[::-1]), extent(picture.image), atol=1.6)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_of_another_shape_than_coco_gives_is_refused(tmp_path, orientation):
    annotated(tmp_path, (80, 70), [16, 18, 24, 24], orientation)
    with pytest.raises(DataError, match="boxes.json, a.jpg: the picture is 80x60 pixels, and its .* of one of 80x70"):
        read_boxes(tmp_path, "train")


def test_a_picture_on_its_side_without_exif_is_refused(tmp_path):
    annotated(tmp_path, (60, 80), [18, 16, 24, 24])
    with pytest.raises(DataError, match="a.jpg: the picture is 80x60 pixels"):
        read_boxes(tmp_path, "train")


def test_boxes_that_are_nowhere_in_their_pictures_are_refused(tmp_path):
    annotated(tmp_path, (80, 60), [90, 18, 24, 24])
    with pytest.raises(DataError, match="no picture of the split train has a box that lies within it"):
        read_boxes(tmp_path, "train", ["red"])


def test_emoji_of_a_split(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    row = {"name": "key", "tone": "", "style": "noto", "split": "train"}
    rows = [
        {**row, "image": png(on_white(RED))},
        {**row, "image": png(on_white(BLUE)), "style": "fluent", "split": "test_style"},
        {**row, "image": png(on_white(BLUE)), "name": "other"},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "emoji.parquet")
    [cutout] = read_cutouts(tmp_path / "emoji.parquet", ["key"], "train")
    assert (cutout.label, cutout.style, cutout.picture.getpixel((1, 1))) == (0, "noto", (*RED, 255))
    assert len(read_cutouts(tmp_path / "emoji.parquet", ["key"], "test_style")) == 1
    with pytest.raises(DataError, match="no picture of drum"):
        read_cutouts(tmp_path / "emoji.parquet", ["key", "drum"], "train")
