"""``python -m bigmodel train image_classification``: from labelled pictures to weights."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from bigmodel.config import VisionConfig
from bigmodel.image_classification.calibration import calibrate, edge_colour, fit_spread
from bigmodel.image_classification.config import PRESETS
from bigmodel.image_classification.data import PictureBatches, load
from bigmodel.image_classification.model import make_model, measure, predict, save_model
from bigmodel.training import command
from bigmodel.training.facts import keep_facts
from bigmodel.training.loop import Trainer
from bigmodel.training.pictures import keep_labels, normalise, statistics, write_preparation
from bigmodel.training.state import load_state

SAMPLE = 10_000  # training pictures whose features are measured


def add_arguments(parser):
    """Add the options of ``train image_classification``."""
    command.add_arguments(parser, PRESETS)
    parser.add_argument("--train", help="your own pictures instead of the preset's: a folder with one for each label")


def run(arguments):
    """Train, or go on from the run's checkpoint, and write ``<out>/model``."""
    return command.run(train, configure(arguments), "image_classification", arguments)


def configure(arguments):
    """Return the preset with the command line's changes."""
    config = command.configure(PRESETS, arguments)
    if arguments.train:
        config = dataclasses.replace(config, corpus=command.own_corpus(arguments.train), labels=None)
    return command.begin_with(config, arguments.init_from, VisionConfig.from_vit)


def train(config, data, folder, *, preset_name=None):
    """Train a configuration's model.

    Args:
        config: ImageClassificationConfig.
        data: folder of the corpora.
        folder: the run's; gets checkpoints, log, plot, and the model folder ``model``.
        preset_name: of the preset that it began with, for the model card.

    Returns:
        dict: the last validation: "loss" in nats, "accuracy" as a share.

    Raises:
        DataError: the corpus is missing, broken or too small.
        TrainingError: the folder holds a run of other labels or pictures.
    """
    data, folder = Path(data), Path(folder)
    pictures, labels = load(config, data / config.corpus, "train")
    valid, _ = load(config, data / config.corpus, "valid")
    mean, std = statistics(pictures.images)
    keep_labels(folder, labels, mean, std)
    batches = PictureBatches(
        pictures,
        num_labels=len(labels),
        batch_size=config.batch_size,
        augmentation=config.augmentation,
        label_smoothing=config.label_smoothing,
        mean=mean,
        std=std,
        seed=config.settings.seed,
    )
    model = make_model(config, len(labels))
    trainer = Trainer(model, batches, config.settings, folder, validate=lambda model: measure(model, valid, mean, std))
    result = trainer.run()
    if trainer.rank == 0:
        trainer.model.load_state_dict(load_state(folder / "best.pt")["model"])
        model = trainer.model.eval()
        found = calibrated(model, pictures, valid, mean, std)
        write_folder(config, model, labels, mean, std, found, folder / "model")
        corpora = [(config.corpus, "train", 1, len(pictures)), (config.corpus, "valid", 1, len(valid))]
        keep_facts(config, trainer, corpora, data, preset=preset_name)
    return result


@torch.no_grad()
def calibrated(model, pictures, valid, mean, std):
    """Measure what the training's pictures are like, and return what calibration says of the validation pictures."""
    device = next(model.parameters()).device
    features = [
        model.stem(normalise(part, mean, std).to(device)).mean((2, 3)).cpu()
        for part in np.array_split(pictures.images[:SAMPLE], SAMPLE // 250)
    ]
    mean_features, whitening = fit_spread(torch.cat(features).double().numpy())
    model.familiar.mean, model.familiar.whitening = torch.tensor(mean_features), torch.tensor(whitening)
    logits, distances = (values.numpy() for values in predict(model, valid.images, mean, std))
    return {**calibrate(logits, valid.labels, distances), "ground": edge_colour(valid.images)}


def write_folder(config, model, labels, mean, std, found, folder):
    """Write a model folder without its ONNX files: weights, configuration, how a picture is prepared.

    Args:
        config: ImageClassificationConfig.
        model: ImageClassificationModel.
        labels: names of the classes.
        mean, std: of each channel.
        found: dict of ``calibrated``.
        folder: made where missing.
    """
    about = {
        "task": "image_classification",
        "name": config.name,
        "title": config.title,
        "description": config.description,
        "languages": [],
        "drawable": found["ground"] == [0],  # light on black, as one sketches
        "calibration": {name: value for name, value in found.items() if name != "ground"},
    }
    save_model(model, folder, labels=labels, about=about)
    write_preparation(folder, model.config.image_size, mean, std, ground=found["ground"])
