"""The page for everyone: axe-core, widths from a phone to a wall, and no English in the Chinese page."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

AXE = pytest.importorskip("axe_playwright_python.sync_playwright")
TABS = {"text": "?tab=text&prompt=Once&seed=1&max_new_tokens=12", "translate": "?tab=translate", "about": ""}
TABS["generate"] = "?tab=generate&prompt=玫瑰&num_images=2&seed=1&steps=2"
TABS |= {"classify": "?tab=classify&model=tiny-fashion", "detect": "?tab=detect"}
# names, abbreviations and what stands for itself
NAMES = """bigmodel english deutsch onnx runtime cpu cuda gpu top txt csv tsv srt ctrl enter transformer api mcp gradio
bigmodel_models python numpy tokenizers onnxruntime hub tiny poetry stories altered json manifest tokenizer auto
tensorrt kb mb emoji euler heun png jpeg gif bmp webp photos fashion detector cell other"""
# what still moves is neither read nor measured; what moves for ever is a sign of work
STILL = "document.getAnimations().every((a) => a.playState !== 'running' || a.effect.getTiming().iterations > 99)"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Paths of a picture of noise, and of a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "1.png")
    (folder / "2.png").write_bytes(b"no picture")
    return folder / "1.png", folder / "2.png"


def settle(tab):
    """Open every panel, and wait until nothing moves."""
    tab.wait_for_timeout(300)
    for button in tab.locator(".label-wrap:visible").all():
        if "open" not in (button.get_attribute("class") or ""):
            button.click()
            expect(button).to_have_class(re.compile(r"\bopen\b"))
    tab.wait_for_function(STILL)


def opened(open_page, pictures, name, **options):
    """A tab that shows a result, its panels open, this visit listed."""
    tab = open_page(TABS["text" if name == "about" else name], **options)
    if name == "text":
        tab.locator("#write").click()
        tab.locator('.passage[aria-busy="false"] .token').first.wait_for()
    elif name == "translate":
        tab.locator("#source-text textarea").fill("Two dogs are playing in the snow.")
        tab.locator("#other-ways li").first.wait_for()
    elif name == "generate":
        tab.locator("#draw-button").click()
        tab.locator("#drawing a[download]").nth(1).wait_for()
    elif name in ("classify", "detect"):
        tab.locator(f"#{name}-picture input[type=file]").first.set_input_files(pictures[0])
        tab.locator(f"#{name}-answer .answer").wait_for()
    else:
        tab.get_by_role("tab").last.click()
        tab.locator("#host .state.ready").first.wait_for()
    settle(tab)
    if name == "detect":
        tab.locator("#several-panel input[type=file]").first.set_input_files(pictures)
        expect(tab.locator("#several-panel .file-preview tr")).to_have_count(2)
        tab.locator("#several-panel .actions button").first.click()
        tab.locator("#overview .skipped").wait_for()
    for summary in tab.locator("summary:visible").all():
        summary.click()
    if name != "about":
        tab.locator(".history li:visible").first.wait_for()
    return tab


def fail(tab, name):
    """Do what cannot be done, and wait until the tab says so."""
    if name == "text":
        tab.locator("#seed input").fill("x")
        tab.locator("#write").click()
    elif name == "translate":
        tab.locator("#file-panel .actions button").first.click()
    elif name == "generate":
        tab.locator("#drawing-seed input").fill("x")
        tab.locator("#draw-button").click()
    elif name == "detect":
        tab.locator("#several-panel [aria-label='清除'], #several-panel [aria-label='Clear']").first.click()
        tab.locator("#several-panel .actions button").first.click()
    else:
        return
    tab.locator("[data-testid='toast-text']").first.wait_for()


def assert_nothing_serious(tab):
    for dark in (False, True):
        tab.emulate_media(color_scheme="dark" if dark else "light")
        tab.wait_for_function(f"document.body.classList.contains('dark') === {str(dark).lower()}")
        tab.wait_for_function(STILL)
        found = AXE.Axe().run(tab).response["violations"]
        serious = [
            f"{v['id']}: {node['html'][:160]} {node.get('any', [{}])[0].get('message', '') if node.get('any') else ''}"
            for v in found
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"]
        ]
        assert not serious, f"dark: {dark}\n" + "\n".join(serious)


@pytest.mark.parametrize("name", TABS)
def test_axe_finds_nothing_serious(open_page, pictures, name):
    assert_nothing_serious(opened(open_page, pictures, name, color_scheme="light"))


@pytest.mark.parametrize("name", TABS)
def test_no_horizontal_scroll(open_page, pictures, name):
    tab = opened(open_page, pictures, name)
    for width in (2560, 1024, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.wait_for_function(f"innerWidth === {width} && document.documentElement.scrollWidth <= {width}")


WORDS = """() => {
  const found = [];
  const content = "script, style, .passage .body, .examples, .history ol, #alternatives ol, " +
    ".programs figcaption, #other-ways ol, #attention, #host tbody th, .card .label-wrap, #notice li, a[download]";
  const foreign = (element) => element.closest("[lang]").lang !== "zh-CN" || element.closest(content);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (element.checkVisibility() && !foreign(element)) found.push(node.data);
  }
  for (const element of document.querySelectorAll("[aria-label], [placeholder], [title], [alt]"))
    if (element.checkVisibility() && !foreign(element))
      found.push(...["aria-label", "placeholder", "title", "alt"].map((name) => element.getAttribute(name) || ""));
  return found;
}"""


def assert_no_english(tab):
    allowed = set(NAMES.split())
    left = [
        text.strip()
        for text in tab.evaluate(WORDS)
        if any(word.lower() not in allowed for word in re.findall(r"[A-Za-z_]{2,}", text))
    ]
    assert not left, "\n".join(left)


@pytest.mark.parametrize("name", TABS)
def test_no_english_in_the_chinese_page(open_page, pictures, name):
    tab = opened(open_page, pictures, name, locale="zh-CN", color_scheme="light")
    assert_no_english(tab)
    assert_nothing_serious(tab)
    fail(tab, name)
    assert_no_english(tab)


def test_what_gradio_says_of_itself_is_chinese_too(browser, page, pictures, monkeypatch):
    tab = browser.new_page(locale="zh-CN")  # its console may complain
    tab.set_default_timeout(60_000)
    tab.goto(f"{page.local_url}?tab=translate")
    panel = tab.locator("#file-panel")
    panel.locator(".label-wrap").click()
    panel.locator("input[type=file]").first.set_input_files(pictures[0])
    expect(tab.locator("[data-testid='toast-text']").first).to_have_text(
        "不接受 1.png 的类型；可用 .txt, .csv, .tsv, .srt。"
    )
    monkeypatch.setattr(page._queue, "max_size", 0)
    tab.locator("#source-text textarea").fill("Two dogs")
    tab.locator("#translate-button").click()
    expect(tab.get_by_text("服务器繁忙，请稍后再试。").first).to_be_visible()
    assert_no_english(tab)


def test_a_fault_of_ours_and_a_refused_request_are_told_in_chinese(open_page, page, monkeypatch):
    import httpx

    chinese = {"Accept-Language": "zh-CN"}
    answer = httpx.post(f"{page.local_url}gradio_api/queue/join", headers={**chinese, "Origin": "http://x.example"})
    assert answer.status_code == 403 and answer.json()["detail"].startswith("不接受来自其他网站的请求（请求 ")

    def broken(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr(type(page.models.get("tiny", "translation")), "stream", broken)
    tab = open_page("?tab=translate", locale="zh-CN")
    tab.locator("#source-text textarea").fill("Two dogs are here.")
    tab.locator("#translate-button").click()
    expect(tab.get_by_text("未能完成，错在我们").first).to_be_visible()


def test_errors_are_chinese_in_the_chinese_page(open_page):
    tab = open_page("?tab=translate", locale="zh-CN")
    tab.locator("#source-text textarea").fill("Это очень красивый дом.")
    expect(tab.locator("#translate-facts")).to_contain_text(
        "源语言：未能识别这种语言；此处可以翻译：英语到德语", timeout=30_000
    )
    tab.locator("#source-text textarea").fill("a" * 5001)
    tab.locator("#translate-button").click()
    tab.get_by_text("有 5001 个字符；最多 5000 个").first.wait_for()


def test_the_switch(open_page):
    tab = open_page("?tab=text", locale="en-US")
    tab.get_by_role("button", name="中文").click()
    tab.get_by_role("button", name="写作").wait_for()
    tab.get_by_role("tab", name="翻译").wait_for()
    assert tab.evaluate("document.documentElement.lang") == "zh-CN"
    tab.get_by_role("button", name="English").click()
    tab.get_by_role("button", name="Write").wait_for()


# tab -> the button that begins its work, what it is given by keyboard, and what appears
BY_KEYBOARD = {
    "text": ("Write", None, '.passage[aria-busy="false"] .token'),
    "translate": ("Translate", "Two dogs play.", "#other-ways li"),
    "generate": ("Draw", None, "#drawing a[download]"),
    "classify": ("Classify", None, "#classify-answer .answer"),
    "detect": ("Detect", None, "#detect-answer .answer"),
}


def focused(tab):
    return tab.evaluate("(document.activeElement.innerText || document.activeElement.ariaLabel || '').trim()")


def press_until(tab, wanted, most=80):
    """Press Tab until what is no tab and has that name has the focus; return the names on the way."""
    passed = []
    for _ in range(most):
        tab.keyboard.press("Tab")
        passed.append(focused(tab))
        if passed[-1] == wanted and tab.evaluate("document.activeElement.role") != "tab":
            return passed
    raise AssertionError(f"no {wanted} among {passed}")


@pytest.mark.parametrize("name", BY_KEYBOARD)
def test_the_keyboard_alone_works_and_shares(open_page, pictures, name):
    button, text, result = BY_KEYBOARD[name]
    path = TABS[name] + ("&drawing=bag" if name == "classify" else "")
    tab = open_page(path, permissions=["clipboard-read", "clipboard-write"])
    if name == "detect":
        place = tab.locator("#detect-picture button.upload-container")
        with tab.expect_file_chooser() as chooser:
            for _ in range(40):
                tab.keyboard.press("Tab")
                if place.evaluate("place => place === document.activeElement"):
                    break
            tab.keyboard.press("Enter")
        chooser.value.set_files(pictures[0])
        tab.locator(result).first.wait_for()
    if text:
        for _ in range(40):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.tagName") == "TEXTAREA":
                break
        tab.keyboard.type(text)
        tab.locator(result).first.wait_for()
    tab.evaluate("document.activeElement.blur(); getSelection().removeAllRanges()")
    press_until(tab, button)
    tab.keyboard.press("Enter")
    tab.locator(result).first.wait_for()
    if name == "detect":  # the link with a picture is a file
        press_until(tab, "Copy link")
        with tab.expect_download():
            tab.keyboard.press("Enter")
        return
    press_until(tab, "Copy link")
    tab.keyboard.press("Enter")
    expect(tab.locator(".said [role=status]:visible").first).to_contain_text("Copied")


def test_the_keyboard_alone_reads_about(open_page):
    tab = open_page("?tab=text")
    for _ in range(10):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.role") == "tab":
            break
    while focused(tab) != "About":
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.locator("#host .state.ready").first.wait_for()
    card = tab.locator(".card .label-wrap").first
    for _ in range(20):
        tab.keyboard.press("Tab")
        if card.evaluate("card => card === document.activeElement"):
            break
    expect(tab.locator(".model-card").first).to_be_visible()
    tab.keyboard.press("Enter")
    expect(tab.locator(".model-card").first).to_be_hidden()


def test_arrow_keys_choose_a_token_and_enter_goes_on_from_another(open_page):
    tab = open_page("?tab=text&prompt=Once&seed=1&max_new_tokens=8&run=1")
    tab.locator('.passage[aria-busy="false"] .token').nth(3).wait_for()
    tab.locator(".passage").focus()
    count = tab.locator(".passage .token").count()
    for index in (count - 1, count - 2):
        tab.keyboard.press("ArrowLeft")
        expect(tab.locator(".passage .token.picked")).to_have_attribute("data-index", str(index))
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(".passage .token.picked")).to_have_attribute("data-index", str(count - 1))
    tab.locator("#alternatives h3", has_text="Instead of").wait_for()
    before = tab.locator(".passage .body").text_content()
    press_until(tab, tab.locator("#alternatives button").nth(1).inner_text().strip())
    tab.keyboard.press("Enter")
    expect(tab.locator(".passage .body")).not_to_have_text(before)


SAID = {
    "translate": ("#translate-facts", "Translation: "),
    "generate": ("#drawing-facts", "1 picture: rose"),
    "classify": ("#classify-answer", "%"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_done_is_announced_once(open_page, pictures, name):
    place, words = SAID[name]
    paths = {"translate": "?tab=translate", "generate": "?tab=generate&prompt=rose&num_images=1&seed=1&steps=20"}
    tab = open_page(paths.get(name, TABS[name]))
    status = tab.locator(f"{place} [role=status]")
    if name == "generate":
        tab.locator("#draw-button").click()
    status.wait_for(state="attached")
    expect(status).to_have_text("")
    # the element stays: a new one would not be read
    status.evaluate("""element => {
      window.heard = [];
      const listen = () => element.textContent && window.heard.push(element.textContent);
      new MutationObserver(listen).observe(element, { childList: true, characterData: true, subtree: true });
    }""")
    if name == "translate":
        tab.locator("#source-text textarea").fill("Two dogs play. A man rides a bike.")
    elif name == "classify":
        tab.locator("#classify-picture input[type=file]").first.set_input_files(pictures[0])
    tab.wait_for_function("window.heard.length > 0")
    tab.wait_for_timeout(500)
    heard = tab.evaluate("window.heard")
    assert len(heard) == 1 and words in heard[0], heard
