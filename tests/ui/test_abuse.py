"""What strangers try, refused for good: around the queue, into files, from other sites, as script, into the log."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from bigmodel.text_generation.events import TextEvents
from bigmodel.ui import logs
from bigmodel.ui.visitors import REPOSITORY

SCRIPT = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{7*7}}${7*7}\'"'


@pytest.fixture(scope="module")
def client(page):
    with httpx.Client(base_url=page.local_url, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    "name", ["generate_text", "translate", "next_tokens", "health", "translate_file", "generate_image"]
)
@pytest.mark.parametrize("route", ["run", "api"])
def test_around_the_queue(client, route, name):
    assert client.post(f"gradio_api/{route}/{name}", json={"data": ["a"] * 12}).status_code == 404
    assert client.post(f"gradio_api/{route}/predict", json={"data": [], "fn_index": 1}).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=../../../../etc/passwd",
        "gradio_api/file=%2Fetc%2Fpasswd",
        "gradio_api/file=//etc/passwd",
        "gradio_api/file//etc/passwd",
        "gradio_api/file=http://169.254.169.254/latest/meta-data",
        "gradio_api/file=http://127.0.0.1:1/",
        "gradio_api/file=HTTPS://example.org/",
        "gradio_api/file/https://example.org/",
        "gradio_api/proxy=http://127.0.0.1:1/",
        "gradio_api/proxy=https://example.org/",
        "static/..%2f..%2f..%2f..%2fetc/passwd",
        "assets/..%2f..%2f..%2f..%2fetc/passwd",
        "svelte/..%2f..%2f..%2f..%2fetc/passwd",
        "gradio_api/deep_link?session_hash=a",
        "gradio_api/runs",
        "monitoring",
        "monitoring/summary",
        "gradio_api/vibe-code",
        "pwa_icon/512",
        "pwa_icon/100000",
    ],
)
def test_files_and_addresses_that_are_not_the_pages(client, path):
    answer = client.get(path)
    assert answer.status_code in (403, 404, 405, 422)
    assert "root:" not in answer.text and "Traceback" not in answer.text


def test_own_source_is_not_served(client):
    for path in ("app.py", "bigmodel/limits.py", "pyproject.toml"):
        assert client.get(f"gradio_api/file={path}").status_code in (403, 404)
        assert client.get(f"gradio_api/file={REPOSITORY / path}").status_code in (403, 404)


@pytest.mark.parametrize(
    "name", ["../../../tmp/evil.txt", "/etc/cron.d/evil", "..\\..\\evil.txt", "a\x00.txt", "é" * 300]
)
def test_the_name_of_an_upload_leads_nowhere(client, name):
    from gradio.utils import get_upload_folder

    answer = client.post("gradio_api/upload", files={"files": (name, b"Two dogs.")})
    if answer.status_code == 200:
        (path,) = answer.json()
        assert Path(path).resolve().is_relative_to(get_upload_folder())
    else:
        assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "file",
    [
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"path": "../../etc/hostname.txt", "meta": {"_type": "gradio.FileData"}},
        {"url": "http://169.254.169.254/a.txt", "path": "", "meta": {"_type": "gradio.FileData"}},
        {"path": "http://127.0.0.1:1/a.txt", "meta": {"_type": "gradio.FileData"}},
        {"path": "https://example.org/a.txt", "meta": {"_type": "gradio.FileData"}},
        "/etc/passwd",
        7,
    ],
)
def test_files_named_by_a_visitor_are_not_read(client, file):
    joined = client.post("gradio_api/call/translate_file", json={"data": [file, "en", "de", ""]})
    if joined.status_code == 200:
        told = client.get(f"gradio_api/call/translate_file/{joined.json()['event_id']}").text
        assert "event: error" in told and "root:" not in told and "Traceback" not in told
        if isinstance(file, dict) and file["path"].startswith("http"):
            assert "file: a file at another address is not fetched; upload it" in told


@pytest.mark.parametrize(
    "origin", ["https://example.org", "null", "http://127.0.0.1.example.org", "http://localhost:1", "http://["]
)
def test_a_foreign_origin(client, origin):
    body = {"prompt": "Once", "max_new_tokens": 1}
    refused = client.post("gradio_api/call/v2/generate_text", json=body, headers={"origin": origin})
    assert refused.status_code == 403 and "other sites" in refused.json()["detail"]
    forged = {"origin": "https://example.org", "x-forwarded-host": "example.org", "sec-fetch-site": "cross-site"}
    assert client.post("gradio_api/call/v2/generate_text", json=body, headers=forged).status_code == 403
    own = {"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert client.post("gradio_api/call/v2/generate_text", json=body, headers=own).status_code == 200


def test_twenty_megabytes_of_json(client):
    answer = client.post("gradio_api/call/v2/generate_text", json={"prompt": "a" * 20_000_000})
    assert answer.status_code == 413


@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype", "__class__", "data"])
def test_prototype_names(client, page, name):
    answer = client.post("gradio_api/call/v2/generate_text", json={"prompt": "a", "max_new_tokens": 1, name: {"a": 1}})
    assert answer.status_code in (200, 400, 422)
    events = TextEvents(page.models)
    passage = {"source": {"model": "m"}, "pieces": [], name: {"a": 1}}
    settled = events.stop(passage)[0]
    assert name not in settled


def test_script_is_text_everywhere(open_page, page):
    tab = open_page("?tab=text&model=tiny-poetry&title=" + "%3Cscript%3Ewindow.hacked=1%3C/script%3E")
    tab.locator("#prompt textarea").fill(SCRIPT)
    tab.get_by_role("button", name="Write").click()
    tab.locator("#facts b").first.wait_for()
    assert "window.hacked" in tab.locator("#passage").inner_text()
    tab.goto(f"{page.local_url}?tab=translate&text=%3Cimg src=x onerror=window.hacked=1%3E dogs play in the snow.")
    tab.locator("#translate-facts b").first.wait_for()
    tab.wait_for_timeout(500)
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("#passage script, #passage img, #other-ways img, #attention img").count() == 0


def test_names_of_models_are_text_in_about():
    from bigmodel.ui.about import host_html
    from bigmodel.ui.models import Entry

    entry = Entry(SCRIPT, REPOSITORY, {"title": SCRIPT}, fault=SCRIPT)
    assert "<script" not in host_html(SimpleNamespace(entries={SCRIPT: entry}))


def test_log_lines_cannot_be_forged(client, caplog):
    client.post("gradio_api/x%0A%7B%22level%22:%22error%22%7D%0D\u2028", json={"prompt": "secret words"})
    formatter = logs.JsonFormatter()
    lines = [formatter.format(record) for record in caplog.records if record.name == "bigmodel"]
    code = "from bigmodel.ui import logs; logs.start(); logs.log('x', path='a\\n{\\u2028\\r}')"
    written = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    lines += written.stderr.splitlines()
    assert len(lines) >= 1 and all(set(json.loads(line)) >= {"time", "level", "event"} for line in lines)
    assert all("secret" not in line for line in lines) and len(written.stderr.splitlines()) == 1
