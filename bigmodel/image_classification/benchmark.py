r"""How fast pictures are classified, beside torch on the same weights, in turn.

    python -m bigmodel benchmark image_classification --model export/artifacts/photos

Ours is the graph that the page serves; torch runs the float32 model as it stands and compiled by torch.compile. All get
the same prepared pictures, one at a time and 32 together, and give logits; how often all name one label is printed.
With ``--provider cuda`` ours is that provider's graph, and torch has a GPU and float16 weights.
"""

import numpy as np
import torch

from bigmodel.evaluation.speed import OURS, add_arguments, compare  # noqa: F401, the command's
from bigmodel.image_classification.model import load_model
from bigmodel.image_classification.runtime import ImageClassifier
from bigmodel.training import peers


def run(arguments):
    """Run the comparison, print its table, write its JSON, and return 0."""
    torch.set_num_threads(arguments.threads)
    provider = arguments.provider or "cpu"
    classifier = ImageClassifier.from_pretrained(arguments.model, providers=[provider], threads=arguments.threads)
    device = peers.matching_device(provider)
    engines = open_engines(classifier, load_model(arguments.model).to(device, peers.weights_type(device)))
    inputs = {count: noise(classifier, count) for count in arguments.batch}
    most = max(inputs)
    named = np.array([engine(inputs[most]).argmax(1) for engine in engines.values()])
    same = int(np.all(named == named[0], axis=0).sum())
    compare(engines, inputs, arguments, same_labels=same, **peers.surroundings(device))
    print(f"{same} of {most} pictures of noise get one label of all")
    return 0


def open_engines(classifier, model):
    """Return name -> function of pixel_values (batch, channels, height, width) that gives logits as an array."""
    weights = next(model.parameters())

    def run(module):
        @torch.inference_mode()
        def logits(pixel_values):
            return module(torch.from_numpy(pixel_values).to(weights)).float().cpu().numpy()

        return logits

    ours = lambda pixel_values: classifier.model(pixel_values, ["logits"])[0]  # noqa: E731
    return {OURS: ours, "torch": run(model), "torch compiled": run(peers.compiled(model, weights.device))}


def noise(classifier, batch):
    """Return made-up prepared pictures (batch, channels, height, width) float32."""
    preparation = classifier.preparation
    shape = batch, len(preparation.mean), *preparation.size
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)
