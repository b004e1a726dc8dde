"""The gated feed-forward layer."""

from torch import nn
from torch.nn import functional as F


class SwiGLU(nn.Module):
    """down_proj(silu(gate_proj(x)) * up_proj(x)): one projection decides how much of the other passes.

    Source: Shazeer 2020, arXiv:2002.05202.
    """

    def __init__(self, hidden_size, intermediate_size):
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x):
        """Map x (..., hidden_size) to the same shape."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
