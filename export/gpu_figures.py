"""What ``export/gpu.py run`` measures of a finished training on the GPU: its scores, its speed and its parity there.

The training's folder gets ``served``, the exported model, whose metrics.json the commands write; ``measured.json`` says
which of them have run, and ``measured.log`` what they said. The figures travel in the call's index.json, as does what
was said.
"""

import os
import subprocess
import sys
import time

from bigmodel.config import read_json, write_json
from bigmodel.evaluation.results import keep, merge

BATCHES, ROUNDS, SENTENCES = "1,16,128", 2, 128  # of the benchmarks; fewer sentences fill no batch
MOST_THREADS = 8  # of the CPU that a GPU is compared with
SAID = 20_000  # characters, the last, of what commands said
LEAST = 60  # seconds without which a command is not begun
PARTS = ("speed", "parity")


def commands(row, runs, provider):
    """Yield the name and the words of each command, in order; the others need the first.

    Args:
        row: of a training; "files" are those of its corpora and tests that have come along.
        runs: folder of the trainings, with ``data``.
        provider: what the graphs run on.
    """
    task, folder, data = row["task"], runs / row["preset"], runs / "data"
    first = [data / name for name in row.get("files", ())[:1]]
    there = ["--model", folder / "served", "--provider", provider]
    scored = first if task == "text_generation" and first else [data]  # a folder would have to hold the training text
    yield "export", ["export", task, "--model", folder / "model", "--out", folder / "served"]
    if task == "text_generation":
        cores = ["--threads", min(os.cpu_count(), MOST_THREADS)]
        yield "parity", ["parity", task, *there, *cores, *(["--data", *first] if first else [])]
    few = ["--sentences", SENTENCES, *(["--file", *first] if first else [])] if task == "translation" else []
    yield "benchmark", ["benchmark", task, *there, "--batch", BATCHES, "--rounds", ROUNDS, *few]
    if task == "text_generation":
        yield "training", ["benchmark", "training", "--compile-stock"]
    if task != "text_to_image" or any((runs / "judges").glob("*/scenes/config.json")):  # to train judges takes long
        yield "evaluate", ["evaluate", task, *there, "--data", *scored]


def measure(row, runs, ends, provider):
    """Run the commands that have not run, until the clock ``ends`` (of time.monotonic).

    Returns:
        whether none is left; one that fails says why, and is not tried again.
    """
    folder = runs / row["preset"]
    record = folder / "measured.json"
    done = read_json(record) if record.exists() else {}
    for name, words in commands(row, runs, provider):
        if name in done or not done.get("export", True):
            continue
        left = ends - time.monotonic()
        if left < LEAST:
            return False
        with (folder / "measured.log").open("a") as log:
            try:
                command = [sys.executable, "-m", "bigmodel", *map(str, words)]
                done[name] = not subprocess.run(command, stdout=log, stderr=log, timeout=left).returncode
            except subprocess.TimeoutExpired:
                return False
        write_json(record, done)
        last = said(folder).strip().splitlines()[-1:] or ["nothing said"]
        print(f"{row['preset']}: {name}: {'done' if done[name] else last[0]}")
    return True


def figures(folder):
    """Return what was measured of a training: the parts of its metrics.json that no training writes."""
    path = folder / "served/metrics.json"
    metrics = read_json(path) if path.exists() else {}
    return {name: metrics[name] for name in ("results", *PARTS) if metrics.get(name)}


def said(folder):
    """Return what the commands said of a training, or the end of it."""
    log = folder / "measured.log"
    return log.read_text(errors="replace")[-SAID:] if log.exists() else ""


def enter(found, folder):
    """Enter figures that came back into a model folder's metrics.json, from where export takes them along."""
    merge(folder, found.get("results", ()))
    for part in PARTS:
        for provider, values in found.get(part, {}).items():
            keep(folder, part, provider, values)
