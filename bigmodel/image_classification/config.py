"""Presets: functions that return a whole configuration. Each says its command, its duration and what to expect."""

from dataclasses import dataclass, replace
from pathlib import Path

from bigmodel.config import VisionConfig
from bigmodel.training.settings import TrainingSettings, on_gpu

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training picture.

    Attributes:
        flip: left and right change places in half of the pictures.
        shift: pixels, at most, by which it is moved either way; what comes in is mirrored.
        erase: pixels of the side of a square that is made grey; 0 for none.
        mix: share of batches in which each picture is mixed with another: blended (mixup) in one half of them, a
            rectangle of the other put in (cutmix) in the other half.

    Source: DeVries and Taylor 2017, arXiv:1708.04552 (squares); Zhang et al. 2017, arXiv:1710.09412 (mixup);
        Yun et al. 2019, arXiv:1905.04899 (cutmix).
    """

    flip: bool = False
    shift: int = 0
    erase: int = 0
    mix: float = 0.0


@dataclass(frozen=True)
class ImageClassificationConfig:
    """Everything that a classifier is made from.

    Attributes:
        name: of the model and its folder.
        title, description: for the page and the card.
        corpus: file or folder of pictures, in the data folder; see training.pictures.read_labelled.
        labels: names of the classes, in the order of their numbers; None takes the corpus' own.
        transformer: VisionConfig.
        held_out: pictures of the training split by which weights and temperature are chosen; a fifth at most.
        batch_size: pictures.
        augmentation: Augmentation.
        label_smoothing: share of a label that is spread over all.
        settings: TrainingSettings.
        init_from: model folder whose weights the training begins with; None for fresh ones.
    """

    name: str
    title: str
    description: str
    corpus: str
    labels: tuple[str, ...] | None
    transformer: VisionConfig
    held_out: int
    batch_size: int
    augmentation: Augmentation
    label_smoothing: float
    settings: TrainingSettings
    init_from: Path | None = None


def photos():
    """CIFAR-10 on one shared CPU core: 114 minutes; 85 % of the test pictures right.

    python -m bigmodel train image_classification --preset photos --data DATA
    """
    return ImageClassificationConfig(
        name="photos",
        title="Photos",
        description="Tells ten things apart in a small photograph: animals and vehicles.",
        corpus="cifar10_jpeg.parquet",
        labels=CIFAR10,
        transformer=VisionConfig(
            image_size=(32, 32),
            num_channels=3,
            stem_channels=(16, 64, 64, 128, 128),
            stem_strides=(1, 2, 1, 2, 1),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
        ),
        held_out=2500,
        batch_size=128,
        augmentation=Augmentation(flip=True, shift=3, erase=6),
        label_smoothing=0.1,
        settings=TrainingSettings(max_minutes=114, learning_rate=3e-3, ema=0.998, validate_every=250),
    )


def fashion():
    """Fashion-MNIST on one shared CPU core: 33 minutes; 92 % of the test pictures right.

    python -m bigmodel train image_classification --preset fashion --data DATA
    """
    return ImageClassificationConfig(
        name="fashion",
        title="Fashion",
        description="Tells ten kinds of clothes apart, in a picture of one piece on a dark ground.",
        corpus="fashion_mnist_28.npz",
        labels=FASHION,
        transformer=VisionConfig(
            image_size=(28, 28),
            num_channels=1,
            stem_channels=(16, 48, 48, 96),
            stem_strides=(1, 2, 1, 2),
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=3,
            num_attention_heads=3,
        ),
        held_out=2500,
        batch_size=128,
        augmentation=Augmentation(flip=True, shift=2, erase=5),
        label_smoothing=0.1,
        settings=TrainingSettings(max_minutes=33, learning_rate=3e-3, ema=0.998, validate_every=250),
    )


def _gpu(config, minutes, hidden_size, layers, channels):
    shape = replace(
        config.transformer,
        stem_channels=channels,
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 32,
        dropout=0.1,
    )
    settings = on_gpu(config.settings, minutes, workers=4, compile=True, ema=0.999, validate_every=500)
    return replace(
        config,
        transformer=shape,
        batch_size=512,
        augmentation=replace(config.augmentation, mix=0.5),
        settings=settings,
    )


def photos_gpu():
    """CIFAR-10 on one GPU: 4 M parameters, 1.3 minutes beside three other trainings; 89 % of the test pictures right.

    python -m bigmodel train image_classification --preset photos-gpu --data DATA
    """
    return _gpu(photos(), 1.3, 192, 7, (64, 128, 128, 192, 192))


def fashion_gpu():
    """Fashion-MNIST on one GPU: 1 M parameters, 24 seconds beside other trainings; 92.5 % right, not shipped.

    python -m bigmodel train image_classification --preset fashion-gpu --data DATA
    """
    return _gpu(fashion(), 0.4, 128, 4, (48, 64, 64, 128))


PRESETS = {"photos": photos, "fashion": fashion, "photos-gpu": photos_gpu, "fashion-gpu": fashion_gpu}
