"""A model to be scored: on its graphs, as it is served, or on its weights in torch, in an object of the same class."""

from pathlib import Path

from bigmodel.errors import ConfigError, ModelFolderError
from bigmodel.runtime.artifacts import MANIFEST, ModelFolder
from bigmodel.runtime.session import PROVIDERS

ENGINES = ("torch", "onnx")


def add_arguments(parser):
    """Declare what runs a model that is evaluated."""
    parser.add_argument("--engine", choices=ENGINES, default="onnx", help="what runs the model")
    parser.add_argument("--provider", choices=PROVIDERS, help="of onnx: this one or none; default: the first there is")


def check(name, folder, provider):
    """Refuse an engine that cannot run a model folder.

    Raises:
        ConfigError: a provider for an engine that has none.
        ModelFolderError: no ONNX files for the one that runs them.
    """
    if provider and name != "onnx":
        raise ConfigError(f"--provider {provider}: it is of --engine onnx, not of {name}")
    if name == "onnx" and not (Path(folder) / MANIFEST).exists():
        raise ModelFolderError(f"{folder} has no ONNX files; export it first: python -m bigmodel export …")


def check_least(arguments, **least):
    """Refuse an option that is below its least value.

    Raises:
        ConfigError: names the option.
    """
    for name, low in least.items():
        value = getattr(arguments, name)
        if value is not None and value < low:
            raise ConfigError(f"{name} {value}: give {low} or more")


def changed(arguments, **own):
    """Return the words of the options by which a measurement differs from the model card's.

    Args:
        arguments: of the command line; an option that is None was not given.
        own: option -> the model's own value; None of an option that the card's measurement does without.
    """
    values = {name: getattr(arguments, name) for name in own}
    found = {name: value for name, value in values.items() if value not in (None, own[name])}
    return [f"--{name.replace('_', '-')} {value:g}" for name, value in found.items()]


def words(arguments, engine):
    """Return the words of a command that choose the same engine and provider again.

    Args:
        arguments: of ``add_arguments``.
        engine: the name for the figures; a provider other than the CPU is named, whether or not it was asked for.
    """
    found = engine.removeprefix("onnx-") if engine not in ("torch", "onnx-cpu") else arguments.provider
    return [f"--engine {arguments.engine}"] + ([f"--provider {found}"] if found else [])


def open_engine(name, folder, runtime, torch_model, provider=None):
    """Open a model folder by one of ENGINES; torch needs no ONNX file.

    Args:
        name: of ENGINES.
        folder: of the model; for torch a training's own will do.
        runtime: class that serves it, of (ModelFolder, model, provider=…), with ``task`` and ``from_pretrained``.
        torch_model: function of the ModelFolder that returns what takes the graphs' place in it.
        provider: of the graphs, this one or none; None takes the first that can be had.

    Returns:
        the object, and its name for the figures: "torch", "onnx-cpu", "onnx-cuda" …

    Raises:
        ModelFolderError, ConfigError: the folder is not what the engine needs.
        ProviderError: the provider cannot be had.
    """
    check(name, folder, provider)
    if name == "torch":
        opened = ModelFolder.unchecked(folder, runtime.task)
        return runtime(opened, torch_model(opened), provider=name), name
    served = runtime.from_pretrained(folder, providers=[provider] if provider else None)
    return served, f"onnx-{served.provider}"
