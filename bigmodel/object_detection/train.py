"""``python -m bigmodel train object_detection``: from pictures with boxes to weights."""

import dataclasses
from pathlib import Path

import numpy as np

from bigmodel.config import VisionConfig
from bigmodel.object_detection.config import PRESETS
from bigmodel.object_detection.data import collate, load
from bigmodel.object_detection.detections import THRESHOLDS, decode
from bigmodel.object_detection.metrics import best_threshold, mean_precision
from bigmodel.object_detection.model import make_model, predict, save_model
from bigmodel.training import command
from bigmodel.training.facts import keep_facts
from bigmodel.training.loop import Trainer
from bigmodel.training.pictures import keep_labels, write_preparation
from bigmodel.training.state import load_state

BATCH = 16  # validation pictures judged together


def add_arguments(parser):
    """Add the options of ``train object_detection``."""
    command.add_arguments(parser, PRESETS)
    parser.add_argument("--train", help="your own pictures: a folder of train and val, each with COCO's JSON")


def run(arguments):
    """Train, or go on from the run's checkpoint, and write ``<out>/model``."""
    return command.run(train, configure(arguments), "object_detection", arguments)


def configure(arguments):
    """Return the preset with the command line's changes."""
    config = command.configure(PRESETS, arguments)
    if arguments.train:
        config = dataclasses.replace(config, corpus=command.own_corpus(arguments.train), composed=False, labels=None)
    return command.begin_with(config, arguments.init_from, VisionConfig.from_vit)


def train(config, data, folder, *, preset_name=None):
    """Train a configuration's model.

    Args:
        config: ObjectDetectionConfig.
        data: folder of the corpora.
        folder: the run's; gets checkpoints, log, plot, and the model folder ``model``.
        preset_name: of the preset that it began with, for the model card.

    Returns:
        dict: the last validation: average precisions as shares, and "loss", what is missing to a perfect one.

    Raises:
        DataError: a file of the corpus is missing or broken.
        TrainingError: the folder holds a run of other labels or pictures.
    """
    data, folder = Path(data), Path(folder)
    corpus = load(config, data)
    keep_labels(folder, corpus.labels, corpus.mean, corpus.std)
    model = make_model(config, len(corpus.labels))
    trainer = Trainer(model, corpus.batches, config.settings, folder, validate=lambda model: measure(model, corpus))
    result = trainer.run()
    if trainer.rank == 0:
        trainer.model.load_state_dict(load_state(folder / "best.pt")["model"])
        write_folder(config, trainer.model, corpus, folder / "model")
        corpora = [(config.corpus, "train", 1, corpus.count)]
        corpora += [] if config.composed else [(config.corpus, "val", 1, len(corpus.valid))]
        keep_facts(config, trainer, corpora, data, preset=preset_name)
    return result


def measure(model, corpus):
    """Return the average precisions on a Corpus' validation pictures, and 1 less that over all overlaps as "loss"."""
    scored = mean_precision(*_valid(model, corpus), len(corpus.labels))
    return {"loss": 1 - scored["map"], **scored}


def _valid(model, corpus):
    """Return what is found in a Corpus' validation pictures, and what is there; see metrics.average_precision."""
    parts = (corpus.valid[i : i + BATCH] for i in range(0, len(corpus.valid), BATCH))
    found = predict(model, (collate(part, corpus.mean, corpus.std)[0] for part in parts))
    size = corpus.valid[0].image.shape[:2]
    truths = [(picture.boxes * np.tile(size[::-1], 2), picture.labels) for picture in corpus.valid]
    return [decode(*one, size) for one in found], truths


def write_folder(config, model, corpus, folder):
    """Write a model folder without its ONNX files: weights, configuration, how a picture is prepared."""
    about = {
        "task": "object_detection",
        "name": config.name,
        "title": config.title,
        "description": config.description,
        "languages": [],
        "threshold": round(float(np.clip(best_threshold(*_valid(model.eval(), corpus)), *THRESHOLDS)), 3),
    }
    save_model(model, folder, labels=corpus.labels, about=about)
    write_preparation(folder, model.config.image_size, corpus.mean, corpus.std)
