"""Keys and values that a decoder has already computed."""

import torch


class KVCache:
    """Self-attention's keys and values of the tokens so far, one pair a layer, and cross-attention's, which are fixed.

    Attributes:
        length: tokens that every layer holds; the position of the next token.
    """

    def __init__(self):
        self.length = 0
        self._self = {}
        self._cross = {}

    def append(self, layer, key, value):
        """Add a layer's new keys and values and return all of them.

        Args:
            layer: index of the layer.
            key, value: (batch, key_value_heads, new, head_dim).

        Returns:
            key, value: (batch, key_value_heads, length + new, head_dim).
        """
        if layer in self._self:
            old_key, old_value = self._self[layer]
            key, value = torch.cat([old_key, key], dim=2), torch.cat([old_value, value], dim=2)
        self._self[layer] = key, value
        return key, value

    def cross(self, layer, compute):
        """Return a layer's cross-attention keys and values; ``compute()`` makes them the first time."""
        if layer not in self._cross:
            self._cross[layer] = compute()
        return self._cross[layer]

    def advance(self, count):
        """Say that every layer has appended ``count`` tokens."""
        self.length += count
