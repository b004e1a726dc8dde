"""Pictures of the page as visitors see it: ``python -m bigmodel screenshots``.

Every tab in both languages, light and dark, on a phone and on a desktop; and, committed, the pictures of the README and
of a shared link. All show what the shipped models really wrote. Needs playwright and a Chromium.
"""

import re
import shutil
from fnmatch import fnmatch
from pathlib import Path

from bigmodel.errors import BigModelError
from bigmodel.ui.metadata import PICTURE, SIZE

PICTURES = PICTURE.parent
DESKTOP, PHONE = (1440, 1000), (390, 844)
STORY = "tab=text&model=stories&prompt=Once+upon+a+time+there+was+a+little&seed=3&max_new_tokens=120&run=1"
POEM = "tab=text&model=poetry&kind=唐诗&form=五律&title=秋夜&seed=5&run=1"
CAPTION = "tab=translate&text=Two+dogs+are+playing+in+the+snow.&source=en&target=de&run=1"
DRAWING = "tab=generate&model=emoji&prompt=a+cat+face,+noto+style&seed=1&run=1"
SKETCH = "tab=classify&model=fashion&drawing=bag&run=1"
SCENE = PICTURES / "scene.jpg"  # Noto emoji, composed by bigmodel.object_detection.scenes
QUERIES = {"text": STORY, "translate": CAPTION, "generate": DRAWING, "classify": SKETCH}
QUERIES |= {"detect": "tab=detect&model=scenes", "about": "tab=about"}
RESULTS = ".passage[aria-busy='false'] .token", "#other-ways li", "#drawing [aria-busy='false']", ".answers .answer"
READY = ", ".join((*RESULTS, ".state.ready"))
SETTLE_MS = 2500  # until a link has filled the page, and what comes last is there
PATIENCE_MS = 300_000  # until a result is there, on a busy machine
LARGE = 150_000  # bytes of a committed picture: beyond, it has COLOURS colours
COLOURS = 256


def add_arguments(parser):
    """Declare the options of ``screenshots``."""
    parser.add_argument("--out", type=Path, default=Path("runs/screenshots"), help="folder of all of them")
    parser.add_argument("--commit", action="store_true", help="only those of the README and of a shared link")
    parser.add_argument("--only", default="*", metavar="NAMES", help="such as 'detect-zh-CN-*'; by default all")


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
            for path, query, *how in _committed() if arguments.commit else _every(arguments.out):
                # a host of other models shows those
                query = re.sub(r"&model=(\w+)", lambda m: m[0] * (m[1] in demo.models.entries), query)
                if fnmatch(path.stem, arguments.only):
                    _picture(browser, f"{demo.local_url}?{query}", path, *how)
                    if arguments.commit:
                        _small(path)
                    print(path, flush=True)
    finally:
        demo.close(verbose=False)
    return 0


def _every(folder):
    """Yield (path, query, language, scheme, size, full_page) of every picture."""
    for tab, query in QUERIES.items():
        for language in ("en", "zh-CN"):
            query = POEM if (tab, language) == ("text", "zh-CN") else query
            for scheme in ("light", "dark"):
                for device, size in (("desktop", DESKTOP), ("phone", PHONE)):
                    path = folder / f"{tab}-{language}-{scheme}-{device}.png"
                    yield path, query, language, scheme, size, tab != "about"


def _committed():
    """Yield the same of those of the README and of a shared link."""
    for tab, query in QUERIES.items():
        yield PICTURES / f"{tab}.png", query, "en", "light", (1280, 860)
    yield PICTURES / "poem.png", POEM, "zh-CN", "dark", (1280, 860)
    yield PICTURE, STORY, "en", "light", SIZE


def _picture(browser, address, path, language, scheme, size, full_page=False):
    """Open an address, wait until the page has settled, and write its picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(locale=language, color_scheme=scheme, viewport=viewport)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    if "tab=detect" in address:
        field = page.locator("#detect-picture input[type=file]").first
        field.wait_for(state="attached")
        page.wait_for_timeout(SETTLE_MS)
        field.set_input_files(SCENE)
    ready = page.locator(f":is({READY}):visible").first
    for _ in range(3):  # a page that has lost its server opens itself anew
        ready.wait_for()
        page.wait_for_timeout(SETTLE_MS)
        if ready.is_visible():
            break
    page.screenshot(path=path, full_page=full_page)
    context.close()


def _small(path):
    """Make a large file small by a palette that covers rare colours, too, such as those of words."""
    from PIL import Image

    if path.stat().st_size <= LARGE:  # a palette tints what is nearly white
        return
    with Image.open(path) as picture:
        method = Image.Quantize.MAXCOVERAGE
        reduced = picture.convert("RGB").quantize(COLOURS, method=method, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)
