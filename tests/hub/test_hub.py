"""Publishing and fetching, each command a process of its own, against a server that speaks the Hub's interface."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hub_server import GOOD_TOKEN, LFS_FROM, HubServer

from bigmodel.errors import HubError
from bigmodel.hub.deploy import REPOSITORY, read_secrets, space_files
from bigmodel.runtime.artifacts import MANIFEST, verify, write_manifest


@pytest.fixture
def hub():
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def command(hub, tmp_path):
    """Function of the words after ``python -m bigmodel``: the finished process."""

    def run(*words, token=GOOD_TOKEN, endpoint=None, program=("-m", "bigmodel")):
        environment = {
            **os.environ,
            "HF_ENDPOINT": endpoint or hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",  # its storage is another service; the Hub takes git-lfs as well
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        environment.pop("HF_TOKEN", None)
        if token:
            environment["HF_TOKEN"] = token
        words = [sys.executable, *program, *map(str, words)]
        return subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def carded(tiny_stories, tmp_path):
    """A model folder with a card, and a file that is too large for a plain commit."""
    folder = shutil.copytree(tiny_stories, tmp_path / "carded")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n", encoding="utf-8")
    (folder / "picture.png").write_bytes(bytes(LFS_FROM + 1))
    write_manifest(folder)
    return folder


def test_a_model_is_pushed_and_fetched_by_its_commit(hub, command, carded, tmp_path):
    done = command("push", carded, "ann/tiny")
    assert done.returncode == 0, done.stderr
    files, commit = hub.repositories["model", "ann/tiny"]["files"], hub.repositories["model", "ann/tiny"]["commits"][-1]
    assert set(files) == {".gitattributes", MANIFEST, *verify(carded)}
    assert all(content == (carded / name).read_bytes() for name, content in files.items() if name != ".gitattributes")
    assert [path for method, path in hub.requests if method == "PUT"] and len(hub.storage) == 1
    assert f"{hub.url}/ann/tiny" in done.stdout and f"BIGMODEL_MODELS=ann/tiny@{commit}" in done.stdout

    program = (
        "-c",
        "import sys; from bigmodel.text_generation.runtime import TextGenerator as T;"
        "model = T.from_pretrained(sys.argv[1]); print(model.generate(['Once'], seed=1), model.folder.path)",
    )
    first = command(f"ann/tiny@{commit}", program=program, token=None)
    assert first.returncode == 0 and f"ann--tiny@{commit}" in first.stdout, first.stderr
    asked = len(hub.requests)
    again = command(f"ann/tiny@{commit}", program=program, token=None, endpoint="http://127.0.0.1:9")
    assert again.stdout == first.stdout and len(hub.requests) == asked  # without the Hub
    newest = command("ann/tiny", program=program, token=None)
    assert newest.stdout == first.stdout
    missing = command("ann/tiny@" + "0" * 40, program=program, token=None)
    assert "bigmodel.errors.ModelFolderError: ann/tiny@000" in missing.stderr


def test_a_second_push_sends_what_changed(hub, command, carded):
    command("push", carded, "ann/tiny")
    uploads = sum(method == "PUT" for method, _ in hub.requests)
    assert command("push", carded, "ann/tiny").returncode == 0
    assert sum(method == "PUT" for method, _ in hub.requests) == uploads


def test_a_push_takes_away_what_would_be_refused(hub, command, carded):
    files = hub.make("model", "ann/tiny", {"onnx/old.onnx": b"of another model", "LICENSE": b"MIT"})["files"]
    done = command("push", carded, "ann/tiny")
    assert done.returncode == 0, done.stderr
    assert "taken away  onnx/old.onnx" in done.stdout
    assert set(files) == {"LICENSE", MANIFEST, *verify(carded)}


def test_an_altered_model_is_not_pushed(hub, command, carded):
    (carded / "tokenizer.json").write_text("{}")
    done = command("push", carded, "ann/tiny")
    assert done.returncode == 2 and "tokenizer.json differs from its checksum" in done.stderr
    assert hub.requests == []


def test_a_model_without_a_card_is_not_pushed(command, tiny_stories):
    done = command("push", tiny_stories, "ann/tiny", "--dry-run")
    assert done.returncode == 2 and "has no card; try: python -m bigmodel report" in done.stderr


def test_a_space_is_made_and_brought_up_to_date(hub, command):
    hub.stages = [{"stage": "BUILDING"}, {"stage": "RUNNING", "sha": "earlier"}, {"stage": "RUNNING"}]
    options = "--hardware", "t4-small", "--secret", "KEY=a=b", "--secret", "HF_HOME"
    program = ("-c", "import sys, bigmodel.hub.deploy as d, bigmodel.cli as c; d.POLL_S = 0.1; sys.exit(c.main())")
    done = command("deploy", "ann/page", *options, program=program)
    assert done.returncode == 0, done.stderr
    space = hub.repositories["space", "ann/page"]
    names = space_files(REPOSITORY)
    assert set(space["files"]) == {".gitattributes", *names} and {"app.py", "requirements.txt"} <= set(names)
    assert space["files"]["app.py"] == (REPOSITORY / "app.py").read_bytes()
    assert any(len(content) > LFS_FROM for content in space["files"].values())
    assert space["hardware"] == "t4-small" and space["sdk"] == "gradio"
    assert space["secrets"]["KEY"] == "a=b" and space["secrets"]["HF_HOME"].endswith("home")
    stages = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("ann/page: ")]
    assert stages == ["BUILDING", "RUNNING, an earlier version", "RUNNING"]
    assert f"{hub.url}/spaces/ann/page" in done.stdout

    space["files"]["bigmodel/gone.py"] = b""
    assert command("deploy", "ann/page", "--minutes", 0).returncode == 0
    assert "bigmodel/gone.py" not in space["files"] and ".gitattributes" in space["files"]


def test_a_zero_gpu_space_gets_a_torch_that_it_takes(hub, command):
    assert command("deploy", "ann/page", "--hardware", "zero-a10g", "--minutes", 0).returncode == 0
    space = hub.repositories["space", "ann/page"]
    ours = (REPOSITORY / "requirements.txt").read_text().splitlines()
    theirs = space["files"].pop("requirements.txt").decode().splitlines()
    assert space["hardware"] == "zero-a10g" and "torch==2.11.0" in theirs
    assert {line for line in theirs if line not in ours} == {"torch==2.11.0", "spaces"}
    assert [line for line in ours if line not in theirs] == [line for line in ours if line.startswith("torch==")]
    assert command("deploy", "ann/page", "--minutes", 0).returncode == 0  # as it is there, it stays so
    assert space["files"]["requirements.txt"].decode().splitlines() == theirs


def test_a_space_names_the_hubs_models_that_it_serves(hub, command):
    value = "ann/poems@0123abc, export/artifacts,bob/tales"
    assert command("deploy", "ann/page", "--models", value, "--minutes", 0).returncode == 0
    space, ours = hub.repositories["space", "ann/page"], (REPOSITORY / "README.md").read_text(encoding="utf-8")
    theirs = space["files"]["README.md"].decode()
    assert theirs.replace("\nmodels: [ann/poems, bob/tales]\n", "\n", 1) == ours != theirs
    assert "\nmodels: [ann/poems, bob/tales]\n" in theirs.split("---")[1]
    assert space["variables"] == {"BIGMODEL_MODELS": value}
    assert command("deploy", "ann/page", "--minutes", 0).returncode == 0  # as it is there, it stays so
    assert space["files"]["README.md"].decode() == theirs


def test_a_dry_run_asks_nothing(hub, command):
    done = command("deploy", "ann/page", "--dry-run")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and hub.requests == []
    assert len(lines) == len(space_files(REPOSITORY)) + 1
    weights = "export/artifacts/poetry/model.safetensors"
    size = f"{(REPOSITORY / weights).stat().st_size / 1e6:.2f}"
    assert any(size in line and line.endswith(weights) for line in lines)


def test_a_space_of_another_project_is_left_alone(hub, command):
    hub.make("space", "ann/blog", {"index.html": b"mine", "README.md": b""})
    done = command("deploy", "ann/blog")
    assert done.returncode == 2 and "ann/blog is taken" in done.stderr
    assert hub.repositories["space", "ann/blog"]["files"]["index.html"] == b"mine"


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (("deploy", "ann/page"), {"token": "hf_bad"}, "the Hub refused the token (Invalid user token."),
        (("deploy", "ann/page"), {"token": None}, "no token of the Hub; set HF_TOKEN"),
        (("deploy", "ann/page"), {"endpoint": "http://127.0.0.1:9"}, "the Hub cannot be reached"),
        (("deploy", "bob/page"), {}, "bob/page: this token may not write there (You don't have the rights"),
        (("deploy", "page"), {}, "'page' is no name of a repository; give USER/NAME"),
        (("deploy", "ann/page", "--secret", "NOT_SET"), {}, "--secret NOT_SET: give KEY=VALUE"),
        (("push", "nowhere", "ann/tiny"), {}, "nowhere/manifest.json is missing"),
    ],
)
def test_what_is_told(command, words, options, message):
    done = command(*words, **options)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr


def test_a_space_that_cannot_be_built_is_told(hub, command):
    hub.stages = [{"stage": "BUILD_ERROR", "errorMessage": "Build failed with exit code: 1\nmore"}]
    done = command("deploy", "ann/page")
    assert done.returncode == 2
    assert done.stderr == "error: ann/page does not run: BUILD_ERROR, Build failed with exit code: 1\n"


def test_secrets(monkeypatch):
    monkeypatch.setenv("FROM_HERE", "x")
    assert read_secrets(["A=b=c", "FROM_HERE", "EMPTY="]) == {"A": "b=c", "FROM_HERE": "x", "EMPTY": ""}
    for word in ("", "=x", "NOT_SET_ANYWHERE"):
        with pytest.raises(HubError):
            read_secrets([word])


def test_a_folder_without_git(tmp_path):
    with pytest.raises(HubError, match="no git repository"):
        space_files(Path(tmp_path))


def test_the_readme_is_right_for_a_space():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    front = dict(line.split(": ", 1) for line in text.split("---\n")[1].splitlines() if ": " in line)
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py" and front["python_version"] == '"3.12"'
    assert f"gradio[mcp]=={front['sdk_version']}" in (REPOSITORY / "requirements.txt").read_text()
    assert len(front["short_description"]) <= 60


def test_the_page_serves_models_of_the_hub(hub, command, carded):
    commit = command("push", carded, "ann/tiny").stdout.partition("ann/tiny@")[2].split()[0]
    program = """
import json, sys
from gradio_client import Client
from bigmodel.ui.app import build_app, launch

demo = build_app(sys.argv[1:])
assert next(iter(demo.models.entries.values())).state == "loading"
launch(demo, prevent_thread_lock=True, quiet=True)
client = Client(demo.local_url, verbose=False)
text = client.predict("Once", max_new_tokens=3, api_name="/generate_text")
demo.models.wait()
print(json.dumps([text, client.predict(api_name="/health")["models"]]))
"""
    done = command(f"ann/tiny@{commit}", "ann/gone", "bob/tiny", program=("-c", program))
    assert done.returncode == 0, done.stderr
    text, models = json.loads(done.stdout)
    assert text.startswith("Once") and models["tiny"]["state"] == "ready"
    assert models["tiny"]["task"] == "text_generation"
    assert models["gone"]["fault"].startswith("ann/gone cannot be fetched: ")
    assert models["bob/tiny"]["fault"] == "bob/tiny: another model is named tiny already"
    offline = command(f"ann/tiny@{commit}", program=("-c", program), endpoint="http://127.0.0.1:9", token=None)
    assert json.loads(offline.stdout)[0] == text
