"""The Translate tab with many directions, one of them without a way back: what it chooses, and how it is corrected."""

import shutil
from types import SimpleNamespace

import gradio as gr
import pytest
from playwright.sync_api import expect

from bigmodel.config import read_json, write_json
from bigmodel.errors import InputError
from bigmodel.runtime.artifacts import write_manifest
from bigmodel.translation.events import TranslateEvents
from bigmodel.translation.request import Request, detect, directions
from bigmodel.ui.app import build_app, launch

CLASSICAL, MODERN, EITHER = "学而时习之，不亦说乎？", "一个女孩在公园里放风筝。", "山高水长"


@pytest.fixture(scope="module")
def page(quantized_folder, tmp_path_factory):
    """A served page of random translators: English and German, English and Chinese, classical to modern Chinese."""
    root = tmp_path_factory.mktemp("directions")
    for name, (first, second) in {"en-de": ("en", "de"), "en-zh": ("en", "zh"), "lzh-zh": ("lzh", "zh")}.items():
        folder = shutil.copytree(quantized_folder, root / name)
        config = read_json(folder / "config.json")
        both = [f"{first}-{second}", f"{second}-{first}"]
        own = {"name": name, "title": name, "directions": both[: 1 if first == "lzh" else 2]}
        write_json(folder / "config.json", {**config, "bigmodel": {**config["bigmodel"], **own}})
        tokens = (folder / "tokenizer.json").read_text(encoding="utf-8")
        for old, new in zip(("en-de", "de-en"), both, strict=True):
            tokens = tokens.replace(f"<|{old}|>", f"<|new:{new}|>")
        (folder / "tokenizer.json").write_text(tokens.replace("<|new:", "<|"), encoding="utf-8")
        write_manifest(folder)
    demo = build_app(root)
    launch(demo, prevent_thread_lock=True, quiet=True)
    demo.models.wait()
    yield demo
    demo.close()


@pytest.fixture
def known(page):
    assert page.models.faults() == []
    return directions(page.models)


@pytest.mark.parametrize(
    ("text", "target", "code"),
    [
        (CLASSICAL, None, "lzh"),
        (CLASSICAL, "zh", "lzh"),
        (MODERN, None, "zh"),
        (MODERN, "zh", "zh"),
        (EITHER, None, "lzh"),
        (EITHER, "en", "zh"),  # only modern Chinese is translated to English
        (EITHER, "zh", "lzh"),
        ("我来了", "zh", "lzh"),
    ],
)
def test_of_languages_that_look_alike_the_target_decides(known, text, target, code):
    assert detect(text, known, target) == code


def test_a_program_that_names_no_target_gets_the_first(page, known):
    for text, pair in ((CLASSICAL, ("lzh", "zh")), (MODERN, ("zh", "en"))):
        request = Request.check(page.models, text=text)
        assert (request.source, request.target) == pair
    with pytest.raises(InputError, match="target: no model translates Classical Chinese to German; this host"):
        Request.check(page.models, text=CLASSICAL, target="de")


def test_choices(page, known):
    events = TranslateEvents(page.models)
    assert [events.targets(*pair)["value"] for pair in (("lzh", "de"), ("zh", "de"), ("en", "zh"))] == [
        "zh",
        "en",
        "zh",
    ]
    assert events.swap("en", "zh", "a", "甲") == ("zh", "en", "甲", "")
    assert events.swap("auto", "en", MODERN, "b") == ("en", "zh", "b", "")
    for pair in (("lzh", "zh"), ("auto", "zh")):
        with pytest.raises(gr.Error, match="no model translates Chinese to Classical Chinese"):
            events.swap(*pair, CLASSICAL, "c")
    source, target = events.correct(SimpleNamespace(token="zh"), "auto", "zh")
    assert source == "zh" and target["value"] == "en"
    assert events.correct(SimpleNamespace(token="<b>"), "auto", "zh")[0] == "auto"


def test_a_link_is_translated_into_its_own_target(page, open_page):
    """The text's change begins the work: it comes when the languages stand there, however the page is built."""
    text = "A man rides a red bike."
    expected = page.models.get("en-zh", "translation").translate(text, source="en", target="zh").text
    for _ in range(5):
        tab = open_page("?tab=translate&text=A+man+rides+a+red+bike.&source=en&target=zh")
        expect(tab.locator("#translation textarea")).to_have_value(expected)
        tab.context.close()


def test_the_target_follows_the_text_and_a_wrong_language_is_corrected(open_page):
    tab = open_page("?tab=translate")
    source, target = (tab.get_by_label(name, exact=True) for name in ("From", "To"))
    facts = tab.locator("#translate-facts")
    assert target.input_value() == "Deutsch"
    tab.locator("#source-text textarea").fill(CLASSICAL)
    expect(facts).to_contain_text("detected: Classical Chinese")
    expect(target).to_have_value("中文")
    tab.locator("#swap").click()
    expect(tab.get_by_text("no model translates Chinese to Classical Chinese").first).to_be_visible()
    expect(tab.locator("#source-text textarea")).to_have_value(CLASSICAL)
    facts.get_by_role("button", name="No, it is Chinese").press("Enter")
    expect(facts).to_contain_text("Chinese → English")
    expect(source).to_have_value("中文")
    expect(target).to_have_value("English")
    tab.locator("#swap").click()
    expect(source).to_have_value("English")
    expect(target).to_have_value("中文")
