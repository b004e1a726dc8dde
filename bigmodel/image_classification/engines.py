"""A classifier to be scored: on its graph, as it is served, or on its weights in torch; a runtime.ImageClassifier both.

What differs is ``ImageClassifier.model``; preparation, temperature and thresholds are the same.
"""

from pathlib import Path

import torch

from bigmodel.errors import ModelFolderError
from bigmodel.image_classification.model import load_model
from bigmodel.image_classification.runtime import ImageClassifier
from bigmodel.runtime.artifacts import MANIFEST, ModelFolder

ENGINES = ("torch", "onnx")


def open_engine(name, folder):
    """Open a model folder by one of ENGINES; torch needs no ONNX file.

    Returns:
        the ImageClassifier, and its name for the figures: "torch", "onnx-cpu", "onnx-cuda" …

    Raises:
        ModelFolderError, ConfigError: the folder is not what the engine needs.
    """
    folder = Path(folder)
    if name == "torch":
        return ImageClassifier(ModelFolder.unchecked(folder), torch_model(load_model(folder)), provider=name), name
    if not (folder / MANIFEST).exists():
        raise ModelFolderError(
            f"{folder} has no ONNX files; export it first: python -m bigmodel export image_classification"
        )
    classifier = ImageClassifier.from_pretrained(folder)
    return classifier, f"onnx-{classifier.provider}"


def torch_model(model):
    """Return what runs an ImageClassificationModel in the place of a graph, for logits and distances alone."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)

    @torch.inference_mode()
    def run(pixel_values, names):
        assert names == ["logits", "distance"]
        return [values.float().cpu().numpy() for values in model.judge(torch.from_numpy(pixel_values).to(device))]

    return run
