"""Pictures of the page as visitors see it: ``python -m bigmodel screenshots``.

Every tab in both languages, light and dark, on a phone and on a desktop; and, committed, the pictures of the README and
of a shared link. All show what the shipped models really wrote. Needs playwright and a Chromium.
"""

import shutil
from pathlib import Path

from bigmodel.errors import BigModelError
from bigmodel.ui.metadata import PICTURE, SIZE

PICTURES = PICTURE.parent
DESKTOP, PHONE = (1440, 1000), (390, 844)
STORY = "tab=text&model=stories&prompt=Once+upon+a+time+there+was+a+little&seed=3&max_new_tokens=120&run=1"
POEM = "tab=text&model=poetry&kind=唐诗&form=五律&title=秋夜&seed=5&run=1"
CAPTION = "tab=translate&text=Two+dogs+are+playing+in+the+snow.&source=en&target=de&run=1"
DRAWING = "tab=generate&model=emoji&prompt=a+cat+face+left+of+a+pizza,+noto+style,+on+blue&seed=1&run=1"
# name -> query for each language
TABS = {"text": {"en": STORY, "zh-CN": POEM}, "translate": dict.fromkeys(("en", "zh-CN"), CAPTION)}
TABS["generate"] = dict.fromkeys(("en", "zh-CN"), DRAWING)
TABS["about"] = dict.fromkeys(("en", "zh-CN"), "tab=about")
COLOURS = 96  # of a committed picture; the page has few


def add_arguments(parser):
    """Declare the options of ``screenshots``."""
    parser.add_argument("--out", type=Path, default=Path("runs/screenshots"), help="folder of all of them")
    parser.add_argument("--commit", action="store_true", help="only those of the README and of a shared link")


def run(arguments):
    """Serve the page, take the pictures, print their paths, and return 0."""
    from playwright.sync_api import sync_playwright

    from bigmodel.ui.app import build_app, launch

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        raise BigModelError("chromium is missing; install it, such as by: apt-get install chromium fonts-noto-cjk")
    demo = build_app()
    launch(demo, prevent_thread_lock=True, quiet=True)
    demo.models.wait()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            take = _committed if arguments.commit else _every
            for path in take(browser, demo.local_url, arguments.out):
                print(path, flush=True)
    finally:
        demo.close()
    return 0


def _every(browser, url, folder):
    for tab, queries in TABS.items():
        for language, query in queries.items():
            for scheme in ("light", "dark"):
                for device, size in (("desktop", DESKTOP), ("phone", PHONE)):
                    path = folder / f"{tab}-{language}-{scheme}-{device}.png"
                    yield _picture(browser, f"{url}?{query}", path, language, scheme, size, full_page=tab != "about")


def _committed(browser, url, _):
    for tab, queries in TABS.items():
        yield _small(_picture(browser, f"{url}?{queries['en']}", PICTURES / f"{tab}.png", "en", "light", (1280, 860)))
    yield _small(_picture(browser, f"{url}?{POEM}", PICTURES / "poem.png", "zh-CN", "dark", (1280, 860)))
    yield _small(_picture(browser, f"{url}?{STORY}", PICTURE, "en", "light", SIZE))


def _picture(browser, address, path, language, scheme, size, full_page=False):
    """Open an address, wait until the page has settled, and write its picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(locale=language, color_scheme=scheme, viewport=viewport)
    page = context.new_page()
    page.goto(address)
    ready = ".passage[aria-busy='false'] .token, #other-ways li, #drawing [aria-busy='false'], #host .state.ready"
    page.locator(f":is({ready}):visible").first.wait_for(timeout=120_000)
    page.wait_for_timeout(2500)  # the bars under a text come last
    page.screenshot(path=path, full_page=full_page)
    context.close()
    return path


def _small(path):
    """Make a picture's file small: a palette is enough for a page of few colours."""
    from PIL import Image

    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)
    return path
