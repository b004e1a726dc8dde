"""What others see of the page before they open it: title, description and picture of a shared address, and its icon.

Gradio's own page names Gradio in these places, and has no option for them; its ``<head>`` is rewritten on the way out,
in the visitor's language. Its manifest looks for the icon beside the host's root, ours beside the page.
"""

import re
from html import escape
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse
from starlette.middleware import Middleware
from starlette.requests import Request

from bigmodel.ui.language import COOKIE, visitor_language

TITLES = {
    "en": "BigModel: transformers trained here, served by ONNX Runtime",
    "zh": "BigModel：在此训练的 Transformer，由 ONNX Runtime 运行",
}
DESCRIPTIONS = {
    "en": "Write classical Chinese poems and English stories token by token, translate, draw pictures, name what they "
    "show and count the things in them, and look inside: small transformers that are trained, exported and served in "
    "one repository.",
    "zh": "逐个词元地写古诗和英文故事，翻译，画图，识别图片并清点其中之物，还能看到模型内部："
    "小型 Transformer，在同一仓库中训练、导出和运行。",
}
ICON = Path(__file__).parent / "icon.svg"
PICTURE = Path(__file__).parent / "pictures" / "preview.png"  # of ``python -m bigmodel screenshots``
SIZE = 1200, 630  # what link previews show whole
# the switch goes before the browser's choice; in the page itself: Gradio asks the browser before our scripts are there
SWITCHED = (
    f"<script>{{ const chosen = /{COOKIE}=([\\w-]+)/.exec(document.cookie), theirs = navigator.language;"
    ' const language = chosen ? chosen[1] : /^zh\\b/i.test(theirs) ? "zh-CN" : theirs;'
    ' Object.defineProperty(navigator, "language", { get: () => language }); }</script>'
)
_THEIRS = re.compile(r'\s*<meta\s+(?:property="og:|name="(?:twitter:|description))[^>]*>')


def routes():
    """Return the APIRouter of the picture and the manifest."""
    router = APIRouter()
    options = {"methods": ["GET", "HEAD"], "include_in_schema": False}
    router.add_api_route("/pictures/preview.png", lambda: FileResponse(PICTURE), **options)
    router.add_api_route("/manifest.json", _manifest, **options)
    return router


def _manifest():
    icon = {"src": "pwa_icon", "sizes": "any", "type": "image/svg+xml", "purpose": "any"}
    values = {"name": "BigModel", "icons": [icon], "start_url": "./", "display": "standalone"}
    return JSONResponse(values, media_type="application/manifest+json")


def head(address, language="en"):
    """Return the <meta> elements of a page, and the script of its language.

    Args:
        address: of the page, with a final slash.
        language: "en" or "zh".
    """
    picture, description = f"{address}pictures/preview.png", DESCRIPTIONS[language]
    texts = {"title": TITLES[language], "description": description, "image": picture}
    graph = {**texts, "type": "website", "url": address, "site_name": "BigModel", "image:alt": description}
    graph |= {"image:width": str(SIZE[0]), "image:height": str(SIZE[1])}
    cards = {"card": "summary_large_image", **texts}
    lines = [f'<meta name="description" content="{escape(description)}" />']
    lines += [f'<meta property="og:{name}" content="{escape(value)}" />' for name, value in graph.items()]
    lines += [f'<meta name="twitter:{name}" content="{escape(value)}" />' for name, value in cards.items()]
    return "\n\t\t".join([*lines, SWITCHED])


class _Rewrite:
    """ASGI middleware that puts ``head`` in the place of Gradio's own <meta> elements."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) not in ("", "/"):
            return await self.app(scope, receive, send)
        begun, body = None, b""

        async def rewritten(message):
            nonlocal begun, body
            if message["type"] == "http.response.start":
                begun = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            headers = [(name, value) for name, value in begun["headers"] if name != b"content-length"]
            language = visitor_language(Request(scope))
            page = rewrite(body.decode(), _address(scope), language).encode() if _is_html(headers) else body
            own = [(b"content-length", str(len(page)).encode()), (b"vary", b"accept-language, cookie")]
            await send({**begun, "headers": [*headers, *own] if scope["method"] != "HEAD" else begun["headers"]})
            await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, rewritten)
        return None


def rewrite(page, address, language="en"):
    """Return Gradio's page with our <meta> elements, and with a manifest that is found under a sub-path, too."""
    page = _THEIRS.sub("", page).replace('href="/manifest.json"', 'href="manifest.json"')
    return page.replace("<head>", f"<head>\n\t\t{head(address, language)}", 1)


def middleware():
    """Return what ``FastAPI(middleware=…)`` takes."""
    return [Middleware(_Rewrite)]


def _is_html(headers):
    return any(name == b"content-type" and value.startswith(b"text/html") for name, value in headers)


def _address(scope):
    """Return the address that the visitor sees, a proxy's where it says so."""
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    scheme = headers.get("x-forwarded-proto", scope["scheme"]).split(",")[0].strip()
    host = headers.get("x-forwarded-host", headers.get("host", "")).split(",")[0].strip()
    return f"{scheme}://{host}{scope.get('root_path', '').rstrip('/')}/"
