"""A model to be scored: on its graphs, as it is served, or on its weights in torch, in an object of the same class."""

from pathlib import Path

from bigmodel.errors import ModelFolderError
from bigmodel.runtime.artifacts import MANIFEST, ModelFolder

ENGINES = ("torch", "onnx")


def open_engine(name, folder, runtime, torch_model):
    """Open a model folder by one of ENGINES; torch needs no ONNX file.

    Args:
        name: of ENGINES.
        folder: of the model; for torch a training's own will do.
        runtime: class that serves it, of (ModelFolder, model, provider=…), with ``from_pretrained``.
        torch_model: function of the ModelFolder that returns what takes the graphs' place in it.

    Returns:
        the object, and its name for the figures: "torch", "onnx-cpu", "onnx-cuda" …

    Raises:
        ModelFolderError, ConfigError: the folder is not what the engine needs.
    """
    folder = Path(folder)
    if name == "torch":
        opened = ModelFolder.unchecked(folder)
        return runtime(opened, torch_model(opened), provider=name), name
    if not (folder / MANIFEST).exists():
        raise ModelFolderError(f"{folder} has no ONNX files; export it first: python -m bigmodel export …")
    served = runtime.from_pretrained(folder)
    return served, f"onnx-{served.provider}"
