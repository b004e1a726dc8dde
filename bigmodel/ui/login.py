"""The password of ``--auth`` before our own paths and MCP's, where Gradio asks for none.

A browser brings the cookie of Gradio's login; a program sends ``Authorization: Bearer USER:PASSWORD``, since OpenAI's
clients know no other way.
"""

import re
import secrets
import time

from gradio.route_utils import compare_passwords_securely
from gradio_client import Client
from starlette.requests import Request
from starlette.responses import JSONResponse

from bigmodel.limits import LIMITS
from bigmodel.ui.guard import Visitors, visitor_of

PATHS = re.compile(r"/(v1|cards|metrics|openapi\.json|gradio_api/mcp)(/|$)")  # under whatever sub-path
COOKIES = "access-token", "access-token-unsecure"
WRONG = "log in first; a program sends USER:PASSWORD as its API key (Authorization: Bearer USER:PASSWORD)"


class Login:
    """ASGI middleware that lets nobody pass to these paths who has not logged in.

    Args:
        app: what it stands before.
    """

    def __init__(self, app):
        self.app, self.visitors = app, Visitors(LIMITS.requests_per_minute)

    async def __call__(self, scope, receive, send):
        """Pass a request on, or answer 401; 429 to one who tries many passwords."""
        answer = self.app
        if scope["type"] == "http" and scope["app"].auth and PATHS.search(scope["path"]):
            request = Request(scope)
            if "authorization" in request.headers and self.visitors.admit(visitor_of(scope), time.monotonic()):
                answer = _refusal(429, "too many requests; try again in a minute")
            elif not is_known(request):
                answer = _refusal(401, WRONG)
        await answer(scope, receive, send)


def is_known(request):
    """Return whether a request has the cookie of a login, or an account's password."""
    app = request.app
    if any(request.cookies.get(f"{name}-{app.cookie_id}") in app.tokens for name in COOKIES):
        return True
    scheme, _, account = request.headers.get("authorization", "").partition(" ")
    user, _, password = account.partition(":")
    return scheme.lower() == "bearer" and user in app.auth and compare_passwords_securely(password, app.auth[user])


def admit_mcp(demo):
    """Give Gradio's MCP server, which asks the page for what its tools do, an account: it knows of no password."""
    account = secrets.token_hex(), secrets.token_hex()
    demo.app.auth |= [account]
    settings = {
        "headers": {"x-gradio-user": "mcp"},
        "download_files": False,
        "verbose": False,
        "analytics_enabled": False,
        "_skip_components": False,
    }
    demo.mcp_server_obj._client_instance = Client(demo.local_url, auth=account, **settings)


def _refusal(status, message):
    """Return an answer that OpenAI's clients read."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "60"}
    return JSONResponse({"error": error, "detail": message}, status, headers)
