"""The text models for programs that speak OpenAI's interface: POST /v1/completions, streamed or not; GET /v1/models.

Source: platform.openai.com/docs/api-reference/completions; those of its fields that are not offered here are refused.
"""

import json
import random
import threading
import time
import uuid
from contextlib import closing

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from bigmodel.errors import BigModelError, InputError
from bigmodel.limits import LIMITS
from bigmodel.runtime.batching import Ending
from bigmodel.text_generation.request import MAX_SEED, TASK, Request
from bigmodel.ui.validation import json_object

# their field -> ours; top_k is none of OpenAI's, but other servers of its interface take it as well
FIELDS = {name: name for name in ("model", "temperature", "top_p", "top_k", "seed")} | {"max_tokens": "max_new_tokens"}
# field -> the values beside null that ask for nothing
IDLE = {"n": (1,), "best_of": (1,), "echo": (False,), "logprobs": (), "suffix": ("",), "logit_bias": ({},)}
IDLE |= {"presence_penalty": (0,), "frequency_penalty": (0,)}
STOPS, STOP_CHARACTERS = 4, 100


class BusyError(BigModelError):
    """The host writes as many texts as it can."""


def routes(models):
    """Return the APIRouter of both paths.

    Args:
        models: the Models of the page.
    """
    router = APIRouter(prefix="/v1")
    places = threading.BoundedSemaphore(LIMITS.texts_at_once)  # these requests go beside the page's queue

    @router.get("/models")
    def list_models():
        about = {"object": "model", "created": 0, "owned_by": "bigmodel"}
        return {"object": "list", "data": [{"id": entry.name, **about} for entry in models.of_task(TASK)]}

    @router.post("/completions")
    async def complete(http: HttpRequest):
        try:
            asked = json_object(await http.body())
            request, stops = await run_in_threadpool(_check, models, asked)
            generator = await run_in_threadpool(models.get, request.model, TASK)
            parts = models.watch(_write, "completions")(generator, request, stops, places)
            first = await run_in_threadpool(next, parts)  # what is wrong shows before the answer has begun
        except BusyError as error:
            return _refusal(503, error)
        except BigModelError as error:
            return _refusal(400, error)
        if asked.get("stream"):
            usage_too = (asked.get("stream_options") or {}).get("include_usage")
            events = _events(request, first, parts, usage_too)
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        text, reason, usage = first
        with closing(parts):
            async for more, reason, usage in iterate_in_threadpool(parts):  # noqa: B007, the last ones
                text += more
                if await http.is_disconnected():
                    break
        return {**_completion(request, _choice(text, reason)), "usage": usage}

    return router


def _check(models, asked):
    """Return the Request of a body's fields, and its list of stop texts."""
    for name, idle in IDLE.items():
        if asked.get(name) is not None and asked[name] not in idle:
            raise InputError(name, f"{str(asked[name])[:40]!r} is not offered here; leave it out")
    if not isinstance(asked.get("stream_options") or {}, dict):
        raise InputError("stream_options", "must be an object")
    stops = [] if asked.get("stop") is None else asked["stop"]
    stops = [stops] if isinstance(stops, str) else stops
    few = isinstance(stops, list) and len(stops) <= STOPS
    if not few or not all(isinstance(text, str) and len(text) <= STOP_CHARACTERS for text in stops):
        raise InputError("stop", f"give a text, or up to {STOPS} texts of up to {STOP_CHARACTERS} characters")
    prompt = asked.get("prompt", "")
    prompt = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
    values = {ours: asked[theirs] for theirs, ours in FIELDS.items() if asked.get(theirs) is not None}
    return Request.check(models, **{"prompt": prompt, "seed": random.randrange(MAX_SEED), **values}), stops


def _write(generator, request, stops, places):
    """Yield (new text, None, None), and at the end ("", finish reason, usage); closing it stops the work.

    Raises:
        BusyError: no place is free.
        InputError: names the field that is wrong.
    """
    if not places.acquire(blocking=False):
        raise BusyError("this host writes as many texts as it can; ask again in a moment")
    try:
        opening, ending = request.opening(generator, request.prompt), Ending()
        settings = {name: getattr(request, name) for name in ("temperature", "top_k", "top_p", "seed")}
        settings |= {"max_new_tokens": request.tokens_of(generator), "deadline": LIMITS.text_seconds}
        stream = generator.bursts(opening, **settings, stop=stops, ending=ending)
        with closing(stream):
            for pieces in stream:
                yield "".join(pieces), None, None
        given = len(generator.tokenizer.encode(opening))
        usage = {"prompt_tokens": given, "completion_tokens": ending.tokens, "total_tokens": given + ending.tokens}
        yield "", "stop" if ending.by_itself else "length", usage
    finally:
        places.release()


async def _events(request, first, parts, usage_too):
    """Yield a streamed completion's server-sent events."""
    event = lambda values: f"data: {json.dumps(values, ensure_ascii=False)}\n\n"  # noqa: E731
    answer = _completion(request)
    with closing(parts):
        text, reason, usage = first
        yield event({**answer, "choices": [_choice(text, reason)]})
        async for text, reason, usage in iterate_in_threadpool(parts):  # noqa: B007, the last one
            yield event({**answer, "choices": [_choice(text, reason)]})
    if usage_too:
        yield event({**answer, "usage": usage})
    yield "data: [DONE]\n\n"


def _choice(text, reason):
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}


def _completion(request, *choices):
    made = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
    return {**made, "model": request.model, "choices": list(choices)}


def _refusal(status, error):
    """Return an error as OpenAI's clients read it."""
    names = {ours: theirs for theirs, ours in FIELDS.items()}
    field = getattr(error, "field", None)
    kind = "invalid_request_error" if status < 500 else "server_error"
    theirs = names.get(field, field)
    message = f"{theirs}{str(error).removeprefix(field)}" if field else str(error)
    content = {"message": message, "type": kind, "param": theirs, "code": None}
    return JSONResponse({"error": content}, status_code=status)
