"""A model of one's own corpus is never called as a shipped one is."""

from argparse import Namespace
from importlib import import_module
from pathlib import Path

import pytest

from bigmodel import cli
from bigmodel.errors import ConfigError
from bigmodel.runtime.artifacts import SHIPPED
from bigmodel.training import command

OWN = {"translation": ["--valid", "elsewhere.tsv", "--languages", "en-fr"]}


def configured(task, *options):
    words = ["train", task, *options]
    return import_module(f"bigmodel.{task}.train").configure(cli.build_parser(words).parse_args(words))


@pytest.mark.parametrize("task", cli.TASKS)
def test_own_data_have_the_name_of_their_folder(task, tmp_path):
    own = ["--train", str(tmp_path), *OWN.get(task, [])]
    config = configured(task, *own, "--out", str(tmp_path / "my-model"))
    assert (config.name, config.title, config.description) == ("my-model", "my-model", "")
    assert configured(task, *own, "--out", str(tmp_path / "run"), "--name", "mine").name == "mine"
    preset = configured(task)
    assert preset.description and configured(task, "--out", str(tmp_path / "run")).name == preset.name


def test_a_run_goes_on_as_it_began(tmp_path):
    ran = []

    def run(init_from):
        arguments = Namespace(out=tmp_path / "run", name=None, preset="p", data=tmp_path, init_from=init_from)
        return command.run(lambda *_, **__: ran.append(init_from) or {}, None, "t", arguments)

    run(Path("a"))
    run(None)  # nothing was made of the first
    (tmp_path / "run" / "tokens").mkdir()
    run(None)
    (tmp_path / "run" / "init_from.txt").write_text(str(Path("a").resolve()), encoding="utf-8")
    run(Path("a"))
    run(Path("b/../a"))
    (tmp_path / "run" / "init_from.txt").write_text("", encoding="utf-8")
    with pytest.raises(
        ConfigError, match="holds a run that began without --init-from; give the same, or another --out"
    ):
        run(Path("a"))
    assert len(ran) == 5


def test_a_run_is_not_kept_in_its_own_corpus(tmp_path):
    arguments = Namespace(out=tmp_path / "runs/a", train=str(tmp_path), name=None, preset="p", init_from=None)
    with pytest.raises(ConfigError, match="whose files are the corpus; say another --out"):
        command.run(None, None, "t", arguments)


def test_held_out_pairs_are_not_trained_on(tmp_path):
    own = ["--languages", "en-fr", "--name", "mine", "--train", str(tmp_path), "--valid"]
    assert configured("translation", *own, f"{tmp_path}/../held.tsv").valid[0].file.endswith("held.tsv")
    with pytest.raises(ConfigError, match="all of which is trained on"):
        configured("translation", *own, str(tmp_path / "more" / "held.tsv"))
    with pytest.raises(ConfigError, match="held-out parts are left out"):
        configured("translation", *own, "someone/pairs")


@pytest.mark.parametrize(("model", "preset"), [("poetry", "stories"), ("stories", "poetry")])
def test_a_beginning_of_another_format_is_refused(model, preset):
    with pytest.raises(ConfigError, match=f"{model} is of the format .*; give its --preset"):
        configured("text_generation", "--init-from", str(SHIPPED / model), "--preset", preset)


def test_a_beginning_brings_its_kind_of_tokens():
    assert (
        configured("text_generation", "--init-from", str(SHIPPED / "stories"), "--preset", "tinyshakespeare").tokenizer
        == "bpe"
    )


def test_own_data_without_any_name_are_refused(tmp_path, capsys):
    assert cli.main(["train", "image_classification", "--train", str(tmp_path)]) == 2
    assert "give the model a --name" in capsys.readouterr().err
