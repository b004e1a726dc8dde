"""Tiny shapes and weights for the transformer's tests."""

import pytest
import torch

from bigmodel.config import TransformerConfig


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


@pytest.fixture
def make_config():
    """Return a function that makes a tiny TransformerConfig with two query heads to a key head."""

    def make(**changes):
        shape = {
            "vocab_size": 37,
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 64,
        }
        return TransformerConfig(**{**shape, **changes})

    return make


@pytest.fixture
def roughen():
    """Return a function that gives every weight of a module a size that matters, scales included."""

    def rough(module):
        with torch.no_grad():
            for weight in module.parameters():
                weight.add_(torch.randn_like(weight) * 0.3)
        return module

    return rough
