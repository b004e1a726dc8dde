"""Windows of a stream: all of them, once an epoch, by step alone."""

import numpy as np
import pytest
import torch

from bigmodel.errors import ConfigError, DataError
from bigmodel.training.windows import TokenWindows


def windows(*lengths, weights=None, **changes):
    streams, start = [], 0
    for length, weight in zip(lengths, weights or [1] * len(lengths), strict=True):
        streams.append((np.arange(start, start + length, dtype=np.uint16), weight))
        start += length
    return TokenWindows(streams, **{"length": 10, "batch_size": 4, "seed": 1, **changes})


def test_labels_are_the_next_tokens():
    inputs, labels = windows(500).batch(3)
    assert inputs.shape == labels.shape == (4, 10)
    assert inputs.dtype == labels.dtype == torch.int64
    assert torch.equal(inputs + 1, labels)


def starts(data, first, count):
    return [int(data._window(i)[0]) for i in range(first, first + count)]


def test_an_epoch_has_every_window_once():
    data = windows(205, 98)
    epochs = [starts(data, e * data.total, data.total) for e in range(3)]
    for epoch in epochs:
        for low, high, count in ((0, 205, 19), (205, 303, 8)):
            inside = sorted(start for start in epoch if low <= start < high)
            assert len(inside) == count
            assert set(np.diff(inside)) == {10}  # side by side: no token twice
    assert epochs[0] != epochs[1] != epochs[2]
    assert sorted(epochs[0]) != sorted(epochs[1])  # at another offset, too


def test_a_weight_reads_a_stream_so_often():
    data = windows(205, 98, weights=[3, 1])
    epoch = starts(data, 0, data.total)
    assert sum(start < 205 for start in epoch) == 3 * 19
    assert sum(start >= 205 for start in epoch) == 8


def test_a_batch_depends_on_its_step_alone():
    one, other = windows(500), windows(500)
    wanted = [one.batch(step) for step in range(40)]
    for step in (39, 0, 17, 18, 3):
        for a, b in zip(other.batch(step), wanted[step], strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(windows(500, seed=2).batch(0)[0], wanted[0][0])


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_the_batch(world):
    data = windows(500)
    for step in (0, 11, 30):
        parts = [data.batch(step, rank, world)[0] for rank in range(world)]
        assert torch.equal(torch.cat(parts), data.batch(step)[0])
    assert data.tokens_per_step == 40


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ConfigError, match="batch_size 4 cannot be shared by 3"):
        windows(500).batch(0, 0, 3)


def test_a_corpus_that_is_too_small_is_refused():
    with pytest.raises(DataError, match="has 20 tokens; training needs at least 21"):
        windows(20)
    assert windows(21).total == 1
