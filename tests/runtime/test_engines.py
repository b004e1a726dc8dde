"""A provider that is asked for is the one that measures, or nothing does; the command that is kept names it."""

import shutil
from argparse import Namespace

import numpy as np
import pytest
from PIL import Image

from bigmodel.cli import main
from bigmodel.errors import ConfigError, ModelFolderError, ProviderError
from bigmodel.evaluation.results import read_metrics
from bigmodel.registry import TASKS
from bigmodel.runtime import engines
from bigmodel.runtime import session as sessions

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_provider_is_kept_with_the_figures(tiny_photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(tiny_photos, "tiny-photos")
    (tmp_path / "own/test/cat").mkdir(parents=True)
    Image.fromarray(np.zeros((16, 24, 3), np.uint8)).save("own/test/cat/0.png")
    command = ["evaluate", "image_classification", "--model", "tiny-photos", "--data", "own", "--provider"]
    assert main([*command, "cpu"]) == 0
    figures = read_metrics(folder)["results"]
    assert {e["engine"] for e in figures} == {"onnx-cpu"}
    assert all(e["command"].endswith("--engine onnx --provider cpu") for e in figures)
    monkeypatch.setattr(sessions, "unavailable", lambda provider: "there is no GPU" if provider == "cuda" else "")
    assert main([*command, "cuda"]) == 2  # no figures of the CPU in CUDA's place
    assert "no provider can be had (cuda: there is no GPU)" in capsys.readouterr().err
    assert main([*command, "cpu", "--engine", "torch"]) == 2
    assert read_metrics(folder)["results"] == figures


@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("text_generation", "tiny_stories"),
        ("translation", "exact_folder"),
        ("text_to_image", "tiny_emoji"),
        ("object_detection", "tiny_detector"),
    ],
)
def test_every_task_takes_a_provider(task, model, request, monkeypatch):
    open_engine = __import__(f"bigmodel.{task}.engines", fromlist=["engines"]).open_engine
    folder = request.getfixturevalue(model)
    found = open_engine("onnx", folder, "cpu")
    assert (found.name if task == "text_generation" else found[1]) == "onnx-cpu"
    monkeypatch.setattr(sessions, "unavailable", lambda provider: "there is no GPU")
    with pytest.raises(ProviderError, match="cuda: there is no GPU"):
        open_engine("onnx", folder, "cuda")
    with pytest.raises(ConfigError, match="--provider cuda"):
        open_engine("torch", folder, "cuda")


@pytest.mark.parametrize("engine", engines.ENGINES)
@pytest.mark.parametrize("task", [task for task in TASKS if task != "image_classification"])
def test_another_task_s_model_is_refused(task, engine, tiny_photos):
    open_engine = __import__(f"bigmodel.{task}.engines", fromlist=["engines"]).open_engine
    with pytest.raises(ModelFolderError, match=f"is a model of image_classification, not of {task}"):
        open_engine(engine, tiny_photos)


def test_a_provider_that_was_found_is_named(capsys):
    asked = Namespace(engine="onnx", provider=None)
    assert engines.words(asked, "onnx-cpu") == ["--engine onnx"]
    assert engines.words(asked, "onnx-cuda") == ["--engine onnx", "--provider cuda"]
    assert engines.words(Namespace(engine="torch", provider=None), "torch") == ["--engine torch"]
