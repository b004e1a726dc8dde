"""Whether the page stays well for long under a crowd with mixed wishes: ``benchmark soak``.

    python -m bigmodel benchmark soak --minutes 15 --visitors 16

Visitors write, translate, look at probabilities, open the page, and vanish in the middle. Nothing may fail that is the
server's fault; memory, threads and open files stay flat after the first quarter, and a second after the last visitor
nothing runs any more.
"""

import asyncio
import random
import statistics
import time
from collections import Counter

import httpx

from bigmodel.ui.visitors import census, endpoints, served, uncounted, visit

GROWTH = 0.05  # of what a server takes, as a share
SENTENCES = ("Two dogs are playing in the snow.", "Ein Junge springt ins Wasser.", "A woman waits for the bus. " * 8)


def add_arguments(parser):
    """Declare the options of ``benchmark soak``."""
    parser.add_argument("--minutes", type=float, default=15, help="how long (default 15)")
    parser.add_argument("--visitors", type=int, default=16, help="at once (default 16)")
    parser.add_argument("--models", help="folders of models, separated by commas; by default the shipped ones")
    parser.add_argument("--seed", type=int, default=0, help="of what they wish")


def run(arguments):
    """Print each outcome's count, and what the server takes by quarters; 1 where it failed or grew, else 0."""
    with served(["app.py"], environment={**uncounted(arguments.models), "BIGMODEL_METRICS": "1"}, path="health") as (
        address,
        process,
    ):
        outcomes, counts = asyncio.run(soak(address, process, arguments))
        time.sleep(1)
        left = "bigmodel_running 0.0" not in httpx.get(f"{address}metrics").text
    for outcome, count in outcomes.most_common():
        print(f"{count:8} {outcome}")
    grown = False
    for what, samples in zip(("memory, MB", "threads", "files"), zip(*counts, strict=True), strict=True):
        quarters = [samples[len(samples) * i // 4 : len(samples) * (i + 1) // 4] for i in range(4)]
        first, *_, last = medians = [statistics.median(quarter) for quarter in quarters][1:]
        grown |= last > first * (1 + GROWTH) + 2 * (what != "memory, MB")  # a few more or less come and go
        print(f"{what} in the second to the last quarter:", *(f"{median:.0f}" for median in medians))
    failed = sum(count for outcome, count in outcomes.items() if "failed" in outcome)
    print(f"failures of the server: {failed}; grown by more than {GROWTH:.0%}: {grown}; still running: {left}")
    return int(failed > 0 or grown or left)


async def soak(address, process, arguments):
    """Let visitors come and go; return Counter of outcomes, and the server's census through the time."""
    outcomes, counts, ends = Counter(), [], time.monotonic() + arguments.minutes * 60
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=180, limits=limits) as client:
        numbers = await endpoints(client)

        async def one(number):
            chance = random.Random(arguments.seed * 1000 + number)
            while time.monotonic() < ends:
                wish = chance.choice(("write", "write", "translate", "probabilities", "page", "vanish", "vanish"))
                outcomes[f"{wish}: {await _grant(wish, client, numbers, chance)}"] += 1

        async def watch():
            while time.monotonic() < ends:
                counts.append(census(process))
                await asyncio.sleep(max(0.1, arguments.minutes / 15))

        await asyncio.gather(watch(), *(one(i) for i in range(arguments.visitors)))
    return outcomes, counts


async def _grant(wish, client, numbers, chance):
    """Do what a visitor wishes; return "served", "refused" (503, or what the visitor can mend) or "failed: …"."""
    prompt, seed = chance.choice(("Once upon a time", "床前明月", "In the garden " * 20)), chance.randrange(1000)
    if wish == "page":
        answer = await client.get("")
        return "served" if answer.status_code == 200 else f"failed: {answer.status_code}"
    if wish == "translate":
        result = await visit(client, numbers["translate"], [chance.choice(SENTENCES), "auto", None, None, 3])
    elif wish == "probabilities":
        result = await visit(client, numbers["next_tokens"], [prompt, None, 10, None, None, "", ""])
    else:
        data = [prompt, None, chance.choice((20, 200, 1000)), *[None] * 3, seed, None, None, "", "", ""]
        leave = chance.randrange(1, 8) if wish == "vanish" else None
        result = await visit(client, numbers["generate_text"], data, leave_after=leave)
    if result.done:
        return "served"
    return "refused" if result.status in (422, 429, 503) else f"failed: {result.status} {result.error[:80]}"
