"""The page in a real browser: no other host is asked, and the console stays silent."""

import re
import time

from playwright.sync_api import expect

SLOW = 0.2  # seconds of a token: a text of 100 is not at its end before a busy browser has seen its beginning


def write(tab, prompt="Once upon a"):
    tab.locator("#prompt textarea").fill(prompt)
    tab.get_by_role("button", name="Write").click()


def finish(tab, act):
    """Do what begins a text, and wait for its end; drawing anew takes the mark away."""
    tab.evaluate("document.querySelector('.passage').setAttribute('data-old', '')")
    act()
    tab.locator('.passage:not([data-old])[aria-busy="false"]').wait_for()


def text_of(tab):
    return tab.locator(".passage .body").inner_text()


def set_length(tab, tokens):
    field = tab.get_by_label(re.compile("number input for Length"))
    if not tab.get_by_label("Seed").is_visible():
        tab.get_by_role("button", name="Sampling").click()
        expect(field).to_have_value("24")  # the chosen model's own has arrived
    for _ in range(5):  # a page that still settles may put the model's own length back
        field.fill(str(tokens))
        field.press("Tab")
        tab.wait_for_timeout(700)
        if field.input_value() == str(tokens):
            return
    raise AssertionError(f"the length stays {field.input_value()}")


def test_story_streams_and_its_token_is_replaced(open_page, page, monkeypatch):
    tab = open_page()
    assert "stories" in tab.locator(".segmented label.selected").inner_text()
    set_length(tab, 120)
    monkeypatch.setattr(page, "pace", SLOW)
    write(tab)
    tab.locator(".passage .token").nth(3).wait_for()
    early = text_of(tab)
    expect(tab.locator(".passage .body")).not_to_have_text(early, use_inner_text=True)
    assert len(text_of(tab)) > len(early)
    monkeypatch.undo()
    tab.locator('.passage[aria-busy="false"]').wait_for()
    text = text_of(tab)
    assert text.startswith("Once upon a") and text.startswith(early)
    facts = re.search(r"tokens/s · (\d+) tokens · CPU · seed \d+", tab.locator("#facts").inner_text())
    assert 60 < int(facts[1]) <= 120  # several tokens may share a character

    tokens = tab.locator(".passage .token")
    kept = "".join(tokens.nth(i).inner_text() for i in range(3))
    tokens.nth(3).click()
    tab.locator("#alternatives h3", has_text="Instead of").wait_for()
    choice = tab.locator("#alternatives button").nth(2)
    chosen = choice.get_attribute("data-token")
    finish(tab, choice.click)
    spans = tab.locator(".passage .token")
    assert "".join(spans.nth(i).text_content() for i in range(4)).endswith(chosen)
    assert text_of(tab).replace("\n", "").startswith(("Once upon a" + kept).replace("\n", "").rstrip())


def test_probabilities_of_a_prompt_go_on_from_a_click(open_page):
    tab = open_page("?max_new_tokens=5")
    tab.evaluate("document.querySelector('#alternatives section').setAttribute('data-old', '')")
    tab.get_by_role("button", name="The quick brown fox jumps over the lazy").click()
    bars = tab.locator("#alternatives section:not([data-old]) button")
    bars.nth(9).wait_for()
    chosen = bars.first.get_attribute("data-token")
    finish(tab, lambda: bars.first.press("Enter"))  # by keyboard
    assert tab.locator(".passage .given").text_content() == "The quick brown fox jumps over the lazy"
    assert tab.locator(".passage .token").first.text_content() == chosen


def test_stop_stops_the_work(open_page, page, monkeypatch):
    monkeypatch.setattr(page, "pace", SLOW)
    batch = page.models.get("tiny-stories", "text_generation").batch
    tab = open_page("?max_new_tokens=512")
    write(tab)
    tab.locator(".passage .token").nth(5).wait_for()
    assert batch.active == 1
    tab.get_by_role("button", name="Stop").click()
    tab.locator('.passage[aria-busy="false"]').wait_for()
    deadline = time.monotonic() + 5
    while batch.active and time.monotonic() < deadline:
        time.sleep(0.05)
    assert batch.active == 0
    count = tab.locator(".passage .token").count()
    time.sleep(0.5)
    assert 5 < count == tab.locator(".passage .token").count() < 500
    tab.locator("#alternatives button").first.wait_for()


def test_leaving_stops_the_work(open_page, page, monkeypatch):
    monkeypatch.setattr(page, "pace", SLOW)
    batch = page.models.get("tiny-stories", "text_generation").batch
    tab = open_page("?max_new_tokens=512")
    write(tab)
    tab.locator(".passage .token").nth(5).wait_for()
    tab.close()
    deadline = time.monotonic() + 5
    while batch.active and time.monotonic() < deadline:
        time.sleep(0.05)
    assert batch.active == 0


def test_again_and_surprise_me(open_page):
    tab = open_page("?max_new_tokens=12")
    finish(tab, lambda: write(tab))
    first = text_of(tab)
    finish(tab, tab.get_by_role("button", name="Again").click)
    assert text_of(tab) == first
    finish(tab, tab.get_by_role("button", name="Surprise me").click)
    assert text_of(tab) != first


def test_poem_in_chinese_on_a_phone(open_page):
    tab = open_page(locale="zh-CN", viewport={"width": 390, "height": 844}, color_scheme="dark")
    assert "poetry" in tab.locator(".segmented label.selected").inner_text()
    tab.get_by_label("题目").fill("春晓")
    tab.get_by_label("藏头").fill("床春")
    finish(tab, tab.get_by_role("button", name="写作").click)
    assert [line[0] for line in tab.locator(".passage .line").all_inner_texts()] == ["床", "春"]
    assert tab.locator(".passage .title").inner_text() == "春晓"
    assert "词元/秒" in tab.locator("#facts").inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_bad_input_is_told(open_page):
    tab = open_page()
    write(tab, "")
    message = tab.get_by_text("prompt: is empty; give 1 to 4000 characters")
    message.wait_for()
    tab.get_by_role("button", name="Sampling").click()
    tab.get_by_label("Seed").fill("seven")
    write(tab, "Once")
    tab.get_by_text("seed: 'seven' is not a whole number").wait_for()
    write(tab, "Once 春")
    tab.get_by_label("Seed").fill("7")
    finish(tab, tab.get_by_role("button", name="Write").click)
    assert "Skipped, not known to this model: 春" in tab.locator("#facts").inner_text()


def test_about_shows_cards_and_the_broken_model(open_page, page):
    tab = open_page()
    assert "altered/tokenizer.json" in tab.get_by_role("alert").inner_text()
    assert tab.locator(".segmented label:visible").count() == len(page.models.of_task("text_generation")) > 1
    tab.get_by_role("tab", name="About").click()
    states = [entry.state for entry in page.models.entries.values()]
    assert states.count("broken") == 1 and states.count("ready") > 2
    for state in ("broken", "ready"):
        expect(tab.locator(f"#host .state.{state}")).to_have_count(states.count(state))
    assert tab.get_by_text("Bits per byte: 1.25").count() >= 2 and tab.get_by_text("每字节比特数").count() == 0
    assert "license: mit" not in tab.locator("body").inner_text()


def test_fields_are_labelled_and_the_text_is_live(open_page):
    tab = open_page()
    tab.get_by_role("button", name="Sampling").click()
    passage = tab.locator(".passage")
    assert passage.get_attribute("aria-live") == "polite" and passage.get_attribute("aria-label") == "Text"
    tab.get_by_label("Seed", exact=True).wait_for()
    for label in ("Prompt", "Seed"):
        assert tab.get_by_label(label, exact=True).count() == 1
    unnamed = tab.evaluate(
        "[...document.querySelectorAll('button, input:not([type=hidden]), textarea')].filter(e => e.offsetParent"
        " && !(e.labels?.length || e.ariaLabel || e.textContent.trim() || e.placeholder)).map(e => e.outerHTML)"
    )
    assert unnamed == []
