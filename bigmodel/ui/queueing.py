"""Gradio's queue, kept fair and clean: a visitor's share of it, and an end of calls that nobody listens to."""

import re
import time
from collections import Counter
from contextlib import contextmanager
from math import inf
from urllib.parse import parse_qs

from fastapi import HTTPException
from gradio.routes import file_upload_statuses

from bigmodel.limits import LIMITS
from bigmodel.ui.guard import TOO_MANY_CALLS, path_of, visitor_of
from bigmodel.ui.language import translated, visitor_language

# where a visitor listens to calls: to all of a session, or to one by its id
LISTENING = re.compile(r"/gradio_api/(?:queue/data|call/(?:v2/)?[^/]+/(?P<event>[^/]+))/?")
BESIDE = re.compile(r"/(v1|gradio_api/mcp)/")  # POSTs that work themselves, without the queue
UPLOADS_WATCHED = 1000  # of whose progress Gradio keeps a note; for ever, if it were asked for nonsense


class Keeper:
    """Stands before the queue of a page.

    Args:
        blocks: ``gr.Blocks`` whose queue is configured.
    """

    def __init__(self, blocks):
        self.blocks, self.queue, self.limits = blocks, blocks._queue, LIMITS
        self._push, self.queue.push = self.queue.push, self.push
        self.queue.get_events = self.next_call
        self.queue.ANALYTICS_MAX_EVENTS = 1  # it makes a table of all of them at the end of each call
        self._arriving = []  # (visitor, kind) of calls whose fields are being checked
        self._beside = []  # the same of work without the queue
        self._listeners = Counter()  # session or event -> streams that are open
        self._heard = {}  # session -> when somebody last listened or called

    async def push(self, body, request, username):
        """Queue a call as Gradio does, unless the queue or the visitor's share is full.

        A call is counted from its arrival: in a crowd all would pass the limits while their fields are checked.

        Raises:
            HTTPException: the visitor has too many of this kind under way.
        """
        queue, body.event_id = self.queue, None  # the queue gives it one; another's would be kept for ever
        if (size := len(queue) + len(self._arriving)) >= queue.max_size:
            return False, f"Queue is full. Max size is {queue.max_size} and size is {size}.", "queue_full"
        function = self.blocks.fns.get(body.fn_index)
        kind = function.concurrency_id if function and function.concurrency_limit else None
        claim = visitor_of(request.scope), kind
        if kind and not _is_tool(request) and self.is_full(*claim):
            raise HTTPException(429, translated(TOO_MANY_CALLS, visitor_language(request)))
        self._arriving.append(claim)
        try:
            answer = await self._push(body, request, username)
        finally:
            self._arriving.remove(claim)
        self._heard[body.session_hash] = time.monotonic()
        return answer

    def next_call(self):
        """Return the call that begins now, as Gradio's ``get_events`` does: of those with fewest begun, the first.

        Who has some of a kind begun leaves as many places free, so that two or three cannot hold them all; but where
        one may have any number.
        """
        for kind, waiting in self.queue.event_queue_per_concurrency_id.items():
            limit = waiting.concurrency_limit
            free = inf if limit is None else limit - waiting.current_concurrency
            if not waiting.queue or free <= 0:  # asked a thousand times a second while calls wait
                continue
            begun = Counter(_claim(event) for job in self.queue.active_jobs for event in job or ())
            event = min(waiting.queue, key=lambda event: begun[_claim(event)])  # noqa: B023
            if free > begun[_claim(event)] or not self.limits.calls_per_visitor:
                waiting.queue.remove(event)
                return [event], event.fn.batch, kind
        return None

    def is_full(self, visitor, kind="beside"):
        """Whether a visitor has all calls of a kind under way that one may have."""
        calls = map(_claim, list(self.queue.event_ids_to_events.values()))
        count = [*calls, *self._arriving, *self._beside].count((visitor, kind))
        return 0 < self.limits.calls_per_visitor <= count

    @property
    def beside(self):
        """Return how many requests work without the queue."""
        return len(self._beside)

    @staticmethod
    def works_beside(scope):
        """Whether a request works itself, without the queue."""
        return scope["method"] == "POST" and BESIDE.match(path_of(scope)) is not None

    @contextmanager
    def attend(self, scope):
        """Note, while a request is served, that it listens to calls, or works beside the queue."""
        listening = LISTENING.fullmatch(path_of(scope)) if scope["method"] == "GET" else None
        works = self.works_beside(scope)
        session = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash", [""])[0]
        name, claim = listening and (listening["event"] or session), (visitor_of(scope), "beside")
        if name:
            self._listeners[name] += 1
        if works:
            self._beside.append(claim)
        try:
            yield
        finally:
            if works:
                self._beside.remove(claim)
            if name:
                self._listeners[name] -= 1
                self._listeners += Counter()  # forgets those without a stream

    async def tend(self):
        """End the calls of sessions that nobody has listened to for a while, and drop what is kept for them.

        Gradio ends the calls of one who has listened and left, but keeps their ids; of one who never listened, all.
        """
        queue, now = self.queue, time.monotonic()
        sessions = {*queue.pending_event_ids_session, *queue.pending_messages_per_session}
        self._heard = {session: self._heard.get(session, now) for session in sessions}
        for session in sessions:
            if {session, *queue.pending_event_ids_session.get(session, ())} & self._listeners.keys():
                self._heard[session] = now
            elif now - self._heard[session] > self.limits.listen_seconds:
                await queue.clean_events(session_hash=session)
                queue.pending_messages_per_session.pop(session, None)
                queue.pending_event_ids_session.pop(session, None)
        if queue.server_app:
            await self._forget_the_lost()
            queue.server_app.iterators_to_reset &= queue.event_ids_to_events.keys()
        for noted in (file_upload_statuses._signals, file_upload_statuses._statuses):
            for upload in list(noted)[:-UPLOADS_WATCHED]:
                del noted[upload]

    async def _forget_the_lost(self):
        """Forget the calls that neither wait nor have a task; they would count in their visitor's share for ever.

        Gradio keeps a call that is cancelled again as it ends, and its place, too, if it is cancelled as it begins.
        """
        queue = self.queue
        known = {task.get_name().rpartition("<gradio-sep>")[-1] for task in queue._asyncio_tasks}
        known.update(event._id for kind in queue.event_queue_per_concurrency_id.values() for event in kind.queue)
        for name in {*queue.event_ids_to_events, *queue.server_app.iterators} - known:
            event = queue.event_ids_to_events.pop(name, None)
            if [event] in queue.active_jobs:
                queue.active_jobs[queue.active_jobs.index([event])] = None
                queue.event_queue_per_concurrency_id[event.concurrency_id].current_concurrency -= 1
            await queue.reset_iterators(name)

    def kept(self):
        """Return how many of each thing are kept in memory for visitors: name -> count."""
        queue, app = self.queue, self.queue.server_app
        return {
            "calls": len(queue.event_ids_to_events),
            "pending": sum(map(len, queue.pending_event_ids_session.values())),
            "messages": len(queue.pending_messages_per_session),
            "iterators": len(app.iterators) + len(app.iterators_to_reset) if app else 0,
            "sessions": len(self.blocks.state_holder.session_data) if app else 0,
            "watched": len(file_upload_statuses._signals) + len(file_upload_statuses._statuses),
        }


def _claim(event):
    visitor = event._id if _is_tool(event.request) else visitor_of(event.request.scope)
    return visitor, event.concurrency_id


def _is_tool(request):
    """Whether the MCP server of this page asks: for many visitors, whose own requests are counted beside the queue."""
    return request.headers.get("x-gradio-user") == "mcp" and request.client and request.client.host == "127.0.0.1"
