"""The card: every figure of metrics.json, and none that is not there."""

import re

import pytest

from bigmodel.cli import main
from bigmodel.config import read_json, write_json
from bigmodel.evaluation.results import entry, merge

SHAPE = {
    "num_hidden_layers": 3,
    "hidden_size": 77,
    "num_attention_heads": 7,
    "vocab_size": 1234,
    "max_position_embeddings": 99,
}
CARD = {"task": "text_generation", "name": "poetry", "title": "诗", "format": "poetry", "languages": ["zh"]}
TRAINING = {
    "preset": "poetry",
    "parameters": 5_432_100,
    "steps": 4321,
    "tokens": 12_300_000,
    "tokens_of_corpus": 6_150_000,
    "minutes": 45.6,
    "hardware": "two CPU cores",
    "window": 256,
    "batch_size": 16,
    "dropout": 0.0,
    "settings": {
        "learning_rate": 0.003,
        "muon": True,
        "weight_decay": 0.1,
        "warmup": 0.02,
        "final_rate": 0.02,
        "ema": None,
        "bf16": True,
        "seed": 1,
    },
    "train_loss": 4.4321,
    "validation": {"step": 4000, "loss": 4.5678, "nats_per_character": 4.4567},
}
DATA = [
    {
        "name": "verses.train",
        "split": "train",
        "weight": 2,
        "licence": "MIT",
        "examples": 1000,
        "bytes": 2_500_000,
        "note": "kind\\tauthor, <book> first",
        "origin": [{"repo": "someone/verses", "commit": "abc123"}],
    }
]


def share(name, value, engine):
    return entry(
        name, value, "share", dataset="verses.valid", engine=engine, command=f"measure {engine}", count=777, seed=9
    )


@pytest.fixture
def folder(tmp_path):
    write_json(tmp_path / "config.json", {**SHAPE, "bigmodel": CARD})
    write_json(tmp_path / "metrics.json", {"training": TRAINING, "data": DATA})
    entries = [share("form_share", 0.9876, "torch"), share("form_share", 0.8764, "onnx-cpu")]
    entries += [share("lines_in_training_set", 0.0213, "onnx-cpu")]
    sample = {"prompt": "<|body|>", "text": "山高月小。", "seed": 5, "settings": {"top_p": 0.9}, "engine": "onnx-cpu"}
    merge(tmp_path, entries, [sample, {**sample, "text": "not served", "engine": "torch"}])
    return tmp_path


def test_shows_what_was_measured(folder, capsys):
    assert main(["report", "--model", str(folder), "--license", "mit"]) == 0
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith(
        "---\nlanguage: [zh]\nlicense: mit\nlibrary_name: transformers\npipeline_tag: text-generation"
    )
    for text in ("98.8%", "87.6%", "`measure torch`", "seed 9", "777", "山高月小。", "5.4 M parameters"):
        assert text in card
    for text in (
        "2.00 passes",
        "two CPU cores",
        "45.6 minutes",
        "4.4321",
        "4.4567",
        "MIT",
        "tree/abc123",
        "&lt;book&gt;",
    ):
        assert text in card
    assert "not served" not in card
    assert "Of 777 sampled lines, 2.1% stand in the training set." in card
    assert main(["report", "--model", str(folder)]) == 0
    assert "license: mit" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_manifest_knows_the_card(folder, capsys):
    write_json(folder / "manifest.json", {"files": {}})
    main(["report", "--model", str(folder)])
    assert set(read_json(folder / "manifest.json")["files"]) == {"README.md"}


def test_a_model_without_figures_has_a_card_without_figures(tmp_path, capsys):
    write_json(tmp_path / "config.json", SHAPE)
    assert main(["report", "--model", str(tmp_path)]) == 0
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "## Results" not in card and "## Training\n" not in card and "not measured" in card
    assert not re.search(r"\d%", card)


def test_a_folder_without_configuration_is_refused(tmp_path, capsys):
    assert main(["report", "--model", str(tmp_path)]) == 2
    assert "config.json is missing" in capsys.readouterr().err
