"""How the server is run: /health and /metrics for machines, calls logged and counted, and a stop that waits.

Environment:
    BIGMODEL_METRICS: 1 offers Prometheus figures at /metrics.
"""

import asyncio
import functools
import inspect
import logging
import os
import secrets
import signal
import threading
import time
from contextlib import closing

import gradio as gr
from gradio.context import LocalContext
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bigmodel.errors import BigModelError
from bigmodel.limits import LIMITS
from bigmodel.ui import about, logs, uploads
from bigmodel.ui.guard import RETRY_S, memory_limit, memory_used
from bigmodel.ui.language import translated, visitor_language
from bigmodel.ui.queueing import Keeper

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Operation:
    """What one server knows of its work.

    Args:
        demo: the page, ``gr.Blocks`` with ``.models``.

    Attributes:
        stopping: no new work is taken.
        keeper: queueing.Keeper of the page's queue.
        store: uploads.Store of visitors' files.
    """

    def __init__(self, demo):
        self.demo, self.stopping, self._memory = demo, False, memory_limit()
        self.keeper, self.store = Keeper(demo), uploads.Store(uploads.claim())
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        named = {"namespace": "bigmodel", "registry": self.registry}
        self._requests = Counter("requests", "HTTP requests", ["method", "status"], **named)
        self._calls = Counter("calls", "calls of events and endpoints", ["name", "outcome"], **named)
        self._seconds = Histogram("call_seconds", "from a call's start to its end", ["name"], buckets=SECONDS, **named)
        self._first = Histogram("first_seconds", "to a call's first result", ["name"], buckets=SECONDS, **named)
        Gauge("running", "calls that run", **named).set_function(self.running)
        Gauge("waiting", "calls that wait for their turn", **named).set_function(lambda: len(demo._queue))
        kept = Gauge("kept", "what is kept for visitors", ["what"], **named)
        for what in self.kept():
            kept.labels(what).set_function(lambda what=what: self.kept()[what])
        Gauge("upload_bytes", "of visitors' files", **named).set_function(lambda: self.store.bytes)
        for function in demo.fns.values():
            if function.fn:
                function.fn = self.watch(function.fn, function.api_name or function.name)
            if function.validator:
                function.validator = self.watch(function.validator, "check")
        demo.models.watch = self.watch

    def count(self, method, status):
        """Count an HTTP request."""
        known = method if method in ("GET", "HEAD", "POST") else "other"
        self._requests.labels(known, status).inc()

    def memory_is_short(self):
        """Whether the process has more memory than it may."""
        return memory_used() > self._memory

    def running(self):
        """Return how many calls run."""
        return sum(jobs is not None for jobs in self.demo._queue.active_jobs) + self.keeper.beside

    @property
    def connections(self):
        """Return how many connections are open."""
        server = getattr(self.demo, "server", None)
        return len(server.server_state.connections) if server else 0

    def kept(self):
        """Return how many of each thing are kept for visitors: name -> count."""
        models = [entry.model for entry in self.demo.models.entries.values()]
        texts = sum(model.batch.active for model in models if hasattr(model, "batch"))
        return {**self.keeper.kept(), "texts": texts, "files": self.store.files}

    async def tend(self):
        """Clean up after visitors, each second, for as long as the page is served."""
        lasting = set().union(*(getattr(block, "keep_in_cache", ()) for block in self.demo.blocks.values()))
        while True:
            await asyncio.sleep(1)
            try:
                await self.keeper.tend()
                await asyncio.to_thread(self.store.tend, lasting, self.demo.temp_file_sets)
            except Exception as error:  # the next second may be better
                logs.log("untended", level=logging.ERROR, error=type(error).__name__, where=logs.where(error))

    def routes(self):
        """Return the plain HTTP routes: /health, and /metrics where it is asked for."""
        routes = [Route("/health", self.health)]
        if os.environ.get("BIGMODEL_METRICS") == "1":
            routes.append(Route("/metrics", self.metrics))
        return routes

    async def health(self, request):
        """Answer a balancer: 200 where a visitor can be served, 503 while models are opened or the server stops."""
        found = about.health(self.demo.models)
        states = [model["state"] for model in found["models"].values()]
        ready = not self.stopping and "loading" not in states and ("ready" in states or not states)
        found["status"] = "stopping" if self.stopping else found["status"]
        return JSONResponse(found, 200 if ready else 503, {} if ready else {"Retry-After": str(RETRY_S)})

    async def metrics(self, request):
        """Answer Prometheus."""
        return Response(generate_latest(self.registry), media_type="text/plain; version=0.0.4")

    def watch(self, function, name):
        """Return an event's function with its calls logged and counted, and its faults told with a request id."""
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def watched(*args, **kwargs):
                with _Call(self, name) as call, closing(function(*args, **kwargs)) as values:
                    for value in values:
                        call.first = call.first or time.monotonic()
                        yield value

        else:

            @functools.wraps(function)
            def watched(*args, **kwargs):
                with _Call(self, name):
                    return function(*args, **kwargs)

        return watched

    def end(self, call, outcome, error):
        """Note a call's end."""
        seconds = time.monotonic() - call.started
        self._calls.labels(call.name, outcome).inc()
        self._seconds.labels(call.name).observe(seconds)
        self._first.labels(call.name).observe((call.first or time.monotonic()) - call.started)
        fields = {"request_id": call.request_id, "name": call.name, "outcome": outcome, "seconds": round(seconds, 3)}
        if outcome == "failed":
            fields |= {"error": type(error).__name__, "where": logs.where(error)}
        if outcome != "done" or seconds > 1:
            logs.log("call", level=logging.ERROR if outcome == "failed" else logging.INFO, **fields)

    def serve(self):
        """Wait for SIGTERM or Ctrl+C, let running calls end, and close the page; a second signal closes it at once."""
        signalled = threading.Event()

        def stop(*_):
            if signalled.is_set():
                raise SystemExit(1)
            signalled.set()

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
        while not signalled.wait(0.2) and self.demo.is_running:
            pass
        self.stopping, deadline = True, time.monotonic() + LIMITS.stop_seconds
        logs.log("stopping", running=self.running(), waiting=len(self.demo._queue))
        while (self.running() or len(self.demo._queue)) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)  # for last words on their way
        logs.log("stopped", cut_off=self.running() + len(self.demo._queue))
        self.demo.server.config.timeout_graceful_shutdown = 1  # pages hold a connection for as long as they are open
        self.demo.close(verbose=False)


class _Call:
    """One call of an event's function."""

    def __init__(self, operation, name):
        self.operation, self.name = operation, name
        self.started, self.first = time.monotonic(), None
        request = LocalContext.request.get(None)
        state = getattr(getattr(request, "request", None), "state", None)
        self.request_id = getattr(state, "request_id", None) or logs.REQUEST_ID.get() or secrets.token_hex(6)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if kind is None:
            outcome = "done"
        elif issubclass(kind, GeneratorExit):
            outcome = "left"
        else:
            outcome = "refused" if issubclass(kind, gr.Error | BigModelError) else "failed"
        self.operation.end(self, outcome, error)
        if outcome == "failed" and issubclass(kind, Exception):
            told = f"This did not work, and it is our fault. The log has it as request {self.request_id}."
            raise gr.Error(translated(told, visitor_language()), print_exception=False) from error
