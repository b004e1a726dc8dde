"""Whether nonsense harms the page: ``benchmark fuzz``.

    python -m bigmodel benchmark fuzz --requests 20000

Values that no browser would send go to every address of the page that takes any; nothing may answer 500, hang, or make
the server grow. Before, every endpoint has been used once as it should be: what a model takes then is no growth.
"""

import asyncio
import itertools
import json
import random
import statistics
from collections import Counter
from urllib.parse import quote

import httpx

from bigmodel.limits import LIMITS
from bigmodel.ui.soak import WISHES, grant
from bigmodel.ui.visitors import endpoints, memory_of, served, uncounted, visit

# fmt: off
ADDRESSES = (
    "queue/join", "cancel", "reset", "upload", "component_server", "stream/x", "run/predict", "call/v2/generate_text",
    "call/v2/translate", "call/v2/next_tokens", "call/v2/health", "call/generate_text", "call/translate_file",
    "call/v2/generate_image", "call/v2/classify_image", "call/v2/detect_objects", "call/classify_image",
    "call/detect_objects",
)
READ = (
    "", "config", "health", "v1/models", "manifest.json", "pwa_icon/{}", "static/{}", "assets/{}", "gradio_api/info",
    "gradio_api/openapi.json", "gradio_api/queue/data?session_hash={}", "gradio_api/queue/status",
    "gradio_api/upload_progress?upload_id={}", "gradio_api/call/generate_text/{}", "gradio_api/call/v2/translate/{}",
    "gradio_api/file={}", "gradio_api/stream/{}/1/2/playlist.m3u8", "gradio_api/heartbeat/{}", "?tab={}&text={}",
)
NAMES = (
    "prompt", "text", "model", "source", "target", "k", "seed", "top_k", "top_p", "temperature", "max_new_tokens",
    "kind", "form", "num_images", "steps", "guidance", "variation_of",
    "data", "fn_index", "session_hash", "event_id", "event_data", "trigger_id", "component_id",
    "fn_name", "__proto__", "image", "threshold", "max_tokens", "stop", "stream", "stream_options", "n", "echo",
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
PATIENCE_S = 120  # that an answer may take on a busy machine
EVENTS_S = 0.2  # that a stream of events is listened to
BUSY = (503, 507)  # the server's right to refuse
OURS = "it is our fault"


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
    limits = httpx.Limits(keepalive_expiry=2)  # the server's is five seconds, and both may end at once
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_S, limits=limits) as client:
        endpoint_numbers = await endpoints(client)
        for wish in dict.fromkeys(WISHES):
            await grant(wish, client, endpoint_numbers, random.Random(seed))
        many = ["a red apple", None, LIMITS.drawings, 1, *[None] * 5]  # what takes most memory
        await visit(client, endpoint_numbers["generate_image"], many)

        async def one():
            while (number := next(numbers)) < count:
                request = nonsense(random.Random(f"{seed}.{number}"), client)
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        status, text = await _send(client, request)
                        text += await _forget(client, text)
                    statuses[status] += 1
                    fault = status if status >= 500 and status not in BUSY or OURS in text else None
                except (httpx.HTTPError, TimeoutError) as error:
                    fault = repr(error)
                if fault:
                    faults.append(f"{fault} {request.method} {request.url} {request.content!r}")
                if number % max(1, count // 20) == 0:
                    sizes.append(memory_of(process))

        await asyncio.gather(*(one() for _ in range(at_once)))
    return statuses, faults, sizes


async def _send(client, request):
    """Return an answer's status and text; of a stream of events the beginning, since some have no end."""
    answer, text = await client.send(request, stream=True), ""
    events = answer.headers.get("content-type", "").startswith("text/event-stream")
    try:
        async with asyncio.timeout(EVENTS_S if events else None):
            text = (await answer.aread()).decode(errors="replace")
    except TimeoutError:
        if not events:
            raise
    finally:
        await answer.aclose()
    return answer.status_code, text


async def _forget(client, text):
    """Cancel what nonsense has set to work, so that the queue does not fill; return what it said first."""
    try:
        event = json.loads(text)["event_id"]
    except (ValueError, KeyError, TypeError):
        return ""
    async with client.stream("GET", f"gradio_api/call/generate_text/{event}") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: ") and line != "data: null":  # it has begun, and is left
                return line
    return ""


def nonsense(chance, client):
    """Return a request that no browser would send, by random.Random ``chance``."""
    kind = chance.random()
    if kind < 0.1:
        path = chance.choice(READ).replace("{}", _quoted(chance.choice(NONSENSE)))
        return client.build_request(chance.choice(("GET", "GET", "HEAD")), path)
    if kind < 0.2:
        return _upload(chance, client)
    path, kind = chance.choice((*(f"gradio_api/{path}" for path in ADDRESSES), "v1/completions")), chance.random()
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


def _upload(chance, client):
    """Return an upload of files with odd names and fields, which may be cut short."""
    body = b""
    for _ in range(chance.randrange(4)):
        name, file = chance.choice(("files", "files", "file", "")), str(chance.choice((*TEXTS, *ATTACKS)))
        named = f'; filename="{file}"' if chance.random() < 0.8 else ""
        head = f'--a\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        body += head.encode(errors="replace") + chance.randbytes(chance.randrange(3000)) + b"\r\n"
    body += b"--a--\r\n"
    if chance.random() < 0.3:
        body = body[: chance.randrange(len(body))]
    path = "gradio_api/upload" + chance.choice(("", f"?upload_id={_quoted(chance.choice(TEXTS))}"))
    headers = {"content-type": chance.choice(("multipart/form-data; boundary=a",) * 8 + ("multipart/form-data", ""))}
    return client.build_request("POST", path, content=body, headers=headers)


def _quoted(value):
    return quote(str(value).encode(errors="surrogatepass")[:2000])


def _value(chance, depth=0):
    if depth < 3 and chance.random() < 0.2:
        return [_value(chance, depth + 1) for _ in range(chance.randrange(14))]
    if chance.random() < 0.1:
        return chance.randrange(-5, 120)
    return chance.choice(NONSENSE)
