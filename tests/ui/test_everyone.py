"""The page for everyone: axe-core, widths from a phone to a wall, and no English in the Chinese page."""

import re

import pytest
from playwright.sync_api import expect

AXE = pytest.importorskip("axe_playwright_python.sync_playwright")
TABS = {"text": "?tab=text&prompt=Once&seed=1&max_new_tokens=12", "translate": "?tab=translate", "about": ""}
TABS["generate"] = "?tab=generate&prompt=玫瑰&num_images=2&seed=1&steps=2"
TABS |= {"classify": "?tab=classify&model=tiny-fashion&drawing=bag&run=1", "detect": "?tab=detect"}
# names, abbreviations and what stands for itself; "copy" is Gradio's own button, which has no other name
NAMES = """bigmodel english deutsch onnx runtime cpu cuda gpu top txt csv tsv srt ctrl enter transformer api mcp gradio
bigmodel_models python numpy tokenizers onnxruntime hub tiny poetry stories altered json manifest tokenizer auto copy
mb emoji euler heun png photos fashion detector"""
PANELS = "Sampling", "Search", "Translate a file", "This visit", "For programs"
PANELS += "采样设置", "搜索设置", "翻译文件", "本次浏览", "供程序调用"
# what still moves is neither read nor measured; what moves for ever is a sign of work
STILL = "document.getAnimations().every((a) => a.playState !== 'running' || a.effect.getTiming().iterations > 99)"


def settle(tab):
    """Open the panels, and wait until nothing moves."""
    tab.wait_for_timeout(300)
    for name in PANELS:
        for button in tab.locator(".label-wrap:visible", has_text=name).all():
            if "open" not in (button.get_attribute("class") or ""):
                button.click()
                expect(button).to_have_class(re.compile(r"\bopen\b"))
    tab.wait_for_function(STILL)


def opened(open_page, name, **options):
    """A tab that shows a result, its panels open."""
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
    elif name == "classify":
        tab.locator("#classify-answer .answer").wait_for()
    elif name == "detect":
        tab.locator("#detect .placeholder").wait_for()
    else:
        tab.get_by_role("tab").last.click()
        tab.locator("#host .state.ready").first.wait_for()
    settle(tab)
    return tab


@pytest.mark.parametrize("name", TABS)
def test_axe_finds_nothing_serious(open_page, name):
    tab = opened(open_page, name, color_scheme="light")
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
def test_no_horizontal_scroll(open_page, name):
    tab = opened(open_page, name)
    for width in (2560, 1024, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.wait_for_function(f"innerWidth === {width} && document.documentElement.scrollWidth <= {width}")


WORDS = """() => {
  const found = [];
  const content = "script, style, .passage .body, .examples, .history ol, #alternatives ol, " +
    ".programs figcaption, #other-ways ol, #attention, #host tbody th, .card .label-wrap, #notice li";
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


@pytest.mark.parametrize("name", TABS)
def test_no_english_in_the_chinese_page(open_page, name):
    tab = opened(open_page, name, locale="zh-CN")
    allowed = set(NAMES.split())
    left = [
        text.strip()
        for text in tab.evaluate(WORDS)
        if any(word.lower() not in allowed for word in re.findall(r"[A-Za-z_]{2,}", text))
    ]
    assert not left, "\n".join(left)


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


def test_the_keyboard_alone_writes_and_shares(open_page):
    tab = open_page("?tab=text&prompt=Once&seed=1&max_new_tokens=8", permissions=["clipboard-read", "clipboard-write"])
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        focused = tab.evaluate("(document.activeElement.innerText || document.activeElement.ariaLabel || '').trim()")
        reached.add(focused)
        if focused == "Write":
            tab.keyboard.press("Enter")
            tab.locator('.passage[aria-busy="false"] .token').first.wait_for()
        if focused == "Copy link":
            tab.keyboard.press("Enter")
            expect(tab.locator(".said [role=status]:visible")).to_contain_text("Copied")
            break
    assert {"English", "中文", "Write", "Copy link"} <= reached
