"""``python -m bigmodel generate text_generation``."""

import pytest

from bigmodel.cli import main
from bigmodel.text_generation.poetry import form_of


def generate(*arguments):
    return main(["generate", "text_generation", "--providers", "cpu", *map(str, arguments)])


def test_story(tiny_stories, capsys):
    assert generate("--model", tiny_stories, "--prompt", "Once", "--max-new-tokens", 12, "--seed", 3) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Once") and len(shown.out) > 8
    assert "a second, on cpu" in shown.err


def test_poem_with_acrostic(tiny_poetry, capsys):
    options = ["--model", tiny_poetry, "--acrostic", "山水", "--kind", "唐诗", "--author", "李白", "--title", "山"]
    if generate(*options):
        assert "does not know" in capsys.readouterr().err
    assert generate("--model", tiny_poetry, "--acrostic", "明月", "--form", "五言", "--prompt", "明") == 0
    text = capsys.readouterr().out.strip()
    assert form_of(text) == "五言" and text[0] + text[6] == "明月"


def test_unknown_characters_are_told(tiny_poetry, capsys):
    assert generate("--model", tiny_poetry, "--prompt", "床fox", "--max-new-tokens", 3) == 0
    assert "skipped, unknown to the model: fox" in capsys.readouterr().err


def test_unknown_characters_are_left_out(tiny_poetry, capsys):
    texts = []
    for prompt, title in (("床fox", "山x"), ("床", "山")):
        options = "--prompt", prompt, "--title", title, "--max-new-tokens", 9, "--seed", 2
        assert generate("--model", tiny_poetry, *options) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--temperature", -1], "temperature"),
        (["--title", "Fox"], "title: tiny-stories writes no poems"),
        (["--threads", 0], "threads"),
        (["--prompt", "a\udcff"], "half a character"),
        (["--providers", "npu"], "npu"),
    ],
)
def test_mistakes_are_one_line(tiny_stories, capsys, options, words):
    assert generate("--model", tiny_stories, *options) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_no_such_model(capsys):
    assert generate("--model", "no-such-model") == 2
    assert "no-such-model" in capsys.readouterr().err
