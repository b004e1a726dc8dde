"""A detector to be scored: on its graph, as it is served, or on its weights in torch; a runtime.ObjectDetector both.

What differs is ``ObjectDetector.model``; preparation, thresholds and boxes are the same.
"""

from pathlib import Path

import torch

from bigmodel.errors import ModelFolderError
from bigmodel.object_detection.model import load_model
from bigmodel.object_detection.runtime import ObjectDetector
from bigmodel.runtime.artifacts import MANIFEST, ModelFolder

ENGINES = ("torch", "onnx")


def open_engine(name, folder):
    """Open a model folder by one of ENGINES; torch needs no ONNX file.

    Returns:
        the ObjectDetector, and its name for the figures: "torch", "onnx-cpu", "onnx-cuda" …

    Raises:
        ModelFolderError, ConfigError: the folder is not what the engine needs.
    """
    folder = Path(folder)
    if name == "torch":
        return ObjectDetector(ModelFolder.unchecked(folder), torch_model(load_model(folder)), provider=name), name
    if not (folder / MANIFEST).exists():
        raise ModelFolderError(
            f"{folder} has no ONNX files; export it first: python -m bigmodel export object_detection"
        )
    detector = ObjectDetector.from_pretrained(folder)
    return detector, f"onnx-{detector.provider}"


def torch_model(model):
    """Return what runs an ObjectDetectionModel in the place of a graph; see ObjectDetector."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)

    @torch.inference_mode()
    def run(pixel_values):
        logits, boxes = model(torch.from_numpy(pixel_values).to(device))
        return logits.float().sigmoid().cpu().numpy(), boxes.cpu().numpy()

    return run
