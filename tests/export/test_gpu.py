"""Trainings that travel: packed, run within a clock, interrupted, sent in pieces, collected."""

import json
import lzma
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from bigmodel.cli import build_parser  # noqa: E402
from bigmodel.config import read_json, write_json  # noqa: E402
from bigmodel.errors import DataError  # noqa: E402
from bigmodel.evaluation.results import entry, read_metrics  # noqa: E402
from export import gpu, gpu_figures  # noqa: E402

ROOT = Path(__file__).parents[2]
PRESET = "tinyshakespeare"
# packages that a GPU machine may lack
MISSING = ("zstandard", "pycocotools", "pypinyin", "sentencex", "emoji", "matplotlib", "onnxruntime", "gradio")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Another checkout: the modules, and nothing in runs/; trainings there lack packages and have one thread."""
    there = tmp_path / "machine"
    there.mkdir()
    block = tmp_path / "site"
    block.mkdir()
    lines = ["import sys", f"sys.modules.update(dict.fromkeys({MISSING!r}))"]
    (block / "sitecustomize.py").write_text("\n".join(lines))
    monkeypatch.setenv("PYTHONPATH", f"{block}{os.pathsep}{ROOT}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(there)
    return there


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "data" / "text"
    folder.mkdir(parents=True)
    text = "".join(f"The fox met {count} crows, and {count % 7} of them spoke.\n" for count in range(600))
    (folder / "en.tinyshakespeare.txt.xz").write_bytes(lzma.compress(text.encode()))
    (folder / "MANIFEST.json").write_text(json.dumps([{"file": "en.tinyshakespeare.txt.xz", "licence": "MIT"}]))
    return folder.parent


def call(upload, out, seconds, *options):
    words = ["run", upload, out, seconds, "--options", " ".join(["--no-compile", "--workers", "0", *options])]
    return gpu.main([str(word) for word in words])


@pytest.mark.timeout(1500)  # it starts a dozen processes
def test_prepared_interrupted_sent_and_collected(machine, corpus, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "folder"
    monkeypatch.setenv("PRESET_SUFFIX", "")
    monkeypatch.setattr(gpu, "START", 1)
    assert not gpu.main(["prepare", str(corpus), str(folder), PRESET])
    run = machine / "runs" / PRESET

    # there: its clock ends before the training does, perhaps before it has begun
    for seconds in (60, 120, 240, 480):
        assert call(folder / "1", tmp_path / "out1", seconds, "--steps", "1000000") == gpu.UNFINISHED
        if (run / "checkpoint.pt").exists():
            break
    assert read_json(tmp_path / "out1" / "index.json")[PRESET]["state"] == "unfinished"
    reached = torch.load(run / "checkpoint.pt")["step"]
    assert reached > 0

    # a later call goes on; what is finished does not all fit into it
    monkeypatch.setattr(gpu, "PIECE", 2**20)
    monkeypatch.setattr(gpu, "FILES", 3)
    steps = str(reached + 3)
    assert call(tmp_path / "nothing", tmp_path / "out2", 600, "--steps", steps) == gpu.UNFINISHED
    assert "going on from there" in (run / "train.log").read_text()
    assert "for a later call: tinyshakespeare.tar.2" in capsys.readouterr().out
    assert call(tmp_path / "nothing", tmp_path / "out3", 600) == 0
    sent = [sorted(path.name for path in (tmp_path / out).iterdir()) for out in ("out2", "out3")]
    assert all(len(files) <= 3 for files in sent) and len(set(sum(sent, []))) == len(sum(sent, [])) - 1  # the index
    assert all(path.stat().st_size <= 2**20 for path in (tmp_path / "out2").iterdir())

    # here, in a checkout of its own
    here = tmp_path / "here"
    shutil.copytree(ROOT / "export", here / "export", ignore=shutil.ignore_patterns("artifacts", "__pycache__"))
    (here / "bigmodel").symlink_to(ROOT / "bigmodel")
    text = next((corpus / "text").glob("*.xz"))  # it is also what the model is scored on
    environment = {**os.environ, "PYTHONPATH": str(here), "ARTIFACTS": str(here / "served"), "PRESET_SUFFIX": ""}

    def collect(*outs):
        words = ["bash", here / "export/gpu.sh", "collect", text, folder, *(tmp_path / out for out in outs)]
        return subprocess.run(words, env=environment, capture_output=True, text=True)

    first = collect("out2")
    assert first.returncode == gpu.UNFINISHED and "finished tinyshakespeare.tar.2" in first.stdout
    done = collect("out2", "out3", "out1")  # whatever the order: what was unfinished once undoes nothing
    assert done.returncode == 0, done.stderr
    metrics = read_json(here / "served" / PRESET / "metrics.json")
    assert metrics["training"]["steps"] == reached + 3 and metrics["data"][0]["licence"] == "MIT"
    assert {figure["engine"] for figure in metrics["results"]} == {"torch", "onnx-cpu"}
    assert "Tiny Shakespeare" in (here / "served" / PRESET / "README.md").read_text()


def test_reproduce_takes_weights_that_are_there(tmp_path, monkeypatch):
    """reproduce.sh asks for the right commands, for both sets of presets."""
    (tmp_path / "python3").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "ARTIFACTS": "/there"}
    environment.pop("PRESET_SUFFIX", None)

    def lines(*models, **more):
        command = ["bash", str(ROOT / "export/reproduce.sh"), str(tmp_path), *models]
        done = subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    for suffix, models in (("", [path.name for path in (ROOT / "export/artifacts").iterdir()]), ("-gpu", gpu.MODELS)):
        trained = [line.split() for line in lines(PRESET_SUFFIX=suffix) if " train " in line]
        tasks = {words[words.index("--preset") + 1]: words[3] for words in trained}
        assert tasks == {f"{model}{suffix}": gpu.find(f"{model}{suffix}")[0] for model in models}
    trained = [line.split() for line in lines() if " train " in line]
    shipped = set()
    for path in (ROOT / "export/artifacts").iterdir():
        facts = read_metrics(path)["training"]
        while facts:
            shipped.add(facts["preset"])
            facts = facts.get("init_from")
    assert {words[words.index("--preset") + 1] for words in trained} == shipped
    commands = lines("stories", TRAINED="1", PRESET_SUFFIX="-gpu")
    assert [line.split()[2] for line in commands] == ["export", "evaluate", "evaluate", "report"]
    assert "--model runs/stories-gpu/model --out /there/stories" in commands[0]


def test_the_order_and_the_presets():
    assert gpu.MODELS[0] == "emoji"
    minutes = [gpu.find(f"{model}-gpu")[1].settings.max_minutes for model in gpu.MODELS]
    assert minutes[:4] == sorted(minutes[:4], reverse=True)


def test_uploads_hold_whole_trainings_up_to_a_limit(tmp_path, monkeypatch):
    sizes = {"emoji": 500_000, "multilingual": 600_000, "stories": 10, "poetry": 500_000, "scenes": 10}
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(os.urandom(100_000))

    def fill(task, config, data, tokens, more):
        tokens.mkdir()
        (tokens / "a.bin").write_bytes(os.urandom(sizes[config.name]))
        return [tmp_path / "one", tmp_path / "two"] if config.name in ("emoji", "scenes") else []

    monkeypatch.setattr(gpu, "fill", fill)
    monkeypatch.setattr(gpu, "RUNS", tmp_path / "runs")  # here may be judges
    gpu.prepare(tmp_path, tmp_path / "up", list(sizes), "-gpu", limit=1_000_000)
    indices = [read_json(tmp_path / "up" / name / "index.json") for name in "123"]
    found = [[row["preset"].removesuffix("-gpu") for row in index] for index in indices]
    assert found == [["emoji", "stories", "scenes"], ["multilingual"], ["poetry"]]  # scenes' files are emoji's
    assert [row["place"] for index in indices for row in index] == [0, 2, 4, 1, 3]
    with pytest.raises(DataError, match="more than an upload"):
        gpu.prepare(tmp_path, tmp_path / "no", ["emoji"], "-gpu", limit=300_000)


def test_what_is_measured_has_the_options_of_its_command(tmp_path):
    for task in ("text_generation", "translation", "text_to_image", "image_classification", "object_detection"):
        row = {"preset": "tiny", "task": task, "files": ["one.tsv.xz", "two"]}
        asked = {}
        if task == "text_to_image":
            assert "evaluate" not in dict(gpu_figures.commands(row, tmp_path, "cuda"))  # there are no judges
            (tmp_path / "judges/64/scenes").mkdir(parents=True)
            (tmp_path / "judges/64/scenes/config.json").touch()
        for name, words in gpu_figures.commands(row, tmp_path, "cuda"):
            words = [str(word) for word in words]
            asked[name] = build_parser(words).parse_args(words)
        parity, training = (["parity"], ["training"]) if task == "text_generation" else ([], [])
        assert list(asked) == ["export", *parity, "benchmark", *training, "evaluate"]
        assert asked["benchmark"].provider == asked["evaluate"].provider == "cuda"
        assert asked["benchmark"].batch == (1, 16, 128) and asked["evaluate"].model == asked["export"].out
        scored = tmp_path / "data" / ("one.tsv.xz" if task == "text_generation" else "")
        assert asked["evaluate"].data == scored
    assert asked["export"].model == tmp_path / "tiny/model"


@pytest.mark.timeout(1500)  # each command is a process
def test_figures_come_back_and_a_command_that_fails_is_not_tried_again(tiny_exact, tmp_path, monkeypatch, capsys):
    run = tmp_path / "runs" / "tiny"
    shutil.copytree(tiny_exact.parent / "checkpoint", run / "model")
    row = {"preset": "tiny", "task": "text_generation", "files": []}
    monkeypatch.chdir(ROOT)
    assert not gpu_figures.measure(row, tmp_path / "runs", time.monotonic() + 1, "cpu")  # no time for any
    ours = gpu_figures.commands

    def fewer(*arguments):  # an evaluation without data, and the last; the others take long
        known = dict(ours(*arguments))
        return [(name, known[name]) for name in ("export", "evaluate", "parity")]

    monkeypatch.setattr(gpu_figures, "commands", fewer)
    assert gpu_figures.measure(row, tmp_path / "runs", time.monotonic() + 1000, "cpu")
    assert read_json(run / "measured.json") == {"export": True, "evaluate": False, "parity": True}
    assert "tiny: evaluate: error: " in capsys.readouterr().out
    assert gpu_figures.measure(row, tmp_path / "runs", time.monotonic() + 1000, "cpu")
    assert capsys.readouterr().out == ""
    found = gpu_figures.figures(run)
    assert found["parity"]["cpu"]["prompts"] == 100 and "training" not in found
    assert "error: " in gpu_figures.said(run) and gpu_figures.said(tmp_path) == ""

    # where they come back, others stay
    figure = entry("bits", 1.0, "bits", dataset="a", engine="torch", command="measure", count=1)
    write_json(run / "model/metrics.json", {"training": {"steps": 3}, "results": [figure], "parity": {"cuda": 1}})
    gpu_figures.enter({**found, "results": [{**figure, "engine": "onnx-cuda"}]}, run / "model")
    metrics = read_metrics(run / "model")
    assert metrics["training"] == {"steps": 3} and len(metrics["results"]) == 2
    assert metrics["parity"] == {"cuda": 1, **found["parity"]}
    gpu_figures.enter({}, run / "model")
    assert read_metrics(run / "model") == metrics and gpu_figures.figures(tmp_path) == {}


def test_a_broken_upload_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = {"preset": "a", "task": "b", "place": 0, "file": "a.tar.xz", "sha256": "0"}
    (tmp_path / "index.json").write_text(json.dumps([row]))
    (tmp_path / "a.tar.xz").write_bytes(b"half")
    with pytest.raises(DataError, match="a.tar.xz is broken"):
        gpu.unpack(tmp_path)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "task", ["text_generation", "translation", "text_to_image", "image_classification", "object_detection"]
)
def test_a_training_imports_nothing_that_a_gpu_machine_lacks(task):
    code = f"import sys; sys.modules.update(dict.fromkeys({MISSING!r})); import bigmodel.{task}.train"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
