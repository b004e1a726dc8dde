"""The commands that the page shows to programs: they follow the fields, and work as they are pasted."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from gradio_client import Client
from PIL import Image
from playwright.sync_api import expect

from bigmodel.ui.texts import CHINESE, ENGLISH

# what a shell, JSON, HTML or Python may take for something else
NASTY = 'It\'s "$HOME" `id` \\n \\\\ !x <b>&amp;</b> 50% ‘春’\nOnce upon a'
TABS = {
    "text": {"generate_text", "next_tokens"},
    "translate": {"translate", "translate_file"},
    "generate": {"generate_image"},
    "classify": {"classify_image"},
    "detect": {"detect_objects"},
    "about": {"health"},
}


def commands(tab, kind, words=ENGLISH):
    """Return endpoint -> command, of the tab that is shown; ``kind`` is 0 for curl and 1 for Python."""
    panel = tab.locator(".programs:visible")
    if not panel.locator("section").count() or not panel.locator("section").first.is_visible():
        panel.get_by_role("button", name=words["for_programs"]).click()
    panel.locator("section").first.wait_for()
    sections = panel.locator("section").all()
    return {s.locator("h3").text_content()[1:]: s.locator("code").nth(kind + 1).text_content() for s in sections}


def run(command, folder):
    """Run a command as one who pastes it into a terminal, and return what the last event says."""
    if shutil.which("curl") is None:
        pytest.skip("curl is missing")
    shell = {"cwd": folder, "capture_output": True, "text": True, "timeout": 120, "check": True}
    done = subprocess.run(["sh", "-eu"], input=command, **shell)
    assert "event: complete\n" in done.stdout, f"{command}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.rpartition("event: complete\ndata: ")[2].splitlines()[0])


def test_curl_and_python_write_what_stands_in_the_fields(open_page, page, tmp_path):
    tab = open_page(
        "?tab=text&model=tiny-stories&seed=7&max_new_tokens=6", permissions=["clipboard-read", "clipboard-write"]
    )
    commands(tab, 0)
    tab.locator("#prompt textarea").fill(NASTY)
    expect(tab.locator(".programs code:visible").nth(1)).to_contain_text("Once upon a")
    shown = commands(tab, 0)["generate_text"]
    tab.get_by_role("button", name="Copy curl /generate_text").click()
    expect(tab.locator(".programs [role=status]:visible")).to_have_text("Copied.")
    assert tab.evaluate("navigator.clipboard.readText()") == shown
    arguments = {
        "model": "tiny-stories",
        "max_new_tokens": 6,
        "temperature": 0.8,
        "top_k": 40,
        "top_p": 0.95,
        "seed": 7,
    }
    expected = Client(page.local_url, verbose=False).predict(NASTY, **arguments, api_name="/generate_text")
    assert expected.startswith(NASTY)
    assert run(shown, tmp_path) == [expected]
    code = commands(tab, 1)["generate_text"].replace("Client(", "Client(verbose=False, src=", 1)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.rstrip("\n") == expected.rstrip("\n")


def test_curl_uploads_a_picture(open_page, page, tmp_path):
    picture = tmp_path / 'it\'s; a "picture", $1.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(picture)
    tab = open_page("?tab=classify&model=tiny-photos&fit=pad")
    assert 'files=@"picture.png"' in commands(tab, 0)["classify_image"]
    tab.locator("#classify-picture input[type=file]").first.set_input_files(picture)
    tab.locator("#classify-answer .answer").wait_for()
    expect(tab.locator(".programs code:visible").nth(1)).to_contain_text("it")
    command = commands(tab, 0)["classify_image"]
    assert '"model": "tiny-photos", "fit": "pad"' in command
    classifier = page.models.get("tiny-photos", "image_classification")
    (labels,) = run(command, tmp_path)
    assert labels == pytest.approx(dict(classifier.classify(picture, fit="pad").labels), abs=1e-4)


def test_every_endpoint_is_shown_with_its_own_arguments(open_page, page, tmp_path):
    known = Client(page.local_url, verbose=False).view_api(return_format="dict", print_info=False)["named_endpoints"]
    tab = open_page("?tab=text", locale="zh-CN")
    found = {}
    for name, endpoints in TABS.items():
        tab.goto(f"{page.local_url}?tab={name}")
        tab.get_by_role("tab", name=CHINESE[f"tab_{name}"], selected=True).wait_for()
        shown = commands(tab, 1, CHINESE)
        assert set(shown) == endpoints
        found |= shown
        if name == "about":
            assert run(commands(tab, 0, CHINESE)["health"], tmp_path)[0]["models"]
    assert {f"/{name}" for name in found} == set(known)
    for name, code in found.items():
        accepted = {p["parameter_name"] for p in known[f"/{name}"]["parameters"]}
        assert set(re.findall(r"[(,] ?(\w+)=", code)) - {"api_name"} <= accepted, code
