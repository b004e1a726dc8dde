"""RMSNorm against PyTorch's, rotary positions against what they promise."""

import math

import pytest
import torch
from torch import nn

from bigmodel.nn.norm import RMSNorm
from bigmodel.nn.rope import apply_rotary, rotary_angles


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rms_norm_equals_torch(dtype):
    ours, theirs = RMSNorm(16, 1e-5).to(dtype), nn.RMSNorm(16, 1e-5).to(dtype)
    with torch.no_grad():
        ours.weight.copy_(torch.randn(16))
        theirs.weight.copy_(ours.weight)
    x = 3 * torch.randn(2, 5, 16, dtype=dtype)
    result = ours(x)
    assert result.dtype == dtype
    torch.testing.assert_close(result, theirs(x))


def test_rms_norm_is_computed_in_float32_and_returned_in_autocasts_type():
    x = torch.randn(4, 16) * 1e-2
    with torch.autocast("cpu", torch.bfloat16):
        result = RMSNorm(16)(x)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result, RMSNorm(16)(x).bfloat16())


def rotated(x, positions, theta=10000.0):
    return apply_rotary(x, *rotary_angles(positions, x.shape[-1], theta, x.dtype))


def test_dot_products_depend_on_the_distance_alone():
    query, key = torch.randn(2, 1, 1, 1, 16, dtype=torch.float64).expand(2, 1, 1, 9, 16)
    near = rotated(query, torch.arange(9)) @ rotated(key, torch.arange(9)).transpose(-2, -1)
    far = rotated(query, torch.arange(9) + 1000) @ rotated(key, torch.arange(9) + 1000).transpose(-2, -1)
    torch.testing.assert_close(near, far)
    for distance in range(-8, 9):
        diagonal = near[0, 0].diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert near[0, 0, 0].std() > 0.01  # and it does depend on it


def test_a_rotation_keeps_lengths_and_position_zero_is_none():
    x = torch.randn(1, 2, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(rotated(x, torch.arange(5)).norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(rotated(x, torch.zeros(5, dtype=torch.int64)), x)


def test_pairs_and_frequencies_are_hugging_faces():
    x = torch.zeros(1, 1, 1, 4, dtype=torch.float64)
    x[..., 1] = 1.0  # feature 1 is paired with feature 3, frequency 100 ** (-2 / 4)
    result = rotated(x, torch.tensor([3]), theta=100.0)[0, 0, 0]
    angle = 3 * 100.0**-0.5
    torch.testing.assert_close(result, torch.tensor([0, math.cos(angle), 0, math.sin(angle)], dtype=torch.float64))
