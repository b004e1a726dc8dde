"""Presets: functions that return a whole configuration. Each says its command, its duration and what to expect."""

from dataclasses import dataclass, replace
from pathlib import Path

from bigmodel.config import VisionConfig
from bigmodel.training.settings import TrainingSettings, on_gpu

BLOOD_CELLS = ("RBC", "WBC", "Platelets")
EMOJI = (
    *("cat face", "dog face", "monkey face", "pig face", "frog", "bear", "penguin", "elephant", "fish", "octopus"),
    *("snail", "honeybee", "rooster", "goat", "red apple", "banana", "cherries", "pineapple", "pizza", "hamburger"),
    *("doughnut", "ice cream", "lollipop", "bicycle", "automobile", "bus", "rocket", "airplane", "sailboat", "house"),
    *("evergreen tree", "sunflower", "rose", "mushroom", "umbrella with rain drops", "soccer ball", "basketball"),
    *("guitar", "hammer", "key", "alarm clock", "camera", "light bulb", "open book", "red heart", "balloon", "star"),
    "snowflake",
)


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training picture.

    Attributes:
        flip: left and right change places in half of the pictures.
        turn: it is turned by quarters, and turned over.
        zoom: by which it is scaled, from and to; below 1 there is ground around it.
        colour: share by which each channel may grow or shrink, and the brightness rise or fall.
    """

    flip: bool = True
    turn: bool = False
    zoom: tuple[float, float] = (1.0, 1.0)
    colour: float = 0.0


@dataclass(frozen=True)
class ObjectDetectionConfig:
    """Everything that a detector is made from.

    Attributes:
        name: of the model and its folder.
        title, description: for the page and the card.
        corpus: in the data folder: pictures with boxes, see data.read_boxes; or emoji, where ``composed``.
        composed: pictures are scenes, composed of emoji as they are needed.
        labels: names of the classes, of those that the corpus has.
        transformer: VisionConfig.
        repeats: tokens that answer for an object in the second heads, in training.
        batch_size: pictures.
        augmentation: Augmentation, of pictures that are not composed.
        settings: TrainingSettings.
        init_from: model folder whose weights the training begins with; None for fresh ones.
    """

    name: str
    title: str
    description: str
    corpus: str
    composed: bool
    labels: tuple[str, ...] | None
    transformer: VisionConfig
    repeats: int
    batch_size: int
    augmentation: Augmentation
    settings: TrainingSettings
    init_from: Path | None = None


def _shape(height, width):
    return VisionConfig(
        image_size=(height, width),
        num_channels=3,
        stem_channels=(16, 32, 64, 64, 128),
        stem_strides=(2, 2, 2, 1, 2),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        dropout=0.05,
    )


def blood_cells():
    """Red cells, white cells and platelets on one shared CPU core: 30 minutes; AP 0.83 at overlap 0.5, 0.49 over all.

    python -m bigmodel train object_detection --preset blood-cells --data DATA
    """
    return ObjectDetectionConfig(
        name="blood-cells",
        title="Blood cells",
        description="Finds and counts red cells, white cells and platelets in a microscope's picture of blood.",
        corpus="bccd_320.parquet",
        composed=False,
        labels=BLOOD_CELLS,
        transformer=_shape(240, 320),
        repeats=5,
        batch_size=8,
        augmentation=Augmentation(flip=True, turn=True, zoom=(0.8, 1.5), colour=0.15),
        settings=TrainingSettings(max_minutes=30, learning_rate=2e-3, ema=0.998, validate_every=250),
    )


def scenes():
    """Forty-eight kinds of things, drawn as emoji, on one shared CPU core: 51 minutes; AP 0.98 at overlap 0.5.

    python -m bigmodel train object_detection --preset scenes --data DATA
    """
    return ObjectDetectionConfig(
        name="scenes",
        title="Scenes",
        description="Finds forty-eight kinds of things, drawn as emoji, on a coloured ground.",
        corpus="emoji64.parquet",
        composed=True,
        labels=EMOJI,
        transformer=_shape(128, 128),
        repeats=4,
        batch_size=32,
        augmentation=Augmentation(),
        settings=TrainingSettings(max_minutes=51, learning_rate=2e-3, ema=0.998, validate_every=250),
    )


def _gpu(config, minutes, batch_size):
    shape = replace(
        config.transformer,
        stem_channels=(32, 64, 96, 96, 192),
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=6,
        dropout=0.1,
    )
    settings = on_gpu(config.settings, minutes, workers=8, ema=0.998, learning_rate=1.5e-3, validate_every=500)
    return replace(config, transformer=shape, batch_size=batch_size, settings=settings)


def blood_cells_gpu():
    """Blood cells on one GPU: 2 M parameters, 36 seconds; AP 0.78 at overlap 0.5, 0.43 over all: too short to ship.

    python -m bigmodel train object_detection --preset blood-cells-gpu --data DATA
    """
    return _gpu(blood_cells(), 0.6, 32)


def scenes_gpu():
    """Scenes on one GPU: 2 M parameters, a minute; never trained yet.

    python -m bigmodel train object_detection --preset scenes-gpu --data DATA
    """
    return _gpu(scenes(), 1, 64)


PRESETS = {
    "blood-cells": blood_cells,
    "scenes": scenes,
    "blood-cells-gpu": blood_cells_gpu,
    "scenes-gpu": scenes_gpu,
}
