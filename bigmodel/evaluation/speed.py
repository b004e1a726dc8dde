"""Comparing speeds: every contender does the same work in turn, so that a change of the machine's speed meets all."""

import argparse
import os
import platform
import shlex
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bigmodel.config import write_json
from bigmodel.errors import ConfigError
from bigmodel.evaluation.results import keep, shown_path

OURS = "bigmodel"
BATCHES = (1, 32)  # pictures together
TURN = 0.5  # seconds at least; quick work is done again and again in it


def in_turn(contenders, rounds):
    """Time contenders in turn.

    Args:
        contenders: name -> function without arguments that does the work once.
        rounds: times that each has its turn.

    Returns:
        name -> median seconds of the work done once.

    Raises:
        ConfigError: no rounds.
    """
    if rounds < 1:
        raise ConfigError(f"rounds {rounds}: give 1 or more")
    for work in contenders.values():
        for _ in range(3):  # what is compiled, allocated and recorded once is not counted
            work()
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            count, start = 0, time.perf_counter()
            while (passed := time.perf_counter() - start) < TURN or not count:
                work()
                count += 1
            seconds[name].append(passed / count)
    return {name: statistics.median(values) for name, values in seconds.items()}


def add_provider(parser: argparse.ArgumentParser, batches):
    """Declare what a model runs on, and how many inputs it takes together; ``batches`` is the default."""
    parser.add_argument(
        "--provider",
        type=str.lower,
        help="tensorrt, cuda or cpu: ours on this one, the others on the device that it has, and the figures are kept "
        "in metrics.json; default: cpu, and nothing is kept",
    )
    shown = ",".join(map(str, batches))
    parser.add_argument("--batch", type=counts, default=batches, help=f"inputs together (default {shown})")


def counts(text):
    """Return "1,16,128" as a tuple of numbers.

    Raises:
        argparse.ArgumentTypeError: a number is below 1, or none.
    """
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}; give whole numbers from 1, such as 1,16")
    return tuple(map(int, parts))


def about(threads):
    """Return what every file of figures says of its making: command, date, machine and threads."""
    words = [shown_path(word) if Path(word).is_absolute() else shlex.quote(word) for word in sys.argv[1:]]
    return {
        "command": " ".join(["python -m bigmodel", *words]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "threads": threads,
    }


def ratios(rows):
    """Return ours against the best peer of each case.

    Args:
        rows: list of dicts: case, engine, whose first word is OURS or not, and per_second.

    Returns:
        case -> {"ours", "best_peer": engines, "ratio"}; without the cases that have no peer.
    """
    found = {}
    for case in dict.fromkeys(row["case"] for row in rows):
        own, others = (
            [row for row in rows if row["case"] == case and (row["engine"].split()[0] == OURS) is ours]
            for ours in (True, False)
        )
        if own and others:
            fastest, best = (max(some, key=lambda row: row["per_second"]) for some in (own, others))
            ratio = fastest["per_second"] / best["per_second"]
            found[case] = {"ours": fastest["engine"], "best_peer": best["engine"], "ratio": round(ratio, 3)}
    return found


def add_arguments(parser: argparse.ArgumentParser, batches=BATCHES):
    """Declare the options of a benchmark of pictures."""
    add_provider(parser, batches)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="of every engine (default 1)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")


def compare(engines, inputs, arguments, **found):
    """Time engines on batches of pictures, print a table, write ``--out``, and keep a provider's figures.

    Args:
        engines: name -> function of a batch; one of the names is OURS.
        inputs: pictures together -> batch.
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
    if 1 in rows:
        print(f"one picture: {1000 * rows[1][OURS]:.2f} ms")
    result = {**about(arguments.threads), **found, "seconds": {str(count): row for count, row in rows.items()}}
    if arguments.out:
        write_json(arguments.out, result)
    if arguments.provider:
        rates = [
            {"case": f"batch {count}", "engine": name, "per_second": round(count / s, 2)}
            for count, seconds in rows.items()
            for name, s in seconds.items()
        ]
        figures = {**result, "unit": "pictures", "rows": rates, "ratios": ratios(rates)}
        keep(arguments.model, "speed", arguments.provider, figures)
    return rows
