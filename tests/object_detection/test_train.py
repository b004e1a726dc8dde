"""A small corpus from the command line to a served folder with figures and a card."""

import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from bigmodel.cli import main  # noqa: E402
from bigmodel.config import VisionConfig, read_json  # noqa: E402
from bigmodel.errors import DataError, TrainingError  # noqa: E402
from bigmodel.evaluation.report import render  # noqa: E402
from bigmodel.object_detection import config as configs  # noqa: E402
from bigmodel.object_detection import evaluate  # noqa: E402
from bigmodel.object_detection import train as training  # noqa: E402
from bigmodel.object_detection.data import BoxBatches, Corpus, Picture  # noqa: E402
from bigmodel.object_detection.detections import THRESHOLDS  # noqa: E402
from bigmodel.object_detection.evaluate import find_tests, score  # noqa: E402
from bigmodel.object_detection.runtime import Detections, ObjectDetector  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = VisionConfig((32, 32), 3, (8, 16), (2, 4), 32, 48, 1, 2)


def squares(folder, count, seed):
    """Write pictures of one red square each, and COCO's JSON."""
    rng, folder = np.random.default_rng(seed), folder
    folder.mkdir(parents=True)
    values = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "square"}]}
    for i in range(count):
        image = np.full((32, 32, 3), 200, np.uint8)
        left, top = (int(x) for x in rng.integers(0, 20, 2))
        image[top : top + 12, left : left + 12] = (220, 30, 30)
        Image.fromarray(image).save(folder / f"{i}.png")
        values["images"].append({"id": i, "file_name": f"{i}.png"})
        values["annotations"].append({"id": i, "image_id": i, "category_id": 1, "bbox": [left, top, 12, 12]})
    (folder / "boxes.json").write_text(json.dumps(values))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    for seed, (split, count) in enumerate((("train", 24), ("val", 6), ("test", 6))):
        squares(folder / split, count, seed)
    return folder


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A model folder made by the three commands, and the engine's figures in it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        preset = dataclasses.replace(configs.blood_cells(), transformer=SHAPE, batch_size=8)
        patch.setitem(configs.PRESETS, "blood-cells", lambda: preset)
        words = ["--train", str(corpus), "--name", "squares", "--steps", "250", "--learning-rate", "0.004"]
        assert main(["train", "object_detection", *words, "--out", str(out / "run")]) == 0
    model, folder = out / "run/model", out / "squares"
    assert main(["export", "object_detection", "--model", str(model), "--out", str(folder)]) == 0
    for engine in ("torch", "onnx"):
        words = ["--model", str(folder), "--data", str(corpus), "--engine", engine]
        assert main(["evaluate", "object_detection", *words]) == 0
    assert main(["report", "--model", str(folder)]) == 0
    torch.set_num_threads(threads)
    return folder


def test_it_learns_where_the_squares_are(trained, corpus):
    figures = {(e["name"], e["engine"]): e["value"] for e in read_json(trained / "metrics.json")["results"]}
    assert figures["map_50", "torch"] > 0.7
    assert figures["map_50", "onnx-cpu"] == pytest.approx(figures["map_50", "torch"], abs=0.05)
    detector = ObjectDetector.from_pretrained(trained)
    found = [detector.detect(corpus / f"test/{i}.png") for i in range(6)]
    assert sum(len(one.labels) for one in found) <= 12  # one a picture: hardly any is found twice
    assert 0 < detector.threshold < 1 and detector.labels == ["square"]


def test_figures_of_a_part_are_not_kept(trained, corpus, capsys):
    before = read_json(trained / "metrics.json")
    assert main(["evaluate", "object_detection", "--model", str(trained), "--data", str(corpus), "--limit", "2"]) == 0
    printed = capsys.readouterr().out
    assert "a picture (2, " in printed and "metrics.json, since measured with --limit 2\n" in printed
    assert read_json(trained / "metrics.json") == before


def test_large_test_pictures_do_not_fill_the_memory(trained, tmp_path, monkeypatch):
    squares(tmp_path / "own/test", 2, seed=5)
    for path in (tmp_path / "own/test").glob("*.png"):
        with Image.open(path) as picture:
            picture.resize((320, 320)).save(path)
    scored = []
    monkeypatch.setattr(evaluate, "score", lambda *parts, **_: scored.append(parts) or [])
    main(["evaluate", "object_detection", "--model", str(trained), "--data", str(tmp_path / "own"), "--limit", "2"])
    [(found, pictures, _)] = scored
    assert {picture.image.shape for picture in pictures} == {(64, 64, 3)}  # of a model that sees 32 x 32
    assert [one.pixels for one in found] == [None, None] and {one.size for one in found} == {(64, 64)}


@pytest.mark.parametrize(("best", "kept"), [(0.001, THRESHOLDS[0]), (0.999, THRESHOLDS[1]), (0.1234567, 0.123)])
def test_a_kept_threshold_fits_the_slider(tmp_path, monkeypatch, best, kept):
    picture = Picture(np.zeros((32, 32, 3), np.uint8), np.array([[0, 0, 0.5, 0.5]], np.float32), np.array([0]))
    corpus = Corpus(None, [picture], ["cat"], [0.5] * 3, [0.25] * 3)
    config = dataclasses.replace(configs.scenes(), transformer=SHAPE)
    monkeypatch.setattr(training, "best_threshold", lambda *_: best)
    training.write_folder(config, training.make_model(config, 1), corpus, tmp_path / "model")
    assert read_json(tmp_path / "model/config.json")["bigmodel"]["threshold"] == kept


def test_what_only_training_needs_is_left_out(trained):
    from safetensors import safe_open

    with safe_open(trained / "model.safetensors", "pt") as file:
        assert not [name for name in file.keys() if name.startswith("many.")]  # noqa: SIM118, not a dict


def test_the_card(trained):
    card = render(trained)
    assert "AP at overlap 0.5 of square" in card and "mean error of the count of square" in card
    assert "pipeline_tag: object-detection" in card and "8 pictures" in card


def test_terminal(trained, corpus, capsys):
    # its own threshold rests on six pictures, and may miss one
    assert main(["detect", "--model", str(trained), "--threshold", "0.05", str(corpus / "test/0.png")]) == 0
    out = capsys.readouterr().out
    assert "square" in out and "%" in out
    assert main(["detect", "--model", str(trained), str(corpus / "test/0.png"), str(corpus / "none.png")]) == 2
    assert f"error: {corpus / 'none.png'}: image: is gone, or was never there" in capsys.readouterr().err
    assert main(["detect", "--model", str(trained), "--threshold", "2", str(corpus / "test/0.png")]) == 2
    assert "error: threshold: '2.0'" in capsys.readouterr().err


def test_examples_are_counted_by_split(trained):
    counts = [(row["split"], row["examples"]) for row in read_json(trained / "metrics.json")["data"]]
    assert counts == [("train", 24), ("val", 6)]


def test_composed_scenes_have_no_validation_file(tmp_path, monkeypatch):
    config = dataclasses.replace(configs.scenes(), transformer=SHAPE)
    config = dataclasses.replace(config, settings=dataclasses.replace(config.settings, max_steps=1))
    picture = Picture(np.zeros((32, 32, 3), np.uint8), np.array([[0, 0, 0.5, 0.5]], np.float32), np.array([0]))
    mean, std = [0.5] * 3, [0.25] * 3
    batches = BoxBatches(lambda *_: picture, count=4, batch_size=2, mean=mean, std=std, seed=0, composed=True)
    corpus = Corpus(batches, [picture], ["cat", "dog"], mean, std, 240)
    monkeypatch.setattr(training, "load", lambda *_: corpus)
    training.train(config, tmp_path, tmp_path / "run")
    metrics = read_json(tmp_path / "run/model/metrics.json")
    assert [(row["split"], row["examples"]) for row in metrics["data"]] == [("train", 240)]
    assert metrics["training"]["tokens_of_corpus"] is None
    corpus = dataclasses.replace(corpus, labels=["cat", "wolf"])
    with pytest.raises(TrainingError, match="a run of the labels cat, dog, not cat, wolf"):
        training.train(config, tmp_path, tmp_path / "run")


def test_a_class_without_an_object_has_no_precision(trained, recwarn):
    detector = ObjectDetector.from_pretrained(trained)
    detector.labels = ["square", "circle"]
    box = np.array([[0, 0, 16, 16]], np.float32)
    picture = Picture(np.zeros((32, 32, 3), np.uint8), box / 32, np.array([0]))
    found = Detections(box, ["square"], np.array([0.9], np.float32), (32, 32))
    entries = {e["name"]: e["value"] for e in score([found], [picture], detector, dataset="d", engine="e", command="c")}
    assert entries["ap_50 of square"] == pytest.approx(1) and "ap_50 of circle" not in entries
    assert np.isfinite(list(entries.values())).all() and entries["count_error of circle"] == 0
    assert not [w for w in recwarn if "NaN" in str(w.message)]


def test_benchmark(trained, monkeypatch, capsys):
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)  # which takes a minute
    assert main(["benchmark", "object_detection", "--model", str(trained), "--rounds", "1"]) == 0
    assert "against the better" in capsys.readouterr().out


def test_corpora_that_are_missing(trained, tmp_path):
    detector = ObjectDetector.from_pretrained(trained)
    with pytest.raises(DataError, match="is missing"):
        find_tests(detector, tmp_path / "nothing")
    with pytest.raises(DataError, match="no pictures of the split test"):
        find_tests(detector, shutil.copytree(trained, tmp_path / "other"))


def test_scenes_are_tested_on_scenes(tmp_path, trained):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    file = io.BytesIO()
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[16:48, 16:48] = 0
    Image.fromarray(picture).save(file, "png")
    rows = [
        {"image": file.getvalue(), "name": name, "tone": "", "style": "noto", "split": "train"}
        for name in configs.EMOJI
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "emoji64.parquet")
    detector = ObjectDetector.from_pretrained(trained)
    detector.labels, detector.preparation = list(configs.EMOJI), detector.preparation
    [(name, pictures, seed)] = find_tests(detector, tmp_path)
    assert name == "emoji64 scenes.test" and len(pictures) == 500 and seed
