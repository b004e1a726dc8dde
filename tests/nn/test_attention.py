"""The formula against PyTorch's fused kernel, and the layer against the formula."""

import pytest
import torch
from torch.nn import functional as F

from bigmodel.nn.attention import Attention, attention, causal_mask
from bigmodel.nn.rope import apply_rotary, rotary_angles


def tensors(heads=4, key_value_heads=4, queries=6, keys=6, dtype=torch.float64):
    shapes = (2, heads, queries, 8), (2, key_value_heads, keys, 8), (2, key_value_heads, keys, 8)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def padding_mask(keys):
    mask = torch.ones(2, 1, 1, keys, dtype=torch.bool)
    mask[1, ..., -2:] = False
    return mask


MASKS = {
    "none": lambda queries, keys: None,
    "causal": causal_mask,
    "padding": lambda queries, keys: padding_mask(keys),
    "causal and padding": lambda queries, keys: causal_mask(queries, keys) & padding_mask(keys),
}


@pytest.mark.parametrize("key_value_heads", [4, 2, 1])
@pytest.mark.parametrize("keys", [6, 9])
@pytest.mark.parametrize("mask", MASKS)
def test_formula_equals_the_fused_kernel(mask, keys, key_value_heads):
    query, key, value = inputs = tensors(key_value_heads=key_value_heads, keys=keys)
    mask = MASKS[mask](6, keys)
    mixed, weights = attention(query, key, value, mask)
    fused = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(mixed, fused)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    direction = torch.randn_like(mixed)
    ours, theirs = (torch.autograd.grad((result * direction).sum(), inputs) for result in (mixed, fused))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_masked_keys_have_no_weight_and_no_influence():
    query, key, value = tensors()
    mask = padding_mask(6)
    mixed, weights = attention(query, key, value, mask)
    assert (weights[1, ..., -2:] == 0).all()
    with torch.no_grad():
        key[1, :, -2:] += 100
        value[1, :, -2:] -= 100
    torch.testing.assert_close(attention(query, key, value, mask)[0], mixed)


def test_causal_mask_ends_with_every_key():
    expected = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]).bool()
    assert torch.equal(causal_mask(3, 5), expected)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("key_value_heads", [4, 2, 1])
def test_layer_is_the_formula_between_its_projections(make_config, roughen, key_value_heads, causal):
    layer = roughen(Attention(make_config(num_key_value_heads=key_value_heads), 0)).double()
    x = torch.randn(2, 7, 24, dtype=torch.float64)
    rotary = rotary_angles(torch.arange(7), 8, 10000.0, torch.float64)
    query = layer.q_norm(layer.q_proj(x).unflatten(-1, (-1, 8))).transpose(1, 2)
    key = layer.k_norm(layer.k_proj(x).unflatten(-1, (-1, 8))).transpose(1, 2)
    value = layer.v_proj(x).unflatten(-1, (-1, 8)).transpose(1, 2)
    query, key = apply_rotary(query, *rotary), apply_rotary(key, *rotary)
    mixed, _ = attention(query, key, value, causal_mask(7, 7) if causal else None)
    expected = layer.o_proj(mixed.transpose(1, 2).reshape(2, 7, -1))
    torch.testing.assert_close(layer(x, rotary=rotary, causal=causal), expected)


def test_cross_attention_reads_the_source_alone_and_ignores_its_padding(make_config, roughen):
    layer = roughen(Attention(make_config(), 0)).double()
    x, source = torch.randn(2, 3, 24, dtype=torch.float64), torch.randn(2, 6, 24, dtype=torch.float64)
    mask = padding_mask(6)
    result = layer(x, source=source, mask=mask)
    query = layer.q_norm(layer.q_proj(x).unflatten(-1, (-1, 8))).transpose(1, 2)
    expected, _ = attention(query, *layer._keys_values(source), mask)
    torch.testing.assert_close(result, layer.o_proj(expected.transpose(1, 2).flatten(-2)))
    short = layer(x[1:], source=source[1:, :4])
    torch.testing.assert_close(result[1:], short)
    alone = layer(x[:, :1], source=source, mask=mask)  # a query does not see the other queries
    torch.testing.assert_close(result[:, :1], alone)
