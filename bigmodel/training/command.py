"""What every ``python -m bigmodel train <task>`` has in common: its options, and the frame of a run."""

import dataclasses
import os
import shlex
from pathlib import Path

from bigmodel.config import read_json
from bigmodel.errors import ConfigError


def add_arguments(parser, presets):
    """Add the options that every task's training has.

    Args:
        parser: argparse.ArgumentParser.
        presets: names; the first is the default.
    """
    parser.add_argument("--preset", default=next(iter(presets)), help=f"one of {', '.join(presets)}")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora")
    parser.add_argument("--name", help="of your model; default: the preset's, with --train that of --out")
    parser.add_argument("--out", type=Path, help="folder of the run; default: runs/<name>")
    parser.add_argument("--init-from", type=Path, help="model folder to begin with: its weights, shape and tokenizer")
    parser.add_argument("--learning-rate", type=float, help="peak; a third of the preset's suits --init-from")
    parser.add_argument("--seed", type=int, help="of fresh weights and of the order of the data")
    parser.add_argument("--minutes", type=float, help="train so long")
    parser.add_argument("--steps", type=int, help="train so many steps")
    parser.add_argument("--workers", type=int, help="processes that make batches ahead; default: the preset's")
    parser.add_argument("--no-compile", action="store_true", help="start at once, run slower")


def find_preset(presets, name):
    """Return the configuration of a preset.

    Args:
        presets: name -> function that makes a configuration.
        name: of one of them.

    Raises:
        ConfigError: there is no such preset; the message lists them.
    """
    if name not in presets:
        raise ConfigError(f"preset {name!r} is unknown; there are {', '.join(presets)}")
    return presets[name]()


def configure(presets, arguments):
    """Return the chosen preset's configuration with the command line's changes to its name and settings.

    A model of one's own corpus without a name has that of the run's folder.
    """
    config, name = find_preset(presets, arguments.preset), arguments.name
    if getattr(arguments, "train", None) and arguments.out:
        name = name or arguments.out.resolve().name
    if name:
        config = dataclasses.replace(config, name=name, title=name, description="")
    limits = {"max_minutes": arguments.minutes, "max_steps": arguments.steps}
    changes = limits if limits != {"max_minutes": None, "max_steps": None} else {}
    for name in ("learning_rate", "seed", "workers"):
        if getattr(arguments, name) is not None:
            changes[name] = getattr(arguments, name)
    if arguments.no_compile:
        changes["compile"] = False
    return dataclasses.replace(config, settings=dataclasses.replace(config.settings, **changes))


def begin_with(config, folder, read_shape):
    """Return a configuration that begins with a model's weights and shape; its own dropout stays.

    Args:
        config: of the task.
        folder: of the model, or None, which changes nothing.
        read_shape: function of its config.json's dict.
    """
    if not folder:
        return config
    shape = dataclasses.replace(read_shape(read_json(folder / "config.json")), dropout=config.transformer.dropout)
    return dataclasses.replace(config, init_from=folder, transformer=shape)


def corpus_of(presets, name):
    """Return the corpus of the preset whose model has a name; None where none has it."""
    configs = (preset() for preset in presets.values())
    return next((config.corpus for config in configs if config.name == name), None)


def own_corpus(name):
    """Return a corpus of the command line as configurations name it: an absolute path, or a Hub dataset id."""
    return str(Path(name).absolute()) if Path(name).exists() or name.count("/") != 1 else name


def run(train, config, task, arguments):
    """Train, or go on from the run's checkpoint, and say where the weights are.

    Args:
        train: the task's function of (config, data, folder, preset_name), which returns the last validation's dict.
        config: what it trains.
        task: id of the task.
        arguments: of the command line.

    Raises:
        ConfigError: a corpus of one's own with neither a name nor a folder that gives it one; or the folder's run
            began with other weights.
    """
    if getattr(arguments, "train", None) and not (arguments.name or arguments.out):
        raise ConfigError("--train: give the model a --name, too; the preset's is of the preset's corpus")
    folder = arguments.out or Path("runs") / (arguments.name or arguments.preset)
    source = Path(getattr(arguments, "train", None) or folder)
    if source.is_dir() and source.resolve() in folder.resolve().parents:
        raise ConfigError(f"{folder} is in --train {source}, whose files are the corpus; say another --out")
    _keep_beginning(folder, _whole(arguments.init_from))
    result = train(config, arguments.data, folder, preset_name=arguments.preset)
    if int(os.environ.get("RANK", 0)) == 0:
        print(", ".join(f"{name} {value:.4f}" for name, value in result.items()))
        model = folder / "model"
        print(f"weights in {model}; next: python -m bigmodel export {task} --model {shlex.quote(str(model))}")
    return 0


def _whole(path):
    return str(Path(path).resolve()) if path else ""


def _keep_beginning(folder, init_from):
    """Keep in a run's folder what it begins with, and see that a run that goes on says the same."""
    path = folder / "init_from.txt"
    if (folder / "tokens").exists() or (folder / "checkpoint.pt").exists():
        if path.exists() and _whole(kept := path.read_text(encoding="utf-8")) != init_from:
            began = f"with --init-from {kept}" if kept else "without --init-from"
            raise ConfigError(f"{folder} holds a run that began {began}; give the same, or another --out")
    elif int(os.environ.get("RANK", 0)) == 0:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(init_from, encoding="utf-8")
