"""Visitors of a page that is served elsewhere: Gradio's queue protocol over HTTP, and what they measure."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bigmodel.errors import BigModelError

REPOSITORY = Path(__file__).parents[2]
START_S = 300  # that a page may take to be ready, on a busy machine; else some five


@dataclass
class Visit:
    """One call of an endpoint.

    Attributes:
        status: HTTP status of joining the queue; 0 where there was no answer.
        value: what came last.
        error: what the visitor was told instead of a result, or "".
        started: time.perf_counter() of the call.
        pieces: (seconds since the call, characters) of each growth of a text.
        seconds: to the end.
        retry_after: seconds that a refusal asks for, or None.
    """

    status: int = 0
    value: object = None
    error: str = ""
    started: float = field(default_factory=time.perf_counter)
    pieces: list = field(default_factory=list)
    seconds: float = 0.0
    retry_after: float | None = None

    @property
    def done(self):
        """Whether the visitor has got a whole result."""
        return self.status == 200 and not self.error


async def endpoints(client):
    """Return the named endpoints of a page: name -> number, by httpx.AsyncClient ``client`` of its address."""
    config = (await client.get("config")).raise_for_status().json()
    return {fn["api_name"]: fn["id"] for fn in config["dependencies"] if fn.get("api_name")}


async def visit(client, number, data, *, leave_after=None):
    """Call an endpoint as a browser does, and return the Visit.

    Args:
        client: httpx.AsyncClient of the page's address.
        number: of the endpoint, see ``endpoints``.
        data: its arguments, in order.
        leave_after: go away without a word after so many messages.
    """
    result, session = Visit(), secrets.token_hex(8)
    try:
        body = {"data": data, "fn_index": number, "session_hash": session}
        joined = await client.post("gradio_api/queue/join", json=body)
        result.status = joined.status_code
        if joined.status_code != 200:
            result.error = joined.text[:300]
            result.retry_after = float(joined.headers["retry-after"]) if "retry-after" in joined.headers else None
        else:
            async with client.stream("GET", f"gradio_api/queue/data?session_hash={session}") as stream:
                await _follow(stream, result, leave_after)
    except httpx.HTTPError as error:
        result.error = f"{type(error).__name__}: {error}"
    result.seconds = time.perf_counter() - result.started
    return result


async def lines(stream):
    """Yield the lines of a httpx.Response as they come; a line feed alone ends one, while httpx takes U+2028, too."""
    rest = ""
    async for text in stream.aiter_text():
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield line.removesuffix("\r")


async def _follow(stream, result, leave_after):
    """Read an event's messages to its end."""
    count = 0
    async for line in lines(stream):
        if not line.startswith("data: "):
            continue
        message, count = json.loads(line[6:]), count + 1
        if leave_after is not None and count >= leave_after:
            return
        kind, output = message["msg"], message.get("output") or {}
        if kind == "process_generating" and message["success"]:
            _grow(result, output["data"][0])
        elif kind == "process_completed":
            if not message["success"]:
                result.error = str(output.get("error") or message.get("title") or "error")
            elif output.get("data"):
                result.value = output["data"][0]
            return
        elif kind in ("unexpected_error", "server_stopped"):
            result.error = str(message.get("message", kind))
            return


def _grow(result, part):
    """Note a piece: the first comes whole, the following ones as differences."""
    if isinstance(part, str):
        grown = part
    else:
        changes = [change for change in part if isinstance(change, list) and len(change) == 3]
        added = [value for action, _, value in changes if action in ("append", "replace")]
        grown = "".join(value for value in added if isinstance(value, str))
    if grown:
        result.pieces.append((time.perf_counter() - result.started, len(grown)))


@contextmanager
def served(program, *, environment=None, path=""):
    """Run a program that serves a page, in a process of its own, and give (address, subprocess.Popen).

    Args:
        program: arguments of the interpreter; it serves where GRADIO_SERVER_PORT says.
        environment: variables beside this process's.
        path: what answers 200 when the page is ready, such as "health".

    Raises:
        BigModelError: the program ended, or was not ready in time.
    """
    port = free_port()
    variables = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=REPOSITORY,
        env={**variables, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(address + path, timeout=10).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        else:
            how = "not ready" if process.poll() is None else f"ended with {process.returncode}"
            raise BigModelError(f"{program[0]}: {how} in {START_S} s")
        yield address, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    """Return the number of a port that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def memory_of(process):
    """Return the resident bytes of a subprocess.Popen; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def uncounted(models=None):
    """Return the environment of a page whose visitors all come from here.

    Args:
        models: folders of models, separated by commas; None for the shipped ones.
    """
    names = ("REQUESTS_PER_MINUTE", "READS_PER_MINUTE", "CALLS_PER_VISITOR", "CONNECTIONS_PER_VISITOR")
    return {f"BIGMODEL_{name}": "0" for name in names} | ({"BIGMODEL_MODELS": str(models)} if models else {})


def census(process):
    """Return (memory in MB, threads, open files) of a subprocess.Popen, as Linux counts them."""
    folder = Path(f"/proc/{process.pid}")
    return memory_of(process) / 1e6, len(list(folder.glob("task/*"))), len(list(folder.glob("fd/*")))
