"""A run that is killed, or shared by two processes, ends as the one that was left alone."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("small_run.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
pytestmark = pytest.mark.timeout(400)  # starting Python takes its time on a busy machine


def log_of(folder):
    """Return the log's rows without their times."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_same_state(one, other):
    """Compare two nested states bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same_state(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same_state(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def assert_same_run(one, other):
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (one, other)]
    for state in states:
        del state["seconds"]
    assert_same_state(*states)
    assert_same_state(*(torch.load(folder / "best.pt", weights_only=True) for folder in (one, other)))
    assert log_of(one) == log_of(other)


def kill_at_random(folder, rng, settings):
    """Start the run, and kill it at some moment after it has made progress."""
    checkpoint = folder / "checkpoint.pt"
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    command = [sys.executable, str(PROGRAM), str(folder), json.dumps(settings), "0.02"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 180
        while not (checkpoint.exists() and checkpoint.stat().st_mtime_ns > before):
            assert process.poll() is None and time.monotonic() < deadline, "the run made no checkpoint"
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.5))
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"


def test_killed_twice_and_resumed_is_bit_for_bit_the_run_never_stopped(make_trainer, tmp_path):
    settings = {"max_steps": 80, "bf16": True}  # with dropout, EMA, Muon and accumulation
    make_trainer(tmp_path / "whole", **settings).run()
    rng = random.Random()
    for _ in range(2):
        kill_at_random(tmp_path / "killed", rng, settings)
    trainer = make_trainer(tmp_path / "killed", **settings)
    assert 0 < trainer.step < 80
    trainer.run()
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(make_trainer, tmp_path, monkeypatch, number):
    make_trainer(tmp_path / "whole").run()
    trainer = make_trainer(tmp_path / "stopped")
    batch = trainer.data.batch

    def interrupted(step, rank, world):
        if step == 2 * 13:
            os.kill(os.getpid(), number)
        return batch(step, rank, world)

    monkeypatch.setattr(trainer.data, "batch", interrupted)
    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert signal.getsignal(number) == handler
    again = make_trainer(tmp_path / "stopped")
    assert again.step == 14
    again.run()
    states = [torch.load(tmp_path / name / "checkpoint.pt")["model"] for name in ("whole", "stopped")]
    assert_same_state(*states)


def test_two_processes_under_torchrun_train_as_one(make_trainer, tmp_path):
    settings = {"max_steps": 20, "dropout": 0.0}
    result = make_trainer(tmp_path / "one", **settings).run()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={port}"]
    compiled = json.dumps({**settings, "compile": True})  # its path, without its price
    command = [sys.executable, *launch, str(PROGRAM), str(tmp_path / "two"), compiled]
    done = subprocess.run(
        command, env={**ENVIRONMENT, "TORCH_COMPILE_DISABLE": "1"}, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    shared = json.loads((tmp_path / "two" / "result.json").read_text())
    assert shared["loss"] == pytest.approx(result["loss"], abs=1e-4)
    for alone, together in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        assert together == pytest.approx(alone, abs=1e-4)
    one, two = (torch.load(tmp_path / name / "checkpoint.pt")["model"] for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-3)
