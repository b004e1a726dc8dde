"""A generator to be scored: on its graphs, as it is served, or on its weights in torch; a runtime.ImageGenerator both.

What differs is ``ImageGenerator.model``; words, noise and steps are the same.
"""

from pathlib import Path

import torch

from bigmodel.errors import ModelFolderError
from bigmodel.runtime.artifacts import MANIFEST, ModelFolder
from bigmodel.text_to_image.model import load_model
from bigmodel.text_to_image.runtime import ImageGenerator

ENGINES = ("torch", "onnx")


def open_engine(name, folder):
    """Open a model folder by one of ENGINES; torch needs no ONNX file.

    Returns:
        the ImageGenerator, and its name for the figures: "torch", "onnx-cpu", "onnx-cuda" …

    Raises:
        ModelFolderError, ConfigError: the folder is not what the engine needs.
    """
    folder = Path(folder)
    if name == "torch":
        return ImageGenerator(ModelFolder.unchecked(folder), TorchModel(load_model(folder)), provider=name), name
    if not (folder / MANIFEST).exists():
        raise ModelFolderError(f"{folder} has no ONNX files; export it first: python -m bigmodel export text_to_image")
    generator = ImageGenerator.from_pretrained(folder)
    return generator, f"onnx-{generator.provider}"


class TorchModel:
    """A DiffusionTransformer in the place of runtime.Graphs.

    Args:
        model: DiffusionTransformer.
        forward: what runs its denoiser; None for the model itself.
    """

    def __init__(self, model, forward=None):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device)
        self.forward = self.model if forward is None else forward

    @torch.inference_mode()
    def encode(self, input_ids, attention_mask):
        """See runtime.Graphs.encode."""
        ids, mask = (torch.from_numpy(values).to(self.device) for values in (input_ids, attention_mask))
        return *(values.cpu().numpy() for values in self.model.encode(ids, mask)), attention_mask

    @torch.inference_mode()
    def denoise(self, sample, timestep, encoded):
        """See runtime.Graphs.denoise."""
        inputs = (torch.from_numpy(values).to(self.device) for values in (sample, timestep, *encoded))
        return self.forward(*inputs).float().cpu().numpy()
