"""A detector to be scored: on its graph, as it is served, or on its weights in torch; a runtime.ObjectDetector both.

What differs is ``ObjectDetector.model``; preparation, thresholds and boxes are the same.
"""

import torch

from bigmodel.object_detection.model import load_model
from bigmodel.object_detection.runtime import ObjectDetector
from bigmodel.runtime import engines


def open_engine(name, folder, provider=None):
    """Open a model folder as a ObjectDetector by one of runtime.engines.ENGINES."""
    make = lambda opened: torch_model(load_model(opened.path))  # noqa: E731
    return engines.open_engine(name, folder, ObjectDetector, make, provider)


def torch_model(model, device=None):
    """Return what runs an ObjectDetectionModel in the place of a graph, see ObjectDetector; on a GPU by default."""
    model = model.to(device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    weights = next(model.parameters())

    @torch.inference_mode()
    def run(pixel_values):
        logits, boxes = model(torch.from_numpy(pixel_values).to(weights))
        return logits.float().sigmoid().cpu().numpy(), boxes.cpu().numpy()

    return run
