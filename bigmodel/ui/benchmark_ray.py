"""Replicas under Ray Serve beside one process of the same interface: ``benchmark ray``.

    python -m bigmodel benchmark ray [--model export/artifacts/stories] [--visitors 1 16] [--replicas 2]

Both serve bigmodel.ui.ray_serve's interface, each replica with one thread, and the one process with as many threads as
there are replicas. Visitors ask /v1/completions again and again; the asking program shares the processor with them.
"""

import asyncio
import time
from pathlib import Path

import httpx

from bigmodel.config import read_json
from bigmodel.ui.benchmark_serving import MODEL, PROMPTS
from bigmodel.ui.visitors import memory_of, served

ONE_PROCESS = """
import os, sys, uvicorn
from bigmodel.ui.ray_serve import build_api
uvicorn.run(build_api([sys.argv[1]]), port=int(os.environ["GRADIO_SERVER_PORT"]), log_level="warning")
"""
RAY = """
import os, sys, ray
from ray import serve
from bigmodel.ui.ray_serve import build
ray.init(num_cpus=int(sys.argv[2]), include_dashboard=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["GRADIO_SERVER_PORT"])})
serve.run(build({"models": sys.argv[1], "replicas": sys.argv[2]}), blocking=True)
"""
# Ray on one machine: no reports, no token in the home folder, and workers no nicer than the one process
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}


def add_arguments(parser):
    """Declare the options of ``benchmark ray``."""
    parser.add_argument("--model", type=Path, default=MODEL, help="a folder of a plain text model")
    parser.add_argument("--visitors", type=int, nargs="+", default=[1, 16], help="at once")
    parser.add_argument("--replicas", type=int, default=2, help="of Ray Serve (default 2)")
    parser.add_argument("--new", type=int, default=100, help="tokens of a text (default 100)")
    parser.add_argument("--texts", type=int, default=8, help="that each visitor asks for (default 8)")


def run(arguments):
    """Print a line for each crowd, and return 0."""
    import ray  # noqa: F401, its absence is told before anything is started

    name, replicas = read_json(arguments.model / "config.json")["bigmodel"]["name"], str(arguments.replicas)
    folder = str(arguments.model.resolve())
    print(f"{'served by':12} {'at once':>7} {'tokens/s':>9} {'a text, s: p50':>15} {'p95':>6} {'memory, MB':>11}")
    servers = {
        "one process": (["-c", ONE_PROCESS, folder], {"BIGMODEL_THREADS": replicas}),
        f"Ray Serve, {replicas}": (["-c", RAY, folder, replicas], QUIET),
    }
    for server, (program, environment) in servers.items():
        with served(program, environment=environment, path="health") as (address, process):
            asyncio.run(crowd(address, name, 4, 8, 2))  # what is made at the first calls, in each replica
            for visitors in arguments.visitors:
                tokens, seconds, waits = asyncio.run(crowd(address, name, visitors, arguments.new, arguments.texts))
                middle, late = waits[len(waits) // 2], waits[int(len(waits) * 0.95)]
                memory = sum(map(memory_of, family(process.pid))) / 1e6
                print(f"{server:12} {visitors:7} {tokens / seconds:9,.0f} {middle:15.2f} {late:6.2f} {memory:11,.0f}")
    return 0


async def crowd(address, model, visitors, new, texts):
    """Let visitors ask for texts, one after the other; return tokens in all, seconds, and each text's seconds, sorted.

    Raises:
        httpx.HTTPStatusError: one was refused.
    """
    waits, tokens = [], 0

    async def visit(client, number):
        nonlocal tokens
        for i in range(texts):
            asked = {"model": model, "prompt": PROMPTS[number % len(PROMPTS)], "max_tokens": new, "seed": number + i}
            start = time.perf_counter()
            answer = (await client.post("v1/completions", json=asked)).raise_for_status().json()
            waits.append(time.perf_counter() - start)
            tokens += answer["usage"]["completion_tokens"]

    limits = httpx.Limits(max_connections=None)
    start = time.perf_counter()
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits) as client:
        await asyncio.gather(*(visit(client, number) for number in range(visitors)))
    return tokens, time.perf_counter() - start, sorted(waits)


def family(pid):
    """Return the objects with a ``pid`` of a process and of all that it started, as Linux lists them."""
    import psutil

    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
