"""What the loop records and keeps, and what it does when something goes wrong."""

import contextlib
import json
import math
import resource
import time
from types import SimpleNamespace

import pytest
import torch

from bigmodel.errors import ConfigError, TrainingError
from bigmodel.training import loop
from bigmodel.training.settings import TrainingSettings
from bigmodel.training.state import load_state, save_state


def rows(trainer):
    return [json.loads(line) for line in (trainer.folder / "log.jsonl").read_text().splitlines()]


def checkpoint(trainer):
    return torch.load(trainer.folder / "checkpoint.pt", weights_only=True)


def test_learns_logs_plots_and_keeps_the_best(make_trainer):
    trainer = make_trainer(max_steps=60, dropout=0.0, learning_rate=0.03)
    result = trainer.run()
    log = rows(trainer)
    losses = [row["loss"] for row in log if "loss" in row]
    assert losses[0] > 1.5 and math.log(2) - 0.1 < losses[-1] < 0.9  # each next token is one of two
    assert [row["step"] for row in log if "valid_loss" in row] == [20, 40, 60]  # the last step's once
    assert log[-1]["valid_loss"] == result["loss"]
    assert [row["tokens"] for row in log if "tokens" in row][-1] == 60 * 2 * 4 * 16
    best = load_state(trainer.folder / "best.pt")
    assert best["loss"] == min(row["valid_loss"] for row in log if "valid_loss" in row) == trainer.best
    assert (trainer.folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not list(trainer.folder.glob(".*"))  # no half-written files


def test_a_finished_run_has_nothing_to_do(make_trainer):
    first = make_trainer(max_steps=10)
    result = first.run()
    again = make_trainer(max_steps=10)
    assert again.step == 10
    assert again.run() == result
    longer = make_trainer(max_steps=15)
    longer.run()
    assert longer.step == 15


def test_the_best_weights_of_a_run_that_goes_on_are_scored_again(make_trainer):
    first = make_trainer(max_steps=10)
    first.validate = lambda model: {"loss": 0.1}  # of easier data
    first.run()
    best, log = load_state(first.folder / "best.pt"), rows(first)
    longer = make_trainer(max_steps=30)
    assert longer.run()["loss"] > 0.1 and [row["valid_loss"] for row in log if "valid_loss" in row] == [0.1]
    found = load_state(first.folder / "best.pt")
    weights = (state["model"]["model.embed_tokens.weight"] for state in (best, found))
    assert not torch.equal(*weights) and found["step"] == 30 and best["step"] == 10
    (first.folder / "best.pt").unlink()
    make_trainer(max_steps=30).run()
    assert load_state(first.folder / "best.pt")["step"] == 30


def test_validation_sees_the_averaged_weights_and_training_goes_on_with_its_own(make_trainer):
    trainer, seen = make_trainer(max_steps=20), []
    trainer.validate = lambda model: seen.append([p.clone() for p in model.parameters()]) or {"loss": 1.0}
    trainer.run()
    assert all(map(torch.equal, seen[-1], trainer.ema))
    live = list(trainer.model.parameters())
    assert not any(map(torch.equal, live[:3], trainer.ema))
    state = checkpoint(trainer)
    assert torch.equal(state["model"]["model.embed_tokens.weight"], live[0])
    assert torch.equal(load_state(trainer.folder / "best.pt")["model"]["model.embed_tokens.weight"], trainer.ema[0])


def test_accumulation_is_the_larger_batch(make_trainer, tmp_path):
    settings = {"max_steps": 10, "dropout": 0.0}
    small = make_trainer(tmp_path / "a", accumulation=2, batch_size=4, **settings).run()
    large = make_trainer(tmp_path / "b", accumulation=1, batch_size=8, **settings).run()
    assert small["loss"] == pytest.approx(large["loss"], abs=1e-4)


def test_a_time_limit_holds_and_counts_over_resumed_runs(make_trainer):
    started = time.perf_counter()
    trainer = make_trainer(max_steps=None, max_minutes=0.5 / 60)
    trainer.run()
    assert trainer.step > 3
    assert 0.5 <= trainer.seconds < 2.5
    assert time.perf_counter() - started < 20
    steps = trainer.step
    again = make_trainer(max_steps=None, max_minutes=0.5 / 60)
    again.run()
    assert again.step == steps


def test_the_nearer_limit_decides(make_trainer):
    trainer = make_trainer(max_steps=6, max_minutes=10)
    trainer.run()
    assert trainer.step == 6


def test_compiling_validating_and_saving_are_not_training_time(make_trainer, monkeypatch):
    def slow_compile(module):
        first = [0.6]

        def call(*batch):
            time.sleep(first.pop() if first else 0.0)
            return module(*batch)

        return call

    monkeypatch.setattr(torch, "compile", slow_compile)
    trainer = make_trainer(max_steps=6, compile=True, validate_every=2, accumulation=1, save_every=5)
    validate, save = trainer.validate, trainer.save
    trainer.validate = lambda model: time.sleep(0.6) or validate(model)
    trainer.save = lambda: time.sleep(0.6) or save()  # after step 5, and at the end
    started = time.perf_counter()
    trainer.run()
    assert time.perf_counter() - started - trainer.seconds > 6 * 0.6 - 0.1


def test_saving_by_the_clock(make_trainer, monkeypatch):
    trainer, saved, clock = make_trainer(max_steps=40, save_seconds=2.5, log_every=5), [], iter(range(1000))
    ticking = SimpleNamespace(monotonic=lambda: next(clock), perf_counter=time.perf_counter)
    monkeypatch.setattr(loop, "time", ticking)  # a second each time it is looked at; other threads have their own
    trainer._saved, save = 0, trainer.save
    trainer.save = lambda: saved.append(trainer.step) or save()
    trainer.run()
    # looked at every fifth step, and when saving; the last is the run's end
    assert saved == [20, 35, 40]


class Broken(torch.nn.Module):
    """A model whose loss, or only its gradient, is not a number from some call on."""

    def __init__(self, model, after, where):
        super().__init__()
        self.model, self.after, self.where, self.calls = model, after, where, 0

    def loss(self, *batch):
        self.calls += 1
        loss = self.model.loss(*batch)
        if self.calls <= self.after:
            return loss
        return loss * math.nan if self.where == "loss" else loss + (next(self.model.parameters()) * 0).sqrt().sum()


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("after", [13, 14])  # steps 14 and 15 are the first bad ones; 15 would be saved
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(make_trainer, where, after):
    trainer = make_trainer(accumulation=1, ema=None)
    trainer.module.model = Broken(trainer.model, after, where)
    with pytest.raises(TrainingError, match="not finite.* at step 15.*lower learning rate"):
        trainer.run()
    state = checkpoint(trainer)
    assert state["step"] == 10
    assert all(weight.isfinite().all() for weight in state["model"].values())
    assert make_trainer(accumulation=1, ema=None).step == 10


def test_a_model_that_gets_no_gradient_does_not_train_on(make_trainer):
    trainer = make_trainer(accumulation=1, ema=None)
    loss = trainer.model.loss
    trainer.model.loss = lambda *batch: loss(*batch).detach() + 0 * sum(p.sum() for p in trainer.model.parameters())
    with pytest.raises(TrainingError, match="gradients are 0, at step 5.*--no-compile"):
        trainer.run()


def test_a_bad_loss_after_the_last_report_is_not_saved(make_trainer):
    trainer = make_trainer(max_steps=12, accumulation=1, ema=None)
    trainer.module.model = Broken(trainer.model, 10, "loss")
    with pytest.raises(TrainingError, match="step 12"):
        trainer.run()
    assert checkpoint(trainer)["step"] == 10


@contextlib.contextmanager
def largest_file(size):
    """Refuse to let files grow beyond ``size`` bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stops_the_run_and_keeps_the_checkpoint(make_trainer):
    make_trainer(max_steps=10).run()
    trainer = make_trainer(max_steps=20)
    before = (trainer.folder / "checkpoint.pt").read_bytes()
    with largest_file(len(before) // 2), pytest.raises(TrainingError, match=r"checkpoint\.pt could not be written"):
        trainer.run()
    assert (trainer.folder / "checkpoint.pt").read_bytes() == before
    assert not list(trainer.folder.glob(".*"))
    assert make_trainer(max_steps=20).step == 10


def test_a_log_that_cannot_be_written_is_a_clear_error(make_trainer):
    trainer = make_trainer(max_steps=10)
    (trainer.folder / "log.jsonl").unlink()
    (trainer.folder / "log.jsonl").mkdir()
    with pytest.raises(TrainingError, match="cannot be written"):
        trainer.run()


def test_a_small_state_survives_a_refused_larger_one(tmp_path):
    path = tmp_path / "state.pt"
    save_state(path, {"step": 1})
    with largest_file(10_000), pytest.raises(TrainingError):
        save_state(path, {"step": 2, "weights": torch.zeros(100_000)})
    assert load_state(path) == {"step": 1}


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04half"])
def test_a_broken_checkpoint_is_named(make_trainer, tmp_path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(content)
    with pytest.raises(TrainingError, match=r"checkpoint\.pt is not a checkpoint"):
        make_trainer()


def test_the_log_is_cut_back_to_the_checkpoint(make_trainer):
    trainer = make_trainer(max_steps=10)
    trainer.run()
    before = rows(trainer)
    with open(trainer.folder / "log.jsonl", "a") as file:
        file.write('{"step": 15, "loss": 1.0}\n{"step": 20, "lo')
    make_trainer(max_steps=30)
    assert rows(trainer) == before


def test_a_resumed_run_obeys_its_new_settings(make_trainer):
    make_trainer(max_steps=10, ema=None).run()
    trainer = make_trainer(max_steps=20, learning_rate=1e-4, weight_decay=0.3, ema=0.5)
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    assert all(group["peak_lr"] == 1e-4 for group in groups)
    assert groups[0]["weight_decay"] == 0.3
    assert all(map(torch.equal, trainer.ema, trainer.model.parameters()))  # averaging begins now
    assert trainer.run()["loss"] < 3


@pytest.mark.parametrize("changes", [{"hidden_size": 32}, {"muon": False}])
def test_a_checkpoint_of_another_run_is_refused(make_trainer, changes):
    make_trainer(max_steps=5).run()
    with pytest.raises(TrainingError, match="choose another folder"):
        make_trainer(max_steps=5, **changes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "max_steps or max_minutes"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"max_minutes": -1.0}, "max_minutes is -1.0"),
        ({"max_steps": 1, "log_every": 7}, "multiple of log_every"),
        ({"max_steps": 1, "seed": -1}, "seed must be from 0"),
        ({"max_steps": 1, "learning_rate": 0.0}, "learning rate more than 0"),
    ],
)
def test_settings_that_contradict_themselves(values, message):
    with pytest.raises(ConfigError, match=message):
        TrainingSettings(**values)
