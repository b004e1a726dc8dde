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


def check_provider(name, provider):
    """Refuse a provider for an engine that has none.

    Raises:
        ConfigError: it is not onnx.
    """
    if provider and name != "onnx":
        raise ConfigError(f"--provider {provider}: it is of --engine onnx, not of {name}")


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
        runtime: class that serves it, of (ModelFolder, model, provider=…), with ``from_pretrained``.
        torch_model: function of the ModelFolder that returns what takes the graphs' place in it.
        provider: of the graphs, this one or none; None takes the first that can be had.

    Returns:
        the object, and its name for the figures: "torch", "onnx-cpu", "onnx-cuda" …

    Raises:
        ModelFolderError, ConfigError: the folder is not what the engine needs.
        ProviderError: the provider cannot be had.
    """
    check_provider(name, provider)
    folder = Path(folder)
    if name == "torch":
        opened = ModelFolder.unchecked(folder)
        return runtime(opened, torch_model(opened), provider=name), name
    if not (folder / MANIFEST).exists():
        raise ModelFolderError(f"{folder} has no ONNX files; export it first: python -m bigmodel export …")
    served = runtime.from_pretrained(folder, providers=[provider] if provider else None)
    return served, f"onnx-{served.provider}"
