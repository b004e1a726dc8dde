"""Whether the page stays well for long under a crowd with mixed wishes: ``benchmark soak``.

    python -m bigmodel benchmark soak --minutes 15 --visitors 16

Visitors write, translate, look at probabilities, draw, have pictures named and searched, upload files and fetch their
translation, open the page, and vanish in the middle. Nothing may fail of what they rightly ask; memory, threads and
open files stay flat after the first quarter, and a second after the last visitor nothing runs any more.
"""

import asyncio
import io
import random
import statistics
import time
from collections import Counter

import httpx
from PIL import Image

from bigmodel.ui.visitors import census, endpoints, served, uncounted, visit

GROWTH = 0.05  # of what a server takes, as a share
WISHES = (*("write", "vanish") * 2, "translate", "probabilities", "page", "draw", "classify", "detect", "file")
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
                wish = chance.choice(WISHES)
                outcomes[f"{wish}: {await grant(wish, client, numbers, chance)}"] += 1

        async def watch():
            while time.monotonic() < ends:
                counts.append(census(process))
                await asyncio.sleep(max(0.1, arguments.minutes / 15))

        await asyncio.gather(watch(), *(one(i) for i in range(arguments.visitors)))
    return outcomes, counts


async def grant(wish, client, numbers, chance):
    """Do what a visitor wishes.

    Args:
        wish: of WISHES.
        client, numbers: see ``visitors.endpoints``.
        chance: random.Random.

    Returns:
        "served", "refused" (the server is full) or "failed: …".
    """
    prompt, seed = chance.choice(("Once upon a time", "床前明月", "In the garden " * 20)), chance.randrange(1000)
    if wish == "page":
        answer = await client.get("")
        return "served" if answer.status_code == 200 else f"failed: {answer.status_code}"
    if wish in ("classify", "detect"):
        name, more = ("classify_image", [*[None] * 3, False]) if wish == "classify" else ("detect_objects", [None] * 2)
        result = await visit(client, numbers[name], [await _upload(client, "a.png", _picture(chance)), *more])
    elif wish == "draw":
        result = await visit(client, numbers["generate_image"], ["a red apple", None, 1, 2, None, seed, *[None] * 3])
    elif wish == "file":
        return await _translate_file(client, numbers, chance)
    elif wish == "translate":
        result = await visit(client, numbers["translate"], [chance.choice(SENTENCES), "auto", None, None, 3])
    elif wish == "probabilities":
        result = await visit(client, numbers["next_tokens"], [prompt, None, 10, None, None, "", ""])
    else:
        data = [prompt, None, chance.choice((20, 200, 1000)), *[None] * 3, seed, None, None, "", "", ""]
        leave = chance.randrange(1, 8) if wish == "vanish" else None
        result = await visit(client, numbers["generate_text"], data, leave_after=leave)
    return _outcome(result)


def _outcome(result):
    if result.done:
        return "served"
    return "refused" if result.status in (429, 503, 507) else f"failed: {result.status} {result.error[:80]}"


async def _translate_file(client, numbers, chance):
    """Upload a file, have it translated, and fetch the result."""
    file = await _upload(client, "a.txt", (chance.choice(SENTENCES) + "\n").encode() * 3)
    result = await visit(client, numbers["translate_file"], [file, "auto", None, ""])
    if not result.done:
        return _outcome(result)
    answer = await client.get(f"gradio_api/file={result.value['path']}")
    return "served" if answer.status_code == 200 and answer.content else f"failed: file {answer.status_code}"


async def _upload(client, name, content):
    """Return an uploaded file as an endpoint takes it."""
    answer = await client.post("gradio_api/upload", files={"files": (name, content)})
    path = answer.json()[0] if answer.status_code == 200 else f"refused with {answer.status_code}"
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def _picture(chance):
    """Return the PNG file of a picture in one colour."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), tuple(chance.randbytes(3))).save(file, "png")
    return file.getvalue()
