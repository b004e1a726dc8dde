"""``python -m bigmodel detect --model export/artifacts/blood-cells PICTURE …``: find and count, in the terminal."""

import argparse
from pathlib import Path

from bigmodel.object_detection.runtime import ObjectDetector
from bigmodel.runtime.pictures import naming


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``detect``."""
    parser.add_argument("picture", nargs="+", type=Path, help="JPEG, PNG, WebP, GIF or BMP files")
    parser.add_argument("--model", required=True, help="model folder, a shipped model's name, or an id of the Hub")
    parser.add_argument("--threshold", type=float, help="least score, 0 to 1; default: the model's own")


def run(arguments):
    """Detect, print, and return 0."""
    detector = ObjectDetector.from_pretrained(arguments.model)
    for path in arguments.picture:
        with naming(path):
            found = detector.detect(path, threshold=arguments.threshold)
        counts = ", ".join(f"{count} {name}" for name, count in found.counts(detector.labels).items() if count)
        print(f"{path}: {counts or 'nothing'}", flush=True)
        for box, name, score in zip(found.boxes, found.labels, found.scores, strict=True):
            print(f"  {score:6.1%}  {name:20} {' '.join(f'{edge:7.1f}' for edge in box)}", flush=True)
    return 0
