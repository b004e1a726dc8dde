"""The Detect part of the Image tab: its endpoint as others call it, and the tab in a real browser."""

import base64
import csv
import io
import json
import re
import shutil

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, ValidationError
from PIL import Image
from playwright.sync_api import expect

from bigmodel.object_detection.events import DetectEvents
from bigmodel.object_detection.tab import load
from bigmodel.ui.models import Models


@pytest.fixture(scope="module")
def client(page):
    return Client(page.local_url, verbose=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Paths of two pictures of noise."""
    folder, paths = tmp_path_factory.mktemp("pictures"), []
    for i, size in enumerate(((64, 96), (90, 60))):
        paths.append(folder / f"picture-{i}.png")
        noise = np.random.default_rng(i).integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(noise).save(paths[-1])
    return paths


def test_first_argument_alone(client, page, pictures):
    drawn, table = client.predict(handle_file(pictures[0]), api_name="/detect_objects")
    found = page.models.get("tiny-detector", "object_detection").detect(pictures[0])
    assert table["headers"] == ["label", "score", "x0", "y0", "x1", "y1"]
    assert [row[0] for row in table["data"]] == found.labels
    np.testing.assert_allclose([row[2:] for row in table["data"]], found.boxes, atol=0.06)
    with Image.open(drawn) as picture:
        assert picture.size == (96, 64)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "gpt"}, "model: 'gpt' is unknown; choose one of tiny-detector"),
        ({"threshold": 2}, "threshold: 2 is out of range; give a number from 0 to 1"),
    ],
)
def test_wrong_arguments_are_refused(client, pictures, values, message):
    with pytest.raises(ValidationError, match=message):
        client.predict(handle_file(pictures[0]), api_name="/detect_objects", **values)


def test_a_wrong_picture_is_refused(client, tmp_path):
    (tmp_path / "a.png").write_bytes(b"<html></html>")
    with pytest.raises(AppError, match="image: cannot be read as a picture"):
        client.predict(handle_file(tmp_path / "a.png"), api_name="/detect_objects")


def saved(tab, name, within):
    """Return the text behind a download link."""
    address = tab.locator(f'{within} a[download="{name}"]').get_attribute("href")
    return base64.b64decode(address.partition(",")[2]).decode()


def test_threshold_counts_and_downloads(open_page, pictures):
    tab = open_page("?tab=detect")
    tab.locator("#detect-picture input[type=file]").first.set_input_files(pictures[0])
    shown = tab.locator("#detect-answer svg.boxes rect")
    number = tab.locator("#threshold input[type=number]")
    tab.locator("#detect-answer svg.boxes").wait_for()
    counts, before = {}, shown.count()
    for threshold in ("0.9", "0.2"):
        number.fill(threshold)
        number.press("Tab")
        expect(shown).not_to_have_count(before)
        lines = list(csv.reader(io.StringIO(saved(tab, "detections.csv", "#detect-answer"))))[1:]
        assert all(float(line[2]) >= float(threshold) for line in lines)
        assert shown.count() == len(lines)
        counts[threshold] = before = len(lines)
    assert counts["0.2"] > counts["0.9"]
    coco = json.loads(saved(tab, "detections.coco.json", "#detect-answer"))
    assert len(coco["annotations"]) == counts["0.2"] and coco["images"][0]["width"] == 96
    assert coco["images"][0]["file_name"] == lines[0][0] == pictures[0].name
    assert tab.locator("#detect-answer svg").get_attribute("aria-label")


def test_several_pictures_and_one_that_is_none(open_page, pictures, tmp_path):
    (tmp_path / "c.png").write_bytes(b"no picture")
    tab = open_page("?tab=detect")
    tab.locator("#several-panel > button").first.click()
    tab.locator("#several-panel input[type=file]").first.set_input_files([*pictures, tmp_path / "c.png"])
    cancel = tab.locator("#several-panel").get_by_role("button", name="Cancel")
    expect(cancel).to_be_disabled()
    watch = "new MutationObserver(() => { window.once ||= !button.disabled }).observe(button, { attributes: true })"
    cancel.evaluate(f"(button) => {watch}")
    tab.get_by_role("button", name="Search all").click()
    table = tab.locator("#overview table")
    table.wait_for()
    assert table.locator("tbody tr").count() == 2
    expect(cancel).to_be_disabled()
    assert tab.evaluate("window.once")  # it was not while the work went on
    expect(tab.locator("#overview .skipped")).to_contain_text("c.png: image: cannot be read")
    assert len(json.loads(saved(tab, "detections.coco.json", "#overview"))["images"]) == 2


def test_pictures_of_one_name_are_told_apart(page, pictures, tmp_path):
    files = []
    for folder, name in (("a", "x.png"), ("b", "3 x.png"), ("c", "x.png")):
        (tmp_path / folder).mkdir()
        files.append({"path": shutil.copy(pictures[0], tmp_path / folder / name), "orig_name": name})
    *_, found = DetectEvents(page.models).detect_several(files, "tiny-detector", 0.5, lambda *_, **__: None)
    assert re.findall('scope="row">([^<]*)', found) == ["x.png", "3 x.png", "3 3 x.png"]


def test_an_answer_is_linked_with_the_model_that_made_it(page):
    *_, shown = DetectEvents(page.models).detect_example("tiny-detector", 0.5)
    assert shown["link"]["model"] == "tiny-detector" and "example" in shown["link"]


def test_an_example_is_drawn_searched_and_linked(open_page, page):
    tab = open_page("?tab=detect")
    boxes = tab.locator("#detect-answer svg.boxes")
    seen = []
    for _ in range(2):  # another one each time
        tab.get_by_role("button", name="Draw one to try").click()
        expect(boxes.locator("image")).not_to_have_attribute("href", seen[-1] if seen else "")
        seen.append(boxes.locator("image").get_attribute("href"))
    tab.get_by_role("button", name="In this browser").click()
    expect(tab.locator(".history li a:visible")).to_have_count(2)
    link = tab.locator(".history li a:visible").first.get_attribute("href")
    assert "example=" in link
    again = open_page(link)
    again.locator("#detect-answer svg.boxes").wait_for()
    assert again.locator("#detect-answer svg.boxes image").get_attribute("href") == seen[-1]


def test_what_cannot_be_drawn_is_said(page, monkeypatch):
    detector = page.models.get("tiny-detector", "object_detection")
    monkeypatch.setattr(detector, "labels", ["frog", "person"])
    kept, answer, shown = DetectEvents(page.models).detect_example("tiny-detector", 0.5)
    assert kept is None and "model: knows nothing that can be drawn here; give a picture" in answer


@pytest.mark.parametrize("example", ["1000000", "-1", "x", "1e3", ["1"], None])
def test_a_wrong_example_is_not_shown(page, example):
    _, _, shown, _ = DetectEvents(page.models).welcome({"example": example})
    assert "link" not in shown


def test_a_model_of_the_hub_is_offered_once_it_is_there(tiny_detector, monkeypatch):
    monkeypatch.setattr("bigmodel.ui.models.fetch", lambda name: tiny_detector)
    models = Models(["ann/tiny-detector"], {"object_detection": load})
    assert not models.of_task("object_detection")  # as the page is built
    model, threshold, _, empty = DetectEvents(models).welcome({})
    assert model["choices"] == [("Tiny detector", "tiny-detector")] and model["value"] == "tiny-detector"
    assert (
        model["visible"]
        and not empty["visible"]
        and threshold == models.get("tiny-detector", "object_detection").threshold
    )


@pytest.mark.parametrize("typed", [None, "0.", 6, float("nan")])
def test_what_is_no_threshold_yet_changes_nothing(typed):
    assert DetectEvents(None).redraw({"model": "any"}, typed) == gr.skip()
