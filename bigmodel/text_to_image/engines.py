"""A generator to be scored: on its graphs, as it is served, or on its weights in torch; a runtime.ImageGenerator both.

What differs is ``ImageGenerator.model``; words, noise and steps are the same.
"""

import torch

from bigmodel.runtime import engines
from bigmodel.text_to_image.model import load_model
from bigmodel.text_to_image.runtime import ImageGenerator


def open_engine(name, folder, provider=None):
    """Open a model folder as a ImageGenerator by one of runtime.engines.ENGINES."""
    make = lambda opened: TorchModel(load_model(opened.path))  # noqa: E731
    return engines.open_engine(name, folder, ImageGenerator, make, provider)


class TorchModel:
    """A DiffusionTransformer in the place of runtime.Graphs.

    Args:
        model: DiffusionTransformer.
        forward: what runs its denoiser; None for the model itself.
        device: torch.device; a GPU by default, where there is one.
    """

    def __init__(self, model, forward=None, device=None):
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device)
        self.dtype = next(model.parameters()).dtype
        self.forward = self.model if forward is None else forward

    @torch.inference_mode()
    def encode(self, input_ids, attention_mask):
        """See runtime.Graphs.encode."""
        ids, mask = (torch.from_numpy(values).to(self.device) for values in (input_ids, attention_mask))
        return *(values.float().cpu().numpy() for values in self.model.encode(ids, mask)), attention_mask

    def hold(self, encoded):
        """See runtime.Graphs.hold."""
        text, pooled, mask = (torch.from_numpy(values).to(self.device) for values in encoded)
        return text.to(self.dtype), pooled.to(self.dtype), mask

    @torch.inference_mode()
    def denoise(self, sample, timestep, held):
        """See runtime.Graphs.denoise."""
        sample, timestep = torch.from_numpy(sample).to(self.device, self.dtype), torch.from_numpy(timestep)
        return self.forward(sample, timestep.to(self.device), *held).float().cpu().numpy()
