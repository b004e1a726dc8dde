"""What stands before the page: each HTTP request is measured against the limits before Gradio sees it.

Refusals are JSON, {"error", "detail", "request_id"}, with a status of 4xx or 5xx and Retry-After where waiting helps.
"""

import asyncio
import errno
import ipaddress
import json
import logging
import math
import os
import re
import secrets
import time
import traceback
from collections import Counter, OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from bigmodel.limits import LIMITS
from bigmodel.ui import logs
from bigmodel.ui.language import translated, visitor_language
from bigmodel.ui.uploads import finishing

UPLOAD = "/gradio_api/upload"
# of Gradio's, and not used: they go around the queue, fetch addresses, write files, or show what others do
CLOSED = re.compile(
    r"/(gradio_api/(run/|api/|proxy=|deep_link|process_recording|component_server|vibe|undo-vibe|run-history|runs)"
    r"|gradio_api/file[=/]+https?:"
    r"|monitoring|pwa_icon/)",  # the last one makes pictures of any size, of an icon that has none
    re.IGNORECASE,
)
RETRY_S = 5
# what says how much memory there is, and in which unit: the machine, control groups of version 2, and of version 1
MEMORY = (
    ("proc/meminfo", 1024),
    ("sys/fs/cgroup/memory.max", 1),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", 1),
)
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


TOO_MANY_CALLS = "you have as many requests of this kind under way as one visitor may; wait until one has ended"
UNREADABLE = Refusal(400, "the request is not what this address takes")
FAULT = Refusal(500, "this did not work, and it is our fault")
DISK_FULL = Refusal(507, "the server has no room for files now; try again later", 60)
MISREAD = (ValueError, LookupError, TypeError, AttributeError, ClientDisconnect)  # what Gradio raises of nonsense
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PACKAGE = str(Path(__file__).parents[1])


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
        operation: operation.Operation of the page.
        limits: limits.Limits.
    """

    def __init__(self, app, operation, limits=LIMITS):
        self.app, self.operation, self.limits = app, operation, limits
        self.visitors, self.readers = Visitors(limits.requests_per_minute), Visitors(limits.reads_per_minute)
        self._open = Counter()  # visitor -> requests that are being served

    async def __call__(self, scope, receive, send):
        """Serve or refuse a request."""
        if scope["type"] == "lifespan":
            tending = asyncio.create_task(self.operation.tend())
            try:
                await self.app(scope, receive, send)
            finally:
                tending.cancel()
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        else:
            visitor = visitor_of(scope)
            self._open[visitor] += 1
            try:
                await self._serve(scope, receive, send)
            finally:
                self._open[visitor] -= 1
                if not self._open[visitor]:
                    del self._open[visitor]

    async def _serve(self, scope, receive, send):
        started, identity, status, begun = time.monotonic(), secrets.token_hex(6), 500, False
        scope.setdefault("state", {})["request_id"] = identity
        logs.REQUEST_ID.set(identity)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reader = _Reader(receive, self._longest(scope), self.limits.request_seconds)

        async def answer(message):
            nonlocal status, begun
            if message["type"] == "http.response.start":
                if reader.refusal:  # the body was too long or slow, whatever the page made of it
                    raise _RefusedError(reader.refusal)
                status, begun = message["status"], True
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
                if status in (429, 503) and not any(name.lower() == b"retry-after" for name, _ in message["headers"]):
                    message["headers"].append((b"retry-after", str(RETRY_S).encode()))
            await send(message)

        try:
            if refusal := self._refuse(scope, headers):
                raise _RefusedError(refusal)
            with self.operation.keeper.attend(scope), finishing():
                await self.app(scope, reader, answer)
        except _RefusedError as refused:
            status = refused.refusal.status
            await _send_refusal(scope, send, refused.refusal, identity)
        except Exception as error:
            refusal = reader.refusal or _refusal_of(error, scope)
            what, level = ("failed", logging.ERROR) if refusal.status >= 500 else ("unread", logging.INFO)
            fields = {"request_id": identity, "error": type(error).__name__, "where": logs.where(error)}
            logs.log(what, level=level, **fields)
            if not begun:
                status = refusal.status
                await _send_refusal(scope, send, refusal, identity)
            elif refusal.status < 500:  # else uvicorn closes the connection, since the answer has no end
                await send({"type": "http.response.body", "body": b""})
        finally:
            if _is_upload(scope):
                self.operation.store.add(reader.longest - reader.left)
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
        return self.limits.upload_bytes + 10_000 if _is_upload(scope) else self.limits.body_bytes

    def _refuse(self, scope, headers):
        """Return the Refusal of a request by what is known before its body, or None."""
        if CLOSED.match(path_of(scope)):
            return Refusal(404, "there is nothing here")
        if self.operation.connections > self.limits.connections:
            return Refusal(503, "the server has as many visitors as it can have; try again soon", RETRY_S)
        visitor, many = visitor_of(scope), self.limits.connections_per_visitor
        if 0 < many < self._open[visitor]:
            return Refusal(429, f"too many requests at once; the limit is {many}", RETRY_S)
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return _too_many(self.readers, visitor)
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
        if _is_upload(scope) and self.operation.store.is_full(int(length)):
            return DISK_FULL
        if self.operation.keeper.works_beside(scope) and self.operation.keeper.is_full(visitor):
            return Refusal(429, TOO_MANY_CALLS, RETRY_S)
        return _too_many(self.visitors, visitor)


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


def path_of(scope):
    """Return a request's path below the sub-path that the page is served at: Gradio answers with and without it."""
    root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _is_upload(scope):
    return path_of(scope).rstrip("/") == UPLOAD


def _too_many(visitors, visitor):
    """Count a request; return the Refusal of one too many, or None."""
    if wait := visitors.admit(visitor, time.monotonic()):
        return Refusal(429, f"too many requests; the limit is {visitors.per_minute} requests a minute", wait)
    return None


def _refusal_of(error, scope):
    """Return the Refusal of a request that raised an error: Gradio raises many of what it cannot read."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return DISK_FULL
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UNREADABLE
    if isinstance(error.__cause__, HTTPException):  # Gradio refuses in the middle of an answer
        return Refusal(error.__cause__.status_code, str(error.__cause__.detail))
    raised = traceback.extract_tb(error.__traceback__)[-1].filename
    theirs = path_of(scope).startswith("/gradio_api/") and not raised.startswith(PACKAGE)
    return UNREADABLE if theirs and isinstance(error, MISREAD) else FAULT


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
    address = getattr(address, "ipv4_mapped", None) or address  # as a proxy of both versions writes it
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _is_foreign(headers):
    """Whether a browser sends this from another site's page."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):  # no script can say otherwise
        return True
    if "origin" not in headers:
        return False
    own = {headers.get("host", ""), headers.get("x-forwarded-host", "")} - {""}
    try:
        return urlsplit(headers["origin"]).netloc not in own
    except ValueError:  # no address at all
        return True


def trust_proxy(environment=os.environ):
    """Take visitors' addresses from a Space's own proxy, which asks from a private network: see ``visitor_of``."""
    if environment.get("SPACE_ID"):
        environment.setdefault("FORWARDED_ALLOW_IPS", "127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16")


async def _send_refusal(scope, send, refusal, identity):
    detail = translated(f"{refusal.detail} (request {identity})", visitor_language(Request(scope)))
    body = {"error": detail, "detail": detail, "request_id": identity}
    body = json.dumps(body, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"x-request-id", identity.encode()))
    if refusal.retry_after:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def impatient(protocol, seconds, most=0):
    """Return a uvicorn protocol class that hangs up on those who hold connections for nothing.

    Args:
        protocol: the class that it extends.
        seconds: that a request's head may take.
        most: connections of one address that is no proxy of FORWARDED_ALLOW_IPS; 0 for any number.
    """
    peers = Counter()

    class Impatient(protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            proxies = getattr(self.config.loaded_app, "trusted_hosts", ())
            self._peer = visitor_of({"client": self.client})
            peers[self._peer] += 1
            if 0 < most < peers[self._peer] and self.client and self.client[0] not in proxies:
                transport.abort()
            self._timer = None
            self._await()

        def data_received(self, data):
            between = self.cycle is None or self.cycle.response_complete
            if between and self._awaited is not self.cycle:
                self._await()
            super().data_received(data)

        def _await(self):
            """Wait for the head of the request after ``cycle``."""
            if self._timer:
                self._timer.cancel()
            self._awaited = self.cycle
            self._timer = self.loop.call_later(seconds, self._hang_up)

        def connection_lost(self, exc):
            if self._timer:
                self._timer.cancel()
            peers[self._peer] -= 1
            if not peers[self._peer]:
                del peers[self._peer]
            super().connection_lost(exc)

        def _hang_up(self):
            self._timer = None
            if self.cycle is self._awaited:  # no request has begun since
                self.transport.close()

    return Impatient


def memory_limit(limits=LIMITS, root="/"):
    """Return the bytes that this process may take: as said, or nine tenths of its container's or machine's.

    Args:
        limits: limits.Limits.
        root: of the file system that tells them.
    """
    if limits.memory_bytes:
        return limits.memory_bytes
    sizes = []
    for path, unit in MEMORY:
        with suppress(OSError, ValueError):  # not Linux, or no limit
            sizes.append(int((Path(root) / path).read_text().removeprefix("MemTotal:").split()[0]) * unit)
    return int(0.9 * min(sizes)) if sizes else math.inf


def memory_used():
    """Return this process's resident bytes; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
