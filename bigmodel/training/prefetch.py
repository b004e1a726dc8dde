"""Batches made ahead of their step, by processes of their own."""

import itertools
import os
import signal
import sys

import torch
from torch.utils.data import DataLoader, Dataset


class _Batches(Dataset):
    def __init__(self, data, rank, world):
        self.data, self.rank, self.world = data, rank, world

    def __getitem__(self, number):
        return self.data.batch(number, self.rank, self.world)


def read_ahead(data, first, rank=0, world=1, *, workers=0, pin=False):
    """Return an iterator of the batches ``first``, ``first`` + 1, …, which are the same for any number of workers.

    Args:
        data: object with ``batch(number, rank, world)``.
        first: number of the first batch.
        rank, world: this process and how many share a batch.
        workers: processes that make batches, each two ahead, at most one less than there are cores; 0 makes a batch
            when it is asked for.
        pin: in memory from which a GPU copies while it computes.
    """
    workers = min(workers, (os.cpu_count() or 1) - 1)
    if workers < 1:
        return (data.batch(number, rank, world) for number in itertools.count(first))
    return iter(
        DataLoader(
            _Batches(data, rank, world),
            batch_size=None,  # they are batches already
            collate_fn=tuple,
            sampler=range(first, sys.maxsize),
            num_workers=workers,
            multiprocessing_context="fork",  # shares the corpus
            worker_init_fn=_leave_signals,
            pin_memory=pin,
            generator=torch.Generator(),  # the run's own random numbers stay as they are
        )
    )


def _leave_signals(_):
    """The run ends its workers; what reaches its whole group, Ctrl-C or ``timeout``, is for it alone."""
    os.setpgrp()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
