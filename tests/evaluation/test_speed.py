"""Speeds side by side: what a ratio is of, and what a provider's benchmark of pictures keeps."""

import argparse
import shutil

import pytest

torch = pytest.importorskip("torch")

from bigmodel import cli  # noqa: E402
from bigmodel.config import read_json  # noqa: E402
from bigmodel.evaluation import speed  # noqa: E402
from bigmodel.evaluation.results import keep, read_metrics  # noqa: E402
from bigmodel.training import peers  # noqa: E402


def test_ratios_are_of_each_cases_best():
    rates = [("a", "bigmodel fp16", 30), ("a", "x", 10), ("a", "y", 20), ("b", "bigmodel fp16", 5), ("c", "y", 1)]
    rows = [{"case": case, "engine": engine, "per_second": rate} for case, engine, rate in rates]
    assert speed.ratios(rows) == {"a": {"ours": "bigmodel fp16", "best_peer": "y", "ratio": 1.5}}


def test_counts():
    assert speed.counts("1,16,128") == (1, 16, 128)
    for text in ("0", "1,", "a", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="whole numbers from 1"):
            speed.counts(text)


def test_a_provider_keeps_its_figures_beside_others(tmp_path):
    keep(tmp_path, "speed", "cuda", {"rows": 1})
    keep(tmp_path, "speed", "cpu", {"rows": 2})
    keep(tmp_path, "speed", "cuda", {"rows": 3})
    assert read_json(tmp_path / "metrics.json")["speed"] == {"cuda": {"rows": 3}, "cpu": {"rows": 2}}


def test_surroundings_name_the_processor_and_the_packages():
    found = peers.surroundings(torch.device("cpu"))
    assert (
        found["device"]
        and found["driver"] is None
        and found["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    )


@pytest.mark.parametrize(
    ("task", "model"),
    [("image_classification", "tiny_photos"), ("object_detection", "tiny_detector"), ("text_to_image", "tiny_emoji")],
)
def test_pictures_on_a_provider(task, model, tmp_path, request, monkeypatch, capsys, one_thread, without_compiling):
    folder = shutil.copytree(request.getfixturevalue(model), tmp_path / "model")
    monkeypatch.setattr(peers, "weights_type", lambda _: torch.float16)  # as on a GPU
    command = ["benchmark", task, "--model", str(folder), "--batch", "2,3", "--rounds", "1"]
    command += ["--steps", "2"] if task == "text_to_image" else []
    assert cli.main(command) == 0 and "speed" not in read_metrics(folder)
    assert cli.main([*command, "--provider", "cpu"]) == 0
    figures = read_json(folder / "metrics.json")["speed"]["cpu"]
    assert [r["case"] for r in figures["rows"][::3]] == ["batch 2", "batch 3"] and figures["unit"] == "pictures"
    assert {r["engine"] for r in figures["rows"]} == {"bigmodel", "torch", "torch compiled"}
    assert set(figures["ratios"]) == {"batch 2", "batch 3"} and figures["versions"]["torch"]
    assert "pictures together" in capsys.readouterr().out
