"""Root mean square normalisation."""

import torch
from torch import nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    """Divide each vector by its root mean square and scale it: x / sqrt(mean(x^2) + eps) * weight.

    Unlike layer normalisation it neither centres nor shifts. Computed in float32, returned in the input's type.

    Args:
        dim: size of the last axis.
        eps: added to the mean square.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467.
    """

    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        """Normalise x (..., dim); the result has x's shape, and autocast's type where that is on."""
        wide = x if x.dtype == torch.float64 else x.float()
        normed = F.rms_norm(wide, wide.shape[-1:], eps=self.eps) * self.weight
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        return normed.to(dtype)
