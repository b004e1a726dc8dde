"""Each limit by raw HTTP: beyond it a 4xx, 429 or 503 with a message, and full recovery."""

import asyncio
import itertools
import json
import math
import re
import socket
import time
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
from loops import run_apart

from bigmodel.errors import ConfigError
from bigmodel.limits import LIMITS, Limits
from bigmodel.ui.guard import Guard, Visitors, memory_limit, memory_used, trust_proxy, visitor_of
from bigmodel.ui.visitors import endpoints, visit

LOW = {
    "BIGMODEL_PROMPT_CHARACTERS": "50",
    "BIGMODEL_NEW_TOKENS": "2000",
    "BIGMODEL_TEXT_CHARACTERS": "60",
    "BIGMODEL_FILE_BYTES": "100",
    "BIGMODEL_UPLOAD_BYTES": "5000",
    "BIGMODEL_BODY_BYTES": "3000",
    "BIGMODEL_TEXT_SECONDS": "2",
    "BIGMODEL_TEXTS_AT_ONCE": "2",
    "BIGMODEL_QUEUE_LENGTH": "3",
    "BIGMODEL_REQUESTS_PER_MINUTE": "60",
    "BIGMODEL_REQUEST_SECONDS": "2",
    "BIGMODEL_CALLS_PER_VISITOR": "6",
    "BIGMODEL_CONNECTIONS_PER_VISITOR": "40",
    "BIGMODEL_METRICS": "1",
    "FORWARDED_ALLOW_IPS": "127.0.0.1",
}
ADDRESSES = map("198.51.100.{}".format, itertools.count(1))
ENDLESS = ["Once", "tiny-stories", 2000, *[None] * 3, 0, *[None] * 2, "", "", ""]


@pytest.fixture(scope="module")
def low(serve):
    """Address of a server with low limits."""
    return serve(**LOW)[0]


@pytest.fixture
def client(low):
    """A visitor with an address of its own, as a proxy tells it."""
    with httpx.Client(base_url=low, timeout=60, headers={"x-forwarded-for": next(ADDRESSES)}) as client:
        yield client


def ask(client, endpoint="generate_text", **values):
    """POST a call and return the answer."""
    return client.post(f"gradio_api/call/v2/{endpoint}", json=values)


def served_well(client):
    """Whether a usual request is served now."""
    event = ask(client, prompt="Once", model="tiny-stories", max_new_tokens=3).json()["event_id"]
    return "event: complete" in client.get(f"gradio_api/call/generate_text/{event}").text


@pytest.mark.parametrize(
    "endpoint, values, told",
    [
        ("generate_text", {"prompt": "a" * 51}, "prompt: 51 characters; the limit is 50"),
        ("generate_text", {"prompt": "a", "max_new_tokens": 2001}, "from 1 to 2000"),
        ("translate", {"text": "a" * 61}, "text: 61 characters; the limit is 60"),
        ("translate", {"text": "a", "num_beams": 11}, "from 1 to 10"),
    ],
)
def test_fields(client, endpoint, values, told):
    answer = ask(client, endpoint, **values)
    assert answer.status_code == 422 and told in answer.text
    assert re.fullmatch("[0-9a-f]{12}", answer.headers["x-request-id"])
    assert served_well(client)


def test_body(client):
    for body in ({"content": b'{"prompt": "' + b"a" * 4000 + b'"}'}, {"content": (b"a" * 500 for _ in range(20))}):
        answer = client.post("gradio_api/call/v2/generate_text", headers={"content-type": "application/json"}, **body)
        assert answer.status_code == 413 and "the limit is 3,000 bytes (request " in answer.json()["detail"]
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert served_well(client)


def test_upload(client):
    assert client.post("gradio_api/upload", files={"files": ("a.txt", b"a" * 4000)}).status_code == 200
    for size in (5001, 5001 + 10_000):  # Gradio's limit of a file, and the guard's of all
        assert client.post("gradio_api/upload", files={"files": ("a.txt", b"a" * size)}).status_code == 413
    path = client.post("gradio_api/upload", files={"files": ("a.txt", b"Two dogs. " * 20)}).json()[0]
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    event = client.post("gradio_api/call/translate_file", json={"data": [file, "en", "de", ""]}).json()["event_id"]
    assert "file: 200 bytes; the limit is 100" in client.get(f"gradio_api/call/translate_file/{event}").text


def test_requests_per_minute_of_each_visitor_behind_a_proxy(client, low):
    with httpx.Client(base_url=low, headers={"x-forwarded-for": "203.0.113.7"}) as busy:
        served = 0
        while (refused := busy.post("gradio_api/cancel", json={})).status_code == 422 and served < 600:
            served += 1
        assert served >= 60  # and some more where the machine is busy: the bucket fills meanwhile
        assert refused.status_code == 429 and "the limit is 60 requests a minute" in refused.json()["detail"]
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert served_well(client)  # another visitor
        time.sleep(int(refused.headers["retry-after"]))
        assert busy.post("gradio_api/cancel", json={}).status_code == 422


def test_queue_length_and_deadline(low):
    async def crowd():
        options = {"base_url": low, "timeout": 60}
        other = {"x-forwarded-for": next(ADDRESSES)}  # one visitor alone leaves a place to others
        async with httpx.AsyncClient(**options) as client, httpx.AsyncClient(**options, headers=other) as second:
            number = (await endpoints(client))["generate_text"]
            running = [asyncio.create_task(visit(one, number, ENDLESS)) for one in (client, second)]
            while "bigmodel_running 2.0" not in (await client.get("metrics")).text:
                assert not any(task.done() for task in running)
                await asyncio.sleep(0.02)
            return await asyncio.gather(*running, *(visit(client, number, ENDLESS) for _ in range(20)))

    visits = run_apart(crowd())
    refused = [one for one in visits if one.status == 503]
    assert len(refused) > 10  # all but three, unless so many come so slowly that texts end meanwhile
    assert all("Queue is full. Max size is 3" in one.error and one.retry_after == 5 for one in refused)
    served = [one for one in visits if one.status != 503]
    assert len(served) >= 5 and all(one.done for one in served)  # two at once and three that wait
    assert min(one.seconds for one in served) < 2 + 10  # for a busy machine


def test_slow_head_and_slow_body_are_hung_up_on(low, client):
    host, port = low.removeprefix("http://").strip("/").split(":")
    started = time.monotonic()
    slow = [socket.create_connection((host, int(port))) for _ in range(100)]
    for connection in slow:
        connection.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: a\r\nX-")
    bodies = [socket.create_connection((host, int(port))) for _ in range(3)]
    for connection in bodies:
        connection.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n{")
    assert served_well(client)
    for connection in slow:
        connection.settimeout(30)
        assert connection.recv(1000) == b""
    for connection in bodies:
        connection.settimeout(30)
        assert b" 408 " in connection.recv(1000).splitlines()[0]
    assert time.monotonic() - started < 60


def test_a_slow_head_after_a_request_is_hung_up_on(low):
    host, port = low.removeprefix("http://").strip("/").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(30)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200 and answer.read()
        connection.sendall(b"GET /health HTTP/1.1\r\nX-")
        assert connection.recv(1000) == b""


def test_one_address_cannot_hold_every_connection(low, client):
    host, port = low.removeprefix("http://").strip("/").split(":")

    def closed(connection):
        connection.settimeout(0.5)
        try:
            return connection.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    # not from the address of the proxy that FORWARDED_ALLOW_IPS names
    held = [socket.create_connection((host, int(port)), source_address=("127.0.0.2", 0)) for _ in range(45)]
    assert any(map(closed, held[::-1]))
    assert served_well(client)
    for connection in held:
        connection.close()


def test_one_visitor_cannot_have_every_request_open(low, client):
    async def work():
        headers = {"x-forwarded-for": "203.0.113.9"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=low, timeout=60, headers=headers, limits=limits) as many:
            requests = [many.build_request("GET", f"gradio_api/heartbeat/{number}") for number in range(41)]
            return [(await many.send(request, stream=True)).status_code for request in requests]

    statuses = run_apart(work())
    assert statuses[:40] == [200] * 40 and statuses[40] == 429
    assert served_well(client)


def test_memory(serve):
    address, _ = serve(BIGMODEL_MEMORY_BYTES="1000000")
    refused = httpx.post(f"{address}gradio_api/call/v2/generate_text", json={"prompt": "Once"})
    assert refused.status_code == 503 and "memory is full" in refused.json()["error"]
    assert refused.headers["retry-after"] == "5" and httpx.get(address).status_code == 200


def test_memory_recovers(monkeypatch):
    from bigmodel.ui import operation
    from bigmodel.ui.app import build_app

    page = build_app([]).operation
    assert not page.memory_is_short() and 0 < memory_used() < memory_limit()
    monkeypatch.setattr(operation, "memory_used", lambda: memory_limit() + 1)
    assert page.memory_is_short()
    monkeypatch.undo()
    assert not page.memory_is_short()


def test_memory_of_a_host(tmp_path):
    def host(**files):
        for path, text in files.items():
            file = tmp_path / path.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return memory_limit(Limits(), tmp_path)

    assert memory_limit(Limits(memory_bytes=7), tmp_path) == 7 and memory_limit(Limits(), tmp_path) == math.inf
    assert host(proc__meminfo="MemTotal:       1000 kB\nMemFree: 1 kB\n") == 921_600
    v1 = host(**{"sys__fs__cgroup__memory__memory.limit_in_bytes": "500000\n"})
    v2 = host(**{"sys__fs__cgroup__memory.max": "max\n"}), host(**{"sys__fs__cgroup__memory.max": "300000\n"})
    assert (v1, *v2) == (450_000, 450_000, 270_000)


def test_a_space_tells_its_visitors_apart():
    outside, inside, chosen = {}, {"SPACE_ID": "a/b"}, {"SPACE_ID": "a/b", "FORWARDED_ALLOW_IPS": "192.0.2.1"}
    for environment in (outside, inside, chosen):
        trust_proxy(environment)
    assert not outside and "10.0.0.0/8" in inside["FORWARDED_ALLOW_IPS"]
    assert chosen["FORWARDED_ALLOW_IPS"] == "192.0.2.1"


def test_stopping_and_a_body_that_never_ends():
    from bigmodel.ui.app import build_app

    operation = build_app([]).operation

    async def echo(scope, receive, send):
        while (message := await receive()).get("more_body"):
            pass
        status = 200 if message["type"] == "http.request" else 400
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})

    async def endless():
        while True:
            yield b"a" * 1000

    async def work():
        limits = Limits(body_bytes=10_000, request_seconds=1, reads_per_minute=2)
        guard = Guard(echo, operation, limits)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://x") as client:
            assert (await client.post("/", content=endless())).status_code == 413
            assert (await client.post("/", content=b"a")).text == "served"
            assert (await client.post("/", headers={"content-length": "x"})).status_code == 400
            mounted = httpx.ASGITransport(guard, root_path="/big")  # such a path is served with and without it
            async with httpx.AsyncClient(transport=mounted, base_url="http://x") as behind:
                for path in ("/gradio_api/run/predict", "/big/gradio_api/run/predict"):
                    assert (await behind.post(path, content=b"a")).status_code == 404
            operation.stopping = True
            answer = await client.post("/")
            assert answer.status_code == 503 and "being stopped" in json.loads(answer.text)["detail"]
            assert [(await client.get("/")).status_code for _ in range(3)] == [200, 200, 429]

    run_apart(work())


def test_a_visitor_is_an_address_or_a_network():
    assert visitor_of({"client": ("192.0.2.1", 7)}) == "192.0.2.1"
    assert visitor_of({"client": ("2001:db8::1", 7)}) == visitor_of({"client": ("2001:db8::2", 8)}) == "2001:db8::/64"
    assert visitor_of({"client": ("::ffff:192.0.2.1", 7)}) == "192.0.2.1"
    assert visitor_of({"client": None}) == "" and visitor_of({"client": ("unix", 0)}) == "unix"


def test_a_bucket_fills_in_a_minute_and_forgets_the_silent(monkeypatch):
    visitors = Visitors(30)
    assert [visitors.admit("a", 0.0) for _ in range(31)] == [0] * 30 + [2]
    assert visitors.admit("b", 0.0) == 0
    assert [visitors.admit("a", 2.0), visitors.admit("a", 2.0)] == [0, 2]
    assert [visitors.admit("a", 1000.0) for _ in range(31)] == [0] * 30 + [2]
    monkeypatch.setattr("bigmodel.ui.guard.MAX_VISITORS", 5)
    for number in range(100):
        visitors.admit(str(number), 1000.0)
    assert len(visitors._buckets) <= 7
    assert all(Visitors(0).admit("a", 0) == 0 for _ in range(1000))


def test_environment():
    assert Limits.from_environment({}) == Limits()
    assert Limits.from_environment({"BIGMODEL_BEAMS": " 4 ", "BIGMODEL_REQUESTS_PER_MINUTE": "0"}).beams == 4
    for text in ("0", "-1", "many", "1.5", "9" * 13, "١"):
        with pytest.raises(ConfigError, match="BIGMODEL_BEAMS: .*give a whole number from 1"):
            Limits.from_environment({"BIGMODEL_BEAMS": text})
    assert Limits() == LIMITS


def test_the_readme_lists_them():
    assert Limits.table() in (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
