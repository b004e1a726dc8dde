"""The card: every figure of metrics.json, and none that is not there."""

import re

import pytest

from bigmodel.cli import main
from bigmodel.config import read_json, write_json
from bigmodel.evaluation.results import entry, merge, read_metrics

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
    "batch": "16 windows of 256 tokens",
    "accumulation": 1,
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


TRANSLATOR = {
    "d_model": 88,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 11,
    "vocab_size": 4321,
    "n_positions": 256,
    "bigmodel": {
        "task": "translation",
        "name": "en-de",
        "title": "English ↔ German",
        "description": "Translates captions.",
        "languages": ["de", "en"],
        "directions": ["en-de", "de-en"],
    },
}


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
        '---\nlanguage: ["zh"]\nlicense: mit\nlibrary_name: transformers\npipeline_tag: text-generation'
    )
    for text in ("98.8%", "87.6%", "`measure torch`", "seed 9", "777", "山高月小。", "5.4 M parameters"):
        assert text in card
    for text in (
        "2.00 passes",
        "4,321 of 16 windows of 256 tokens",
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


def test_all_trainings_before_count(folder, capsys):
    first = {**TRAINING, "tokens": 1_000_000, "minutes": 10.0}
    metrics = read_metrics(folder)
    chain = {**TRAINING, "init_from": {**TRAINING, "init_from": first}}
    write_json(folder / "metrics.json", {**metrics, "training": chain})
    main(["report", "--model", str(folder)])
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| begun with | weights trained before on 13.3 M tokens, 55.6 minutes on two CPU cores |" in card


def test_the_manifest_knows_the_card(folder, capsys):
    write_json(folder / "manifest.json", {"files": {}})
    main(["report", "--model", str(folder)])
    assert set(read_json(folder / "manifest.json")["files"]) == {"README.md", "README.zh.md"}


def test_a_model_without_figures_has_a_card_without_figures(tmp_path, capsys):
    write_json(tmp_path / "config.json", SHAPE)
    assert main(["report", "--model", str(tmp_path)]) == 0
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "## Results" not in card and "## Training\n" not in card and "not measured" in card
    assert not re.search(r"\d%", card)


@pytest.fixture
def translator(tmp_path):
    facts = {
        **TRAINING,
        "batch": "pairs, up to 4,096 tokens",
        "accumulation": 1,
        "validation": {"step": 9, "loss": 2.5},
    }
    data = [{**DATA[0], "weight": 0.3}]
    write_json(tmp_path / "config.json", TRANSLATOR)
    write_json(tmp_path / "metrics.json", {"training": facts, "data": data})
    entries = []
    for engine, score in (("torch", 33.26), ("onnx-cpu", 32.94)):
        for name, value, settings in (("bleu", score, {"num_beams": 5}), ("bleu_of_copy", 4.56, {})):
            about = {"dataset": "en→de captions.val", "engine": engine, "command": f"measure {engine}", "count": 1014}
            settings = {**settings, "signature": "nrefs:1|tok:13a"}
            entries.append(entry(name, value, "BLEU", settings=settings, **about))
    sample = {"source": "A | dog", "translation": "Ein <Hund>", "reference": "Ein Hund", "settings": {"num_beams": 5}}
    sample |= {"direction": "en-de", "dataset": "captions.val", "engine": "onnx-cpu"}
    merge(tmp_path, entries, [sample, {**sample, "translation": "not served", "engine": "torch"}])
    (tmp_path / "encoder_model_fp16.onnx").write_bytes(b"x" * 20_000)
    return tmp_path


def test_a_translator_has_its_own_words(translator, capsys):
    assert main(["report", "--model", str(translator), "--license", "other"]) == 0
    card = (translator / "README.md").read_text(encoding="utf-8")
    assert 'language: ["de", "en"]\nlicense: other\nlibrary_name: transformers\npipeline_tag: translation' in card
    assert "| en→de | captions.val | 1,014 | BLEU | 4.6 | 32.9 | 33.3 |" in card  # served first
    assert card.count("captions.val | 1,014") == 1  # the floor has no row of its own
    for text in (
        "3 encoder and 2 decoder layers, width 88, 11 heads, a vocabulary of 4,321 tokens",
        "`T5ForConditionalGeneration`",
        "en → de, the first of captions.val:",
        "| A \\| dog | Ein \\<Hund\\> | Ein Hund |",
        "num_beams 5: `measure onnx-cpu`",
        "BLEU (de) `nrefs:1|tok:13a`",
        "by which the weights were chosen",
        "4,321 of pairs, up to 4,096 tokens",
        "tokens of both sides, padding included, at most | 12.3 M",
        "loss 2.5000 (step 9; nats a token, labels not smoothed)",
        "read to 30% a pass",
        "research use",
        "more than 255 tokens",
        "`encoder_model_fp16.onnx` | 0.02 MB",
        'tokenizer("<|en-de|>A | dog<|endoftext|>"',
        'model.translate("A | dog", source="en", target="de")',
    ):
        assert text in card
    assert "not served" not in card and "decoder_model_fp16.onnx" not in card and "follows no instructions" not in card


def test_a_translator_without_figures_has_a_card_without_figures(tmp_path, capsys):
    about = {"task": "translation", "name": "en-fr", "directions": ["en-fr", "fr-en"]}
    write_json(tmp_path / "config.json", {**TRANSLATOR, "bigmodel": about})
    assert main(["report", "--model", str(tmp_path)]) == 0
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "# " + tmp_path.name in card and "like its training text" in card and '"<|en-fr|>Two dogs' in card
    assert "## Results" not in card and "## Samples" not in card and not re.search(r"\d%", card)


def test_an_unknown_task_is_refused(tmp_path, capsys):
    write_json(tmp_path / "config.json", {**SHAPE, "bigmodel": {"task": "divination"}})
    assert main(["report", "--model", str(tmp_path)]) == 2
    assert "'divination'; there are text_generation, translation" in capsys.readouterr().err


def test_a_folder_without_configuration_is_refused(tmp_path, capsys):
    assert main(["report", "--model", str(tmp_path)]) == 2
    assert "config.json is missing" in capsys.readouterr().err
