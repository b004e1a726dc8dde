"""The README: its table is what metrics.json says, its pictures are there, and its commands exist."""

import re
from pathlib import Path

import pytest

from bigmodel import cli
from bigmodel.errors import DataError
from bigmodel.evaluation.readme import table, with_table

REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^\| `python -m bigmodel ([a-z_ ]+)(?: TASK)?` ", TEXT, re.M)


def test_the_table_is_what_was_measured(capsys):
    assert cli.main(["results", "--check"]) == 0, capsys.readouterr().out
    assert "bits per byte" in table(REPOSITORY / "export" / "artifacts")
    with pytest.raises(DataError, match="lacks the marks"):
        with_table("# No marks", "")


def test_its_pictures_and_links_are_there():
    targets = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert len(targets) > 5 and [t for t in targets if not (REPOSITORY / t).exists()] == []
    sections = {line[3:].lower().replace(" ", "-") for line in TEXT.splitlines() if line.startswith("## ")}
    assert [anchor for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT) if anchor not in sections] == []


@pytest.mark.parametrize(
    "words", sorted(set(re.findall(r"^\| `python -m bigmodel ([a-z_ ]+)(?: TASK)?` ", TEXT, re.M)))
)
def test_its_commands_are_those_that_there_are(words, capsys):
    words = words.split()
    modules = cli.COMMANDS[words[0]][1]
    words += [] if isinstance(modules, str) or len(words) > 1 else [next(iter(modules))]
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--help"])
    assert stop.value.code == 0 and "usage" in capsys.readouterr().out


def test_every_command_is_in_it():
    assert [name for name in cli.COMMANDS if f"`python -m bigmodel {name}" not in TEXT] == []


@pytest.mark.parametrize("line", re.findall(r"^python -m bigmodel (?:deploy|push).*--dry-run$", TEXT, re.M))
def test_its_dry_runs_run(line, capsys, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    assert cli.main(line.split()[3:]) == 0
    assert "MB" in capsys.readouterr().out
