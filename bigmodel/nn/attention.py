"""Attention: the formula, and the layers that use it."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from bigmodel.nn.norm import RMSNorm
from bigmodel.nn.rope import apply_rotary


def attention(query, key, value, mask=None):
    """Mix the values, each weighted by how well its key matches the query.

        attention(Q, K, V) = softmax(Q K^T / sqrt(d) + M) V

    Where it comes from: let the components of a query and a key be independent, with mean 0 and variance 1.
    Their dot product sums d products, each of variance 1, so its variance is d. Dividing by sqrt(d) brings it
    back to 1, whatever d is; without that, wide heads give the softmax large arguments, its output nears a
    one-hot vector, and its gradient p_i (1[i=j] - p_j) nears 0. The softmax turns the scores of one query into
    weights that are positive and sum to 1, so that the result is a weighted mean of the values. M is 0 where a
    query may look and minus infinity where it may not: exp(-inf) = 0 takes those keys out of the sum.

    This is the definition; the layers call PyTorch's fused kernel, which computes the same without storing the
    weights, and which the tests hold against this function.

    Args:
        query: (batch, heads, queries, head_dim).
        key, value: (batch, key_value_heads, keys, head_dim); key_value_heads divides heads, and query head h
            reads key head h // (heads / key_value_heads) (grouped-query attention).
        mask: bool, True where a query may look, broadcastable to (batch, heads, queries, keys); None for all.

    Returns:
        mixed: (batch, heads, queries, head_dim).
        weights: (batch, heads, queries, keys), rows sum to 1.

    Source: Vaswani et al. 2017, arXiv:1706.03762; Ainslie et al. 2023, arXiv:2305.13245 (groups).
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)
    return weights @ value, weights


def causal_mask(queries, keys, device=None):
    """Return (queries, keys) bool, True where key j is not after query i; the last query sees every key."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


class Attention(nn.Module):
    """Multi-head or grouped-query attention, with normalised queries and keys where the configuration says so.

    Self-attention takes rotary positions or a bias for each distance; cross-attention (``source`` given) takes none,
    since a target position and a source position have no common origin.

    Args:
        config: TransformerConfig.
        layer: index of the layer, its place in the cache.
        bias: the projections add one, as those of a vision transformer do.

    Source: Dehghani et al. 2023, arXiv:2302.05442 (normalised queries and keys).
    """

    def __init__(self, config, layer, bias=False):
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        self.num_heads = config.num_attention_heads
        self.num_key_value_heads = config.num_key_value_heads
        width, narrow = self.num_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, narrow, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, narrow, bias=bias)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=bias)
        self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps) if config.qk_norm else nn.Identity()

    def _heads(self, x):
        return x.unflatten(-1, (-1, self.head_dim))

    def _keys_values(self, x):
        key = self.k_norm(self._heads(self.k_proj(x))).transpose(1, 2)
        return key, self._heads(self.v_proj(x)).transpose(1, 2)

    def forward(self, x, *, rotary=None, mask=None, causal=False, cache=None, source=None):
        """Let each position of x gather from x itself, or from ``source``.

        Args:
            x: (batch, queries, hidden_size).
            rotary: (cos, sin) of the queries' positions, for self-attention.
            mask: bool, True where a query may look, or float, added to the scores; broadcastable to
                (batch, heads, queries, keys).
            causal: keys after a query are hidden; for queries without a past only.
            cache: KVCache; self-attention appends to it, cross-attention fills it once.
            source: (batch, keys, hidden_size), for cross-attention.

        Returns:
            (batch, queries, hidden_size).
        """
        query = self.q_norm(self._heads(self.q_proj(x))).transpose(1, 2)
        if source is not None:
            compute = lambda: self._keys_values(source)  # noqa: E731
            key, value = cache.cross(self.layer, compute) if cache is not None else compute()
        else:
            key, value = self._keys_values(x)
            if rotary is not None:
                query, key = apply_rotary(query, *rotary), apply_rotary(key, *rotary)
            if cache is not None:
                key, value = cache.append(self.layer, key, value)
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            is_causal=causal,
            enable_gqa=self.num_heads != self.num_key_value_heads,
        )
        return self.o_proj(mixed.transpose(1, 2).flatten(-2))
