"""Processes share a batch, or are told that they cannot."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

from bigmodel.errors import ConfigError  # noqa: E402
from bigmodel.image_classification.config import Augmentation  # noqa: E402
from bigmodel.image_classification.data import PictureBatches, Pictures  # noqa: E402
from bigmodel.object_detection.data import BoxBatches  # noqa: E402
from bigmodel.text_to_image.config import emoji  # noqa: E402
from bigmodel.text_to_image.data import CaptionedBatches  # noqa: E402
from bigmodel.training.shares import share  # noqa: E402


def test_processes_make_each_row_once():
    assert [i for rank in range(3) for i in share(2, 6, rank, 3)] == list(range(12, 18))
    assert share(2, 6, 0, 1) == range(12, 18)
    with pytest.raises(ConfigError, match="batch_size 6 cannot be shared by 4 processes"):
        share(0, 6, 0, 4)


def test_every_task_s_batches_say_so(emoji_pictures):
    colours = {"mean": [0.5] * 3, "std": [0.25] * 3, "seed": 0, "batch_size": 4}
    pictures = Pictures(np.zeros((4, 3, 8, 8), np.uint8), np.arange(4))
    options = {"num_labels": 4, "augmentation": Augmentation(), "label_smoothing": 0.1}
    config = dataclasses.replace(emoji(), batch_size=4)
    for batches in (
        PictureBatches(pictures, **options, **colours),
        BoxBatches(None, count=4, **colours),
        CaptionedBatches(config, emoji_pictures, None, None),
    ):
        with pytest.raises(ConfigError, match="batch_size 4 cannot be shared by 3 processes"):
            batches.batch(0, 0, 3)
