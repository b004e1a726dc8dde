"""The About tab: the model cards, and what this host runs them on. Its endpoint is /health."""

import importlib.metadata
import platform
import re
from html import escape
from pathlib import Path
from urllib.parse import quote

import gradio as gr
from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

from bigmodel.ui.endpoints import add_endpoint
from bigmodel.ui.language import visitor_language
from bigmodel.ui.programs import for_programs
from bigmodel.ui.texts import titled, words
from bigmodel.ui.widgets import html_block, provider_name, title_words

PICTURE = "samples.png"  # of a model folder; its card shows it
CARDS = {"en": ["README.md"], "zh": ["README.zh.md", "README.md"]}  # the first that is there
PACKAGES = ("gradio", "onnxruntime-gpu", "onnxruntime", "tokenizers", "numpy")


def versions():
    """Return package -> version of what serves the page, Python included."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def health(models):
    """Return status ("ok", "loading" or "degraded"), models, providers and versions, as /health gives them."""
    entries = models.entries.values()
    states = {entry.state for entry in entries}
    status = "degraded" if "broken" in states or not states else "loading" if "loading" in states else "ok"
    listed = {entry.name: _said(entry) for entry in entries}
    providers = sorted({entry.model.provider for entry in entries if entry.model})
    found = {"status": status, "models": listed, "providers": providers, "versions": versions()}
    return {**found, "zero_gpu": models.loans.report()} if models.loans.possible else found


def _said(entry):
    """Return what /health says of a model."""
    said = {"task": entry.card.get("task"), "state": entry.state, "fault": entry.fault}
    return {**said, "provider": entry.model.provider, "skipped": entry.skipped} if entry.model else said


def read_card(folder, name="", language="en"):
    """Return a folder's model card without its front matter, its picture from ``routes``, or ""."""
    found = [folder / card for card in CARDS[language] if (folder / card).is_file()]
    try:
        text = found[0].read_text(encoding="utf-8") if found else ""
    except (OSError, UnicodeDecodeError):
        return ""
    text = text.replace(f"]({PICTURE})", f"](cards/{quote(name or folder.name, safe='')}/{PICTURE})")
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).strip()


def routes(models):
    """Return the APIRouter of the pictures that cards show: of each model one, at a fixed name."""
    router = APIRouter()

    def picture(name: str):
        entry = models.entries.get(name)
        path = entry.path / PICTURE if entry and not entry.fault and isinstance(entry.path, Path) else None
        if path is None or not path.is_file() or not path.resolve().is_relative_to(entry.path.resolve()):
            raise HTTPException(404)
        return FileResponse(path, media_type="image/png", headers={"X-Content-Type-Options": "nosniff"})

    router.add_api_route(f"/cards/{{name}}/{PICTURE}", picture, methods=["GET", "HEAD"], include_in_schema=False)
    return router


def build(models):
    """Return the tab as ``gr.Blocks``, which also launches alone."""

    def health_endpoint() -> dict:
        """Say how the server is: status, models, providers, versions."""
        return health(models)

    def cards(language="en"):
        """Return the update of each entry's accordion and of the card in it."""
        updates = []
        for entry in models.entries.values():
            card = "" if entry.fault or isinstance(entry.path, str) else read_card(entry.path, entry.name, language)
            updates += [{"label": titled(entry.title), "visible": bool(card)}, {"value": card}]
        return updates

    def host():
        models.wait()
        return host_html(models), *(gr.update(**update) for update in cards(visitor_language()))

    with gr.Blocks() as tab:
        outputs = [html_block(host_html(models), elem_id="host")]
        shown = iter(cards())
        for accordion, card in zip(shown, shown, strict=True):
            with gr.Accordion(**accordion, open=True, elem_classes="card") as place:
                outputs += [place, gr.Markdown(**card, elem_classes="model-card")]
        gr.on(None, host, None, outputs, show_progress="hidden", api_visibility="private", concurrency_limit=None)
        health_endpoint.__name__ = "health"
        add_endpoint(health_endpoint, concurrency_limit=None)
        for_programs({"health": {}})
    return tab


def host_html(models):
    """Return this host's models, providers and versions as HTML."""
    rows = [
        f"<tr><th scope='row'>{title_words(entry.title)}</th>"
        f"<td><span class='state {entry.state}'>{words(entry.state)}</span></td>"
        f"<td>{_where(entry)}</td></tr>"
        for entry in models.entries.values()
    ]
    head = "".join(f"<th scope='col'>{words(key)}</th>" for key in ("model", "status", "provider"))
    packages = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(v)}</dd></div>" for name, v in versions().items())
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return (
        f"<section><h2>{words('this_host')}</h2>{table}{_not_used(models)}"
        f"<h3>{words('versions')}</h3><dl>{packages}</dl></section>"
    )


def _not_used(models):
    """Return why providers are not used, each reason once; with the models that it holds for, where not for all."""
    opened = [entry for entry in models.entries.values() if entry.model]
    found = {}
    for entry in opened:
        for reason in entry.skipped:
            found.setdefault(reason, []).append(title_words(entry.title))
    rows = []
    for reason, titles in found.items():
        provider, _, why = reason.partition(": ")
        of = f" ({', '.join(titles)})" * (len(titles) < len(opened))
        why = f"<span lang='en'>{escape(why)}</span>"
        rows.append(f"<div><dt>{escape(provider_name(provider))}</dt><dd>{why}{of}</dd></div>")
    return f"<h3>{words('not_used')}</h3><dl>{''.join(rows)}</dl>" if rows else ""


def _where(entry):
    """Return what a model runs on, or why it does not."""
    if entry.model:
        return escape(provider_name(entry.model.provider))
    return f'<span lang="en">{escape(entry.fault)}</span>' if entry.fault else "…"
