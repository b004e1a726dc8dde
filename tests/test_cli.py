"""The command line: lazily imported commands, and errors in one line."""

import os
import re
import subprocess
import sys
from types import ModuleType

import pytest

from bigmodel import cli
from bigmodel.errors import InputError


@pytest.fixture
def command(monkeypatch):
    """A command "echo text" whose module records its arguments; ``fail`` makes it raise."""
    module = ModuleType("echo_command")
    module.seen = []
    module.add_arguments = lambda parser: parser.add_argument("--fail", action="store_true")

    def run(arguments):
        module.seen.append(arguments)
        if arguments.fail:
            raise InputError("prompt", "3000 tokens; at most 512")

    module.run = run
    monkeypatch.setitem(sys.modules, "echo_command", module)
    monkeypatch.setitem(cli.COMMANDS, "echo", ("say it", {"text": "echo_command", "absent": "bigmodel.absent"}))
    monkeypatch.setitem(cli.COMMANDS, "needs", ("needs a package", "package_that_is_not_there"))
    return module


def test_runs_the_chosen_command(command):
    assert cli.main(["echo", "text"]) == 0
    assert command.seen[0].fail is False


def test_a_file_that_cannot_be_had_is_one_line(command, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "run", lambda _: (tmp_path / "a" / "b").write_text("c"))
    assert cli.main(["echo", "text"]) == 2
    assert re.fullmatch(r"error: .*No such file or directory: '.*b'\n", capsys.readouterr().err)


def test_a_name_that_is_no_text_is_one_line(tmp_path):
    command = [sys.executable, "-m", "bigmodel", "classify", "--model", str(tmp_path), b"\xff.png"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 2 and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_user_error_is_one_line_and_status_2(command, capsys):
    assert cli.main(["echo", "text", "--fail"]) == 2
    assert capsys.readouterr().err == "error: prompt: 3000 tokens; at most 512\n"


def test_missing_modules_are_named(command, capsys):
    assert cli.main(["echo", "absent"]) == 2
    assert "bigmodel.absent" in capsys.readouterr().err
    assert cli.main(["needs"]) == 2
    assert "package_that_is_not_there" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["unknown"], ["generate"], ["generate", "unknown"]])
def test_wrong_words_show_usage(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    assert re.findall(r"^    (\w+)", capsys.readouterr().out, re.MULTILINE) == list(cli.COMMANDS)


def test_reader_that_leaves_is_no_fault():
    program = "import sys; from bigmodel import cli; sys.argv = ['x', '--help']; cli.build_parser = broken"
    broken = "def broken(argv):\n    raise BrokenPipeError\n"
    run = subprocess.run([sys.executable, "-c", f"{broken}{program}; sys.exit(cli.main())"], capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
