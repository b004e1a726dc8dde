"""``python -m bigmodel translate`` in the terminal."""

import io

from bigmodel import cli

SENTENCE = "Two dogs play in the snow."


def translate(folder, *options):
    return cli.main(["translate", "--model", str(folder), "--source", "en", "--beams", "2", *options])


def test_a_text_and_its_alternatives(quantized_folder, capsys):
    assert translate(quantized_folder, "--alternatives", "2", *SENTENCE.split()) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert len(others) == 2 and "%" in others[0] and others[0].endswith(first)


def test_lines_of_standard_input(quantized_folder, capsys, monkeypatch):
    lines = f"{SENTENCE}\n\n12\n".encode() + b"caf\xe9 and two dogs\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines), "utf-8"))
    assert translate(quantized_folder, "--source", "auto", "--target", "de") == 0
    first, second, third, fourth = capsys.readouterr().out.splitlines()
    assert first and second == "" and third == "12" and fourth


def test_an_unknown_language_is_named(quantized_folder, capsys):
    assert translate(quantized_folder, "--source", "fr", SENTENCE) == 2
    assert "source: 'fr' is not known to this model; it reads en, de" in capsys.readouterr().err
