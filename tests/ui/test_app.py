"""The page as a program: what it imports, what it shows of broken folders, how its parts check their input."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bigmodel.errors import InputError
from bigmodel.ui import about, benchmark
from bigmodel.ui.about import read_card
from bigmodel.ui.models import Models
from bigmodel.ui.texts import CHINESE, ENGLISH, t, words
from bigmodel.ui.theme import build_theme, page_css, page_head
from bigmodel.ui.validation import check_choice, check_number, check_text

REPOSITORY = Path(__file__).parents[2]


def test_serving_imports_no_torch(models_root):
    code = f"""
import sys
from bigmodel.ui.app import build_app, launch
demo = build_app({str(models_root)!r})
assert "onnxruntime" not in sys.modules
launch(demo, prevent_thread_lock=True, quiet=True)
demo.models.wait()
from gradio_client import Client
client = Client(demo.local_url, verbose=False, httpx_kwargs={{"timeout": 60}})
text = client.predict("Once", "tiny-stories", 3, api_name="/generate_text")
assert text.startswith("Once") and "onnxruntime" in sys.modules
print([name for name in ("torch", "transformers", "onnx") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_no_model_at_all(tmp_path):
    from bigmodel.ui.app import build_app

    assert build_app([]).models.entries == {}
    assert build_app(tmp_path).models.faults() == [f"{tmp_path.name}/config.json is missing"]


def test_models_named_by_the_environment(models_root, monkeypatch):
    from bigmodel.ui.app import build_app

    monkeypatch.setenv("BIGMODEL_MODELS", f"{models_root}/tiny-stories, {models_root}/tiny-poetry")
    assert list(build_app().models.entries) == ["tiny-stories", "tiny-poetry"]


def test_every_fault_names_its_file(tmp_path):
    files = {"no-json": "{", "no-task": "{}", "fails": '{"bigmodel": {"task": "t"}}', "list": "[]"}
    odd = ('"name": ["a"]', '"title": null', '"directions": null', '"languages": [1]', '"threshold": "a"')
    files |= {f"odd{i}": f'{{"bigmodel": {{"task": "t", {value}}}}}' for i, value in enumerate(odd)}
    for name, text in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)

    def load(folder):
        raise RuntimeError(f"{folder}/onnx/model.onnx is spoilt\nand more")

    models = Models([tmp_path], {"t": load})
    models.wait()
    faults = dict(zip(models.entries, models.faults(), strict=True))
    assert faults["no-json"].startswith("no-json/config.json is not JSON")
    assert faults["no-task"] == "no-task/config.json: bigmodel.task is None"
    assert faults["fails"] == "fails: RuntimeError: fails/onnx/model.onnx is spoilt"
    assert faults["list"] == "list/config.json is not an object of JSON"
    for i in range(len(odd)):
        assert faults[f"odd{i}"] == f"odd{i}/config.json: bigmodel is no description of a model"
    with pytest.raises(InputError, match="model: fails is not served"):
        models.get("fails", "t")


def test_a_page_that_closes_ends_the_model_that_is_being_opened_and_opens_no_other(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"bigmodel": {"task": "t"}}')
    begun, go_on = threading.Event(), threading.Event()

    def load(folder):
        begun.set()
        go_on.wait(60)
        return folder.name

    models = Models([tmp_path], {"t": load})
    opener = models.open_all()
    assert begun.wait(60)
    threading.Timer(0.2, go_on.set).start()
    models.close()
    assert not opener.is_alive()
    assert [entry.model for entry in models.entries.values()] == ["a", None]


def test_two_models_of_one_name(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"bigmodel": {"task": "t", "name": "one"}}')
    models = Models([tmp_path], {"t": str})
    assert models.faults() == ["b: another folder is named one already"]
    (tmp_path / "c/one").mkdir(parents=True)
    (tmp_path / "c/one/config.json").write_text("{")
    broken = Models([tmp_path / "a", tmp_path / "c/one"], {"t": str})
    assert broken.entries["one"].card["name"] == "one" and len(broken.faults()) == 1
    assert models.get("one", "t") == str(tmp_path / "a")


def test_texts_are_in_both_languages():
    assert set(ENGLISH) == set(CHINESE)
    for function in (t, words):
        with pytest.raises(KeyError):
            function("no such text")


def test_look_asks_no_other_host():
    assert build_theme()._stylesheets == []
    assert "://" not in (page_css() + page_head()).replace("http://www.w3.org", "")


def test_card_without_front_matter(tmp_path):
    assert read_card(tmp_path) == ""
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Card\n", encoding="utf-8")
    assert read_card(tmp_path) == "# Card"


def test_the_picture_of_a_card(tmp_path):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "config.json").write_text('{"bigmodel": {"task": "t", "name": "a b"}}')
    (folder / "README.md").write_text("![Drawings](samples.png)")
    models, app = Models([tmp_path], {"t": str}), FastAPI()
    app.include_router(about.routes(models))
    address, client = "/cards/a%20b/samples.png", TestClient(app)
    assert read_card(folder, "a b") == f"![Drawings]({address[1:]})"
    assert client.get(address).status_code == 404
    (folder / "samples.png").symlink_to(Path(__file__))  # out of the folder
    assert client.get(address).status_code == 404
    (folder / "samples.png").unlink()
    (folder / "samples.png").write_bytes(b"picture")
    answer = client.get(address)
    assert answer.content == b"picture" and answer.headers["content-type"] == "image/png"
    assert client.get("/cards/other/samples.png").status_code == 404
    assert client.get("/cards/a%20b/config.json").status_code == 404


@pytest.mark.parametrize("value", [True, "1", float("nan"), float("inf"), [], 1.5])
def test_what_is_no_whole_number(value):
    with pytest.raises(InputError, match="n: .* give a whole number from 0 to 9"):
        check_number("n", value, 0, 9, whole=True)


def test_checked_values():
    assert check_number("n", 3.0, 0, 9, whole=True) == 3 and check_number("n", None, 0, 9) is None
    assert check_text("x", None, limit=3) == "" and check_choice("c", "", ["a"]) is None
    with pytest.raises(InputError, match="x: 4 characters; the limit is 3"):
        check_text("x", "abcd", limit=3)


def test_startup_benchmark_times_a_page_and_notices_one_that_ends():
    from bigmodel.errors import BigModelError

    server = """
import http.server, os
address = "127.0.0.1", int(os.environ["GRADIO_SERVER_PORT"])
http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""
    assert 0 < benchmark.time_to_first_page(["-c", server]) < 30
    with pytest.raises(BigModelError):
        benchmark.time_to_first_page(["-c", "pass"])
