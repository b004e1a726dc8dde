r"""How fast pictures are classified, beside torch on the same weights, in turn.

    python -m bigmodel benchmark image_classification --model export/artifacts/photos

Ours is the graph that the page serves; torch runs the float32 model as it stands and compiled by torch.compile. All get
the same prepared pictures, one at a time and 32 together, and give logits; how often all name one label is printed.
"""

import numpy as np
import torch

from bigmodel.evaluation.speed import BATCHES, OURS, add_arguments, compare  # noqa: F401, the command's
from bigmodel.image_classification.model import load_model
from bigmodel.image_classification.runtime import ImageClassifier


def run(arguments):
    """Run the comparison, print its table, write its JSON, and return 0."""
    torch.set_num_threads(arguments.threads)
    classifier = ImageClassifier.from_pretrained(arguments.model, providers=["cpu"], threads=arguments.threads)
    engines = open_engines(classifier, load_model(arguments.model))
    inputs = {count: noise(classifier, count) for count in BATCHES}
    named = np.array([engine(inputs[BATCHES[-1]]).argmax(1) for engine in engines.values()])
    same = int(np.all(named == named[0], axis=0).sum())
    compare(engines, inputs, arguments, same_labels=same)
    print(f"{same} of {BATCHES[-1]} pictures of noise get one label of all")
    return 0


def open_engines(classifier, model):
    """Return name -> function of pixel_values (batch, channels, height, width) that gives logits as an array."""

    def run(module):
        @torch.inference_mode()
        def logits(pixel_values):
            return module(torch.from_numpy(pixel_values)).numpy()

        return logits

    ours = lambda pixel_values: classifier.model(pixel_values, ["logits"])[0]  # noqa: E731
    return {OURS: ours, "torch": run(model), "torch compiled": run(torch.compile(model))}


def noise(classifier, batch):
    """Return made-up prepared pictures (batch, channels, height, width) float32."""
    preparation = classifier.preparation
    shape = batch, len(preparation.mean), *preparation.size
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)
