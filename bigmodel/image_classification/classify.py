"""``python -m bigmodel classify --model export/artifacts/photos PICTURE …``: say what pictures show."""

import argparse
from pathlib import Path

from bigmodel.image_classification.runtime import TOP_K, ImageClassifier
from bigmodel.runtime.pictures import FITS, naming


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``classify``."""
    parser.add_argument("picture", nargs="+", type=Path, help="JPEG, PNG, WebP, GIF or BMP files")
    parser.add_argument("--model", required=True, help="model folder, a shipped model's name, or an id of the Hub")
    parser.add_argument("--top-k", type=int, default=TOP_K, help=f"labels for each (default {TOP_K})")
    parser.add_argument("--fit", choices=FITS, default=FITS[0], help="look at the middle, or at all of it")


def run(arguments):
    """Classify, print, and return 0."""
    classifier = ImageClassifier.from_pretrained(arguments.model)
    for path in arguments.picture:
        with naming(path):
            found = classifier.classify(path, top_k=arguments.top_k, fit=arguments.fit)
        print(f"{path}{': unlike anything that the model was trained on' if found.unfamiliar else ''}", flush=True)
        for name, probability in found.labels:
            print(f"  {probability:6.1%}  {name}", flush=True)
    return 0
