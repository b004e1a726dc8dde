"""``python -m bigmodel evaluate object_detection``: average precision and errors of counting, into its metrics.json.

    python -m bigmodel evaluate object_detection --model export/artifacts/blood-cells --data DATA --engine onnx

The test pictures are the corpus' own, or, of a model of composed scenes, 500 scenes that no training has seen: of the
emoji of the training, and of concepts in a style that the training has not shown of them. Counts are of the detections
from a threshold on that is chosen on the validation pictures.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from bigmodel.errors import DataError
from bigmodel.evaluation.results import conclude, entry, shown_path
from bigmodel.object_detection.config import BLOOD_CELLS, PRESETS
from bigmodel.object_detection.data import read_boxes, scenes
from bigmodel.object_detection.engines import open_engine
from bigmodel.object_detection.metrics import average_precision, hits
from bigmodel.object_detection.scenes import read_cutouts
from bigmodel.runtime import engines

SEED = 20_000  # of test scenes; validation has another
SCENES = 500
RESAMPLES = 200  # of the bootstrap
INTERVAL = (2.5, 97.5)  # percentiles
KEPT = 4  # times as many pixels of a test picture as the model sees: twice each side


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``evaluate object_detection``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder, or checkpoint folder for torch")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora, or your own corpus")
    engines.add_arguments(parser)
    parser.add_argument("--limit", type=int, help="score the first pictures of each set, so many: printed, not kept")


def run(arguments):
    """Measure and print every figure, keep them where they are the card's, and return 0."""
    engines.check_least(arguments, limit=1)
    detector, engine = open_engine(arguments.engine, arguments.model, arguments.provider)
    about = {"engine": engine, "command": command_of(arguments, engine)}
    tests = find_tests(detector, arguments.data)
    entries = []
    for dataset, pictures, seed in tests:
        pictures = pictures[: arguments.limit]
        found = (detector.detect(picture.image, threshold=0) for picture in pictures)
        found = [replace(one, pixels=None) for one in found]  # a second copy of every picture
        for e in score(found, pictures, detector, dataset=dataset, seed=seed, **about):
            print(f"{e['name']:28} {e['value']:8.4f} {e['unit']} ({e['count']:,}, {dataset}, {engine})", flush=True)
            entries.append(e)
    conclude(arguments.model, entries, changed=engines.changed(arguments, limit=None))
    return 0


def find_tests(detector, data):
    """Return (dataset, list of Picture, seed or None) of each test set of a detector.

    Args:
        detector: ObjectDetector.
        data: folder of the corpora, or a corpus of one's own.

    Raises:
        DataError: a file is missing.
    """
    size = detector.preparation.size
    composed = {tuple(config.labels): config for config in (preset() for preset in PRESETS.values()) if config.composed}
    if tuple(detector.labels) in composed:
        path, labels = data / composed[tuple(detector.labels)].corpus, detector.labels
        sets = (("emoji64 scenes.test", "train", SEED), ("emoji64 scenes of test_style.test", "test_style", SEED + 1))
        drawn = ((name, read_cutouts(path, labels, split), seed) for name, split, seed in sets)
        return [(name, scenes(cutouts, size, SCENES, seed), seed) for name, cutouts, seed in drawn if cutouts]
    path = data / PRESETS["blood-cells"]().corpus if tuple(detector.labels) == BLOOD_CELLS else data
    if not path.exists():
        raise DataError(f"{path} is missing")
    pictures, _ = read_boxes(path, "test", detector.labels, pixels=KEPT * size[0] * size[1])
    return [(f"{path.name.partition('.')[0]}.test", pictures, None)]


def command_of(arguments, engine):
    """Return the command that measures the same again."""
    words = ["python -m bigmodel evaluate object_detection", f"--model {shown_path(arguments.model)}"]
    return " ".join([*words, f"--data {shown_path(arguments.data)}", *engines.words(arguments, engine)])


def score(found, pictures, detector, **about):
    """Return the entries of a test set.

    Args:
        found: list of runtime.Detections, all of them.
        pictures: list of data.Picture.
        detector: the ObjectDetector, for its labels and threshold.
        about: dataset, engine, command and seed of evaluation.results.entry.
    """
    names, count = detector.labels, {"count": len(pictures)}
    numbers = {name: i for i, name in enumerate(names)}
    results = [(one.boxes, np.array([numbers[n] for n in one.labels], np.int64), one.scores) for one in found]
    truths = [(p.boxes * np.tile(p.image.shape[1::-1], 2), p.labels) for p in pictures]
    scored = average_precision(results, truths, len(names))
    entries = [
        entry("map", scored["map"], "share", **count, **about),
        entry("map_50", scored["map_50"], "share", **count, **about),
    ]
    if len(names) <= 10:  # of many labels, each has too few objects for a figure of its own
        low, high = bootstrap(results, truths, len(names))
        for i, name in enumerate(names):
            objects = sum(int((labels == i).sum()) for _, labels in truths)
            if not objects:
                continue
            settings = {"from": round(float(low[i]), 4), "to": round(float(high[i]), 4), "resamples": RESAMPLES}
            value = scored["classes_50"][i]
            entries.append(entry(f"ap_50 of {name}", value, "share", count=objects, settings=settings, **about))
    threshold = {"threshold": detector.threshold}
    kept = [one.above(detector.threshold) for one in found]
    for i, name in enumerate(names) if len(names) <= 10 else ():
        errors = [one.labels.count(name) - int((p.labels == i).sum()) for one, p in zip(kept, pictures, strict=True)]
        mean = float(np.abs(errors).mean())
        entries.append(entry(f"count_error of {name}", mean, "a picture", settings=threshold, **count, **about))
        bias = float(np.mean(errors))
        entries.append(entry(f"count_bias of {name}", bias, "a picture", settings=threshold, **count, **about))
    right = 0
    for (boxes, labels, _), one, truth in zip(results, kept, truths, strict=True):
        above = slice(len(one.labels))
        right += int(hits(boxes[above], labels[above], *truth).sum())
    said, there = sum(len(one.labels) for one in kept), sum(len(labels) for _, labels in truths)
    entries.append(entry("precision", right / max(said, 1), "share", count=said, settings=threshold, **about))
    entries.append(entry("recall", right / max(there, 1), "share", count=there, settings=threshold, **about))
    return entries


def bootstrap(results, truths, num_labels):
    """Return the bounds (num_labels,) of an interval of each class' precision at 0.5, pictures drawn again and again.

    They are nan for a class without an object.

    Source: Efron 1979, doi:10.1214/aos/1176344552.
    """
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        chosen = rng.integers(0, len(truths), len(truths))
        again = average_precision([results[i] for i in chosen], [truths[i] for i in chosen], num_labels, [0.5])
        drawn.append(again["classes_50"])
    drawn = np.array(drawn)
    there, bounds = np.isfinite(drawn).any(0), np.full((2, num_labels), np.nan)
    bounds[:, there] = np.nanpercentile(drawn[:, there], INTERVAL, axis=0)
    return bounds
