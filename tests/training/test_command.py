"""A model of one's own corpus is never called as a shipped one is."""

from importlib import import_module

import pytest

from bigmodel import cli

OWN = {"translation": ["--valid", "own", "--languages", "en-fr"]}


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


def test_own_data_without_any_name_are_refused(tmp_path, capsys):
    assert cli.main(["train", "image_classification", "--train", str(tmp_path)]) == 2
    assert "give the model a --name" in capsys.readouterr().err
