"""Evaluation, card, terminal and benchmark of a tiny random classifier on made-up pictures."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigmodel.cli import main
from bigmodel.config import read_json  # noqa: E402
from bigmodel.errors import DataError
from bigmodel.evaluation.results import read_metrics
from bigmodel.image_classification import evaluate
from bigmodel.image_classification.engines import open_engine

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tiny_photos, tmp_path, monkeypatch):
    """A copy of an exported classifier, whose figures are this test's alone."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(tiny_photos, "export/artifacts/tiny-photos"))


@pytest.fixture
def own(tmp_path):
    """A folder of labelled pictures: test/{label}/*.png."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog", "bag"):
        (tmp_path / "own/test" / label).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 256, (16, 24, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"own/test/{label}/{i}.png")
    return tmp_path / "own"


def test_labels_are_the_model_s_own_by_their_names():
    labels, known = np.array([0, 1, 1]), ["cat", "dog", "fox"]
    assert evaluate.own_labels(labels, ["fox", "cat"], known, "p").tolist() == [2, 0, 0]
    assert evaluate.own_labels(labels, None, known, "p").tolist() == [0, 1, 1]
    with pytest.raises(DataError, match="p: the model does not know owl"):
        evaluate.own_labels(labels, ["cat", "owl"], known, "p")
    with pytest.raises(DataError, match="p: the model does not know one, two"):
        evaluate.own_labels(labels, ["one", "two"], known, "p")
    with pytest.raises(DataError, match="labels go to 3, the model knows 3"):
        evaluate.own_labels(np.array([3]), None, known, "p")


def test_figures_are_what_the_predictions_say(folder, own, capsys):
    for engine in ("torch", "onnx"):
        assert (
            main(["evaluate", "image_classification", "--model", str(folder), "--data", str(own), "--engine", engine])
            == 0
        )
    found = {e["name"]: e for e in read_metrics(folder)["results"] if e["engine"] == "onnx-cpu"}
    images, labels, names = evaluate.read_labelled(own, "test")
    labels = np.array([["cat", "dog", "bag"].index(names[label]) for label in labels])
    logits, distances = open_engine("onnx", folder)[0].judge(images.transpose(0, 3, 1, 2))
    right = logits.argmax(1) == labels
    assert found["accuracy"]["value"] == pytest.approx(right.mean(), abs=1e-6) and found["accuracy"]["count"] == 24
    assert found["accuracy of dog"]["value"] == pytest.approx(right[labels == 1].mean(), abs=1e-6)
    assert found["called_unfamiliar"]["value"] == pytest.approx((distances > 1).mean(), abs=1e-6)
    assert 0 < found["calibration_error"]["value"] < 1 and found["negative_log_likelihood"]["value"] > 0
    assert "kept in" in capsys.readouterr().out and "--engine onnx" in found["accuracy"]["command"]
    assert main(["report", "--model", str(folder)]) == 0
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: image-classification" in card and "cat, dog, bag" in card
    assert f"| own.test | 24 | accuracy | {found['accuracy']['value']:.2%} |" in card
    Image.fromarray(images[0]).save("picture.png")
    (ours, _) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    exec(ours, {})
    assert "familiar" in capsys.readouterr().out


def test_pictures_of_other_data_sets_are_told(folder, own, tmp_path, monkeypatch, capsys):
    arrays = {f"{split}_images": np.full((9, 28, 28), 9, np.uint8) for split in ("train", "test")}
    np.savez(tmp_path / "fashion_mnist_28.npz", **arrays, train_labels=np.zeros(9), test_labels=np.zeros(9))
    classifier, engine = open_engine("onnx", folder)
    about = {"engine": engine, "command": "c"}
    e = evaluate.strangers(classifier, tmp_path / "fashion_mnist_28.npz", **about)
    distance = classifier.classify(np.full((28, 28), 9, np.uint8)).distance
    assert e["value"] == float(distance > classifier.threshold) and e["count"] == 9
    assert e["dataset"] == "fashion_mnist_28.test"


def test_figures_of_a_part_are_not_kept(folder, own, capsys):
    command = ["evaluate", "image_classification", "--model", str(folder), "--data", str(own)]
    assert main(command) == 0
    before = read_metrics(folder)
    capsys.readouterr()
    assert main([*command, "--limit", "5"]) == 0
    printed = capsys.readouterr().out
    assert "(5, own.test, onnx-cpu)" in printed and "metrics.json, since measured with --limit 5\n" in printed
    assert read_metrics(folder) == before


def test_what_is_missing_is_named(folder, tmp_path, capsys):
    command = ["evaluate", "image_classification", "--model", str(folder)]
    assert main([*command, "--data", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is missing" in capsys.readouterr().err
    assert main([*command, "--data", str(tmp_path), "--limit", "0"]) == 2
    assert "limit 0" in capsys.readouterr().err


def test_in_the_terminal(folder, own, tmp_path, capsys):
    command = ["classify", "--model", str(folder), "--top-k", "2"]
    assert main([*command, str(own / "test/cat/0.png"), str(own / "test/dog/0.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and re.fullmatch(r" +[\d.]+%  (cat|dog|bag)", lines[1])
    (tmp_path / "page.png").write_text("<html>")
    assert main([*command, str(own / "test/cat/0.png"), str(tmp_path / "page.png")]) == 2
    assert f"error: {tmp_path / 'page.png'}: image: cannot be read as a picture" in capsys.readouterr().err
    assert main([*command[:-1], "0", str(own / "test/cat/0.png")]) == 2
    assert "error: top_k: '0'" in capsys.readouterr().err


def test_benchmark_says_who_is_faster(folder, tmp_path, monkeypatch, capsys):
    import torch

    monkeypatch.setattr(torch, "compile", lambda model, **_: model)  # which takes a minute
    words = ["--model", str(folder), "--rounds", "1", "--out", str(tmp_path / "out.json")]
    assert main(["benchmark", "image_classification", *words]) == 0
    assert "against the better" in capsys.readouterr().out
    assert all(second > 0 for row in read_json(tmp_path / "out.json")["seconds"].values() for second in row.values())
