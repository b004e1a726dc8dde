"""Every gradient agrees with finite differences in float64."""

import pytest
import torch
from torch.func import functional_call

from bigmodel.nn.attention import Attention, attention, causal_mask
from bigmodel.nn.feed_forward import SwiGLU
from bigmodel.nn.norm import RMSNorm
from bigmodel.nn.rope import apply_rotary, rotary_angles
from bigmodel.nn.transformer import CausalLM, EncoderDecoder

TINY = {
    "vocab_size": 5,
    "hidden_size": 4,
    "intermediate_size": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 2,
}


def check(module, function, *inputs):
    """Compare the gradients of function(module, *inputs) with respect to inputs and all weights."""
    names, weights = zip(*module.double().named_parameters(), strict=True)

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = module

        def forward(self, *args):
            return function(self.module, *args)

    def call(*values):
        state = {f"module.{name}": value for name, value in zip(names, values[len(inputs) :], strict=True)}
        return functional_call(Wrapped(), state, values[: len(inputs)], tie_weights=True)

    assert torch.autograd.gradcheck(call, (*inputs, *weights))


def vectors(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def test_formula():
    mask = causal_mask(3, 3)
    inputs = vectors(1, 2, 3, 4), vectors(1, 1, 3, 4), vectors(1, 1, 3, 4)
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, mask)[0], inputs)


@pytest.mark.parametrize("causal", [True, False])
def test_attention_layer(make_config, roughen, causal):
    layer = roughen(Attention(make_config(**TINY), 0))
    rotary = rotary_angles(torch.arange(3), 2, 100.0, torch.float64)
    check(layer, lambda layer, x: layer(x, rotary=rotary, causal=causal), vectors(2, 3, 4))


def test_cross_attention(make_config, roughen):
    layer = roughen(Attention(make_config(**TINY), 0))
    check(layer, lambda layer, x, source: layer(x, source=source), vectors(1, 2, 4), vectors(1, 3, 4))


def test_feed_forward(roughen):
    check(roughen(SwiGLU(4, 3)), lambda layer, x: layer(x), vectors(2, 4))


def test_norm(roughen):
    check(roughen(RMSNorm(4)), lambda layer, x: layer(x), vectors(3, 4))


def test_rotary():
    rotary = rotary_angles(torch.arange(3), 4, 100.0, torch.float64)
    assert torch.autograd.gradcheck(lambda x: apply_rotary(x, *rotary), vectors(1, 1, 3, 4))


@pytest.mark.parametrize("tied", [True, False])
def test_language_model(make_config, roughen, tied):
    model = roughen(CausalLM(make_config(**TINY, tie_word_embeddings=tied)))
    ids, labels = torch.randint(5, (2, 4)), torch.tensor([[1, 2, -100, 4], [0, -100, 3, 3]])
    check(model, lambda model: model.loss(ids, labels))


def test_encoder_decoder(make_config, roughen):
    config = make_config(**TINY, num_hidden_layers=1)
    model = roughen(EncoderDecoder(config, config))
    source, target = torch.randint(5, (1, 3)), torch.randint(5, (1, 2))
    check(model, lambda model: model(source, target))
