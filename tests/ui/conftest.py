"""A served page with two tiny models and a broken one, and a browser."""

import os
import shutil
import time

import pytest


@pytest.fixture(scope="session")
def models_root(tmp_path_factory, tiny_poetry, tiny_stories):
    """A folder of "tiny-poetry" and "tiny-stories", whose texts never end early, and of "altered", a spoilt copy."""
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
        write_manifest(folder)
    with (root / "altered/tokenizer.json").open("a") as file:
        file.write(" ")
    return root


@pytest.fixture(scope="session")
def page(models_root):
    """A served page, its models open and slowed to at most 100 tokens a second, so that a test can watch them."""
    from bigmodel.runtime.batching import SharedBatch
    from bigmodel.ui.app import build_app, launch

    at_full_speed = SharedBatch.next

    def slowed(self, row):
        time.sleep(0.01)
        return at_full_speed(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SharedBatch, "next", slowed)
        demo = build_app(models_root)
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
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()
