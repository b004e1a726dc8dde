r"""How fast text is written, beside other engines on the same weights, in turn.

    python -m bigmodel benchmark text_generation --model <model folder> | --shape qwen3-33m [--threads 1]

``transformers`` runs in this environment. onnxruntime-genai, llama.cpp and CTranslate2 run where they are installed:
here, or in an environment of their own, since onnxruntime must not stand beside onnxruntime-gpu:

    python -m venv peers && peers/bin/pip install onnxruntime-genai onnx-ir ctranslate2 llama-cpp-python gguf \
        torch transformers onnx safetensors
    python -m bigmodel benchmark text_generation --shape qwen3-33m --peer-python peers/bin/python

Every engine has a process of its own, and in each round each writes one text, in turn, so that a change of the
machine's speed meets all alike. Sampling is the same for all: temperature 0.8, top-k 40.

With ``--provider cuda`` (tensorrt, cpu) ours runs on that provider, beside transformers alone, many texts together;
see benchmark_provider.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bigmodel.config import TransformerConfig, read_json, write_json
from bigmodel.errors import BigModelError, ConfigError
from bigmodel.evaluation import speed
from bigmodel.runtime.engines import check_least
from bigmodel.text_generation import benchmark_provider, contenders
from bigmodel.text_generation.config import PRESETS

QWEN3_33M = TransformerConfig(16384, 512, 1536, 8, 8, 4, 64, 2048)
SHAPES = {"qwen3-33m": QWEN3_33M, **{name: make().transformer for name, make in PRESETS.items()}}
CLASSES = {"int4": "4 bit", "q4_0": "4 bit", "int8": "8 bit", "q8_0": "8 bit", "bf16": "16 bit", "fp32": "32 bit"}
CACHE = Path.home() / ".cache/bigmodel/benchmark"
BANDWIDTH = """
import numpy, time
a = numpy.ones(1 << 26, numpy.float32)
best = float("inf")
for _ in range(8):
    started = time.perf_counter()
    numpy.dot(a, a)
    best = min(best, time.perf_counter() - started)
print(a.nbytes / best)
"""


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``benchmark text_generation``."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, help="folder with config.json and model.safetensors")
    what.add_argument("--shape", choices=SHAPES, help="random weights of a shape")
    parser.add_argument("--threads", type=int, default=1, help="of every engine (default 1)")
    parser.add_argument("--prompt", type=int, default=32, help="tokens of the prompt (default 32)")
    parser.add_argument("--new", type=int, default=128, help="tokens to write (default 128)")
    parser.add_argument("--rounds", type=int, default=5, help="texts of each engine (default 5)")
    parser.add_argument("--engines", nargs="+", choices=contenders.ENGINES, help="these alone")
    parser.add_argument("--peer-python", help="interpreter of the environment that has the other engines")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where converted weights are kept (default {CACHE})")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    speed.add_provider(parser, benchmark_provider.BATCHES)


def run(arguments):
    """Run the comparison, print its table, write its JSON, and return 0."""
    check_least(arguments, prompt=1, new=2, rounds=1)
    if arguments.peer_python and not shutil.which(arguments.peer_python):
        raise ConfigError(f"--peer-python: {arguments.peer_python} is no program")
    if arguments.provider:
        folder = arguments.model or exported(*weights_of(arguments), "int8")
        return benchmark_provider.compare(folder, arguments)
    folder, work = prepare(arguments)
    config = read_json(folder / "config.json")
    if arguments.prompt + arguments.new > config["max_position_embeddings"]:
        raise ConfigError(f"--prompt and --new: at most {config['max_position_embeddings']} tokens together")
    bandwidth = memory_bandwidth(arguments.threads)
    workers, absent = start(arguments, folder, work)
    try:
        rows = measure(workers, arguments, config["vocab_size"])
    finally:
        for worker in workers:
            worker.stop()
    for row in rows:
        row["bandwidth_share"] = row["tokens_per_second"] * row["bytes"] / bandwidth
    result = {
        **speed.about(arguments.threads),
        "model": arguments.shape or arguments.model.name,
        "prompt_tokens": arguments.prompt,
        "new_tokens": arguments.new,
        "rounds": arguments.rounds,
        "bandwidth_bytes_per_second": bandwidth,
        "engines": rows,
        "absent": absent,
        "ratios": ratios(rows),
    }
    print(table(result))
    if arguments.out:
        write_json(arguments.out, result)
    return 0


def prepare(arguments):
    """Return the folder of the weights, and the folder where engines keep theirs, ours exported in every precision."""
    folder, work = weights_of(arguments)
    for precision in contenders.Ours.precisions:
        exported(folder, work, precision)
    return folder, work


def weights_of(arguments):
    """Return the folder of the weights, and the folder where engines keep theirs; random weights are made once."""
    if arguments.model:
        weights = arguments.model / "model.safetensors"
        if not weights.exists():
            raise ConfigError(f"--model: {weights} is missing")
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
        folder, work = arguments.model.resolve(), arguments.cache / f"{arguments.model.name}-{digest}"
    else:
        digest = hashlib.sha256(repr(SHAPES[arguments.shape]).encode()).hexdigest()[:12]
        work = arguments.cache / f"{arguments.shape}-{digest}"
        folder = work / "weights"
        if not folder.exists():
            make_random(SHAPES[arguments.shape], folder)
    return folder, work


def exported(folder, work, recipe):
    """Return the model folder that export makes of weights, once, within ``work``."""
    out = work / f"bigmodel-{recipe}"
    if not (out / "manifest.json").exists():
        command = [sys.executable, "-m", "bigmodel", "export", "text_generation", "--model", folder]
        command += ["--out", out, "--recipe", recipe]
        if subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL).returncode:
            raise BigModelError(f"{folder} cannot be exported")
    return out


def make_random(config, folder):
    """Write a checkpoint of random weights."""
    import torch

    from bigmodel.nn.checkpoint import save_pretrained
    from bigmodel.nn.transformer import CausalLM

    torch.manual_seed(0)
    save_pretrained(CausalLM(config), folder, dtype=torch.float16)


def memory_bandwidth(threads):
    """Return the bytes per second that so many threads read from memory (a dot product of 256 MB)."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", BANDWIDTH], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


class Worker:
    """A contender's process.

    Args:
        python: interpreter that has the engine.
        engine: key of contenders.ENGINES.
        precision: one of the engine's.
        folder, work: the weights; the engine's own files.
        threads: of the engine.
    """

    def __init__(self, python, engine, precision, folder, work, threads):
        self.engine, self.precision, self.firsts, self.rates, self.cpu_rates = engine, precision, [], [], []
        self.memory = 0
        command = [python, contenders.__file__, engine, precision, folder.resolve(), work.resolve(), threads]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        self.log = open(work / f"{engine}-{precision}.log", "w+")  # noqa: SIM115, closed in stop
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )

    def read(self):
        """Return the next answer, or None where the process has ended."""
        # engines may print lines of their own
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        return None

    def ask(self, prompt, new, seed):
        """Have a text written, and return the answer; None where the process has ended."""
        try:
            self.process.stdin.write(json.dumps({"prompt": prompt, "new": new, "seed": seed}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self.read()

    def failure(self):
        """Return the last line of what the process has said on standard error."""
        self.log.seek(0)
        lines = [line.strip() for line in self.log.read().splitlines() if line.strip()]
        return lines[-1][:200] if lines else "it ended without a word"

    def stop(self):
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(60)
        self.log.close()


def start(arguments, folder, work):
    """Return the workers that are ready, and a dict of engine -> why it is absent."""
    workers, absent = [], {}
    for engine, kind in contenders.ENGINES.items():
        if arguments.engines and engine not in arguments.engines:
            continue
        pythons = [sys.executable] + ([arguments.peer_python] if arguments.peer_python else [])
        python = next((p for p in pythons if has_module(p, contenders.NEEDS[engine])), None)
        if python is None:
            absent[engine] = "not installed"
            continue
        for precision in kind.precisions:
            worker = Worker(python, engine, precision, folder, work, arguments.threads)
            ready = worker.read()
            # the first text pays for allocations
            if ready is None or worker.ask([1] * arguments.prompt, arguments.new, 0) is None:
                absent[f"{engine} {precision}"] = worker.failure()
                worker.stop()
            else:
                worker.bytes = ready["bytes"]
                workers.append(worker)
    return workers, absent


def has_module(python, module):
    """Say whether an interpreter finds a module."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def measure(workers, arguments, vocab_size):
    """Have every worker write a text a round, in turn, and return a row of figures for each.

    Decoding speed counts the tokens after the first; first_token_ms is the prompt's, the first token's choice included.
    On a busy machine tokens per CPU second, the prompt included, are the fairer figure for one thread.
    """
    prompts = [[(7 + 31 * i + 101 * r) % vocab_size for i in range(arguments.prompt)] for r in range(arguments.rounds)]
    for r, prompt in enumerate(prompts):
        for worker in workers:
            time.sleep(0.05)
            answer = worker.ask(prompt, arguments.new, r)
            if answer is None:
                raise BigModelError(f"{worker.engine} {worker.precision}: {worker.failure()}")
            worker.firsts.append(answer["first"])
            worker.rates.append((arguments.new - 1) / (answer["seconds"] - answer["first"]))
            worker.cpu_rates.append(arguments.new / answer["cpu"])
            worker.memory = answer["memory"]
    return [
        {
            "engine": worker.engine,
            "precision": worker.precision,
            "class": CLASSES[worker.precision],
            "tokens_per_second": statistics.median(worker.rates),
            "tokens_per_cpu_second": statistics.median(worker.cpu_rates),
            "first_token_ms": statistics.median(worker.firsts) * 1e3,
            "memory_mb": worker.memory,
            "bytes": worker.bytes,
        }
        for worker in workers
    ]


def ratios(rows):
    """Return ours against the best peer of each precision class, and our fastest against transformers fp32.

    "ratio" is of tokens per second, "cpu_ratio" of tokens per CPU second.
    """
    found = {}
    for name in dict.fromkeys(row["class"] for row in rows):
        peers = [row for row in rows if row["class"] == name and row["engine"] != "bigmodel"]
        found |= against(name, peers, [row for row in rows if row["class"] == name])
    reference = [row for row in rows if (row["engine"], row["precision"]) == ("transformers", "fp32")]
    return found | against("all", reference, rows)


def against(name, peers, candidates):
    """Return {name: our fastest of the candidates against the fastest of peers}; empty where either is missing."""
    ours, found = [row for row in candidates if row["engine"] == "bigmodel"], {}
    if ours and peers:
        for key, rate in (("", "tokens_per_second"), ("cpu_", "tokens_per_cpu_second")):
            fastest, best = (max(some, key=lambda row: row[rate]) for some in (ours, peers))
            found[f"{key}ours"] = fastest["precision"]
            found[f"{key}best_peer"] = f"{best['engine']} {best['precision']}"
            found[f"{key}ratio"] = fastest[rate] / best[rate]
    return {name: found} if found else {}


def table(result):
    """Return the figures as text."""
    lines = [
        f"{result['model']}: {result['prompt_tokens']} + {result['new_tokens']} tokens, {result['threads']} thread(s), "
        f"memory bandwidth {result['bandwidth_bytes_per_second'] / 1e9:.1f} GB/s",
        f"{'engine':20}{'precision':>10}{'tokens/s':>10}{'per CPU s':>11}{'first, ms':>11}{'memory, MB':>12}"
        f"{'of bandwidth':>14}",
    ]
    for row in sorted(result["engines"], key=lambda row: -row["tokens_per_second"]):
        lines.append(
            f"{row['engine']:20}{row['precision']:>10}{row['tokens_per_second']:10.0f}"
            f"{row['tokens_per_cpu_second']:11.0f}{row['first_token_ms']:11.1f}"
            f"{row['memory_mb']:12.0f}{row['bandwidth_share']:14.0%}"
        )
    for name, found in result["ratios"].items():
        lines.append(
            f"{name}: ours {found['ours']} is {found['ratio']:.2f} times {found['best_peer']}; "
            f"by CPU time {found['cpu_ours']} is {found['cpu_ratio']:.2f} times {found['cpu_best_peer']}"
        )
    lines += [f"absent: {name}: {reason}" for name, reason in result["absent"].items()]
    return "\n".join(lines)
