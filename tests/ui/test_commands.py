"""The commands that the page shows to programs: they follow the fields, and work as they are pasted."""

import json
import os
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
# tab -> its endpoints, and a link that fills its fields
TABS = {
    "text": ({"generate_text", "next_tokens"}, "&model=tiny-stories&prompt=Once&max_new_tokens=4"),
    "translate": ({"translate", "translate_file"}, "&text=Two+dogs.&num_beams=1"),
    "generate": ({"generate_image"}, "&prompt=cat+face&num_images=1&steps=2"),
    "classify": ({"classify_image"}, "&model=tiny-photos"),
    "detect": ({"detect_objects"}, "&model=tiny-detector"),
    "about": ({"health"}, ""),
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
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("curl is missing")
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


def test_every_endpoint_is_shown_with_its_own_arguments_and_answers_curl(open_page, page, tmp_path):
    known = Client(page.local_url, verbose=False).view_api(return_format="dict", print_info=False)["named_endpoints"]
    Image.new("RGB", (30, 20), "red").save(tmp_path / "picture.png")  # what stands for a file of the reader's own
    (tmp_path / "text.txt").write_text("Two dogs.\n")
    tab = open_page("?tab=text", locale="zh-CN")
    found, answers = {}, {}
    for name, (endpoints, filled) in TABS.items():
        tab.goto(f"{page.local_url}?tab={name}{filled}")
        tab.get_by_role("tab", name=CHINESE[f"tab_{name}"], selected=True).wait_for()
        assert set(commands(tab, 0, CHINESE)) == endpoints
        given = filled.partition("=")[2].partition("&")[0].replace("+", " ")
        expect(tab.locator(".programs code:visible").nth(1)).to_contain_text(given)
        found |= commands(tab, 1, CHINESE)
        answers |= {endpoint: run(command, tmp_path) for endpoint, command in commands(tab, 0, CHINESE).items()}
    assert {f"/{name}" for name in found} == set(known)
    for name, code in found.items():
        accepted = {p["parameter_name"] for p in known[f"/{name}"]["parameters"]}
        assert set(re.findall(r"[(,] ?(\w+)=", code)) - {"api_name"} <= accepted, code
    assert answers["generate_text"][0].startswith("Once") and answers["translate"][0][1] == "en"
    assert answers["next_tokens"][0]["data"] and answers["health"][0]["models"]
    assert answers["translate_file"][0]["orig_name"].endswith(".txt") and len(answers["generate_image"][0]) == 1
    assert set(answers["classify_image"][0]) == {"cat", "dog", "bag"} and answers["detect_objects"][0]["url"]
