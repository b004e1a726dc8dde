"""What stands before the page: each HTTP request is measured against the limits before Gradio sees it.

Refusals are JSON, {"error", "detail", "request_id"}, with a status of 4xx or 503 and Retry-After where waiting helps.
"""

import asyncio
import ipaddress
import json
import logging
import math
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bigmodel.limits import LIMITS
from bigmodel.ui import logs

UPLOAD = "/gradio_api/upload"
# of Gradio's, and not used: they go around the queue, fetch addresses, write files, or show what others do
CLOSED = re.compile(
    r"/(gradio_api/(run/|api/|proxy=|deep_link|process_recording|vibe|undo-vibe|run-history|runs)|monitoring)"
)
RETRY_S = 5
MAX_VISITORS = 10_000  # whose requests are counted; the longest silent is forgotten


@dataclass(frozen=True)
class Refusal:
    """Why a request is not served.

    Attributes:
        status: of HTTP.
        detail: what the visitor is told.
        retry_after: seconds, or None where the same request is refused again.
    """

    status: int
    detail: str
    retry_after: int | None = None


UNREADABLE = Refusal(400, "the request is not what this address takes")
FAULT = Refusal(500, "this did not work, and it is our fault")


class Visitors:
    """Counts each visitor's requests: a bucket that a minute fills and that holds a minute's.

    Args:
        per_minute: requests; 0 for any number.
    """

    def __init__(self, per_minute):
        self.per_minute = per_minute
        self._buckets = OrderedDict()  # visitor -> (requests left, time of the last one)

    def admit(self, visitor, now):
        """Count a request; return the seconds to wait where it is one too many, else 0."""
        if not self.per_minute:
            return 0
        left, last = self._buckets.pop(visitor, (self.per_minute, now))
        left = min(self.per_minute, left + (now - last) * self.per_minute / 60)
        self._buckets[visitor] = (max(left - 1, 0) if left >= 1 else left), now
        if len(self._buckets) > MAX_VISITORS:
            self._buckets.popitem(last=False)
        return 0 if left >= 1 else math.ceil((1 - left) * 60 / self.per_minute)


class Guard:
    """ASGI middleware that refuses what is beyond the limits.

    Args:
        app: what it stands before.
        operation: operation.Operation, whose ``stopping`` and ``count`` it uses.
        limits: limits.Limits.
    """

    def __init__(self, app, operation, limits=LIMITS):
        self.app, self.operation, self.limits = app, operation, limits
        self.visitors = Visitors(limits.requests_per_minute)

    async def __call__(self, scope, receive, send):
        """Serve or refuse a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, identity, status, begun = time.monotonic(), secrets.token_hex(6), 500, False
        scope.setdefault("state", {})["request_id"] = identity
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reader = _Reader(receive, self._longest(scope), self.limits.request_seconds)

        async def answer(message):
            nonlocal status, begun
            if message["type"] == "http.response.start":
                if reader.refusal:  # the body was too long or slow, whatever the page made of it
                    raise _RefusedError(reader.refusal)
                status, begun = message["status"], True
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
                if status in (429, 503):
                    message["headers"].append((b"retry-after", str(RETRY_S).encode()))
            await send(message)

        try:
            if refusal := self._refuse(scope, headers):
                raise _RefusedError(refusal)
            await self.app(scope, reader, answer)
        except _RefusedError as refused:
            status = refused.refusal.status
            await _send_refusal(send, refused.refusal, identity)
        except Exception as error:
            if begun:
                raise
            # calls run in the queue, so what fails here is the reading of what was sent
            refusal = UNREADABLE if scope["method"] == "POST" else FAULT
            status = refusal.status
            logs.log(
                "unread", level=logging.ERROR, request_id=identity, error=type(error).__name__, where=logs.where(error)
            )
            await _send_refusal(send, refusal, identity)
        finally:
            self._note(scope, identity, status, time.monotonic() - started)

    def _note(self, scope, identity, status, seconds):
        """Count a request, and log those that ask for work or were refused."""
        self.operation.count(scope["method"], status)
        if scope["method"] != "GET" or status >= 400:
            path = scope["path"].partition("=")[0][:120]  # behind it stand names of files
            fields = {"method": scope["method"], "path": path, "status": status, "seconds": round(seconds, 3)}
            logs.log("request", request_id=identity, **fields)

    def _longest(self, scope):
        """Return how many bytes the body may have: an upload has a frame around its file."""
        upload = scope["path"].rstrip("/") == UPLOAD
        return self.limits.upload_bytes + 10_000 if upload else self.limits.body_bytes

    def _refuse(self, scope, headers):
        """Return the Refusal of a request by what is known before its body, or None."""
        if CLOSED.match(scope["path"]):
            return Refusal(404, "there is nothing here")
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        if _is_foreign(headers):
            return Refusal(403, "requests from other sites are refused")
        length, longest = headers.get("content-length", "0"), self._longest(scope)
        if not length.isdigit():
            return Refusal(400, "Content-Length must be a number")
        if int(length) > longest:
            return too_large(longest)
        if self.operation.stopping:
            return Refusal(503, "the server is being stopped; try again soon", RETRY_S)
        if self.operation.memory_is_short():
            return Refusal(503, "the server's memory is full; try again soon", RETRY_S)
        if wait := self.visitors.admit(visitor_of(scope), time.monotonic()):
            limit = f"the limit is {self.limits.requests_per_minute} requests a minute"
            return Refusal(429, f"too many requests; {limit}", wait)
        return None


class _RefusedError(Exception):
    def __init__(self, refusal):
        self.refusal = refusal


class _Reader:
    """Passes a body on, up to its length and time."""

    def __init__(self, receive, longest, seconds):
        self.receive, self.longest, self.left = receive, longest, longest
        self.deadline, self.complete, self.refusal = time.monotonic() + seconds, False, None

    async def __call__(self):
        if self.complete:
            return await self.receive()
        if not self.refusal:
            try:
                message = await asyncio.wait_for(self.receive(), max(self.deadline - time.monotonic(), 0.001))
            except TimeoutError:
                self.refusal = Refusal(408, "the request came too slowly")
            else:
                self.left -= len(message.get("body", b""))
                self.complete = not message.get("more_body")
                if self.left >= 0:
                    return message
                self.refusal = too_large(self.longest)
        self.complete = True
        return {"type": "http.disconnect"}


def too_large(longest):
    """Return the Refusal of a body that is longer than so many bytes."""
    return Refusal(413, f"the request is too large; the limit is {longest:,} bytes")


def visitor_of(scope):
    """Return who asks: an address, or the network that one IPv6 subscriber has.

    uvicorn takes the address from X-Forwarded-For where the connection comes from a proxy of FORWARDED_ALLOW_IPS.
    """
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _is_foreign(headers):
    """Whether a browser sends this from another site's page."""
    if "origin" not in headers:
        return False
    own = {headers.get("host", ""), headers.get("x-forwarded-host", "")} - {""}
    return urlsplit(headers["origin"]).netloc not in own


async def _send_refusal(send, refusal, identity):
    detail = f"{refusal.detail} (request {identity})"
    body = json.dumps({"error": detail, "detail": detail, "request_id": identity}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"x-request-id", identity.encode()))
    if refusal.retry_after:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def impatient(protocol, seconds):
    """Return a uvicorn protocol class that hangs up where a request's head takes longer than so many seconds."""

    class Impatient(protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, self._hang_up, None)

        def data_received(self, data):
            between = self.cycle is None or self.cycle.response_complete
            if between and self._timer is None:
                self._timer = self.loop.call_later(seconds, self._hang_up, self.cycle)
            super().data_received(data)

        def connection_lost(self, exc):
            if self._timer:
                self._timer.cancel()
            super().connection_lost(exc)

        def _hang_up(self, cycle):
            self._timer = None
            if self.cycle is cycle:  # no request has begun since
                self.transport.close()

    return Impatient


def count_early(queue):
    """Count a call in Gradio's queue from its arrival: in a crowd all would pass its limit while fields are checked."""
    push, arriving = queue.push, 0

    async def counted(*arguments, **options):
        nonlocal arriving
        if (size := len(queue) + arriving) >= queue.max_size:
            return False, f"Queue is full. Max size is {queue.max_size} and size is {size}.", "queue_full"
        arriving += 1
        try:
            return await push(*arguments, **options)
        finally:
            arriving -= 1

    queue.push = counted


def memory_limit(limits=LIMITS):
    """Return the bytes that this process may take: as said, or nine tenths of its container's or machine's."""
    if limits.memory_bytes:
        return limits.memory_bytes
    sizes = []
    try:
        sizes.append(int(Path("/proc/meminfo").read_text().split()[1]) * 1024)
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # not Linux, or no limit
        pass
    return int(0.9 * min(sizes)) if sizes else math.inf


def memory_used():
    """Return this process's resident bytes; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, ValueError):
        return 0
