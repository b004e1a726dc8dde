"""What is left of visitors who vanish: ``benchmark vanish``.

    python -m bigmodel benchmark vanish --visitors 1000 --requests 5000

They vanish without a word: behind the first request, in the queue, in the middle of a text, of a translation, of a
completion and of an upload, in rounds of sixteen of a kind; others are served between the rounds. Printed is how fast
nothing runs any more, for each kind, and what the server holds after a tenth of the rounds and after the last: a second
is the most that a place may be kept (of one who never listens, beyond the seconds that are granted), and nothing grows.
"""

import asyncio
import random
import re
import time
from collections import defaultdict

import httpx

from bigmodel.ui.visitors import census, endpoints, served, uncounted, visit

AT_ONCE = 16
TARGET_S = 1
LISTEN_S = 2  # that the server waits for one who never listens
GROWTH = 0.05  # of memory, as a share
MORE = 8  # of threads, files and things in memory: connections and pools come and go
PASSAGE = "Two dogs are playing in the snow. A woman waits for the bus. " * 20
UPLOAD = (
    b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n"
    b"Content-Type: multipart/form-data; boundary=a\r\n\r\n"
    b'--a\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
)


def add_arguments(parser):
    """Declare the options of ``benchmark vanish``."""
    parser.add_argument("--visitors", type=int, default=1000, help="that vanish (default 1,000)")
    parser.add_argument("--requests", type=int, default=5000, help="in all, theirs and others' (default 5,000)")
    parser.add_argument("--models", help="folders of models, separated by commas; by default the shipped ones")
    parser.add_argument("--seed", type=int, default=0, help="of when they vanish")


def environment(models=None):
    """Return the environment of the server: few visits are kept, so that memory is soon what it stays."""
    own = {"BIGMODEL_METRICS": "1", "BIGMODEL_SESSIONS": "40", "BIGMODEL_LISTEN_SECONDS": str(LISTEN_S)}
    return {**uncounted(models), **own}


def run(arguments):
    """Print the seconds until places are free, and sizes first and last; 1 where a target is missed, else 0."""
    with served(["app.py"], environment=environment(arguments.models), path="health") as (address, process):
        seconds, sizes = asyncio.run(vanish(address, process, arguments))
    late = {kind: max(times) - (LISTEN_S + 1) * (kind == "join") > TARGET_S for kind, times in seconds.items()}
    for kind, times in seconds.items():
        middle = sorted(times)[len(times) // 2]
        print(f"free after {kind:12} {middle:.2f} s, at most {max(times):.2f} s{' MISSED' * late[kind]}")
    first, last = sizes[len(sizes) // 10], sizes[-1]
    grown = {what: last[what] > size * (1 + GROWTH) + (what != "MB") * MORE for what, size in first.items()}
    for what, size in first.items():
        print(f"{what:12} first {size:.0f}, last {last[what]:.0f}{' GROWN' * grown[what]}")
    return int(any(late.values()) or any(grown.values()))


async def vanish(address, process, arguments):
    """Let visitors vanish; return {kind: seconds until nothing ran, of each round} and the sizes after each round."""
    seconds, sizes, chance = defaultdict(list), [], random.Random(arguments.seed)
    async with httpx.AsyncClient(base_url=address, timeout=180, limits=httpx.Limits(max_connections=None)) as client:
        numbers, models = await endpoints(client), (await client.get("v1/models")).json()["data"]
        writer = models[0]["id"]
        kinds = [kind for kind in KINDS if kind != "translate" or "translate" in numbers]
        rounds = max(1, arguments.visitors // AT_ONCE)
        between = max(0, arguments.requests - rounds * AT_ONCE) // rounds
        for number in range(rounds):
            kind = kinds[number % len(kinds)]
            await asyncio.gather(*(KINDS[kind](client, numbers, writer, chance) for _ in range(AT_ONCE)))
            left = time.monotonic()
            while (await _figures(client))["running"]:
                await asyncio.sleep(0.02)
            seconds[kind].append(time.monotonic() - left)
            await _serve(client, numbers, between)
            await asyncio.sleep(1)  # the server cleans up each second
            memory, threads, files = census(process)
            kept = {what: size for what, size in (await _figures(client)).items() if what != "running"}
            sizes.append({"MB": memory, "threads": threads, "open files": files, **kept})
    return seconds, sizes


async def _join(client, numbers, writer, chance):
    body = {"data": _asked(writer, chance), "fn_index": numbers["generate_text"], "session_hash": str(chance.random())}
    await client.post("gradio_api/queue/join", json=body)


async def _queue(client, numbers, writer, chance):
    await visit(client, numbers["generate_text"], _asked(writer, chance), leave_after=1)


async def _stream(client, numbers, writer, chance):
    await visit(client, numbers["generate_text"], _asked(writer, chance), leave_after=chance.randrange(2, 8))


async def _translate(client, numbers, writer, chance):
    text = PASSAGE + str(chance.random())
    await visit(client, numbers["translate"], [text, "auto", None, None, 3], leave_after=chance.randrange(1, 3))


async def _complete(client, numbers, writer, chance):
    body = {"model": writer, "prompt": "Once", "max_tokens": 1000, "stream": True}
    async with client.stream("POST", "v1/completions", json=body) as stream:
        async for _ in stream.aiter_lines():
            break


async def _upload(client, numbers, writer, chance):
    _, connection = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    connection.write(UPLOAD + b"a" * chance.randrange(200_000))
    await connection.drain()
    connection.close()


KINDS = {
    "join": _join,
    "queue": _queue,
    "stream": _stream,
    "translate": _translate,
    "completion": _complete,
    "upload": _upload,
}


def _asked(writer, chance):
    return ["Once", writer, 1000, *[None] * 3, chance.randrange(1000), None, None, "", "", ""]


async def _serve(client, numbers, count):
    """Serve so many short requests, a few at once, to their end."""
    data = ["Once", None, 3, None, None, "", ""]

    async def some():
        for _ in range(count // 4):
            await visit(client, numbers["next_tokens"], data)

    await asyncio.gather(*(some() for _ in range(4)))


async def _figures(client):
    """Return what runs and what is kept, as /metrics says: name -> count."""
    text = (await client.get("metrics")).text
    found = re.findall(r'^bigmodel_(?:kept\{what="(\w+)"\}|(running)) (\S+)$', text, re.MULTILINE)
    return {what or running: float(value) for what, running, value in found}
