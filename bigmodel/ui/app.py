"""The page: one tab for each registered task, and About. Serving imports no torch."""

import os
from html import escape
from pathlib import Path

import gradio as gr

from bigmodel.registry import TASKS
from bigmodel.ui import about
from bigmodel.ui.models import Models
from bigmodel.ui.texts import I18N, t, words
from bigmodel.ui.theme import build_theme, page_css, page_head
from bigmodel.ui.widgets import html_block

ARTIFACTS = Path(__file__).parents[2] / "export" / "artifacts"
QUEUE = 32
MARK = (
    '<svg viewBox="0 0 32 32" width="30" height="30" aria-hidden="true"><rect width="32" height="32" rx="7"/>'
    '<path d="M7 23 12.5 9l4 9.5L19.5 12 25 23"/></svg>'
)


def build_app(models_root=None):
    """Return the page as ``gr.Blocks`` with ``.models``; nothing of a model is read but its config.json.

    Args:
        models_root: a path or a list of them, each a model folder or a folder of such; by default those that
            BIGMODEL_MODELS names, separated by commas, else export/artifacts.
    """
    if models_root is None:
        named = [path.strip() for path in os.environ.get("BIGMODEL_MODELS", "").split(",") if path.strip()]
        models_root = named or [ARTIFACTS] * any(ARTIFACTS.glob("*/"))
    elif isinstance(models_root, str | Path):
        models_root = [models_root]
    tabs = {task: task.module("tab") for task in TASKS.values()}
    models = Models(models_root, {task.id: module.load for task, module in tabs.items()})
    with gr.Blocks(title="BigModel", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)) as demo:
        html_block(f"<header>{MARK}<div><h1>BigModel</h1><p>{words('tagline')}</p></div></header>", elem_id="masthead")
        notice = html_block(_notice(models), elem_id="notice")
        with gr.Tabs(elem_id="tabs") as pages:
            for task, module in tabs.items():
                with gr.Tab(t(task.title.lower()), id=task.id):
                    module.build(models)
            with gr.Tab(t("about"), id="about"):
                about.build(models)

        def settle():
            models.wait()
            return _notice(models)

        def choose_tab(request: gr.Request):
            """Open the tab that a link names, such as /?tab=translate."""
            wanted = request.query_params.get("tab")
            return gr.Tabs(selected=ids[wanted]) if wanted in ids else gr.skip()

        ids = {task.title.lower(): task.id for task in tabs} | {"about": "about"}
        quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
        gr.on(None, choose_tab, None, pages, **quiet)
        gr.on(None, settle, None, notice, **quiet)
    demo.models = models
    # a direct POST would go around the queue and its limit
    return demo.queue(max_size=QUEUE, api_open=False)


def launch(demo, **options):
    """Serve a page from ``build_app`` and open its models in the background; ``options`` go to ``demo.launch``.

    Host, port and root path are Gradio's GRADIO_SERVER_NAME, GRADIO_SERVER_PORT, GRADIO_ROOT_PATH; GRADIO_MCP_SERVER
    turns the endpoints into tools.
    """
    wait = not options.pop("prevent_thread_lock", False)
    settings = {
        "theme": build_theme(),
        "css": page_css(),
        "head": page_head(),
        "i18n": I18N,
        "footer_links": ["api", "settings"],
        "enable_monitoring": False,
        "run_history": False,
        "max_file_size": "16mb",
        "ssr_mode": False,
    }
    launched = demo.launch(**{**settings, **options}, prevent_thread_lock=True)
    demo.models.open_all()
    if wait:
        demo.block_thread()
    return launched


def _notice(models):
    faults = "".join(f"<li>{escape(fault)}</li>" for fault in models.faults())
    return f'<div role="alert"><p>{words("broken_models")}</p><ul>{faults}</ul></div>' if faults else ""
