"""``python -m bigmodel train text_generation`` on a user's own text, and the likelihood that it reports."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bigmodel import cli
from bigmodel.config import read_json
from bigmodel.errors import ConfigError
from bigmodel.nn.checkpoint import from_pretrained, save_pretrained
from bigmodel.text_generation import config as presets
from bigmodel.text_generation.data import load_corpus
from bigmodel.text_generation.model import document_windows, make_model, total_loss
from bigmodel.text_generation.train import configure
from bigmodel.training.command import find_preset

LINES = "".join(f"The {color} fox met {count} crows — 狐.\n" for color in ("red", "old", "sly") for count in range(60))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch, tmp_path):
    """Shrink the presets that the tests train, and leave everything else of them."""
    for name in ("stories", "tinyshakespeare"):
        whole = presets.PRESETS[name]()
        shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
        heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
        tiny = dataclasses.replace(
            whole, transformer=dataclasses.replace(whole.transformer, **shape, **heads), window=32, batch_size=2
        )
        monkeypatch.setitem(presets.PRESETS, name, lambda tiny=tiny: tiny)
    monkeypatch.chdir(tmp_path)


def train(*options):
    return cli.main(["train", "text_generation", *options])


def test_a_users_own_text_becomes_a_model_folder(tmp_path, capsys):
    (tmp_path / "my.txt").write_text(LINES)
    command = ["--train", "my.txt", "--name", "mine", "--steps", "5", "--no-compile"]
    assert train(*command) == 0
    assert "bits_per_byte" in capsys.readouterr().out
    run = tmp_path / "runs" / "mine"
    assert {path.name for path in run.iterdir()} == {
        *("best.pt", "checkpoint.pt", "init_from.txt", "log.jsonl", "loss.png", "model", "tokens")
    }
    assert [path.name for path in tmp_path.glob("*.npy")] == []
    model, values = from_pretrained(run / "model"), read_json(run / "model" / "config.json")
    assert values["bigmodel"]["name"] == values["bigmodel"]["title"] == "mine"
    assert values["eos_token_id"] == 0 and values["model_type"] == "qwen3"
    assert values["vocab_size"] == model.config.vocab_size < 8192  # the corpus gives fewer
    assert model.config.vocab_size % 64 == 0
    files = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in (run / "model").iterdir()} >= files

    assert train(*command[:-2], "8", "--no-compile") == 0  # goes on
    assert "at step 5; going on" in capsys.readouterr().err
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 8


def test_a_new_beginning_has_the_preset_s_dropout(tmp_path):
    shape = dataclasses.replace(find_preset(presets.PRESETS, "stories").transformer, dropout=0.2)
    config = dataclasses.replace(find_preset(presets.PRESETS, "stories"), transformer=shape)
    first = make_model(config, 320)
    save_pretrained(first, tmp_path / "first")
    second = make_model(dataclasses.replace(config, init_from=tmp_path / "first"), 320)
    assert second.config.dropout == 0.2 and second.training
    for name, weight in first.state_dict().items():
        assert torch.allclose(weight, second.state_dict()[name], atol=1e-3)  # kept in 16 bits


def test_a_beginning_may_have_more_rows_than_tokens(tmp_path):
    config = find_preset(presets.PRESETS, "stories")
    save_pretrained(make_model(config, 400), tmp_path / "first")
    assert make_model(dataclasses.replace(config, init_from=tmp_path / "first"), 300).config.vocab_size == 448


@pytest.mark.parametrize("kind", ["jsonl", "folder"])
def test_other_sources_and_characters(tmp_path, capsys, kind):
    (tmp_path / "own").mkdir()
    if kind == "jsonl":
        rows = (json.dumps({"text": line}) + "\n" for line in LINES.splitlines(keepends=True))
        (tmp_path / "own" / "a.jsonl").write_text("".join(rows))
    else:
        (tmp_path / "own" / "a.txt").write_text(LINES)
    source = "own/a.jsonl" if kind == "jsonl" else "own"
    options = ["--preset", "tinyshakespeare", "--train", source, "--out", "out", "--steps", "3", "--no-compile"]
    assert train(*options) == 0
    printed = capsys.readouterr().out
    assert "nats_per_character" in printed
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "content", "message"),
    [
        (["--train", "my.txt"], "too small\n", "the corpus has"),
        (["--train", "my.txt"], "", "empty"),
        (["--train", "absent.txt"], LINES, "absent.txt: no such file or folder"),
        (["--preset", "none"], LINES, "preset 'none' is unknown; there are stories"),
        (["--train", "my.txt", "--steps", "0"], LINES, "max_steps is 0"),
        (["--data", "nowhere"], LINES, "nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, capsys, options, content, message):
    (tmp_path / "my.txt").write_text(content)
    steps = [] if "--steps" in options else ["--steps", "3"]
    assert train(*options, *steps, "--out", "out", "--no-compile") == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_every_preset_is_whole_and_says_its_command(name, monkeypatch):
    monkeypatch.undo()
    config = find_preset(presets.PRESETS, name)
    assert f"--preset {name} " in presets.PRESETS[name].__doc__
    assert config.window <= config.transformer.max_position_embeddings
    assert config.settings.max_minutes
    with pytest.raises(ConfigError):
        find_preset(presets.PRESETS, name + "x")


def parsed(*options):
    words = ["train", "text_generation", *options]
    return configure(cli.build_parser(words).parse_args(words))


def test_the_command_lines_limits_replace_the_presets():
    assert parsed("--steps", "7").settings.max_steps == 7
    assert parsed("--steps", "7").settings.max_minutes is None
    assert parsed("--minutes", "2").settings.max_minutes == 2
    assert parsed().settings.max_minutes == presets.stories().settings.max_minutes
    own = parsed("--train", "someone/data")
    assert own.train == (("someone/data", 1),) and own.languages == ()


@pytest.mark.parametrize("stride", [1, 5, 8])
def test_every_scored_id_is_scored_once(stride):
    documents = [(np.arange(30), 1), (np.arange(3), 1), (np.arange(25), 12), (np.arange(1), 1)]
    pieces = list(document_windows(documents, 8, stride))
    assert all(2 <= len(ids) <= 9 and first >= 1 for ids, first in pieces)
    scored = [int(i) for ids, first in pieces for i in ids[first:]]
    assert scored == [*range(1, 30), 1, 2, *range(12, 25)]


def test_total_loss_is_the_sum_over_the_documents(tmp_path):
    (tmp_path / "a.txt").write_text(LINES)
    config = dataclasses.replace(find_preset(presets.PRESETS, "stories"), train=(("a.txt", 1),), valid=None)
    corpus = load_corpus(config, tmp_path, tmp_path / "tokens")
    model = make_model(config, corpus.tokenizer.get_vocab_size()).eval()
    documents = [(np.array([0, 5, 6, 7, 8, 9]), 3), (np.array([0, 11, 12]), 1)]
    expected = 0.0
    with torch.inference_mode():
        for ids, first in documents:
            ids = torch.from_numpy(ids)
            expected += F.cross_entropy(model(ids[None, :-1])[0, first - 1 :], ids[first:], reduction="sum").item()
        total = total_loss(model, documents, context=32, stride=32)
    assert total == pytest.approx(expected, rel=1e-5)
    assert total / 5 == pytest.approx(math.log(model.config.vocab_size), abs=0.5)
