"""A classifier to be scored: on its graph, as it is served, or on its weights in torch; a runtime.ImageClassifier both.

What differs is ``ImageClassifier.model``; preparation, temperature and thresholds are the same.
"""

import torch

from bigmodel.image_classification.model import load_model
from bigmodel.image_classification.runtime import ImageClassifier
from bigmodel.runtime import engines


def open_engine(name, folder, provider=None):
    """Open a model folder as a ImageClassifier by one of runtime.engines.ENGINES."""
    make = lambda opened: torch_model(load_model(opened.path))  # noqa: E731
    return engines.open_engine(name, folder, ImageClassifier, make, provider)


def torch_model(model):
    """Return what runs an ImageClassificationModel in the place of a graph, for logits and distances alone."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)

    @torch.inference_mode()
    def run(pixel_values, names):
        assert names == ["logits", "distance"]
        return [values.float().cpu().numpy() for values in model.judge(torch.from_numpy(pixel_values).to(device))]

    return run
