"""Links, saved results and the history of a visit, in a real browser."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


def done(tab):
    tab.locator('.passage[aria-busy="false"]').wait_for()
    expect(tab.get_by_role("button", name="Again")).to_be_enabled()
    return tab.locator(".passage .body").text_content()


def copied(tab):
    tab.locator(".copy-link:visible").click()
    expect(tab.locator(".said [role=status]:visible")).to_contain_text("Copied")
    return tab.evaluate("navigator.clipboard.readText()")


def test_a_link_gives_the_same_text(open_page, page):
    tab = open_page("?prompt=Once+“upon”+<b>a</b>&max_new_tokens=40&temperature=1.3&run=1", **CLIPBOARD)
    text = done(tab)
    assert text.startswith("Once “upon” <b>a</b>") and len(text) > 30
    link = copied(tab)
    assert link.startswith(page.local_url) and "temperature=1.3" in link and re.search(r"seed=\d+", link)
    other = open_page(link.removeprefix(page.local_url))
    assert done(other) == text
    assert other.locator("#prompt textarea").input_value() == "Once “upon” <b>a</b>"


def test_the_link_of_a_stopped_text_gives_as_much(open_page, page, monkeypatch):
    monkeypatch.setattr(page, "pace", 0.1)
    tab = open_page("?prompt=Once&max_new_tokens=400&run=1", **CLIPBOARD)
    tab.locator(".passage .token").nth(6).wait_for()
    tab.get_by_role("button", name="Stop").click()
    text = done(tab)
    monkeypatch.undo()
    link = copied(tab)
    assert "max_new_tokens=400" not in link
    assert done(open_page(link.removeprefix(page.local_url))) == text


def test_a_link_to_nothing_and_one_to_what_is_lost(open_page):
    tab = open_page("?tab=text&prompt=Once", **CLIPBOARD)
    tab.locator(".copy-link:visible").click()
    expect(tab.locator(".said [role=status]:visible")).to_contain_text("Nothing is made yet")
    lost = open_page("?tab=text&saved=12345&run=1")
    expect(lost.locator(".said [role=status]:visible")).to_contain_text("no longer kept in this browser")
    assert lost.locator(".passage .token").count() == 0


def test_the_address_names_the_tab(open_page):
    tab = open_page("?prompt=Once&seed=5&__theme=dark")
    tab.get_by_role("tab", name="Translate").click()
    expect(tab).to_have_url(re.compile(r"/\?tab=translate&__theme=dark$"))
    tab.reload()
    expect(tab.get_by_role("tab", name="Translate")).to_have_attribute("aria-selected", "true")
    for name in ("Image", "Detect", "About", "Image"):
        tab.get_by_role("tab", name=name).click()
    expect(tab).to_have_url(re.compile(r"/\?tab=detect&__theme=dark$"))  # which is shown again


def test_without_run_a_visitor_clicks(open_page):
    tab = open_page("?tab=text&prompt=Once&seed=5&max_new_tokens=20")
    tab.wait_for_timeout(1500)
    assert tab.locator(".passage .token").count() == 0
    tab.get_by_role("button", name="Write").click()
    first = done(tab)
    assert done(open_page("?tab=text&prompt=Once&seed=5&max_new_tokens=20&run=1")) == first


def test_a_text_that_goes_on_from_a_token_is_shared_too(open_page, page):
    tab = open_page("?prompt=Once&seed=5&max_new_tokens=20&run=1", **CLIPBOARD)
    first = done(tab)
    tab.locator(".passage .token").nth(4).click()
    tab.locator("#alternatives h3", has_text="Instead of").wait_for()
    tab.evaluate("document.querySelector('.passage').setAttribute('data-old', '')")
    tab.locator("#alternatives button").nth(3).click()
    tab.locator('.passage:not([data-old])[aria-busy="false"]').wait_for()
    text = done(tab)
    assert text != first
    assert done(open_page(copied(tab).removeprefix(page.local_url))) == text


def test_a_poem_and_its_form(open_page, page):
    path = "?tab=text&model=tiny-poetry&title=春晓&kind=唐诗&form=五绝&acrostic=床春&seed=3&run=1"
    tab = open_page(path, **CLIPBOARD)
    poem = done(tab)
    assert tab.get_by_label("Title").input_value() == "春晓" and tab.get_by_label("Form").input_value() == "五绝"
    assert done(open_page(copied(tab).removeprefix(page.local_url))) == poem


def test_a_link_gives_the_same_translation(open_page):
    def translated(tab):
        field = tab.locator("#translation textarea")
        expect(field).not_to_have_value(re.compile("^…?$"))
        tab.locator("#other-ways li").first.wait_for()
        return field.input_value()

    tab = open_page("?tab=translate", **CLIPBOARD)
    tab.get_by_role("button", name="Two dogs are playing in the snow.").click()
    before = translated(tab)
    link = copied(tab)
    assert "tab=translate" in link and "num_beams=5" in link
    other = open_page("?tab=translate" + link.partition("?tab=translate")[2])
    assert translated(other) == before and other.get_by_label("To", exact=True).input_value() == "Deutsch"


def test_what_is_too_long_for_a_link_is_saved_and_opened(open_page, tmp_path):
    tab = open_page("?seed=9&max_new_tokens=20", **CLIPBOARD)
    prompt = "Once upon a time. " * 150
    tab.locator("#prompt textarea").fill(prompt)
    tab.get_by_role("button", name="Write").click()
    done(tab)
    with tab.expect_download() as download:
        tab.locator(".copy-link:visible").click()
    expect(tab.locator(".said [role=status]:visible")).to_contain_text("Too long for a link")
    saved = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert saved["tab"] == "text" and saved["inputs"]["prompt"] == prompt and saved["inputs"]["seed"] == 9
    saved["inputs"] |= {"prompt": "Once", "max_new_tokens": 8}
    (tmp_path / "saved.json").write_text(json.dumps(saved))
    for name, content in (("other.json", '{"a": 1}'), ("none.json", '{"tab": "detect", "inputs": null}')):
        (tmp_path / name).write_text(content)
    (tmp_path / "nowhere.json").write_text('{"tab": "nowhere", "inputs": {}}')
    tab.get_by_role("button", name="In this browser").click()
    for name in ("other.json", "none.json", "nowhere.json", "saved.json"):
        with tab.expect_file_chooser() as chooser:
            tab.get_by_role("button", name="Open a saved result").click()
        chooser.value.set_files(tmp_path / name)
        if name != "saved.json":
            expect(tab.locator(".said [role=status]:visible")).to_contain_text("no saved result")
            tab.evaluate("document.getElementById('said-text').textContent = ''")
    assert done(tab).startswith("Once")
    assert tab.locator("#prompt textarea").input_value() == "Once"


@pytest.mark.parametrize("size", [1, 200])
def test_the_history_of_a_visit(open_page, size):
    prompt = "Once upon a time. " * size
    tab = open_page("?seed=9&max_new_tokens=8")
    tab.locator("#prompt textarea").fill(prompt)
    tab.get_by_role("button", name="Write").click()
    text = done(tab)
    tab.get_by_role("button", name="In this browser").click()
    entry = tab.locator(".history li a")
    expect(entry).to_have_count(1)
    assert entry.inner_text().strip() == prompt[:90].strip()
    tab.reload()
    tab.get_by_role("button", name="In this browser").click()
    expect(entry).to_have_count(1)
    entry.click()
    tab.wait_for_url("**run=1**")
    assert done(tab) == text
    tab.get_by_role("button", name="In this browser").click()
    tab.get_by_role("button", name="Clear").click()
    expect(entry).to_have_count(0)
    tab.reload()
    tab.get_by_role("button", name="In this browser").click()
    tab.get_by_text("What you make is listed here").wait_for()
    assert entry.count() == 0


def expect_history(tab, *texts):
    """Open the history, and wait until it lists these, the latest first."""
    if not tab.locator(".history ol:visible, .history .empty:visible").count():
        tab.get_by_role("button", name="In this browser").click()
    expect(tab.locator(".history li a:visible")).to_have_text(texts)


def test_a_long_entry_of_the_history_opens_in_a_new_tab(open_page):
    prompt = "Once upon a time. " * 150
    tab = open_page("?seed=9&max_new_tokens=8")
    tab.locator("#prompt textarea").fill(prompt)
    tab.get_by_role("button", name="Write").click()
    text = done(tab)
    tab.get_by_role("button", name="In this browser").click()
    with tab.context.expect_page() as opened:
        tab.locator(".history li a").click(button="middle")
    assert "saved=" in opened.value.url
    assert done(opened.value) == text
    opened.value.evaluate("[sessionStorage, localStorage].forEach((kept) => kept.removeItem('bigmodel-saved'))")
    opened.value.reload()  # as after another entry
    assert done(opened.value) == text
    tab.get_by_role("button", name="Clear").click()
    expect(tab.locator(".history li")).to_have_count(0)
    assert tab.evaluate("localStorage.getItem('bigmodel-saved')") is None


def test_what_was_made_on_purpose_stays_in_the_history(open_page):
    tab = open_page("?seed=9&max_new_tokens=8")
    for prompt in ("Once", "Once upon", "Once upon"):
        tab.locator("#prompt textarea").fill(prompt)
        tab.evaluate("document.querySelector('.passage').setAttribute('data-old', '')")
        tab.get_by_role("button", name="Write").click()
        tab.locator('.passage:not([data-old])[aria-busy="false"]').wait_for()
    expect_history(tab, "Once upon", "Once")


def test_the_history_of_translations(open_page):
    tab = open_page("?tab=translate")
    text = tab.locator("#source-text textarea")
    for typed in ("Two dogs", "Two dogs play."):  # typed on: the beginning is replaced
        text.fill(typed)
        expect_history(tab, typed)
    tab.evaluate("document.querySelector('#translate-facts [role=status]').remove()")
    tab.locator("#translate-button").click()
    expect(tab.locator("#translate-facts [role=status]")).to_contain_text("Translation")
    text.fill("Two dogs play. A cat sleeps.")  # what was translated on purpose is not
    expect_history(tab, "Two dogs play. A cat sleeps.", "Two dogs play.")
    before = tab.locator("#translation textarea").input_value()
    text.fill("")
    expect(tab.locator("#translation textarea")).to_have_value("")
    expect_history(tab, "Two dogs play. A cat sleeps.", "Two dogs play.")
    tab.locator(".history li a:visible").first.click()
    tab.wait_for_url("**run=1**")
    expect(tab.locator("#translation textarea")).to_have_value(before)
    expect_history(tab, "Two dogs play. A cat sleeps.", "Two dogs play.")


REFUSING = """() => {
  navigator.clipboard.writeText = () => Promise.reject(new DOMException("denied", "NotAllowedError"));
  const copy = document.execCommand.bind(document);
  document.execCommand = (command) => window.older && copy(command);
}"""


def test_a_clipboard_that_refuses(open_page):
    tab = open_page("?prompt=Once&seed=5&max_new_tokens=5&run=1", **CLIPBOARD)
    done(tab)
    tab.evaluate(REFUSING)
    button = tab.locator(".copy-link:visible")
    button.click()
    said = tab.locator(".said [role=status]:visible").first
    expect(said).to_contain_text("did not let it be copied; here it is: http")
    assert "prompt=Once" in said.inner_text()
    assert button.evaluate("button => button === document.activeElement")
    tab.evaluate("window.older = true")  # the older way is allowed
    button.click()
    expect(said).to_have_text(re.compile("^Copied"))
    assert "prompt=Once" in tab.evaluate("navigator.clipboard.readText()")


def pictured(tab, part, path):
    """Give a part of the Image tab a picture, and wait for its answer."""
    tab.locator(f"#{part}-picture input[type=file]").first.set_input_files(path)
    tab.locator(f"#{part}-answer .answer").wait_for()


@pytest.fixture
def noise(tmp_path):
    """Function of a size: path of a picture of noise, with light edges."""

    def make(width, height):
        pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3)).astype(np.uint8)
        pixels[[0, -1]] = pixels[:, [0, -1]] = 250
        Image.fromarray(pixels).save(tmp_path / "noise.png")
        return tmp_path / "noise.png"

    return make


def test_a_link_gives_the_same_labels(open_page, page, noise):
    def labels(tab):
        tab.locator("#classify-answer .answer").wait_for()
        return tab.locator("#classify-answer .answer ol").inner_text()

    tab = open_page("?tab=classify", **CLIPBOARD)
    pictured(tab, "classify", noise(60, 40))  # tiny-fashion inverts it
    before = labels(tab)
    link = copied(tab)
    assert "model=tiny-fashion" in link and "fit=crop" in link and "picture=data%3Aimage" in link and len(link) < 2000
    other = open_page(link.removeprefix(page.local_url), **CLIPBOARD)
    assert labels(other) == before
    seen = other.locator("#classify-answer img").first.get_attribute("src")
    assert seen == tab.locator("#classify-answer img").first.get_attribute("src")
    other.get_by_text("Tiny-Photos").click()  # the picture that the link holds, by another model
    expect(other.locator("#classify-answer img").first).not_to_have_attribute("src", seen)

    other.get_by_text("Tiny-Fashion").click()
    other.get_by_role("button", name="Sketch a piece of clothes").click()
    other.get_by_role("button", name="ankle boot").click()
    expect(other.locator("#classify-answer img").first).not_to_have_attribute("src", seen)
    link = copied(other)
    assert "drawing=ankle+boot" in link and "picture" not in link
    assert labels(open_page(link.removeprefix(page.local_url))) == labels(other)
    other.get_by_role("button", name="In this browser").click()
    expect(other.locator(".history li a:visible").first).to_have_text(re.compile(r"^[a-zA-Z ]+-?[a-z]+ \d+%$"))


def test_a_link_that_holds_nothing_sound_leaves_the_page_as_it_is(open_page):
    wrong = "fit=squash&drawing=elephant&picture=data:image/png;base64,%25"
    tab = open_page(f"?tab=classify&model=tiny-photos&{wrong}&run=1")
    expect(tab.locator(".segmented label.selected:visible")).to_have_text("Tiny-Photos")
    tab.wait_for_timeout(1500)
    expect(tab.get_by_text("What the model takes the picture for")).to_be_visible()
    assert tab.locator("#classify-answer .answer").count() == 0


def test_a_link_beyond_the_limits_is_not_run_with_other_settings(open_page):
    tab = open_page("?tab=text&model=tiny-stories&prompt=Once&temperature=9&top_k=7&max_new_tokens=4&run=1")
    expect(tab.locator("#said-text")).to_have_text("This host cannot take over what the link says of: Temperature")
    expect(tab.locator("#prompt textarea")).to_have_value("Once")
    tab.wait_for_timeout(1500)
    assert tab.locator("#passage .token").count() == 0


def test_what_was_detected_is_saved_and_opened(open_page, noise, tmp_path):
    tab = open_page("?tab=detect&threshold=0.2", **CLIPBOARD)
    assert tab.locator("#threshold input[type=number]").input_value() == "0.2"
    pictured(tab, "detect", noise(96, 60))
    count, scores = tab.locator("#detect-answer svg.boxes rect").count(), tab.locator("#detect-answer title")
    before = scores.all_text_contents()
    with tab.expect_download() as download:
        tab.locator(".copy-link:visible").click()
    saved = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert saved["tab"] == "detect" and saved["inputs"]["model"] == "tiny-detector"
    download.value.save_as(tmp_path / "saved.json")
    other = open_page("?tab=detect")
    other.get_by_role("button", name="In this browser").click()
    with other.expect_file_chooser() as chooser:
        other.get_by_role("button", name="Open a saved result").click()
    chooser.value.set_files(tmp_path / "saved.json")
    other.locator("#detect-answer .answer").wait_for()
    assert count > 0 and other.locator("#detect-answer title").all_text_contents() == before
    expect_history(other, re.compile(r"^\d+ (star|balloon)(, \d+ balloon)?$"))
    other.locator(".history li a:visible").first.click()  # too long for a link
    other.wait_for_url("**saved=**run=1**")
    other.locator("#detect-answer .answer").wait_for()
    assert other.locator("#detect-answer title").all_text_contents() == before
