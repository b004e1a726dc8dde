"""Pictures to train on are read as those to serve, and what is wrong with a corpus is said."""

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from bigmodel.errors import DataError, TrainingError  # noqa: E402
from bigmodel.runtime.pictures import open_picture  # noqa: E402
from bigmodel.training.pictures import decode, keep_labels, read_labelled, read_parquet  # noqa: E402

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)


def encoded(picture, kind="png", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def transparent():
    alpha = np.arange(54, dtype=np.uint8).reshape(6, 9, 1) * 4
    return encoded(Image.fromarray(np.concatenate([COLOURS, alpha], 2)))


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(COLOURS), "jpeg", exif=exif)


def pale():
    palette = Image.fromarray(COLOURS).quantize(8)
    return encoded(palette, transparency=3)


PICTURES = {
    "transparent": transparent(),
    "palette": pale(),
    "turned": turned(6),
    "mirrored": turned(5),
    "16 bits": encoded(Image.fromarray((np.arange(54, dtype=np.uint16) * 1200).reshape(6, 9))),
    "plain": encoded(Image.fromarray(COLOURS)),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_are_read_as_they_are_served(kind):
    served = open_picture(PICTURES[kind]).pixels
    np.testing.assert_array_equal(decode(PICTURES[kind]), served)
    grey = np.asarray(Image.fromarray(served).convert("L"))
    np.testing.assert_array_equal(decode(PICTURES[kind], "L")[:, :, 0], grey)


def test_boxes_keep_the_stored_orientation():
    assert decode(PICTURES["turned"]).shape == (9, 6, 3)
    assert decode(PICTURES["turned"], upright=False).shape == (6, 9, 3)


@pytest.fixture
def table(tmp_path):
    """Return a function of rows that writes a parquet and returns its path."""
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")

    def write(*rows):
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "some.parquet")
        return tmp_path / "some.parquet"

    return write


def test_pictures_of_hugging_face_and_no_split(table):
    data = PICTURES["plain"]
    path = table(*({"image": {"bytes": data, "path": "a.png"}, "label": label} for label in (0, 1)))
    images, labels, _ = read_labelled(path, "train")
    assert labels.tolist() == [0, 1] and (images == COLOURS).all()
    with pytest.raises(DataError, match="no pictures of the split test"):
        read_labelled(path, "test")


def test_labels_in_words_are_refused(table):
    with pytest.raises(DataError, match="some.parquet: a label is no number; give numbers from 0, and their names"):
        read_labelled(table({"image": {"bytes": PICTURES["plain"], "path": "a.png"}, "label": "cat"}), "train")


@pytest.mark.parametrize("image", [None, "a.png", {"bytes": None, "path": "a.png"}])
def test_a_row_without_a_picture_is_named(table, image):
    path = table({"image": image, "label": 0})
    with pytest.raises(DataError, match="some.parquet, row 1: the column image holds no encoded picture"):
        list(read_parquet(path))


def test_a_broken_picture_is_named(table):
    path = table({"image": PICTURES["plain"], "label": 0}, {"image": b"nothing", "label": 0})
    with pytest.raises(DataError, match="some.parquet, row 2 cannot be read"):
        read_labelled(path, "train")


@pytest.mark.parametrize("suffix", ["parquet", "npz"])
def test_a_damaged_file_is_named(table, tmp_path, suffix):
    path = table(*({"image": PICTURES["plain"], "label": i % 10} for i in range(2000)))
    if suffix == "npz":
        path = tmp_path / "a.npz"
        np.savez_compressed(path, train_images=np.arange(40_000).reshape(100, 20, 20), train_labels=np.zeros(100))
    data = path.read_bytes()
    for broken in (data[: len(data) // 2], b"", data[:200] + bytes(200) + data[400:]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=f"{path.name} cannot be read"):
            read_labelled(path, "train")
    np.savez(tmp_path / "b.npz", train_images=np.zeros((3, 4, 4), np.uint8), train_labels=np.zeros(2))
    with pytest.raises(DataError, match="b.npz has 3 pictures and 2 labels"):
        read_labelled(tmp_path / "b.npz", "train")


def test_an_empty_folder_of_a_label_is_named(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
    (tmp_path / "cat/a.png").write_bytes(PICTURES["plain"])
    with pytest.raises(DataError, match="dog has no pictures"):
        read_labelled(tmp_path, "train")


def test_a_label_may_be_named_as_a_split_is(tmp_path):
    for label in ("bus", "train"):
        numbered(tmp_path / label, range(5))
    images, labels, names = read_labelled(tmp_path, "train")[:3]
    assert names == ["bus", "train"] and list(labels) == [0] * 4 + [1] * 4 and len(images) == 8


def numbered(folder, numbers):
    """Write pictures whose pixels are their numbers, by which they are named."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(np.full((2, 2, 3), number, np.uint8)).save(folder / f"{number}.png")


def sides(path):
    """Return the numbers of a label's pictures, of training and of test."""
    return [set(read_labelled(path, split)[0][:, 0, 0, 0].tolist()) for split in ("train", "test")]


def test_a_picture_keeps_its_side_when_others_come(tmp_path):
    numbered(tmp_path / "cat", range(1, 100, 2))
    train, test = sides(tmp_path)
    assert len(train) + len(test) == 50 and 5 <= len(test) <= 15
    numbered(tmp_path / "cat", range(0, 100, 2))
    more_train, more_test = sides(tmp_path)
    assert train < more_train and test < more_test and not more_train & more_test


@pytest.mark.parametrize("numbers", [[0, 1], [8, 12], [0, 1, 2, 3]])
def test_few_pictures_are_of_both_sides(tmp_path, numbers):
    # by their names alone 8 and 12 were both of the test, and the others of the training
    numbered(tmp_path / "cat", numbers)
    train, test = sides(tmp_path)
    assert len(test) == 1 and train | test == set(numbers) and not train & test


@pytest.mark.parametrize("number", [0, 8])
def test_a_single_picture_is_of_the_training(tmp_path, number):
    numbered(tmp_path / "cat", [number])
    assert len(read_labelled(tmp_path, "train")[0]) == 1
    with pytest.raises(DataError, match="no pictures of the split test"):
        read_labelled(tmp_path, "test")


def test_a_run_goes_on_with_its_own_labels(tmp_path):
    run, mean, std = tmp_path / "run", [0.5, 0.4, 0.3], [0.2] * 3
    keep_labels(run, ["cat", "dog"], mean, std)
    keep_labels(run, ["cat", "fox"], mean, std)  # nothing is trained yet
    (run / "checkpoint.pt").touch()
    keep_labels(run, ["cat", "fox"], [value + 1e-6 for value in mean], std)
    with pytest.raises(TrainingError, match="a run of the labels cat, fox, not cat, dog; choose another folder"):
        keep_labels(run, ["cat", "dog"], mean, std)
    with pytest.raises(TrainingError, match="a run of other pictures"):
        keep_labels(run, ["cat", "fox"], [0.6, 0.4, 0.3], std)
