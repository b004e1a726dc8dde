"""From a corpus of labelled pictures to batches: held-out part, augmentation, soft labels."""

from dataclasses import dataclass

import numpy as np
import torch

from bigmodel.errors import DataError
from bigmodel.training.pictures import normalise, read_labelled
from bigmodel.training.shares import share


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures of one size.

    Attributes:
        images: (count, channels, height, width) uint8.
        labels: (count,) int64.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


def load(config, path, split):
    """Read a split of a corpus.

    Args:
        config: ImageClassificationConfig.
        path: of the corpus.
        split: "train", "valid" (the part of train that is held out) or "test".

    Returns:
        Pictures, and the labels' names.

    Raises:
        DataError: the corpus is missing or broken, has one label alone, or others than the configuration.
    """
    shape = config.transformer
    mode = "L" if shape.num_channels == 1 else "RGB"
    images, labels, names = read_labelled(
        path, "test" if split == "test" else "train", mode=mode, size=shape.image_size
    )
    if images.shape[1:3] != tuple(shape.image_size) or images.shape[3] != shape.num_channels:
        raise DataError(f"{path}: pictures are {images.shape[1:]}, the model takes {shape.image_size}")
    names = list(config.labels or names or map(str, range(labels.max() + 1)))
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(f"{path}: labels go to {labels.max()}, but there are {len(names)} names")
    if len(names) < 2:
        raise DataError(f"{path} has the label {names[0]} alone; give two or more")
    chosen = np.arange(len(labels))
    if split != "test":
        order = np.random.default_rng(0).permutation(len(labels))
        held_out = min(config.held_out, len(labels) // 5)  # a fifth of one's own few pictures
        if not held_out:
            raise DataError(f"{path} has {len(labels)} pictures; give at least 5")
        chosen = order[:held_out] if split == "valid" else order[held_out:]
    return Pictures(np.ascontiguousarray(images[chosen].transpose(0, 3, 1, 2)), labels[chosen]), names


class PictureBatches:
    """Batches of augmented pictures, each a function of its step; every picture once an epoch, in a new order.

    Args:
        pictures: Pictures.
        num_labels: classes.
        batch_size: pictures, over all processes.
        augmentation: config.Augmentation.
        label_smoothing: share of a label that is spread over all.
        mean, std: of each channel.
        seed: of order and augmentation.
    """

    unit = "pictures"

    def __init__(self, pictures, *, num_labels, batch_size, augmentation, label_smoothing, mean, std, seed):
        self.pictures, self.batch_size, self.augmentation, self.seed = pictures, batch_size, augmentation, seed
        self.mean, self.std = mean, std
        low = label_smoothing / num_labels
        self.targets = np.where(np.eye(num_labels), 1 - label_smoothing + low, low).astype(np.float32)
        self._epoch, self._order = None, None

    @property
    def tokens_per_step(self):
        """Pictures of a batch."""
        return self.batch_size

    @property
    def tokens_of_corpus(self):
        """Pictures of an epoch."""
        return len(self.pictures)

    def __str__(self):
        return f"{self.batch_size} pictures"

    def _pick(self, index):
        epoch, position = divmod(index, len(self.pictures))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.pictures))
        return self._order[position]

    def batch(self, step, rank=0, world=1):
        """Return the batch of a step.

        Args:
            step: number of the batch, from 0.
            rank, world: this process and how many share the batch; world divides batch_size.

        Returns:
            pixel_values: (batch_size / world, channels, height, width) float32, normalised.
            targets: (batch_size / world, num_labels) float32, rows sum to 1.

        Raises:
            ConfigError: world does not divide batch_size.
        """
        rows = np.array([self._pick(number) for number in share(step, self.batch_size, rank, world)])
        rng = np.random.default_rng((self.seed, step, rank))
        images = augment(self.pictures.images[rows], self.augmentation, rng)
        pixel_values, targets = normalise(images, self.mean, self.std), self.targets[self.pictures.labels[rows]]
        targets = torch.from_numpy(targets)
        if rng.random() < self.augmentation.mix:
            pixel_values, targets = mix(pixel_values, targets, rng)
        return pixel_values, targets


def augment(images, augmentation, rng):
    """Return images (count, channels, height, width) uint8, each changed in its own way; see config.Augmentation."""
    count, _, height, width = images.shape
    shift, erase = augmentation.shift, augmentation.erase
    padded = np.pad(images, ((0, 0), (0, 0), (shift, shift), (shift, shift)), mode="symmetric") if shift else images
    corners = rng.integers(0, 2 * shift + 1, (count, 2))
    result = np.empty_like(images)
    for i, (top, left) in enumerate(corners):
        result[i] = padded[i, :, top : top + height, left : left + width]
    if augmentation.flip:
        flipped = rng.random(count) < 0.5
        result[flipped] = result[flipped, :, :, ::-1]
    if erase:
        tops, lefts = rng.integers(0, height - erase + 1, count), rng.integers(0, width - erase + 1, count)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            result[i, :, top : top + erase, left : left + erase] = 128
    return result


def mix(pixel_values, targets, rng):
    """Return a batch whose pictures are blended with another, or have a rectangle of it; labels by their shares."""
    order = torch.from_numpy(rng.permutation(len(targets)))
    height, width = pixel_values.shape[2:]
    kept = float(rng.beta(1, 1))
    if rng.random() < 0.5:
        pixel_values = kept * pixel_values + (1 - kept) * pixel_values[order]
    else:
        sides = np.sqrt(1 - kept) * np.array([height, width])
        top, left = (rng.uniform(-s, full) for s, full in zip(sides, (height, width), strict=True))
        rows = slice(max(0, round(top)), max(0, round(top + sides[0])))
        columns = slice(max(0, round(left)), max(0, round(left + sides[1])))
        pixel_values = pixel_values.clone()
        patch = pixel_values[order, :, rows, columns]
        pixel_values[:, :, rows, columns] = patch
        kept = 1 - patch.shape[2] * patch.shape[3] / (height * width)
    return pixel_values, kept * targets + (1 - kept) * targets[order]
