"""What others see of the page before they open it: title, description and picture of a shared address, and its icon.

Gradio's own page names Gradio in these places, and has no option for them; its ``<head>`` is rewritten on the way out.
"""

import re
from html import escape
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.middleware import Middleware

from bigmodel.ui.language import COOKIE

TITLE = "BigModel: transformers trained here, served by ONNX Runtime"
DESCRIPTION = (
    "Write classical Chinese poems and English stories token by token, translate, and look inside: small transformers "
    "that are trained, exported and served in one repository."
)
ICON = Path(__file__).parent / "icon.svg"
PICTURE = Path(__file__).parent / "pictures" / "preview.png"  # of ``python -m bigmodel screenshots``
SIZE = 1200, 630  # what link previews show whole
# the switch goes before the browser's choice; in the page itself: Gradio asks the browser before our scripts are there
SWITCHED = (
    f"<script>{{ const chosen = /{COOKIE}=([\\w-]+)/.exec(document.cookie);"
    ' if (chosen) Object.defineProperty(navigator, "language", { get: () => chosen[1] }); }</script>'
)
_THEIRS = re.compile(r'\s*<meta\s+(?:property="og:|name="(?:twitter:|description))[^>]*>')


def routes():
    """Return the APIRouter of the picture."""
    router = APIRouter()
    router.add_api_route(
        "/pictures/preview.png", lambda: FileResponse(PICTURE), methods=["GET", "HEAD"], include_in_schema=False
    )
    return router


def head(address):
    """Return the <meta> elements of a page, and the script of its language.

    Args:
        address: of the page, with a final slash.
    """
    picture = f"{address}pictures/preview.png"
    texts = {"title": TITLE, "description": DESCRIPTION, "image": picture}
    graph = {**texts, "type": "website", "url": address, "site_name": "BigModel", "image:alt": DESCRIPTION}
    graph |= {"image:width": str(SIZE[0]), "image:height": str(SIZE[1])}
    cards = {"card": "summary_large_image", **texts}
    lines = [f'<meta name="description" content="{escape(DESCRIPTION)}" />']
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
            page = rewrite(body.decode(), _address(scope)).encode() if _is_html(headers) else body
            length = (b"content-length", str(len(page)).encode())
            await send({**begun, "headers": [*headers, length] if scope["method"] != "HEAD" else begun["headers"]})
            await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, rewritten)
        return None


def rewrite(page, address):
    """Return Gradio's page with our <meta> elements, and with a manifest that is found under a sub-path, too."""
    page = _THEIRS.sub("", page).replace('href="/manifest.json"', 'href="manifest.json"')
    return page.replace("<head>", f"<head>\n\t\t{head(address)}", 1)


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
