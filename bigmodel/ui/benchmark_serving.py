"""How the page serves a crowd, beside a plain Gradio page that calls transformers: ``benchmark serving``.

    python -m bigmodel benchmark serving [--model export/artifacts/stories] [--visitors 1 4 16 32 64]

Each page is a process of its own, on the same weights and the same sampling, and is asked over HTTP by Gradio's own
protocol. Visitors come all at once, each with a seed of its own; the asking program shares the processor with the page.
"""

import asyncio
import statistics
from pathlib import Path

import httpx

from bigmodel.config import read_json
from bigmodel.ui.visitors import REPOSITORY, endpoints, memory_of, served, uncounted, visit

MODEL = REPOSITORY / "export/artifacts/stories"
PROMPTS = (
    "Once upon a time there was a little",
    "It was late in the evening when Alice opened the door, and",
    "The old sailor looked at the sea and said",
    "In the garden behind the house",
)
PLAIN = """
import sys, threading
import gradio as gr
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TextIteratorStreamer

folder = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(folder).eval()
tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json", eos_token="<|endoftext|>")

def write(prompt, max_new_tokens, temperature, top_k, top_p):
    inputs = tokenizer("<|endoftext|>" + prompt, return_tensors="pt", return_token_type_ids=False)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    sampling = dict(do_sample=True, temperature=temperature, top_k=int(top_k), top_p=top_p)
    arguments = dict(**inputs, streamer=streamer, max_new_tokens=int(max_new_tokens), pad_token_id=0, **sampling)
    threading.Thread(target=model.generate, kwargs=arguments).start()
    text = prompt
    for piece in streamer:
        text += piece
        yield text

fields = ["text", "number", "number", "number", "number"]
gr.Interface(write, fields, "text", api_name="write").launch(quiet=True)
"""
# what a crowd of 16 must reach
TIMES_ONE, TIMES_PLAIN, FIRST_S, SHARE = 3, 15, 1.0, 0.5


def add_arguments(parser):
    """Declare the options of ``benchmark serving``."""
    parser.add_argument("--model", type=Path, default=MODEL, help="a folder of a plain text model")
    parser.add_argument("--visitors", type=int, nargs="+", default=[1, 4, 16, 32, 64], help="at once")
    parser.add_argument("--new", type=int, default=200, help="tokens that each asks for (default 200)")
    parser.add_argument("--rounds", type=int, default=2, help="crowds of each size; the best counts (default 2)")
    parser.add_argument("--without-plain", action="store_true", help="leave the plain page out")


def run(arguments):
    """Print a line for each crowd, then the targets; 1 where one is missed, else 0."""
    config = read_json(arguments.model / "config.json")
    sampling = read_json(arguments.model / "generation_config.json")
    name, settings = config["bigmodel"]["name"], [sampling[key] for key in ("temperature", "top_k", "top_p")]
    ask = lambda prompt, seed: [prompt, name, arguments.new, *settings, seed, None, None, "", "", ""]  # noqa: E731
    plain = lambda prompt, seed: [prompt, arguments.new, *settings]  # noqa: E731
    environment = uncounted(arguments.model)
    print(f"{'page':6} {'at once':>7} {'tokens/s':>9}  first token, s: p50/p95/p99  a token, ms: p50/p95/p99", end="")
    print("  least/mean rate  refused  memory, MB")
    pages = [("ours", ["app.py"], "generate_text", ask, "health")]
    if not arguments.without_plain:
        pages.append(("plain", ["-c", PLAIN, str(arguments.model)], "write", plain, ""))
    found = {}
    for page, program, endpoint, data, path in pages:
        with served(program, environment=environment, path=path) as (address, process):
            measure = lambda n: asyncio.run(crowd(address, endpoint, data, n, arguments.model))  # noqa: B023, E731
            measure(1)  # what is made at the first call
            for visitors in arguments.visitors if page == "ours" else sorted({1, *arguments.visitors} & {1, 16}):
                rounds = [measure(visitors) for _ in range(arguments.rounds)]
                best = max(rounds, key=lambda figures: figures["total"])
                found[page, visitors] = best
                print(line(page, visitors, best, memory_of(process)), flush=True)
    return judge(found)


async def crowd(address, endpoint, data, visitors, folder):
    """Let visitors come at once, and return the figures of those that were served: see ``figures``."""
    from bigmodel.runtime.tokenizer import Tokenizer

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits) as client:
        number = (await endpoints(client))[endpoint]
        asked = [PROMPTS[i % len(PROMPTS)] for i in range(visitors)]
        visits = await asyncio.gather(*(visit(client, number, data(p, seed)) for seed, p in enumerate(asked)))
    tokenizer = Tokenizer(folder / "tokenizer.json")
    counts = [
        len(tokenizer.encode(v.value.removeprefix(p))) if v.done else 0 for v, p in zip(visits, asked, strict=True)
    ]
    return figures(visits, counts)


def figures(visits, counts):
    """Return what a crowd got: total tokens a second, seconds to the first, of each token, least share, refusals.

    Args:
        visits: list of visitors.Visit, all started at once.
        counts: tokens of each.
    """
    served_ones = [(v, n) for v, n in zip(visits, counts, strict=True) if v.done and n]
    between, rates = [], []
    for v, tokens in served_ones:
        characters = sum(size for _, size in v.pieces)
        for (earlier, _), (later, size) in zip(v.pieces, v.pieces[1:], strict=False):
            share = tokens * size / characters  # tokens of this piece, nearly
            between += [(later - earlier) / share] * max(1, round(share))
        rates.append(tokens / (v.pieces[-1][0] - v.pieces[0][0] or 1e-3))
    seconds = max((v.seconds for v, _ in served_ones), default=0)
    return {
        "total": sum(n for _, n in served_ones) / seconds if seconds else 0.0,
        "first": [v.pieces[0][0] for v, _ in served_ones],
        "between": between,
        "share": min(rates) / statistics.mean(rates) if rates else 0.0,
        "refused": sum(v.status == 503 for v in visits),
        "failed": sum(not v.done and v.status != 503 for v in visits),
    }


def percentiles(values, scale=1.0, digits=2):
    """Return "p50/p95/p99" of values."""
    ordered = sorted(values) or [0.0]
    picked = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95, 0.99)]
    return "/".join(f"{value * scale:.{digits}f}" for value in picked)


def line(page, visitors, found, memory):
    """Return a crowd's figures as one line of the table."""
    refused = f"{found['refused']}" + (f" (+{found['failed']} failed)" if found["failed"] else "")
    first, between = percentiles(found["first"]), percentiles(found["between"], 1000, 1)
    start = f"{page:6} {visitors:7} {found['total']:9,.0f}  {first:>27}  {between:>24}"
    return f"{start}  {found['share']:15.2f}  {refused:>7}  {memory / 1e6:10,.0f}"


def judge(found):
    """Print each target beside what was reached; return 1 where one is missed, else 0."""
    checks = []
    if ("ours", 16) in found:
        crowd_of_16 = found["ours", 16]
        first = sorted(crowd_of_16["first"])
        checks.append(("p95 of the first token at 16 visitors, s, under", FIRST_S, first[int(0.95 * len(first))], -1))
        checks.append(("least rate by the mean rate at 16, at least", SHARE, crowd_of_16["share"], 1))
        for other, target in ((("ours", 1), TIMES_ONE), (("plain", 16), TIMES_PLAIN)):
            if found.get(other, {}).get("total"):
                name = f"total at 16 by {other[0]} at {other[1]}, at least"
                checks.append((name, target, crowd_of_16["total"] / found[other]["total"], 1))
    missed = [name for name, target, value, sign in checks if (value - target) * sign < 0]
    for name, target, value, _ in checks:
        print(f"{name} {target}: {value:.2f}{'  MISSED' if name in missed else ''}")
    return int(bool(missed))
