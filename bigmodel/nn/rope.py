"""Rotary position embedding: a position turns each pair of features by an angle."""

import torch


def rotary_angles(position_ids, head_dim, theta, dtype=torch.float32):
    """Return the cosines and sines of each position's angles.

    Feature i of the first half is paired with feature i of the second half (Hugging Face's layout), and the
    pair turns by position * theta ** (-2 i / head_dim) radians.

    Args:
        position_ids: (..., sequence) int64.
        head_dim: even width of a head.
        theta: base of the frequencies.
        dtype: of the result; the angles themselves are computed in float32 or wider.

    Returns:
        cos, sin: (..., sequence, head_dim / 2) each.

    Source: Su et al. 2021, arXiv:2104.09864.
    """
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    exponents = torch.arange(0, head_dim, 2, dtype=wide, device=position_ids.device) / head_dim
    angles = position_ids[..., None].to(wide) * theta**-exponents
    return angles.cos().to(dtype), angles.sin().to(dtype)


def apply_rotary(x, cos, sin):
    """Turn the features of x by the angles of its positions.

    Args:
        x: (batch, heads, sequence, head_dim).
        cos, sin: (sequence, head_dim / 2) or (batch, 1, sequence, head_dim / 2).

    Returns:
        (batch, heads, sequence, head_dim), of x's type. Dot products of two results depend on the distance of
        their positions alone.
    """
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
