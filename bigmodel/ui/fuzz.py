"""Whether nonsense harms the page: ``benchmark fuzz``.

    python -m bigmodel benchmark fuzz --requests 20000

Values that no browser would send go to every address of the page that takes any; nothing may answer 500, hang, or make
the server grow.
"""

import asyncio
import itertools
import json
import random
import statistics
from collections import Counter

import httpx

from bigmodel.ui.visitors import memory_of, served, uncounted

# fmt: off
ADDRESSES = (
    "queue/join", "cancel", "reset", "upload", "component_server", "stream/x", "run/predict", "call/v2/generate_text",
    "call/v2/translate", "call/v2/next_tokens", "call/v2/health", "call/generate_text", "call/translate_file",
    "call/v2/generate_image",
)
NAMES = (
    "prompt", "text", "model", "source", "target", "k", "seed", "top_k", "top_p", "temperature", "max_new_tokens",
    "kind", "form", "num_images", "steps", "guidance", "variation_of",
    "data", "fn_index", "session_hash", "event_id", "event_data", "trigger_id", "component_id",
    "fn_name", "__proto__",
)
TEXTS = (
    "", " ", "a", "auto", "en", "唐诗", "nan", "\x00", "\ufeff", "\u202e", "💥", "e\u0301" * 50, "a" * 5001, "\ud83d",
)
# fmt: on
NUMBERS = (None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, 10**30)
ATTACKS = ("<script>", "{{7*7}}", "../../etc/passwd", "http://127.0.0.1:1/a.txt", "<|endoftext|>", "%s%n", "'; --")
FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
NESTED = ([], [[]], {}, [None] * 50, {"__proto__": {"a": 1}}, {"update": {"value": 1}}, FILE)
NONSENSE = (*NUMBERS, *TEXTS, *ATTACKS, *NESTED)
GROWTH = 0.05  # of memory over the second half, as a share


def add_arguments(parser):
    """Declare the options of ``benchmark fuzz``."""
    parser.add_argument("--requests", type=int, default=20_000, help="how many (default 20,000)")
    parser.add_argument("--models", help="folders of models, separated by commas; by default the shipped ones")
    parser.add_argument("--seed", type=int, default=0, help="equal seed, equal requests")


def run(arguments):
    """Print the count of each status, and each fault with its request; 1 where there is one, else 0."""
    with served(["app.py"], environment=uncounted(arguments.models), path="health") as (address, process):
        statuses, faults, sizes = asyncio.run(fuzz(address, process, arguments.requests, arguments.seed))
        alive = process.poll() is None and httpx.get(f"{address}health").status_code == 200
    print("statuses:", *(f"{status}: {count}" for status, count in sorted(statuses.items())))
    print("memory, MB:", *(f"{size / 1e6:.0f}" for size in sizes))
    for fault in faults[:20]:
        print("fault:", fault[:500])
    grown = statistics.median(sizes[-3:]) / sizes[len(sizes) // 2] - 1
    print(f"faults: {len(faults)}; growth over the second half: {grown:+.1%}; alive: {alive}")
    return int(bool(faults) or not alive or grown > GROWTH)


async def fuzz(address, process, count, seed, at_once=16):
    """Send nonsense; return Counter of statuses, a list of faults and the server's memory after each twentieth."""
    statuses, faults, sizes, numbers = Counter(), [], [], itertools.count()
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:

        async def one():
            while (number := next(numbers)) < count:
                request = nonsense(random.Random(f"{seed}.{number}"), client)
                try:
                    answer = await client.send(request)
                    statuses[answer.status_code] += 1
                    if answer.status_code >= 500 and answer.status_code != 503:
                        faults.append(f"{answer.status_code} {request.method} {request.url} {request.content!r}")
                    await _forget(client, answer)
                except httpx.HTTPError as error:
                    faults.append(f"{error!r} {request.method} {request.url} {request.content!r}")
                if number % max(1, count // 20) == 0:
                    sizes.append(memory_of(process))

        await asyncio.gather(*(one() for _ in range(at_once)))
    return statuses, faults, sizes


async def _forget(client, answer):
    """Cancel what nonsense has set to work, so that the queue does not fill."""
    try:
        event = answer.json()["event_id"]
    except (ValueError, KeyError, TypeError):
        return
    async with client.stream("GET", f"gradio_api/call/generate_text/{event}") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: "):  # it has begun, and is left
                return


def nonsense(chance, client):
    """Return a request that no browser would send, by random.Random ``chance``."""
    path = "gradio_api/" + chance.choice(ADDRESSES)
    kind = chance.random()
    if kind < 0.1:
        body = chance.randbytes(chance.randrange(200))
    elif kind < 0.15:
        body = json.dumps(chance.choice(NONSENSE)).encode()
    else:
        body = json.dumps({name: _value(chance) for name in chance.sample(NAMES, chance.randrange(1, 6))}).encode()
    headers = {
        "content-type": chance.choice(("application/json",) * 8 + ("text/plain", "multipart/form-data; boundary=a"))
    }
    method = "POST" if kind < 0.9 else chance.choice(("PUT", "DELETE", "PATCH", "OPTIONS"))
    return client.build_request(method, path, content=body, headers=headers)


def _value(chance, depth=0):
    if depth < 3 and chance.random() < 0.2:
        return [_value(chance, depth + 1) for _ in range(chance.randrange(14))]
    if chance.random() < 0.1:
        return chance.randrange(-5, 120)
    return chance.choice(NONSENSE)
