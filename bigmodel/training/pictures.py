"""Reading pictures to train on: parquet, npz, or a folder for each label."""

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps

from bigmodel.config import read_json, write_json
from bigmodel.errors import DataError, TrainingError
from bigmodel.training.state import replacing

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
BROKEN = OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError, struct.error
BROKEN += Image.DecompressionBombError, Image.DecompressionBombWarning
SAME = 1e-4  # by which a channel's mean or deviation may differ from one computer to another
WHITE = 250  # from this value on, in every channel, a pixel is ground if it is joined to the edge


def decode(source, mode="RGB", *, upright=True, where=None):
    """Return a picture as (height, width, channels) uint8, one channel for mode "L": as runtime.pictures opens it.

    What is transparent lies on white, 16 bits become 8, and the picture is turned as its EXIF data say.

    Args:
        source: bytes, path or open file.
        mode: "RGB" or "L".
        upright: turn it; False leaves it as it is stored.
        where: its name in messages; None takes the path.

    Raises:
        DataError: it is no picture.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            array = np.asarray(_in_colours(ImageOps.exif_transpose(picture) if upright else picture).convert(mode))
    except BROKEN as error:
        name = where or ("a picture" if isinstance(source, bytes) else source)
        raise DataError(f"{name} cannot be read: {error}") from error
    return array if array.ndim == 3 else array[:, :, None]


def _in_colours(picture):
    """Return a PIL picture of any kind in RGB, on white."""
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))  # 16 bits
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def read_parquet(path, split=None, columns=()):
    """Yield the rows of a parquet file as dicts, those of one split where asked for.

    "image" is an encoded picture, as bytes or as Hugging Face's {bytes, path}, and is yielded as bytes; "where" is
    added, the file and the row's number for messages. Without a column "split" all rows are of the split "train".

    Raises:
        DataError: the file is missing or broken, lacks one of ``columns`` or "image", or a row has no picture.
    """
    import pyarrow.parquet  # slow to import

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if missing := {"image", *columns} - set(file.schema_arrow.names):
        raise DataError(f"{path} has no column {', '.join(sorted(missing))}")
    number = 0
    for rows in _batches(file, path):
        for row in rows:
            number += 1
            if split is None or row.get("split", "train") == split:
                where = f"{path}, row {number}"
                image = row["image"].get("bytes") if isinstance(row["image"], dict) else row["image"]
                if not isinstance(image, bytes):
                    raise DataError(f"{where}: the column image holds no encoded picture")
                yield {**row, "image": image, "where": where}


def _batches(file, path):
    """Yield lists of the rows of a pyarrow.parquet.ParquetFile."""
    batches = file.iter_batches(256)
    while True:
        try:
            rows = next(batches).to_pylist()
        except StopIteration:
            return
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        yield rows


def read_labelled(path, split, *, mode="RGB", size=None):
    """Read pictures and their labels.

    Args:
        path: parquet with columns image, label, split ("train" without it), and class where labels have names; npz with
            {split}_images and {split}_labels; or a folder {split}/{label}/*.jpg, or {label}/*.jpg, of which about a
            fifth is of the split "test", chosen by the files' names.
        split: "train" or "test".
        mode: "RGB" or "L".
        size: (height, width) that pictures are scaled and cropped to; None takes them as they are.

    Returns:
        images: (count, height, width, channels) uint8.
        labels: (count,) int64.
        names: list of the labels' names; None where the file has none.

    Raises:
        DataError: nothing is there, the folder of a label is empty, or the pictures differ in size.
    """
    path = Path(path)
    if path.suffix == ".npz":
        images, labels, names = _read_npz(path, split)
    elif path.is_dir():
        images, labels, names = _read_folder(path, split, mode, size)
    else:
        images, labels, names = _read_table(path, split, mode, size)
    if not len(images):
        raise DataError(f"{path} has no pictures of the split {split}")
    if len({image.shape for image in images}) > 1:
        raise DataError(f"{path}: pictures differ in size")
    return np.stack(images), np.asarray(labels, np.int64), names


def _read_npz(path, split):
    try:
        with np.load(path) as arrays:
            images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(images) != len(labels):
        raise DataError(f"{path} has {len(images):,} pictures and {len(labels):,} labels")
    return (images[..., None] if images.ndim == 3 else images), labels, None


def _read_folder(path, split, mode, size):
    parted = (path / split).is_dir() and any(p.is_dir() for p in (path / split).iterdir())  # else it is a label
    root = path / split if parted else path
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    images, labels = [], []
    for label, folder in enumerate(folders):
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS)
        if not files:
            raise DataError(f"{folder} has no pictures ({', '.join(ENDINGS)})")
        tests = set() if parted else _tests(files)
        kept = files if parted else [file for file in files if (file in tests) == (split == "test")]
        images += [fit(decode(file, mode), size) for file in kept]
        labels += [label] * len(kept)
    return images, labels, [folder.name for folder in folders]


def _tests(files):
    """Return the set of those of a label's files that are for the test: every fifth, by a hash of the name.

    So a picture keeps its side when others come. Where that is none or all, it is one of two or more.
    """
    hashes = {file: zlib.crc32(os.fsencode(file.name)) for file in files}
    chosen = {file for file in files if hashes[file] % 5 == 0}
    if len(chosen) in (0, len(files)):  # few pictures: both sides need one
        return {max(files, key=hashes.get)} if len(files) > 1 else set()
    return chosen


def _read_table(path, split, mode, size):
    rows = [
        (fit(decode(row["image"], mode, where=row["where"]), size), row.get("class"), row["label"])
        for row in read_parquet(path, split, ["label"])
    ]
    if not all(isinstance(label, int) for *_, label in rows):
        raise DataError(f"{path}: a label is no number; give numbers from 0, and their names in a column class")
    names = {label: name for _, name, label in rows if name is not None}
    known = sorted(names) == list(range(len(names))) and names
    return (
        [image for image, _, _ in rows],
        [row[-1] for row in rows],
        [names[i] for i in sorted(names)] if known else None,
    )


def fit(image, size):
    """Scale a picture (height, width, channels) to cover ``size`` (height, width), cut its middle; None leaves it."""
    if size is None or image.shape[:2] == tuple(size):
        return image
    height, width = size
    scale = max(height / image.shape[0], width / image.shape[1])
    wide = max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale))
    picture = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).resize(wide, Image.Resampling.BICUBIC)
    top, left = (wide[1] - height) // 2, (wide[0] - width) // 2
    cut = np.asarray(picture)[top : top + height, left : left + width]
    return cut if cut.ndim == 3 else cut[:, :, None]


def cut_out(array):
    """Return a picture (height, width, 3) uint8 on white as RGBA, its ground transparent, cut to the rest; or None."""
    picture = Image.fromarray(array)
    ground = Image.fromarray(np.where((array >= WHITE).all(-1), 255, 0).astype(np.uint8))
    ground = _with_border(ground)
    ImageDraw.floodfill(ground, (0, 0), 128)
    alpha = Image.fromarray(np.where(np.asarray(ground) == 128, 0, 255).astype(np.uint8)).crop(
        (1, 1, picture.width + 1, picture.height + 1)
    )
    picture.putalpha(alpha)
    box = alpha.getbbox()
    return picture.crop(box) if box else None


def _with_border(ground):
    wider = Image.new("L", (ground.width + 2, ground.height + 2), 255)
    wider.paste(ground, (1, 1))
    return wider


def statistics(images):
    """Return the mean and standard deviation of each channel of images (count, channels, height, width), in 0..1."""
    values = images.astype(np.float32) / 255
    return values.mean((0, 2, 3)).tolist(), values.std((0, 2, 3)).tolist()


def normalise(images, mean, std):
    """Return uint8 images (..., channels, height, width) as float32 tensor: 0..1, less the mean, by the deviation."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
    return (torch.from_numpy(images).float() / 255 - mean) / std


def keep_labels(folder, labels, mean, std):
    """Keep in a run's folder what its weights are trained for, and see that a run that goes on has the same.

    Args:
        folder: the run's; made where missing, gets labels.json.
        labels: names of the classes, in the order of their numbers.
        mean, std: of each channel, in 0..1.

    Raises:
        TrainingError: its checkpoint is of other labels, or of pictures with other colours.
    """
    folder = Path(folder)
    path, values = folder / "labels.json", {"labels": list(labels), "image_mean": mean, "image_std": std}
    if path.exists() and (folder / "checkpoint.pt").exists():
        kept = read_json(path)
        if kept["labels"] != values["labels"]:
            known, now = (", ".join(names["labels"]) for names in (kept, values))
            raise TrainingError(f"{folder} holds a run of the labels {known}, not {now}; choose another folder")
        if not all(np.allclose(kept[name], values[name], rtol=0, atol=SAME) for name in ("image_mean", "image_std")):
            raise TrainingError(f"{folder} holds a run of other pictures; choose another folder")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        write_json(part, values)


def write_preparation(folder, size, mean, std, **more):
    """Write preprocessor_config.json: how a picture is made fit for a model, in the words of ViTImageProcessor.

    Args:
        folder: the model's.
        size: (height, width) that the model takes.
        mean, std: of each channel, in 0..1.
        more: keys of our own.
    """
    values = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "size": {"height": size[0], "width": size[1]},
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": mean,
        "image_std": std,
    }
    write_json(Path(folder) / "preprocessor_config.json", {**values, **more})
