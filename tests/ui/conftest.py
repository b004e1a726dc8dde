"""A served page with tiny models and a broken one, and a browser."""

import inspect
import os
import re
import shutil
import time
from contextlib import closing

import httpx
import pytest

URL = re.compile(r"^(http://(127\.0\.0\.1|localhost)[:/]|data:|blob:)")
# where a page is left, Gradio cuts its connections and complains of each
LEFT = "addEventListener('beforeunload', () => { console.error = console.warn = () => {} })"
PATIENCE_S = 60  # of every wait for a server or a browser: it costs nothing where the machine is quiet


def pytest_collection_modifyitems(items):
    """Run again, up to twice, what drives a browser: on a busy machine it may miss its time."""
    for item in items:
        if "open_page" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="session", autouse=True)
def patient_httpx():
    """Wait longer than httpx's five seconds, in the clients that a test uses or is given."""
    default = inspect.signature(httpx.get).parameters["timeout"].default  # one object for all its functions
    default.connect = default.read = default.write = default.pool = PATIENCE_S


@pytest.fixture(scope="session")
def models_root(
    tmp_path_factory, tiny_poetry, tiny_stories, quantized_folder, tiny_photos, tiny_fashion, tiny_detector, tiny_emoji
):
    """A folder of "tiny-poetry" and "tiny-stories", whose texts never end early, of "altered", a spoilt copy, and of
    "tiny", a translator of English and German, of "tiny-photos" and "tiny-fashion",
    classifiers, of "tiny-detector", and of "tiny-emoji", an image generator."""
    from bigmodel.config import read_json, write_json
    from bigmodel.runtime.artifacts import write_manifest

    root = tmp_path_factory.mktemp("page")
    for source, name in ((tiny_poetry, "tiny-poetry"), (tiny_stories, "tiny-stories"), (tiny_stories, "altered")):
        folder = shutil.copytree(source, root / name)
        config = read_json(folder / "config.json")
        write_json(folder / "config.json", {**config, "bigmodel": {**config["bigmodel"], "name": name}})
        defaults = read_json(folder / "generation_config.json")
        special = [token["id"] for token in read_json(folder / "tokenizer.json")["added_tokens"]]
        write_json(folder / "generation_config.json", {**defaults, "suppress_tokens": special})
        (folder / "README.md").write_text(
            f"---\nlicense: mit\n---\n# {name}\n\nBits per byte: 1.25\n", encoding="utf-8"
        )
        (folder / "README.zh.md").write_text(f"# {name}\n\n每字节比特数：1.25\n", encoding="utf-8")
        write_manifest(folder)
    for source in (quantized_folder, tiny_photos, tiny_fashion, tiny_detector, tiny_emoji):
        shutil.copytree(source, root / source.name)
    with (root / "altered/tokenizer.json").open("a") as file:
        file.write(" ")
    return root


@pytest.fixture(scope="session")
def page(models_root):
    """A served page, its models open and slowed to at most 100 tokens and 10 steps a second, so that a test can watch
    them; its ``pace`` is the seconds of a token; an image generator's ``pause`` is that of a step, and its
    ``running`` counts what it draws."""
    from bigmodel.runtime.decoding import Decoder
    from bigmodel.text_to_image.runtime import ImageGenerator
    from bigmodel.ui.app import build_app, launch

    at_full_speed, drawn_at_full_speed = Decoder.step, ImageGenerator.stream

    def slowed(self, slots, tokens, **options):
        time.sleep(demo.pace)
        return at_full_speed(self, slots, tokens, **options)

    def drawn_slowly(self, *arguments, **settings):
        self.running += 1
        try:
            with closing(drawn_at_full_speed(self, *arguments, **settings)) as stream:
                for progress in stream:
                    time.sleep(self.pause)
                    yield progress
        finally:
            self.running -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decoder, "step", slowed)
        patch.setattr(ImageGenerator, "stream", drawn_slowly)
        patch.setattr(ImageGenerator, "running", 0, raising=False)
        patch.setattr(ImageGenerator, "pause", 0.1, raising=False)
        demo = build_app(models_root)
        demo.pace = 0.01
        launch(demo, prevent_thread_lock=True, quiet=True)
        demo.models.wait()
        yield demo
        demo.close()


@pytest.fixture(scope="session")
def browser():
    """Chromium; without it the tests are skipped, or fail where CI=true."""
    executable = shutil.which("chromium")
    if executable is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing")
        pytest.skip("chromium is missing")
    sync_api = pytest.importorskip("playwright.sync_api")
    sync_api.expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(page, browser):
    """Function of a path and context options: an opened page that refuses every other host."""
    contexts, faults = [], []

    def told(message):
        """A complaint; the last one is Gradio's own, at every upload."""
        return message.type in ("error", "warning") and message.text != "Method not implemented."

    def open_(path="", **options):
        context = browser.new_context(**{"locale": "en-US", **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_S * 1000)
        tab = context.new_page()

        def route(route):
            if URL.match(route.request.url):
                return route.continue_()
            faults.append(f"asked for {route.request.url}")
            return route.abort()

        context.add_init_script(LEFT)
        context.route("**/*", route)
        tab.on("console", lambda m: faults.append(f"console: {m.text}") if told(m) else None)
        tab.on("pageerror", lambda error: faults.append(f"script: {error}"))
        tab.goto(page.local_url + path)
        if "tab=translate" in path:
            tab.locator("#source-text textarea").wait_for()
        elif "tab=" in path:
            tab.locator(".segmented label.selected:visible").wait_for()
        else:
            tab.locator(".segmented label.selected").wait_for()
            tab.locator("#alternatives button").nth(9).wait_for()  # the page has settled
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def serve(models_root):
    """Function of environment variables: (address, subprocess.Popen) of app.py with the tiny models, until the end."""
    from contextlib import ExitStack

    from bigmodel.ui.visitors import served

    with ExitStack() as stack:

        def serve(path="health", **variables):
            environment = {"BIGMODEL_MODELS": str(models_root), **variables}
            return stack.enter_context(served(["app.py"], environment=environment, path=path))

        yield serve
