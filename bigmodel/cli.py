"""``python -m bigmodel <command> [<task>] …``. A command's module is imported only when it is chosen.

A module that offers a command has ``add_arguments(parser)`` and ``run(arguments) -> int``.
"""

import argparse
import os
import sys
from importlib import import_module

from bigmodel import __version__
from bigmodel.errors import BigModelError
from bigmodel.registry import TASKS


def _of_tasks(module):
    """Return task -> its module of that name."""
    return {task: f"bigmodel.{task}.{module}" for task in TASKS}


# command -> (what it does, task -> module); a command without tasks names its module
COMMANDS = {
    "train": ("train a model on a corpus", _of_tasks("train")),
    "evaluate": ("measure a model on held-out data", _of_tasks("evaluate")),
    "export": ("turn a training's weights into a model folder", dict.fromkeys(TASKS, "export.to_onnx")),
    "parity": ("compare a provider with the weights on the CPU", {"text_generation": "export.parity_provider"}),
    "generate": ("write text in the terminal", {"text_generation": "bigmodel.text_generation.generate"}),
    "translate": ("translate text in the terminal", "bigmodel.translation.translate"),
    "draw": ("draw pictures of a prompt", "bigmodel.text_to_image.draw"),
    "classify": ("name what pictures show", "bigmodel.image_classification.classify"),
    "detect": ("find and count things in pictures", "bigmodel.object_detection.detect"),
    "benchmark": (
        "compare our speed with others'",
        {
            "training": "bigmodel.training.benchmark",
            **_of_tasks("benchmark"),
            "startup": "bigmodel.ui.benchmark",
            "serving": "bigmodel.ui.benchmark_serving",
            "ray": "bigmodel.ui.benchmark_ray",
            "soak": "bigmodel.ui.soak",
            "fuzz": "bigmodel.ui.fuzz",
            "vanish": "bigmodel.ui.vanish",
        },
    ),
    "push": ("publish a model folder on the Hugging Face Hub", "bigmodel.hub.push"),
    "deploy": ("make or update a Hugging Face Space of this repository", "bigmodel.hub.deploy"),
    "screenshots": ("take pictures of the page", "bigmodel.ui.screenshots"),
    "results": ("render the README's table of results", "bigmodel.evaluation.readme"),
    "report": ("render a model card from metrics.json", "bigmodel.evaluation.report"),
}


def main(argv=None):
    """Run a command and return its exit status: 0 done, 2 the user can mend it, 130 interrupted.

    Args:
        argv: the words after ``python -m bigmodel``; None takes them from the process.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = build_parser(argv).parse_args(argv)
        return arguments.run(arguments) or 0
    except BigModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def build_parser(argv):
    """Return a parser of every command, in which only the one that argv chooses has its options."""
    parser = argparse.ArgumentParser(prog="python -m bigmodel", description="Train, export and serve transformers.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for command, (summary, modules) in COMMANDS.items():
        command_parser = commands.add_parser(command, help=summary, description=summary)
        if isinstance(modules, str):
            _complete(command_parser, modules, chosen=argv[:1] == [command])
            continue
        tasks = command_parser.add_subparsers(dest="task", metavar="task", required=True, title="tasks")
        for task, module in modules.items():
            task_parser = tasks.add_parser(task, help=task.replace("_", " "))
            _complete(task_parser, module, chosen=argv[:2] == [command, task])
    return parser


def _complete(parser, module_name, *, chosen):
    if not chosen:
        return
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("bigmodel", "export"):
            raise BigModelError(f"{module_name} is not part of this installation; run from the repository") from error
        raise BigModelError(f'this command needs {package}; try: pip install -e ".[dev]"') from error
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
