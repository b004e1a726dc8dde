"""``python -m bigmodel evaluate image_classification``: how often a classifier is right, and whether it knows when.

    python -m bigmodel evaluate image_classification --model export/artifacts/photos --data DATA --engine onnx

Measured on the test pictures: accuracy, of each label too; the negative log-likelihood and the calibration error of the
probabilities, with and without the temperature; and how many pictures are said to be unlike the training's, of these
(false alarms) and of other data sets (which ought to be).
"""

import argparse
from pathlib import Path

import numpy as np

from bigmodel.errors import DataError
from bigmodel.evaluation.results import conclude, entry, shown_path
from bigmodel.image_classification import calibration
from bigmodel.image_classification.config import PRESETS
from bigmodel.image_classification.engines import open_engine
from bigmodel.runtime import engines
from bigmodel.training.command import corpus_of
from bigmodel.training.pictures import decode, read_labelled, read_parquet

# pictures of other things
STRANGERS = ("cifar10_jpeg.parquet", "fashion_mnist_28.npz", "emoji64.parquet")
STRANGE = 1000  # of each, at most


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``evaluate image_classification``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder, or checkpoint folder for torch")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora, or pictures to score")
    engines.add_arguments(parser)
    parser.add_argument("--limit", type=int, help="score the first pictures, so many: printed, not kept")


def run(arguments):
    """Measure and print every figure, keep them where they are the card's, and return 0."""
    engines.check_least(arguments, limit=1)
    classifier, engine = open_engine(arguments.engine, arguments.model, arguments.provider)
    path, folder = find_test(arguments.data, classifier.folder.name)
    mode = "L" if len(classifier.preparation.mean) == 1 else "RGB"
    images, labels, names = read_labelled(path, "test", mode=mode, size=classifier.preparation.size)
    labels = own_labels(labels, names, classifier.labels, path)
    images, labels = images[: arguments.limit].transpose(0, 3, 1, 2), labels[: arguments.limit]
    about = {"engine": engine, "command": command_of(arguments, engine)}
    entries = score(classifier, images, labels, dataset=f"{path.stem}.test", **about)
    for stranger in STRANGERS if folder else ():
        if stranger != path.name and (folder / stranger).exists():
            entries.append(strangers(classifier, folder / stranger, **about))
    for e in entries:
        print(f"{e['name']:28} {e['value']:8.4f} ({e['count']:,}, {e['dataset']}, {engine})", flush=True)
    conclude(arguments.model, entries, changed=engines.changed(arguments, limit=None))
    return 0


def own_labels(labels, names, known, path):
    """Return labels (count,) as a model numbers them: by their names where they have some, else as they are.

    Args:
        labels: (count,) int64.
        names: of the labels in the file or folder ``path``; None where it has none.
        known: the model's.

    Raises:
        DataError: it does not know one of the names, or knows fewer labels.
    """
    if strange := set(names or ()) - set(known):
        raise DataError(f"{path}: the model does not know {', '.join(sorted(strange))}")
    if names:
        return np.array([known.index(name) for name in names])[labels]
    if labels.max() >= len(known):
        raise DataError(f"{path}: labels go to {labels.max()}, the model knows {len(known)}")
    return labels


def find_test(data, name):
    """Return the pictures to score, and the folder of the other data sets, None where there is none.

    Args:
        data: folder of the corpora, or pictures as training.pictures.read_labelled takes them.
        name: of the model; that of a preset names its corpus.

    Raises:
        DataError: nothing is there.
    """
    corpus = corpus_of(PRESETS, name)
    if corpus and (data / corpus).exists():
        return data / corpus, data
    if not data.exists() or corpus:
        raise DataError(f"{data / corpus if corpus and data.is_dir() else data} is missing")
    return data, None


def command_of(arguments, engine):
    """Return the command that measures the same again."""
    words = ["python -m bigmodel evaluate image_classification", f"--model {shown_path(arguments.model)}"]
    return " ".join([*words, f"--data {shown_path(arguments.data)}", *engines.words(arguments, engine)])


def score(classifier, images, labels, **about):
    """Return the entries of labelled pictures.

    Args:
        classifier: runtime.ImageClassifier.
        images: (count, channels, height, width) uint8.
        labels: (count,) int.
        about: dataset, engine and command of evaluation.results.entry.
    """
    logits, distances = classifier.judge(images)
    calibrated, right = logits / classifier.temperature, logits.argmax(1) == labels
    error = calibration.calibration_error
    figures = {
        "accuracy": (right.mean(), "share"),
        "negative_log_likelihood": (calibration.negative_log_likelihood(calibrated, labels), "nats"),
        "calibration_error": (error(calibrated, labels), "share"),
        "calibration_error_before": (error(logits, labels), "share"),
        "called_unfamiliar": ((distances > classifier.threshold).mean(), "share"),
    }
    entries = [entry(name, value, unit, count=len(labels), **about) for name, (value, unit) in figures.items()]
    for i, name in enumerate(classifier.labels):
        if (own := labels == i).any():
            entries.append(entry(f"accuracy of {name}", right[own].mean(), "share", count=own.sum(), **about))
    return entries


def strangers(classifier, path, **about):
    """Return the entry of how many pictures of another data set are called unfamiliar, as they are served."""
    seen = [classifier.preparation.see(classifier.open(pixels)[0])[0] for pixels in read_strangers(path)]
    _, distances = classifier.judge(np.stack(seen))
    share = (distances > classifier.threshold).mean()
    return entry("called_unfamiliar", share, "share", dataset=f"{path.stem}.test", count=len(seen), **about)


def read_strangers(path):
    """Return test pictures of a data set, at most STRANGE, each (height, width, channels) uint8."""
    if path.suffix == ".npz":
        return list(read_labelled(path, "test")[0][:STRANGE])
    rows = (row for row in read_parquet(path) if row.get("split", "test").startswith("test"))
    return [decode(row["image"]) for row, _ in zip(rows, range(STRANGE), strict=False)]
