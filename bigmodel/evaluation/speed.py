"""Comparing speeds: every contender does the same work in turn, so that a change of the machine's speed meets all."""

import argparse
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bigmodel.config import write_json

OURS = "bigmodel"
BATCHES = (1, 32)  # pictures together


def in_turn(contenders, rounds, least_seconds=0.5):
    """Time contenders in turn.

    Args:
        contenders: name -> function without arguments that does the work once.
        rounds: times that each has its turn.
        least_seconds: that a turn lasts; quick work is done again and again in it.

    Returns:
        name -> median seconds of the work done once.
    """
    for work in contenders.values():
        work()  # what is compiled or allocated once is not counted
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            count, start = 0, time.perf_counter()
            while (passed := time.perf_counter() - start) < least_seconds or not count:
                work()
                count += 1
            seconds[name].append(passed / count)
    return {name: statistics.median(values) for name, values in seconds.items()}


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of a benchmark of pictures."""
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="of every engine (default 1)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")


def compare(engines, inputs, arguments, **found):
    """Time engines on batches of pictures, print a table, and write ``--out``.

    Args:
        engines: name -> function of a batch; one of the names is OURS.
        inputs: pictures together -> batch; 1 is among them.
        arguments: of ``add_arguments``.
        found: what else goes into the file.

    Returns:
        pictures together -> name -> median seconds.
    """
    rows = {
        count: in_turn({name: lambda e=engine, b=batch: e(b) for name, engine in engines.items()}, arguments.rounds)
        for count, batch in inputs.items()
    }
    print(f"{'pictures together':20}" + "".join(f"{name:>18}" for name in engines) + f"{'against the better':>20}")
    for count, seconds in rows.items():
        ratio = min(s for name, s in seconds.items() if name != OURS) / seconds[OURS]
        print(f"{count:<20}" + "".join(f"{count / s:16.1f}/s" for s in seconds.values()) + f"{ratio:19.2f}x")
    print(f"one picture: {1000 * rows[1][OURS]:.2f} ms")
    if arguments.out:
        about = {
            "command": "python -m bigmodel " + " ".join(sys.argv[1:]),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "threads": arguments.threads,
        }
        write_json(arguments.out, {**about, **found, "seconds": {str(count): row for count, row in rows.items()}})
    return rows
