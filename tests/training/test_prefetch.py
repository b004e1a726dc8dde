"""Batches made ahead are the batches, in their order; the run that reads them is the run that does not."""

import os

import pytest
import torch
from small_run import SETTINGS

from bigmodel.training.prefetch import read_ahead

pytestmark = pytest.mark.timeout(400)  # processes start slowly on a busy machine


class Numbers:
    """Batches that say their number and the process that made them."""

    def batch(self, number, rank, world):
        if number == 9:
            raise ValueError("no ninth")
        return torch.tensor([number, rank, world]), torch.tensor(os.getpid())


@pytest.mark.parametrize("workers", [0, 2])
def test_in_order_from_the_first_on(monkeypatch, workers):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    before = torch.get_rng_state()
    batches = read_ahead(Numbers(), 4, 1, 2, workers=workers)
    found = [next(batches) for _ in range(5)]
    assert [numbers.tolist() for numbers, _ in found] == [[i, 1, 2] for i in range(4, 9)]
    makers = {maker.item() for _, maker in found}
    assert len(makers) == max(1, workers) and (os.getpid() in makers) == (workers == 0)
    if workers:  # a signal to the run's group is for the run alone
        assert all(os.getpgid(maker) != os.getpgid(0) for maker in makers)
    with pytest.raises(ValueError, match="no ninth"):
        next(batches)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_core_has_no_workers(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert next(read_ahead(Numbers(), 0, workers=4))[1] == os.getpid()


def test_a_run_that_reads_ahead_stopped_and_resumed_is_the_run_that_does_not(make_trainer, tmp_path):
    assert SETTINGS["accumulation"] == 2
    plain = make_trainer(tmp_path / "plain", max_steps=12)
    plain.run()
    make_trainer(tmp_path / "ahead", max_steps=7, workers=1).run()
    ahead = make_trainer(tmp_path / "ahead", max_steps=12, workers=1)
    ahead.run()
    assert ahead.step == 12 and ahead._batches is None
    # the schedule of the shorter run differs, the batches do not
    plain_batch, its_batch = plain.next_batch(), ahead.next_batch()
    assert all(map(torch.equal, plain_batch, its_batch))
    whole = make_trainer(tmp_path / "whole", max_steps=12, workers=1)
    whole.run()
    for one, other in zip(plain.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)
