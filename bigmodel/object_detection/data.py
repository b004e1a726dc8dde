"""Pictures with boxes: reading, augmentation, batches of sets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bigmodel.config import read_json
from bigmodel.errors import DataError
from bigmodel.object_detection.scenes import compose, read_cutouts
from bigmodel.training.pictures import decode, normalise, read_parquet, statistics
from bigmodel.training.shares import share

COCO = "*.json"  # beside the pictures of a split
VISIBLE = 0.3  # share of a box that must stay in a cut picture
BEYOND = 0.01  # by which a box may leave its picture, as by rounding
UNLIKE = 0.02  # by which proportions may differ from those that a file says


@dataclass(frozen=True)
class Picture:
    """A picture and what is in it.

    Attributes:
        image: (height, width, 3) uint8.
        boxes: (objects, 4) float32 xyxy, as shares of the picture.
        labels: (objects,) int64.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def read_boxes(path, split, labels=None, *, pixels=None):
    """Read pictures with boxes.

    Args:
        path: parquet with columns image, boxes (xyxy in 0..1), labels (names) and split; or a folder of a folder for
            each split, with pictures and COCO's JSON beside them. Boxes are of the pictures as they are stored: these
            are not turned as their EXIF data say, unless the JSON gives width and height of the turned picture.
        split: "train", "val" or "test".
        labels: names of the classes; None takes the corpus' own, sorted.
        pixels: larger pictures are made as small as so many; None leaves them.

    Returns:
        list of Picture, and the labels' names.

    Raises:
        DataError: nothing is there, a box is none, or a label is unknown; a picture has other proportions than COCO's
            JSON says; or no picture has a box.
    """
    path = Path(path)
    rows = _read_coco(path / split) if path.is_dir() else _read_rows(path, split)
    rows = [(_smaller(image, pixels), boxes, named) for image, boxes, named in rows]
    if not rows:
        raise DataError(f"{path} has no pictures of the split {split}")
    names = list(labels or sorted({name for _, _, named in rows for name in named}))
    numbers = {name: i for i, name in enumerate(names)}
    unknown = {name for _, _, named in rows for name in named} - set(names)
    if unknown:
        raise DataError(f"{path}: labels {', '.join(sorted(unknown))} are not among {', '.join(names)}")
    pictures = []
    for image, boxes, named in rows:
        boxes = np.clip(np.array(boxes, np.float32).reshape(-1, 4), 0, 1)
        kept = (boxes[:, 2:] > boxes[:, :2]).all(1)
        pictures.append(Picture(image, boxes[kept], np.array([numbers[name] for name in named], np.int64)[kept]))
    if not any(len(picture.labels) for picture in pictures):
        raise DataError(f"{path}: no picture of the split {split} has a box that lies within it")
    return pictures, names


def _read_rows(path, split):
    for row in read_parquet(path, split, ["boxes", "labels"]):
        boxes, labels, where = row["boxes"] or [], row["labels"] or [], row["where"]
        if len(boxes) != len(labels) or not all(isinstance(label, str) for label in labels):
            raise DataError(f"{where}: {len(boxes)} boxes have the labels {labels}; give a name for each")
        for box in boxes:
            if not all(-BEYOND <= edge <= 1 + BEYOND for edge in _numbers(box, where)):
                raise DataError(f"{where}: the box {box} is not in shares of the picture, from 0 to 1")
        yield decode(row["image"], upright=False, where=where), boxes, labels


def _read_coco(folder):
    for file in sorted(folder.glob(COCO)):
        values = read_json(file)
        try:
            names = {category["id"]: category["name"] for category in values["categories"]}
            objects = {}
            for annotation in values["annotations"]:
                objects.setdefault(annotation["image_id"], []).append(annotation)
            for picture in values["images"]:
                where = f"{file}, {picture['file_name']}"
                image, sides = _as_annotated(folder / picture["file_name"], picture, where)
                inside = objects.get(picture["id"], [])
                boxes = [_shares(_numbers(annotation["bbox"], where), *sides) for annotation in inside]
                yield image, boxes, [names[annotation["category_id"]] for annotation in inside]
        except KeyError as error:
            raise DataError(f"{file} is not COCO's JSON of boxes: {error} is missing") from error
        except TypeError as error:
            raise DataError(f"{file} is not COCO's JSON of boxes: {error}") from error


def _as_annotated(path, entry, where):
    """Return a picture as the boxes of COCO's JSON are of it, and its (width, height) in their pixels.

    Args:
        path: of the picture.
        entry: of the picture in the JSON; without width and height, boxes are of the stored picture.
        where: its name in messages.

    Raises:
        DataError: it cannot be read, or neither as stored nor upright has it the entry's proportions.
    """
    image, wide, high = decode(path, upright=False), entry.get("width"), entry.get("height")
    if not wide or not high:
        return image, image.shape[1::-1]
    unlike = lambda image: abs(wide * image.shape[0] / (high * image.shape[1]) - 1)  # noqa: E731
    if unlike(image):  # it was annotated upright, or made smaller since
        image = min(image, decode(path), key=unlike)
    if not unlike(image) <= UNLIKE:
        shape = f"{image.shape[1]}x{image.shape[0]}"
        raise DataError(f"{where}: the picture is {shape} pixels, and its boxes are of one of {wide}x{high}")
    return image, (wide, high)


def _numbers(box, where):
    """Return a box if it is four numbers; ``where`` says in a message where it is."""
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(edge, int | float) for edge in box):
        raise DataError(f"{where}: the box {box} is not four numbers")
    return box


def _shares(bbox, wide, high):
    left, top, width, height = bbox
    return [left / wide, top / high, (left + width) / wide, (top + height) / high]


def _smaller(image, pixels):
    """Return a picture of at most so many pixels, in its proportions."""
    high, wide = image.shape[:2]
    if pixels is None or wide * high <= pixels:
        return image
    scale = np.sqrt(pixels / (wide * high))
    size = max(1, int(wide * scale)), max(1, int(high * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def scenes(cutouts, size, count, seed):
    """Return ``count`` composed Pictures, the same for the same seed."""
    return [Picture(*compose(cutouts, size, np.random.default_rng((seed, i)))) for i in range(count)]


def augment(picture, size, augmentation, fill, rng):
    """Return a Picture of ``size`` (height, width): flipped, turned, zoomed and tinted; see config.Augmentation.

    Args:
        fill: colour of what lies outside of the picture.
        rng: np.random.Generator.
    """
    image, boxes = picture.image, picture.boxes
    if augmentation.flip and rng.random() < 0.5:
        image, boxes = image[:, ::-1], np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], 1)
    if augmentation.turn:
        for _ in range(rng.integers(4)):  # a quarter against the clock: x becomes y, and y becomes 1 - x
            image = np.rot90(image)
            boxes = np.stack([boxes[:, 1], 1 - boxes[:, 2], boxes[:, 3], 1 - boxes[:, 0]], 1)
    (high, wide), (height, width) = image.shape[:2], size
    usual = np.sqrt(wide * high / (width * height))  # a turned picture keeps its scale
    window = np.array([width, height]) * usual / rng.uniform(*augmentation.zoom)
    corner = rng.uniform(np.minimum(0, [wide, high] - window), np.maximum(0, [wide, high] - window))
    extent = (*corner, *(corner + window))
    drawn = Image.fromarray(np.ascontiguousarray(image))
    drawn = drawn.transform((width, height), Image.Transform.EXTENT, extent, Image.Resampling.BILINEAR, fillcolor=fill)
    moved = (boxes * [wide, high, wide, high] - np.tile(corner, 2)) / np.tile(window, 2)
    clipped = moved.clip(0, 1)
    area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])  # noqa: E731
    kept = area(clipped) >= VISIBLE * area(moved)
    image = np.asarray(drawn)
    if augmentation.colour:
        share = augmentation.colour
        gain, lift = rng.uniform(1 - share, 1 + share, 3), rng.uniform(-share, share) * 128
        image = np.clip(image * gain + lift, 0, 255).astype(np.uint8)
    return Picture(image, clipped[kept].astype(np.float32), picture.labels[kept])


class BoxBatches:
    """Batches of pictures and their boxes, each a function of its step.

    Args:
        draw: function of (index, rng) that returns the Picture of an index, of the model's size.
        count: pictures of an epoch, after which the order changes.
        composed: ``draw`` makes a new picture every time, so that the corpus has no number of them.
        batch_size: pictures, over all processes.
        mean, std: of each channel.
        seed: of order and augmentation.
    """

    unit = "pictures"

    def __init__(self, draw, *, count, batch_size, mean, std, seed, composed=False):
        self.draw, self.count, self.batch_size, self.composed = draw, count, batch_size, composed
        self.mean, self.std, self.seed = mean, std, seed

    @property
    def tokens_per_step(self):
        """Pictures of a batch."""
        return self.batch_size

    @property
    def tokens_of_corpus(self):
        """Pictures of an epoch; None where they are composed."""
        return None if self.composed else self.count

    def __str__(self):
        return f"{self.batch_size} pictures"

    def batch(self, step, rank=0, world=1):
        """Return the batch of a step.

        Args:
            step: number of the batch, from 0.
            rank, world: this process and how many share the batch; world divides batch_size.

        Returns:
            pixel_values: (batch_size / world, 3, height, width) float32, normalised.
            labels: (batch_size / world, objects) int64, -1 at padding.
            boxes: (batch_size / world, objects, 4) float32 cxcywh, as shares of the picture.

        Raises:
            ConfigError: world does not divide batch_size.
        """
        pictures = []
        for index in share(step, self.batch_size, rank, world):
            epoch, position = divmod(index, self.count)
            order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
            pictures.append(self.draw(order[position], np.random.default_rng((self.seed, epoch, position))))
        return collate(pictures, self.mean, self.std)


def collate(pictures, mean, std):
    """Return a list of Pictures of one size as BoxBatches.batch gives them."""
    images = np.stack([picture.image for picture in pictures]).transpose(0, 3, 1, 2)
    most = max(1, *(len(picture.labels) for picture in pictures))
    labels = np.full((len(pictures), most), -1, np.int64)
    boxes = np.zeros((len(pictures), most, 4), np.float32)
    for row, picture in enumerate(pictures):
        there = slice(len(picture.labels))
        labels[row, there] = picture.labels
        boxes[row, there, :2] = (picture.boxes[:, :2] + picture.boxes[:, 2:]) / 2
        boxes[row, there, 2:] = picture.boxes[:, 2:] - picture.boxes[:, :2]
    return normalise(np.ascontiguousarray(images), mean, std), torch.from_numpy(labels), torch.from_numpy(boxes)


@dataclass(frozen=True)
class Corpus:
    """What a training reads.

    Attributes:
        batches: BoxBatches.
        valid: list of Picture of the model's size.
        labels: names.
        mean, std: of each channel.
        count: pictures of the file that the training shows, alone or composed.
    """

    batches: BoxBatches
    valid: list
    labels: list
    mean: list
    std: list
    count: int = 0


def load(config, data):
    """Return the Corpus of a configuration.

    Args:
        config: ObjectDetectionConfig.
        data: folder of the corpora.

    Raises:
        DataError: a file is missing or broken.
    """
    path, size, seed = Path(data) / config.corpus, config.transformer.image_size, config.settings.seed
    if config.composed:
        labels = list(config.labels)
        cutouts = read_cutouts(path, labels, "train")
        shown = valid = scenes(cutouts, size, 200, seed=10_000)
        epoch, count = 10_000, len(cutouts)
        draw = lambda _, rng: Picture(*compose(cutouts, size, rng))  # noqa: E731
    else:
        pixels = round(size[0] * size[1] * max(config.augmentation.zoom) ** 2)  # as many as are ever seen
        shown, labels = read_boxes(path, "train", config.labels, pixels=pixels)
        valid, _ = read_boxes(path, "val", labels, pixels=pixels)
        epoch = count = len(shown)
    mean, std = statistics(np.stack([resize(picture, size).image for picture in shown]).transpose(0, 3, 1, 2))
    if not config.composed:
        fill = tuple(round(255 * value) for value in mean)
        valid = [letterbox(picture, size, fill) for picture in valid]
        draw = lambda index, rng: augment(shown[index], size, config.augmentation, fill, rng)  # noqa: E731
    about = {"batch_size": config.batch_size, "mean": mean, "std": std, "seed": seed, "composed": config.composed}
    return Corpus(BoxBatches(draw, count=epoch, **about), valid, labels, mean, std, count)


def resize(picture, size):
    """Return a Picture scaled to ``size`` (height, width); boxes are shares, and stay."""
    if picture.image.shape[:2] == tuple(size):
        return picture
    height, width = size
    image = np.asarray(Image.fromarray(picture.image).resize((width, height), Image.Resampling.BICUBIC))
    return Picture(image, picture.boxes, picture.labels)


def letterbox(picture, size, fill):
    """Return all of a Picture within ``size`` (height, width), unstretched, as runtime.pictures pads what it serves.

    Args:
        fill: colour of the ground around it.
    """
    target = size[::-1]
    whole = picture.image.shape[1::-1]
    scale = min(t / s for t, s in zip(target, whole, strict=True))
    inner = tuple(max(1, round(side * scale)) for side in whole)
    corner = tuple((t - side) // 2 for t, side in zip(target, inner, strict=True))
    seen = Image.new("RGB", target, fill)
    seen.paste(Image.fromarray(picture.image).resize(inner, Image.Resampling.BICUBIC), corner)
    boxes = (picture.boxes * np.tile(inner, 2) + np.tile(corner, 2)) / np.tile(target, 2)
    return Picture(np.asarray(seen), boxes.astype(np.float32), picture.labels)
