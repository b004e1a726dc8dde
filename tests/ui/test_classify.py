"""The Classify part of the Image tab: its endpoint as others call it, and the tab in a real browser."""

import io
from types import SimpleNamespace

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, ValidationError
from PIL import Image
from playwright.sync_api import expect

from bigmodel.errors import InputError
from bigmodel.image_classification.events import ClassifyEvents
from bigmodel.image_classification.tab import load
from bigmodel.ui.models import Models
from bigmodel.ui.pictures import sketched

NAMES = {"cat", "dog", "bag"}


@pytest.fixture(scope="module")
def client(page):
    return Client(page.local_url, verbose=False)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)).save(path)
    return path


def test_names_order_and_defaults(client):
    endpoint = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/classify_image"]
    assert [p["parameter_name"] for p in endpoint["parameters"]] == ["image", "model", "fit", "top_k", "details"]
    assert all(p["parameter_has_default"] for p in endpoint["parameters"][1:])


def test_first_argument_alone(client, page, picture):
    found = client.predict(handle_file(picture), api_name="/classify_image")
    assert set(found) == NAMES and sum(found.values()) == pytest.approx(1, abs=1e-4)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    model = page.models.get("tiny-fashion", "image_classification")  # the first here, where there is no "photos"
    assert found == pytest.approx(dict(model.classify(picture).labels), abs=1e-5)


def test_every_argument(client, page, picture):
    arguments = {"model": "tiny-photos", "fit": "pad", "top_k": 2, "details": True}
    found = client.predict(handle_file(picture), api_name="/classify_image", **arguments)
    expected = page.models.get("tiny-photos", "image_classification").classify(picture, fit="pad", top_k=2)
    assert found["labels"] == pytest.approx(dict(expected.labels), abs=1e-5) and len(found["labels"]) == 2
    assert found["unfamiliar"] == expected.unfamiliar and found["notes"] == []
    assert found["distance"] == pytest.approx(expected.distance, rel=1e-4)


BAD = [
    ({"model": "gpt"}, "model: 'gpt' is unknown; choose one of tiny-fashion, tiny-photos"),
    ({"fit": "squash"}, "fit: 'squash' is unknown; choose one of crop, pad"),
    ({"top_k": 0}, "top_k: 0 is out of range; give a whole number from 1 to 100"),
    ({"top_k": 1.5}, "top_k: 1.5 is not a whole number"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[message for _, message in BAD])
def test_wrong_arguments_are_refused(client, picture, values, message):
    with pytest.raises(ValidationError, match=message):
        client.predict(handle_file(picture), api_name="/classify_image", **values)


def test_wrong_pictures_are_refused(client, tmp_path):
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    bad = {
        "a.png": (b"<html></html>", "image: cannot be read as a picture"),
        "b.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image: cannot be read as a picture"),
        "c.png": (buffer.getvalue(), "image: has more than 25 million pixels"),
        "d.jpg": (b"\xff\xd8\xff\xe0 and no more", "image: cannot be read as a picture"),
    }
    for name, (content, message) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AppError, match=message):
            client.predict(handle_file(tmp_path / name), api_name="/classify_image")


def test_a_file_that_is_too_large_is_not_taken(page):
    files = {"files": ("big.png", bytes(30_000_000))}
    assert httpx.post(f"{page.local_url}gradio_api/upload", files=files, timeout=60).status_code == 413


@pytest.mark.parametrize(
    "image",
    [
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"path": "/etc/passwd"},
        "/etc/passwd",
        None,
        7,
        [],
    ],
)
def test_no_other_file_of_the_host_is_read(page, image):
    address = page.local_url + "gradio_api/call"
    answer = httpx.post(f"{address}/v2/classify_image", json={"image": image})
    text = answer.text
    if answer.status_code == 200:
        text = httpx.get(f"{address}/classify_image/{answer.json()['event_id']}", timeout=60).text
        assert "event: error" in text
    assert "Traceback" not in text and "root:" not in text


def test_no_picture_of_the_host_is_read(page, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "real.png")
    address = page.local_url + "gradio_api/call"
    for endpoint in ("classify_image", "detect_objects"):
        answer = httpx.post(f"{address}/v2/{endpoint}", json={"image": {"path": str(tmp_path / "real.png")}})
        assert answer.status_code == 422 and "is missing; give a picture" in answer.text


def answered(tab):
    tab.locator("#classify-answer .answer").wait_for()
    return tab.locator("#classify-answer .answer li .name").all_inner_texts()


def upload(tab, path):
    tab.locator("#classify-picture input[type=file]").first.set_input_files(path)


def test_upload_shape_and_model(open_page, picture):
    tab = open_page("?tab=classify")
    expect(tab.get_by_text("What the model takes the picture for")).to_be_visible()
    upload(tab, picture)
    assert set(answered(tab)) == NAMES
    bars = tab.locator("#classify-answer li[style]")
    shares = [float(text.rstrip("%")) for text in bars.locator(".share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.3)
    seen, looked = tab.locator("#classify-answer img").all()
    assert seen.get_attribute("alt") == "As the model sees it" and "%" in looked.get_attribute("alt")
    before = seen.get_attribute("src")
    tab.get_by_text("show all of it").click()
    expect(tab.locator("#classify-answer img").first).not_to_have_attribute("src", before)
    before = tab.locator("#classify-answer img").first.get_attribute("src")
    expect(tab.locator("#sketch-panel")).to_be_visible()
    tab.get_by_text("Tiny-Photos").click()
    expect(tab.locator("#classify-answer img").first).not_to_have_attribute("src", before)
    expect(tab.locator("#sketch-panel")).to_be_hidden()


def test_a_broken_picture_is_said_in_its_place(open_page, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"<html>not a picture</html>")
    tab = open_page("?tab=classify", locale="zh-CN")
    upload(tab, tmp_path / "a.jpg")
    expect(tab.locator("#classify-answer [role=alert]")).to_contain_text("图片：无法作为图片读取")


def test_a_drawing_and_a_sketch(open_page):
    tab = open_page("?tab=classify")
    tab.get_by_role("button", name="Sketch a piece of clothes").click()
    tab.get_by_role("button", name="trouser").click()
    assert set(answered(tab)) == NAMES
    before = tab.locator("#classify-answer img").first.get_attribute("src")
    canvas, content = tab.locator("#sketch canvas"), "canvas => canvas.toDataURL()"
    canvas.scroll_into_view_if_needed()
    box, blank = canvas.bounding_box(), canvas.evaluate(content)
    tab.get_by_role("button", name="In this browser").click()
    entries = tab.locator(".history li:visible")
    for along in (0, 140):  # a dot, then a line
        tab.mouse.move(box["x"] + 60, box["y"] + 60)
        tab.mouse.down()
        tab.mouse.move(box["x"] + 60 + along, box["y"] + 140, steps=8) if along else None
        tab.mouse.up()
        expect(tab.locator("#classify-answer img").first).not_to_have_attribute("src", before)
        expect(entries).to_have_count(2)  # the drawing, and one sketch
        assert canvas.evaluate(content) != blank
        before = tab.locator("#classify-answer img").first.get_attribute("src")
    tab.locator("#sketch").get_by_role("button", name="Clear").click()
    assert canvas.evaluate(content) == blank
    expect(tab.locator("#classify-answer .placeholder")).to_be_visible()


def test_to_clear_the_pad_leaves_another_answer(page):
    events, cleared = ClassifyEvents(page.models), SimpleNamespace(picture=None)
    kept = events.classify_sketch(cleared, "tiny-fashion", "crop", {"link": {"drawing": "dress"}, "label": "dress"})
    assert kept == (gr.skip(), gr.skip())
    assert events.classify_sketch(cleared, "tiny-fashion", "crop", {"sketch": "5"})[1] == {}


def test_an_answer_is_linked_with_what_made_it(page):
    shown = ClassifyEvents(page.models).classify_drawing(["trouser"], "tiny-fashion", "pad")[1]
    assert shown["link"] == {"drawing": "trouser", "model": "tiny-fashion", "fit": "pad"}


@pytest.mark.parametrize("url", [None, "", "data:text/html;base64,AAAA", "data:image/png;base64,%%%"])
def test_what_is_no_sketch(url):
    with pytest.raises(InputError, match="sketch: is missing"):
        sketched(url)


@pytest.mark.parametrize(("width", "locale"), [(390, "zh-HK"), (1440, "zh-CN")])
def test_chinese_and_narrow(open_page, picture, width, locale):
    tab = open_page("?tab=classify", locale=locale, viewport={"width": width, "height": 900})
    expect(tab.locator("#classify-button")).to_have_text("识别")
    upload(tab, picture)
    assert set(answered(tab)) == {"猫", "狗", "包"}
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_model_of_the_hub_is_offered_once_it_is_there(tiny_fashion, monkeypatch):
    monkeypatch.setattr("bigmodel.ui.models.fetch", lambda name: tiny_fashion)
    models = Models(["ann/tiny-fashion"], {"image_classification": load})
    assert not models.of_task("image_classification")  # as the page is built
    model, _, _, empty = ClassifyEvents(models).welcome({})
    assert model["choices"] == [("Tiny-Fashion", "tiny-fashion")] and model["value"] == "tiny-fashion"
    assert model["visible"] and not empty["visible"]
