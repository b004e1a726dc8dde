"""What limits a step: its parts add up, and measuring them trains as usual."""

import torch
from small_run import make_trainer as make

from bigmodel.training import benchmark


def test_the_parts_of_a_step(tmp_path):
    trainer = make(tmp_path, max_steps=50, pause=0.05)  # for each of two batches
    trainer.take_step(1e-3)
    parts = benchmark.parts_of_a_step(trainer, 3)
    assert list(parts) == ["data", "forward and backward", "optimiser", "saving"]
    assert parts["data"] >= 0.1 and min(parts.values()) > 0
    assert trainer.step == 4 and torch.load(tmp_path / "checkpoint.pt")["step"] == 4
    again = make(tmp_path / "again", max_steps=50)
    for _ in range(4):
        again.take_step(1e-3)
    assert all(map(torch.equal, trainer.next_batch(), again.next_batch()))  # no batch was left out, none read twice
    assert all(map(torch.equal, trainer.model.parameters(), again.model.parameters()))


def test_the_peak_is_of_products_that_are_warm(monkeypatch):
    monkeypatch.setattr(benchmark, "_PEAK_SHAPES", {"cpu": ((64, 32, 16),)})
    times = iter([5.0, 2.0, 1.0])
    monkeypatch.setattr(benchmark, "_timed", lambda function, device: function() or next(times))
    assert benchmark.matrix_peak(torch.device("cpu"), torch.float32, 2) == 2 * 64 * 32 * 16 / 1e9
    assert next(times, None) is None
