"""How the page is hosted: the options of app.py, a tunnel that cannot be had, a password, and a proxy's sub-path."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import openai
import pytest
from gradio_client import Client
from loops import run_apart
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from playwright.sync_api import expect

from bigmodel.runtime.artifacts import write_manifest
from bigmodel.ui import metadata
from bigmodel.ui.options import launch_options

REPOSITORY = Path(__file__).parents[2]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def served(models_root, *words, path="", **environment):
    """Run app.py with these words and variables, and yield its address and what it prints."""
    port = environment.pop("port", None) or free_port()
    environment = {**os.environ, "BIGMODEL_MODELS": f"{models_root}/tiny-stories", **environment}
    command = [sys.executable, "app.py", "--port", str(port), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, **pipes)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    try:
        wait_for(f"http://127.0.0.1:{port}{path}/config", lambda: process.poll() is None)
        yield f"http://127.0.0.1:{port}", lines
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(url, alive=lambda: True):
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and alive():
        try:
            if httpx.get(url).status_code < 500:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


def test_options_and_their_variables(monkeypatch, capsys):
    for name in ("GRADIO_SHARE", "GRADIO_SERVER_PORT", "BIGMODEL_AUTH"):
        monkeypatch.delenv(name, raising=False)
    assert launch_options([]) == {"share": False, "auth": None}
    words = ["--share", "--host", "0.0.0.0", "--port", "80", "--root-path", "/big", "--auth", "ann:a:b,bob:c"]
    accounts = [("ann", "a:b"), ("bob", "c")]
    expected = {"share": True, "server_name": "0.0.0.0", "server_port": 80, "root_path": "/big", "auth": accounts}
    assert launch_options(words) == expected
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7001")
    assert launch_options([])["server_port"] == 7001
    for wrong in ("99999", "-5", "0", "abc"):
        monkeypatch.setenv("GRADIO_SERVER_PORT", wrong)
        with pytest.raises(SystemExit):
            launch_options([])
        assert "--port: " in (said := capsys.readouterr().err) and "is no port; give a number from 1 to 65535" in said
    monkeypatch.delenv("GRADIO_SERVER_PORT")
    monkeypatch.setenv("GRADIO_SHARE", "True")
    monkeypatch.setenv("BIGMODEL_AUTH", "ann:a")
    assert launch_options([]) == {"share": True, "auth": [("ann", "a")]}
    with pytest.raises(SystemExit):
        launch_options(["--auth", "ann"])
    assert "--auth: give USER:PASSWORD" in capsys.readouterr().err


def test_without_a_tunnel_it_goes_on_locally(models_root):
    # the tunnel's program cannot be downloaded, nor the tunnel be asked for
    with served(models_root, "--share", HTTPS_PROXY="http://127.0.0.1:9") as (url, lines):
        deadline = time.monotonic() + 60
        while not any("share link" in line for line in lines) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert [line for line in lines if "share link" in line] == [
            f"no share link: Gradio's tunnel cannot be had; the page is at {url}/ only\n"
        ]
        assert Client(url, verbose=False).predict("Once", api_name="/generate_text").startswith("Once")


def test_a_password_is_asked_for_everywhere_but_by_a_balancer(models_root):
    variables = {"BIGMODEL_AUTH": "ann:secret", "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_MCP_SERVER": "true"}
    variables["BIGMODEL_METRICS"] = "1"
    with served(models_root, **variables) as (url, _):
        closed = ["config", "v1/models", "cards/tiny-stories/samples.png", "gradio_api/mcp/", "gradio_api/mcp/schema"]
        closed += ["metrics", "openapi.json"]
        assert {path: httpx.get(f"{url}/{path}").status_code for path in closed} == dict.fromkeys(closed, 401)
        client = Client(url, auth=("ann", "secret"), verbose=False)
        assert client.predict("Once", api_name="/generate_text").startswith("Once")
        for path in ("health", "pictures/preview.png", ""):
            assert httpx.get(f"{url}/{path}").status_code == 200
        browser = httpx.Client(base_url=url)
        assert browser.post("/login", data={"username": "ann", "password": "secret"}).status_code == 200
        assert browser.get("/v1/models").json()["data"][0]["id"] == "tiny-stories"
        for key in ("none", "ann:", "ann:Secret", "bob:secret"):
            with pytest.raises(openai.AuthenticationError, match="sends USER:PASSWORD as its API key"):
                ask_as_openai(url, key)
        assert ask_as_openai(url, "ann:secret")
        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            run_apart(ask_as_assistant(url, "ann:Secret"))
        assert run_apart(ask_as_assistant(url, "ann:secret")).startswith("Once")


def ask_as_openai(url, key):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    return client.completions.create(model="tiny-stories", prompt="Once", max_tokens=4).choices[0].text


async def ask_as_assistant(url, key):
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        streamablehttp_client(f"{url}/gradio_api/mcp/", headers=headers) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        answer = await session.call_tool("generate_text", {"prompt": "Once", "max_new_tokens": 4})
        return answer.content[0].text


NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    location /big/ {{
      proxy_pass {behind}/;
      proxy_buffering off;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"""


@pytest.fixture
def behind_nginx(models_root, tmp_path):
    """Address of the page under /big/ of an nginx."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("nginx is missing")
    port, model = free_port(), shutil.copytree(models_root / "tiny-stories", tmp_path / "tiny-stories")
    shutil.copy(metadata.PICTURE, model / "samples.png")
    (model / "README.md").write_text("![Samples](samples.png)\n")
    write_manifest(model)
    with served(tmp_path, GRADIO_ROOT_PATH="/big") as (behind, _):
        (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port, behind=behind))
        nginx = subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
        try:
            wait_for(f"http://127.0.0.1:{port}/big/config", lambda: nginx.poll() is None)
            yield f"http://127.0.0.1:{port}/big/"
        finally:
            nginx.terminate()
            nginx.wait(timeout=10)


def test_behind_nginx_under_a_sub_path(behind_nginx, browser):
    client = Client(behind_nginx, verbose=False)
    job = client.submit("Once", max_new_tokens=200, api_name="/generate_text")
    assert job.result().startswith("Once") and len(job.outputs()) > 1  # it streams
    assert httpx.get(f"{behind_nginx}v1/models").json()["data"][0]["id"] == "tiny-stories"
    with pages_within(behind_nginx, browser) as open_page:
        tab = open_page(f"{behind_nginx}?prompt=Once&seed=1&run=1")
        for address in seen_by_others(tab):
            assert address.startswith(behind_nginx) and tab.request.get(address).ok
        expect(tab.locator("#prompt textarea")).to_have_value("Once")
        tab.locator('.passage[aria-busy="false"] .token').nth(3).wait_for()
        tab.locator(".copy-link:visible").click()
        expect(tab.locator(".said [role=status]:visible")).to_contain_text("Copied")
        link = tab.evaluate("navigator.clipboard.readText()")
        assert link.startswith(f"{behind_nginx}?")
        other = open_page(link)
        other.locator('.passage[aria-busy="false"] .token').nth(3).wait_for()
        assert other.locator(".passage .body").text_content() == tab.locator(".passage .body").text_content()
        other.goto(f"{behind_nginx}?tab=about")
        other.wait_for_function("document.querySelector('.model-card img')?.naturalWidth > 0")


@contextmanager
def pages_within(address, browser):
    """Function of an address: an opened page; none may ask for what is not below ``address``, or is not there."""
    context = browser.new_context(locale="en-US", permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(120_000)  # costs nothing where the machine is quiet
    strayed = []
    within = (address, "data:", "blob:")
    context.on("request", lambda r: strayed.append(r.url) if not r.url.startswith(within) else None)
    context.on("response", lambda r: strayed.append(f"{r.status} {r.url}") if r.status >= 400 else None)

    def open_page(url):
        tab = context.new_page()
        tab.goto(url)
        return tab

    yield open_page
    context.close()
    assert strayed == []


def seen_by_others(tab):
    """Return the addresses of a page's picture and of its manifest's icon, as a browser resolves them."""
    picture = tab.locator('meta[property="og:image"]').get_attribute("content")
    manifest = tab.evaluate("document.querySelector('link[rel=manifest]').href")
    return picture, urljoin(manifest, tab.request.get(manifest).json()["icons"][0]["src"])
