"""The judges learn what pictures show, and the evaluation keeps what they say: figures, samples, card."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from bigmodel.cli import main  # noqa: E402
from bigmodel.config import read_json, write_json  # noqa: E402
from bigmodel.errors import ConfigError, DataError  # noqa: E402
from bigmodel.evaluation.results import read_metrics, renew_checksum  # noqa: E402
from bigmodel.runtime.artifacts import verify  # noqa: E402
from bigmodel.text_to_image import evaluate  # noqa: E402
from bigmodel.text_to_image import judges as judging  # noqa: E402
from bigmodel.text_to_image.captions import Subject  # noqa: E402
from bigmodel.text_to_image.compositions import Composer, Scene  # noqa: E402
from bigmodel.text_to_image.config import THINGS  # noqa: E402
from bigmodel.text_to_image.data import read_pictures  # noqa: E402
from bigmodel.text_to_image.judges import AugmentedBatches, Judges, augment, placed, stacked  # noqa: E402
from bigmodel.text_to_image.metrics import comes_first, frechet_distance, nearest  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE, STEPS = 32, 40


# --- numbers --------------------------------------------------------------------------------------------------


def test_distance_of_normal_distributions():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 20_000, 3))
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, first + [1, 2, 0]) == pytest.approx(5)
    # |m1 - m2|^2 + sum (s1 - s2)^2 where covariances are diagonal
    assert frechet_distance(first, 3 * second + 1) == pytest.approx(3 + 3 * 4, rel=0.03)
    few = np.mean([frechet_distance(rng.standard_normal((10, 3)), second) for _ in range(20)])
    assert few > 5 * frechet_distance(first, second)


def test_distance_to_the_nearest_picture():
    rng = np.random.default_rng(0)
    others = rng.integers(0, 256, (5000, 4, 4, 3)).astype(np.uint8)
    images = np.stack([others[4321], np.clip(others[7].astype(int) + 2, 0, 255).astype(np.uint8)])
    expected = np.sqrt(np.square(images[1].astype(float) - others[7]).mean())
    np.testing.assert_allclose(nearest(images, others), [0, expected], atol=0.05)


def test_what_comes_first_among_others():
    captions, rng = np.eye(6, dtype=np.float32), np.random.default_rng(0)
    pictures, own, pool = captions[[0, 1, 2]] + 0.1 * captions[3], np.array([0, 1, 3]), np.arange(6)
    assert comes_first(pictures, captions, own, pool, 100, rng).tolist() == [True, True, False]
    assert comes_first(pictures, captions, own, pool, 1, rng).all()  # nothing to be taken for
    assert not comes_first(0 * pictures, captions, own, pool, 2, rng).any()  # a tie is not first


# --- judges ---------------------------------------------------------------------------------------------------


def test_batches_are_a_function_of_their_step():
    images = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3)).astype(np.uint8)
    labels = np.arange(10), np.arange(10) ** 2
    make = lambda: AugmentedBatches(images, labels, 4)  # noqa: E731
    batches = make()
    seen = [batches.batch(step)[1].tolist() for step in range(2)]
    assert len({i for part in seen for i in part}) == 8  # an epoch repeats nothing
    pixels, first, second = make().batch(5)
    assert torch.equal(pixels, batches.batch(5)[0]) and torch.equal(first**2, second)
    assert pixels.shape == (4, 3, 16, 16) and pixels.dtype == torch.float32
    halves = [make().batch(5, rank, 2)[1] for rank in range(2)]
    assert torch.equal(torch.cat(halves), first)


def test_pictures_are_changed_a_little():
    image = np.full((200, 16, 16, 3), 255, np.uint8)
    image[:, 4:12, 4:12] = 60
    changed = augment(image, np.random.default_rng(0))
    rows = (changed.mean((1, 3)) < 0.8).float()
    tops = rows.argmax(1)
    assert set(tops.tolist()) <= {2, 3, 4, 5} and len(set(tops.tolist())) >= 3
    assert (changed - judging.to_pixels(image)).abs().mean() < 0.2
    assert len({round(float(picture.std()), 5) for picture in changed}) > 100


@pytest.mark.parametrize(
    ("relation", "said"), [("left of", (0, "a", "b")), ("right of", (0, "b", "a")), ("above", (1, "a", "b"))]
)
def test_one_picture_one_answer(relation, said):
    assert placed(Scene((Subject("a"), Subject("b")), relation, "noto", "blue")) == said


@pytest.fixture(scope="module")
def judges(tmp_path_factory, corpus):
    """Judges of five things in two styles, trained for a few steps."""
    pictures, threads = read_pictures(corpus, "train"), torch.get_num_threads()
    judges = Judges(tmp_path_factory.mktemp("judges"), pictures, Composer(pictures, THINGS, SIZE), steps=STEPS)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "SCENES", 192)
        patch.setitem(judging.BATCH, "scenes", 32)
        assert judges.classifier and judges.matcher and judges.scenes
    torch.set_num_threads(threads)
    return judges


def test_judges_learn_what_pictures_show(judges):
    styles, names, features = judges.classify(judges.images)
    assert styles == [picture.style for picture in judges.pictures]
    assert names == [picture.subject.name for picture in judges.pictures]
    assert features.shape == (10, judging.WIDTH)
    similar = judges.see(judges.images) @ judges.read([picture.caption for picture in judges.pictures]).T
    assert (similar.argmax(1) == np.arange(10)).all()
    assert set(judges.tone_of(judges.images, judges.pictures)) <= {"", *judging.TONES}


def test_the_judge_of_scenes_sees_where_things_are(judges):
    rng = np.random.default_rng(5)
    scenes = [judges.composer.draw(rng, count=2, held_out=i % 4 == 0) for i in range(100)]
    found = evaluate.look_at_scenes(judges, np.stack([judges.composer.compose(s, rng) for s in scenes]), scenes)
    assert found["things_and_relation_right"].mean() > 0.1  # 1 in 40 by chance
    assert (found["things_right"] >= found["things_and_relation_right"]).all()


def test_judges_are_kept(judges, capfd):
    again = Judges(judges.folder, judges.pictures, judges.composer)
    assert np.array_equal(again.classify(judges.images)[2], judges.classify(judges.images)[2])
    assert again.place(judges.images) == judges.place(judges.images)
    assert "step" not in capfd.readouterr().err  # nothing was trained
    other = Judges(judges.folder, judges.pictures[:-1], judges.composer)
    with pytest.raises(ConfigError, match="holds a judge of other pictures"):
        _ = other.classifier


# --- the evaluation -------------------------------------------------------------------------------------------


def test_real_pictures_are_as_right_as_real_pictures(judges, corpus):
    """What draws the pictures of the training themselves is right, and a copy."""
    asked = evaluate.find_sets(corpus, judges, 0)["train"]
    assert len(asked.shown) == 10 and len(asked.real) == 3
    drawn = stacked(asked.shown, SIZE)
    about = {"dataset": "made-up.train", "engine": "e", "command": "c", "seed": 0, "settings": {"steps": 1}}
    entries = {e["name"]: e for e in evaluate.score(judges, asked, drawn, 1.0, **about)}
    for name in ("style_right", "thing_right", "thing_and_style_right", "retrieved_first", "copies"):
        assert entries[name]["value"] == 1 and entries[name]["count"] == 10, name
    real = entries["style_right_of_real"]
    assert real["count"] == 3 and real["settings"] == {"steps": 1}
    assert entries["style_right_share_of_real"]["value"] == pytest.approx(1 / real["value"], abs=1e-6)
    assert entries["copies_of_real"]["value"] == 1  # the same drawing, said to have another tone
    assert entries["frechet_distance"]["count"] == entries["frechet_distance_of_real"]["count"] == 3
    noise = np.random.default_rng(0).integers(0, 256, drawn.shape).astype(np.uint8)
    worse = {e["name"]: e["value"] for e in evaluate.score(judges, asked, noise, 1.0, **about)}
    assert worse["thing_right"] < 1 and worse["copies"] == 0 and worse["retrieved_first"] < 1
    assert worse["frechet_distance"] > entries["frechet_distance"]["value"]
    single = {e["name"] for e in evaluate.score(judges, asked, drawn[:1], 1.0, **about)}
    assert "thing_right" in single and "frechet_distance" not in single  # one picture has no covariance


def test_pictures_that_were_kept_are_of_other_things(judges, emoji_pictures, tmp_path, write_corpus, as_row):
    rows = [as_row(picture, "train", name=f"{picture.subject.name} {i}") for i, picture in enumerate(emoji_pictures)]
    write_corpus(tmp_path / "own.parquet", rows)
    with pytest.raises(DataError, match="own.parquet: no picture of a thing of the training was kept from it"):
        evaluate.find_sets(tmp_path / "own.parquet", judges, 0)


@pytest.fixture
def folder(tiny_emoji, tmp_path, monkeypatch):
    """A copy of an exported generator of one step, whose figures are this test's alone and of few pictures."""
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(tiny_emoji, "export/artifacts/tiny-emoji"))
    path = folder / "generation_config.json"
    write_json(path, {**read_json(path), "num_inference_steps": 1})
    renew_checksum(folder, path.name)
    monkeypatch.setattr(evaluate, "REAL_SCENES", 20)
    monkeypatch.setattr(evaluate, "COUNTS", dict.fromkeys(evaluate.COUNTS, 2))
    monkeypatch.setattr(evaluate, "COLUMNS", 2)
    return folder


def command(folder, corpus, judges, *words):
    words = ["--data", str(corpus), "--judges", str(judges.folder), *words]
    return ["evaluate", "text_to_image", "--model", str(folder), *words]


def test_figures_samples_and_card(folder, corpus, judges, capsys):
    assert main(command(folder, corpus, judges, "--engine", "onnx")) == 0
    printed = capsys.readouterr().out
    assert "2 captions of made-up.test_style, seeds 0 to 1" in printed and "kept in" in printed
    metrics = read_metrics(folder)
    found = {(e["dataset"], e["name"]): e for e in metrics["results"]}
    datasets = {dataset.removeprefix("made-up") for dataset, _ in found}
    assert datasets == {".train", ".test_style", ".test_tone", ".test_name", " scenes as trained", " scenes held out"}
    assert found["made-up.test_tone", "tone_right"]["count"] == 2
    assert ("made-up.test_name", "thing_right") not in found  # of which the classifier knows nothing
    assert found["made-up scenes held out", "things_and_relation_right_of_real"]["count"] == 20
    e = found["made-up.train", "retrieved_first"]
    assert e["engine"] == "onnx-cpu" and e["seed"] == 0 and 0 <= e["value"] <= 1
    assert e["settings"] == {"steps": 1, "guidance": 3.0, "sampler": "heun", "candidates": 100}
    assert "--engine onnx --judges" in e["command"] and "--seed 0" in e["command"]

    [sample] = metrics["samples"]
    assert sample["seeds"] == [0, 1] and [row[0] for row in sample["rows"]][-2:] == ["made-up.test_name"] * 2
    with Image.open(folder / "samples.png") as grid:
        cell = 96 + evaluate.GAP
        assert grid.size == (2 * cell + evaluate.GAP, len(sample["rows"]) * cell + evaluate.GAP)
        first = np.asarray(grid)[evaluate.GAP : cell, evaluate.GAP : cell]
    assert np.array_equal(first, first[::3, ::3].repeat(3, 0).repeat(3, 1))  # each pixel as it is
    assert "samples.png" in verify(folder)

    drawn = (folder / "samples.png").read_bytes()
    assert main(command(folder, corpus, judges, "--engine", "torch", "--steps", "1")) == 0
    assert (folder / "samples.png").read_bytes() == drawn  # those of what is served stay
    assert {e["engine"] for e in read_metrics(folder)["results"]} == {"onnx-cpu", "torch"}

    assert main(["report", "--model", str(folder)]) == 0
    card = (folder / "README.md").read_text(encoding="utf-8")
    for text in (
        "pipeline_tag: text-to-image",
        "](samples.png)",
        "| real pictures | ONNX Runtime, CPU, quantised | PyTorch, fp32 |",
        "| made-up.train | 2 | its caption found first among 100 | ",
        "2 layers, width 64, 2 heads, pictures of 32 × 32 in patches of 8 × 8",
        "grey levels of a picture of the training",
        f"| 1 | {sample['rows'][0][1]} | made-up.train |",
        "Unicode's CLDR",
    ):
        assert text in card, text
    assert "nan" not in card
    (ours,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    exec(ours, {})
    with Image.open("picture-2.png") as picture:
        assert picture.size == (SIZE, SIZE)


def test_what_is_measured_otherwise_is_not_kept(folder, corpus, judges, capsys):
    for words in ("--limit 1", "--steps 2", "--guidance 1"):
        assert main(command(folder, corpus, judges, "--engine", "torch", *words.split())) == 0
        printed = capsys.readouterr().out
        assert "style_right" in printed and f"metrics.json, since measured with {words}\n" in printed
    assert not read_metrics(folder)["results"] and not (folder / "samples.png").exists()


def test_a_folder_without_figures_has_a_card_without_figures(folder):
    assert main(["report", "--model", str(folder)]) == 0
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "was not measured" in card and "samples.png" not in card and "## Results" not in card


def test_what_is_missing_is_named(folder, corpus, judges, tmp_path, capsys):
    words = ["evaluate", "text_to_image", "--model", str(folder)]
    assert main([*words, "--data", str(tmp_path)]) == 2
    assert "give the corpus of tiny-emoji by --data" in capsys.readouterr().err
    for option in ("--limit", "--seed"):
        assert main([*words, "--data", str(corpus), option, "-1"]) == 2
        assert f"{option[2:]} -1: give" in capsys.readouterr().err
