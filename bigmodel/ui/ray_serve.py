"""The models behind Ray Serve: replicas on many cores or machines, each with the runtime classes as they are.

    pip install -e ".[ray]"
    serve run bigmodel.ui.ray_serve:build replicas=2

Programs ask by JSON: POST /v1/completions (OpenAI's, streamed or not), and /translate, /generate_image,
/classify_image and /detect_objects with the arguments of the page's endpoints, pictures in base64; GET /health.
Checks, limits and deadlines are each task's own, the same as on the page. The page itself is not served: its queue
and its visitors' uploads are one process's.
"""

import base64
import binascii
import dataclasses
import os
import socket
import threading

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from bigmodel.errors import BigModelError, ConfigError, InputError
from bigmodel.limits import LIMITS
from bigmodel.registry import TASKS
from bigmodel.runtime.artifacts import SHIPPED
from bigmodel.ui.models import Models
from bigmodel.ui.validation import json_object

DEFAULTS = {"replicas": 2, "threads": 1, "models": ""}


def build(arguments=None):
    """Return the application that ``serve run`` starts.

    Args:
        arguments: dict of texts, as ``serve run`` has them from its command line: "replicas"; "threads", cores of each;
            "models", folders or Hub ids separated by commas, the shipped ones by default.

    Raises:
        ConfigError: an argument is unknown or no whole number.
    """
    unknown = set(arguments or ()) - set(DEFAULTS)
    if unknown:
        raise ConfigError(f"{sorted(unknown)[0]} is unknown; there are {', '.join(DEFAULTS)}")
    given = {**DEFAULTS, **(arguments or {})}
    try:
        replicas, threads = int(given["replicas"]), int(given["threads"])
    except ValueError as error:
        raise ConfigError(f"replicas and threads are whole numbers: {error}") from error
    from ray import serve  # an extra, and slow to import

    roots = [path.strip() for path in given["models"].split(",") if path.strip()] or [str(SHIPPED)]
    roots = [os.path.abspath(root) if os.path.exists(root) else root for root in roots]  # workers run elsewhere
    # a function, which each replica calls; Ray takes any other callable for the application itself
    deployment = serve.deployment(serve.ingress(lambda: build_api(roots))())
    return deployment.options(
        name="BigModel",
        num_replicas=replicas,
        max_ongoing_requests=LIMITS.texts_at_once,
        max_queued_requests=LIMITS.queue_length,  # beyond, Ray answers 503
        ray_actor_options={"num_cpus": threads, "runtime_env": {"env_vars": {"BIGMODEL_THREADS": str(threads)}}},
    ).bind()


def build_api(roots):
    """Return a replica's FastAPI; its models are opened in the background.

    Args:
        roots: see Models.
    """
    tabs = {task.id: task.module("tab") for task in TASKS.values()}
    models = Models(roots, {task: tab.load for task, tab in tabs.items()})
    api = FastAPI(title="BigModel")
    for tab in tabs.values():
        if hasattr(tab, "routes"):
            api.include_router(tab.routes(models))
    for name, (answer, at_once) in ANSWERS.items():
        api.post(f"/{name}")(_handler(models, answer, threading.BoundedSemaphore(at_once)))

    @api.get("/health")
    def health():
        states = {entry.name: entry.state for entry in models.entries.values()}
        ready = "ready" in states.values()
        about = {"models": states, "replica": f"{socket.gethostname()}/{os.getpid()}"}
        return JSONResponse(about, 200 if ready else 503)

    models.open_all()
    return api


def _handler(models, answer, places):
    """Return the handler of an endpoint: its arguments are a JSON object, and so is its answer."""

    def work(asked):
        with places:
            return answer(models, asked)

    async def handle(http: HttpRequest):
        try:
            return await run_in_threadpool(work, await _read(http))
        except BigModelError as error:
            told = {"field": getattr(error, "field", None), "message": str(error)}
            return JSONResponse({"error": told}, status_code=400)

    return handle


async def _read(http):
    """Return the JSON object of a request's body."""
    body, limit = bytearray(), 2 * LIMITS.upload_bytes  # base64 makes a picture a third larger
    async for part in http.stream():
        body += part
        if len(body) > limit:
            raise InputError("body", f"is larger than the limit of {limit:,} bytes")
    return json_object(body)


def _request(task, models, asked, fields):
    """Return the task's checked Request of a JSON object.

    Raises:
        InputError: names the field that is wrong, unknown ones included.
    """
    for name in asked:
        if name not in fields:
            raise InputError(name[:40], f"is unknown; there are {', '.join(fields)}")
    return TASKS[task].module("request").Request.check(models, **asked)


def _translate(models, asked):
    task = TASKS["translation"]
    fields = task.module("request")
    given = {"text": "", "num_alternatives": fields.NUM_ALTERNATIVES, **asked}
    request = _request(task.id, models, given, fields.CHECKS)
    *_, progress = task.module("serve").translate(models, request)
    found = progress.translation
    alternatives = [[dataclasses.asdict(one) for one in sentence] for sentence in found.alternatives]
    about = {"source": found.source, "target": found.target, "finished": not progress.note}
    return {"translation": found.text, **about, "alternatives": alternatives}


def _generate_image(models, asked):
    task = TASKS["text_to_image"]
    request = _request(task.id, models, {"prompt": "", **asked}, task.module("request").CHECKS)
    generator = models.get(request.model, task.id)
    *_, drawn = task.module("serve").draw(generator, request)
    settings, encode = request.settings(generator, drawn.progress), task.module("png").encode
    made = zip(drawn.progress.images, drawn.progress.seeds, strict=True)
    files = [encode(pixels, {**settings, "seed": seed} if drawn.finished else {}) for pixels, seed in made]
    images = [base64.b64encode(file).decode() for file in files]
    return {"images": images, "settings": settings, "finished": drawn.finished}


def _classify_image(models, asked):
    request = _request("image_classification", models, _with_picture(asked), ("image", "model", "fit", "top_k"))
    found = request.answer(models)
    return {"labels": dict(found.labels), "unfamiliar": bool(found.unfamiliar), "notes": list(found.notes)}


def _detect_objects(models, asked):
    task = TASKS["object_detection"]
    request = _request(task.id, models, _with_picture(asked), ("image", "model", "threshold"))
    tables = task.module("tables")
    return {"headers": list(tables.HEADERS), "data": tables.rows(request.answer(models))}


def _with_picture(asked):
    """Return the arguments with the picture's bytes."""
    try:
        return {**asked, "image": base64.b64decode(asked["image"], validate=True) if asked.get("image") else None}
    except (TypeError, ValueError, binascii.Error):
        raise InputError("image", "is no picture in base64") from None


# endpoint -> what answers it, and how many requests at once
ANSWERS = {
    "translate": (_translate, LIMITS.requests_in_turn),
    "generate_image": (_generate_image, LIMITS.requests_in_turn),
    "classify_image": (_classify_image, LIMITS.pictures_at_once),
    "detect_objects": (_detect_objects, LIMITS.pictures_at_once),
}
