"""Relative positions: self-attention's scores get a learnt bias for the distance of query and key."""

import math

import torch
from torch import nn


def relative_buckets(distance, *, bidirectional, num_buckets, max_distance):
    """Return the bucket of each distance: small ones apart, larger ones in buckets that grow with their logarithm.

    Args:
        distance: int64, position of the key minus position of the query.
        bidirectional: half of the buckets are for keys after the query; otherwise those count as distance 0.
        num_buckets: of all.
        max_distance: from here on all are in the last bucket.

    Returns:
        int64 in [0, num_buckets), of distance's shape.

    Source: Raffel et al. 2020, arXiv:1910.10683 (T5), section 2.1.
    """
    first = torch.zeros_like(distance)
    if bidirectional:
        num_buckets //= 2
        first = (distance > 0) * num_buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = num_buckets // 2
    octaves = (distance.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)
    far = (exact + (octaves * (num_buckets - exact)).long()).clamp(max=num_buckets - 1)
    return first + torch.where(distance < exact, distance, far)


class RelativePositions(nn.Embedding):
    """A bias a bucket and head, shared by all layers of a stack.

    Args:
        config: TransformerConfig.
        causal: keys after a query are hidden anyway, so that every bucket is for those before it.
    """

    def __init__(self, config, causal):
        super().__init__(config.relative_attention_num_buckets, config.num_attention_heads)
        self.bidirectional, self.max_distance = not causal, config.relative_attention_max_distance

    def forward(self, queries, keys):
        """Return (heads, len(queries), len(keys)), added to the scores, for the positions of queries and keys."""
        buckets = relative_buckets(
            keys[None] - queries[:, None],
            bidirectional=self.bidirectional,
            num_buckets=self.num_embeddings,
            max_distance=self.max_distance,
        )
        return super().forward(buckets).permute(2, 0, 1)
