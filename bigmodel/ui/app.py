"""The page: one tab for each registered task or group of tasks, and About. Serving imports no torch."""

import io
import os
import sys
from contextlib import redirect_stdout
from html import escape
from itertools import groupby
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from bigmodel.errors import ServerError
from bigmodel.limits import LIMITS
from bigmodel.registry import TASKS
from bigmodel.runtime.artifacts import SHIPPED
from bigmodel.ui import about, logs, metadata, sessions, uploads
from bigmodel.ui.guard import Guard, impatient, trust_proxy
from bigmodel.ui.login import Login, admit_mcp
from bigmodel.ui.models import Models
from bigmodel.ui.operation import Operation
from bigmodel.ui.texts import I18N, t, words
from bigmodel.ui.theme import build_theme, page_css, page_head
from bigmodel.ui.widgets import html_block

MARK = (
    '<svg viewBox="0 0 32 32" width="30" height="30" aria-hidden="true"><rect width="32" height="32" rx="7"/>'
    '<path d="M7 23 12.5 9l4 9.5L19.5 12 25 23"/></svg>'
)
NAME = f"<div><h1>BigModel</h1><p>{words('tagline')}</p></div>"
LANGUAGES = (
    f'<nav aria-label="{words("language")}"><button type="button" data-language="en" lang="en">English</button>'
    '<button type="button" data-language="zh-CN" lang="zh-CN">中文</button></nav>'
)


def build_app(models_root=None):
    """Return the page as ``gr.Blocks`` with ``.models`` and ``.operation``; of a model its config.json alone is read.

    Args:
        models_root: a path or a list of them, each a model folder, a folder of such, or a Hub id "user/name@commit";
            by default those that BIGMODEL_MODELS names, separated by commas, else those that are shipped.
    """
    uploads.claim()
    sessions.lighten()
    if models_root is None:
        named = [path.strip() for path in os.environ.get("BIGMODEL_MODELS", "").split(",") if path.strip()]
        models_root = named or [SHIPPED] * any(SHIPPED.glob("*/"))
    elif isinstance(models_root, str | Path):
        models_root = [models_root]
    tabs = {task: task.module("tab") for task in TASKS.values()}
    models = Models(models_root, {task.id: module.load for task, module in tabs.items()})
    with gr.Blocks(title="BigModel", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)) as demo:
        html_block(f"<header>{MARK}{NAME}{LANGUAGES}</header>", elem_id="masthead")
        notice = html_block(_notice(models), elem_id="notice")
        opened = {}  # Tabs -> name in a link -> the tab of these that it opens
        with gr.Tabs(elem_id="tabs") as pages:
            for group, tasks in groupby(tabs, lambda task: task.group or task.title):
                with gr.Tab(t(f"tab_{group.lower()}"), id=group.lower()):
                    names = _build_group(list(tasks), tabs, models, opened)
                opened.setdefault(pages, {}).update(dict.fromkeys((group.lower(), *names), group.lower()))
            with gr.Tab(t("tab_about"), id="about"):
                about.build(models)
        opened[pages]["about"] = "about"

        def settle():
            models.wait()
            return _notice(models)

        def choose_tab(request: gr.Request):
            """Open the tab that a link names, such as /?tab=translate, or /?tab=classify within another."""
            wanted = request.query_params.get("tab")
            chosen = {held: gr.Tabs(selected=ids[wanted]) for held, ids in opened.items() if wanted in ids}
            return chosen or gr.skip()

        quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
        gr.on(None, choose_tab, None, list(opened), **quiet)
        gr.on(None, settle, None, notice, **quiet)
    for function in demo.fns.values():
        # else each piece of each answer visits all outputs of all calls so far, and what a tab or column holds
        if function.show_progress == "hidden" or function.fn is None:
            function.show_progress_on = []
    demo.models = models
    demo.routers = [module.routes(models) for module in tabs.values() if hasattr(module, "routes")]
    demo.routers += [about.routes(models), metadata.routes()]
    # a direct POST would go around the queue and its limit
    demo.queue(max_size=LIMITS.queue_length, api_open=False)
    demo.operation = Operation(demo)
    return demo


def _build_group(tasks, tabs, models, opened):
    """Build a tab's content: a task's own, or a tab for each task of a group; return the tasks' names in a link."""
    names = [task.title.lower() for task in tasks]
    if not tasks[0].group:
        tabs[tasks[0]].build(models)
        return names
    with gr.Tabs(elem_classes="parts") as parts:
        for task, name in zip(tasks, names, strict=True):
            with gr.Tab(t(f"tab_{name}"), id=name):
                tabs[task].build(models)
    opened[parts] = {name: name for name in names}
    return names


def launch(demo, **options):
    """Serve a page from ``build_app`` and open its models in the background; ``options`` go to ``demo.launch``.

    ``options.launch_options`` reads them from the command line; GRADIO_MCP_SERVER turns the endpoints into tools.

    Raises:
        ServerError: the port that is asked for cannot be had.
    """
    logs.start()
    wait = not options.pop("prevent_thread_lock", False)
    settings = {
        "theme": build_theme(),
        "css": page_css(),
        "head": page_head(),
        "i18n": I18N,
        "footer_links": ["api", "settings"],
        "enable_monitoring": False,
        "run_history": False,
        "max_file_size": LIMITS.upload_bytes,
        "state_session_capacity": LIMITS.sessions,
        "max_threads": 2 * LIMITS.texts_at_once + 3 * LIMITS.requests_in_turn + 16,
        "ssr_mode": False,
        "favicon_path": str(metadata.ICON),
        "pwa": True,
    }
    trust_proxy()
    operation = demo.operation
    guards = [Middleware(Guard, operation=operation), Middleware(Login), *metadata.middleware()]
    settings["app_kwargs"] = {"middleware": guards, "routes": operation.routes()}
    try:
        launched = _launch(demo, **{**settings, **options}, prevent_thread_lock=True)
    except OSError as error:
        raise ServerError(f"the page cannot be served: {error}") from error
    config = demo.server.config
    config.http_protocol_class = impatient(
        config.http_protocol_class, LIMITS.request_seconds, LIMITS.connections_per_visitor
    )
    config.ws_protocol_class = None  # the page has none, and one that is opened would count as held for ever
    for router in demo.routers:
        # before Gradio's own paths, one of which takes what it does not know for a page
        demo.app.router.routes[:0] = router.routes
    if demo.mcp_server and demo.auth:
        admit_mcp(demo)
    demo.models.open_all()
    if wait:
        operation.serve()
        demo.models.close()
    return launched


def _launch(demo, **options):
    """Launch, and say in one line where a share link cannot be had: Gradio prints a page about it."""
    if not options.get("share"):
        return demo.launch(**options)
    with redirect_stdout(io.StringIO()) as captured:
        launched = demo.launch(**options)
    said, failed, _ = captured.getvalue().partition("\nCould not create share link")
    print(said.strip(), flush=True)
    if failed:
        print(f"no share link: Gradio's tunnel cannot be had; the page is at {demo.local_url} only", file=sys.stderr)
    return launched


def _notice(models):
    faults = "".join(f"<li>{escape(fault)}</li>" for fault in models.faults())
    return f'<div role="alert"><p>{words("broken_models")}</p><ul>{faults}</ul></div>' if faults else ""
