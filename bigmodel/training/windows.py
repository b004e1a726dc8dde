"""Batches of a token stream, each a function of its step: a resumed run needs no position in the data."""

import numpy as np
import torch

from bigmodel.errors import DataError
from bigmodel.training.shares import share


class TokenWindows:
    """Fixed-length windows of token arrays, every window once an epoch, in a new order and at a new offset.

    Args:
        streams: list of (tokens, weight): tokens (n,) integer array; weight, how often an epoch reads it, >= 1.
        length: tokens of a window.
        batch_size: windows of a batch, over all processes.
        seed: of order and offsets.

    Raises:
        DataError: no stream holds a window.
    """

    unit = "tokens"

    def __init__(self, streams, *, length, batch_size, seed):
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.copies = [tokens for tokens, weight in streams for _ in range(weight)]
        # one window less each, so that a random offset fits
        self.counts = np.array([max(0, (len(tokens) - 1) // length - 1) for tokens in self.copies])
        self.ends = self.counts.cumsum()
        self.total = int(self.counts.sum())
        if not self.total:
            longest = max((len(tokens) for tokens in self.copies), default=0)
            raise DataError(f"the corpus has {longest} tokens; training needs at least {2 * length + 1}")
        self._epoch, self._order, self._offsets = None, None, None

    @property
    def tokens_per_step(self):
        """Tokens of a batch, over all processes."""
        return self.batch_size * self.length

    @property
    def tokens_of_corpus(self):
        """Tokens that an epoch reads."""
        return self.total * self.length

    def __str__(self):
        return f"{self.batch_size} windows of {self.length} tokens"

    def _window(self, index):
        epoch, position = divmod(index, self.total)
        if epoch != self._epoch:
            rng = np.random.default_rng((self.seed, epoch))
            self._epoch, self._order = epoch, rng.permutation(self.total)
            self._offsets = rng.integers(0, self.length, len(self.copies))
        window = self._order[position]
        copy = int(np.searchsorted(self.ends, window, side="right"))
        start = (window - self.ends[copy] + self.counts[copy]) * self.length + self._offsets[copy]
        return self.copies[copy][start : start + self.length + 1]

    def batch(self, step, rank=0, world=1):
        """Return the batch of a step.

        Args:
            step: number of the batch, from 0.
            rank, world: this process and how many share the batch; world divides batch_size.

        Returns:
            input_ids, labels: (batch_size / world, length) int64 each; labels are the following tokens.

        Raises:
            ConfigError: world does not divide batch_size.
        """
        numbers = share(step, self.batch_size, rank, world)
        rows = np.stack([self._window(number) for number in numbers]).astype(np.int64)
        rows = torch.from_numpy(rows)
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
