"""From a checkpoint folder to a model folder that the page serves.

    python -m bigmodel export <task> --model <checkpoint folder> [--out export/artifacts/<name>]

The checkpoint folder holds config.json, model.safetensors under Hugging Face's names, and tokenizer.json or, of a model
of pictures, preprocessor_config.json. Written are
  model.safetensors       the weights, float16
  *_fp16.onnx             the graphs for CUDA: no weights, they read model.safetensors, beside which they have to lie
  onnx/*_quantized.onnx   the graphs for the CPU, self-contained
  manifest.json           sha256 of every file
and every other file of the checkpoint folder that belongs to a model. The task's specification writes the graphs and
compares each with torch; above the tolerance nothing is written.
"""

import argparse
import contextlib
import shutil
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from bigmodel.config import read_json, write_json
from bigmodel.errors import ConfigError, ExportError
from bigmodel.evaluation.results import METRICS, read_metrics, write_metrics
from bigmodel.nn.checkpoint import read_tensors
from bigmodel.registry import TASKS
from bigmodel.runtime.artifacts import ModelFolder, write_manifest
from export.quantize import DEFAULT_RECIPE, RECIPES

ARTIFACTS = Path(__file__).parent / "artifacts"
CARD = ("README.md", "README.zh.md", "samples.png")  # of the weights that were there before
COPIED = (
    *("tokenizer.json", "tokenizer_config.json", "generation_config.json"),
    *("preprocessor_config.json", "emoji.json"),
)


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``export <task>``."""
    parser.add_argument("--model", type=Path, required=True, help="folder with config.json and model.safetensors")
    parser.add_argument("--out", type=Path, help="model folder to write; default export/artifacts/<name>")
    parser.add_argument(
        "--recipe", choices=RECIPES, default=DEFAULT_RECIPE, help="how a decoder's weights are quantised"
    )


def run(arguments):
    """Export, print what parity found, and return 0."""
    name = ModelFolder.unchecked(arguments.model, arguments.task).card.get("name")
    if arguments.out is None and not name:
        raise ConfigError("config.json names no model; say --out")
    out = arguments.out or ARTIFACTS / name
    report = export(arguments.model, out, arguments.recipe)
    graphs = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.onnx"))
    for graph, differences in report.items():
        for way, difference in differences.items():
            print(
                f"{graph:28} {way:8} largest {difference.largest:.1e}  expected {difference.expected:.1e} "
                f"{difference.unit}"
            )
    for path in (*graphs, "model.safetensors"):
        print(f"{path:28} {(out / path).stat().st_size / 1e6:8.2f} MB")
    print(f"wrote {out}")
    return 0


def export(source, out, recipe=DEFAULT_RECIPE):
    """Write a model folder.

    Args:
        source: checkpoint folder.
        out: folder to write; its card goes, its other files stay.
        recipe: key of RECIPES.

    Returns:
        dict of graph name -> what parity.measure found.

    Raises:
        ModelFolderError: source lacks a tensor, or model.safetensors is missing or broken.
        ExportError: a graph differs from the model by more than its tolerance; nothing is written.
        ConfigError: source has no config.json, the task has no specification, or out cannot be made.
    """
    source, out = Path(source), Path(out)
    folder = ModelFolder.unchecked(source)
    values, task = folder.config, folder.task
    if task not in TASKS:
        raise ConfigError(f"{source}: no specification exports {task!r}; there are {', '.join(TASKS)}")
    metrics = _metrics(source, out)
    with _folder(out), tempfile.TemporaryDirectory(dir=out, prefix=".export-") as scratch:
        scratch = Path(scratch)
        tensors = half_precision(source)
        (scratch / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
        tensors = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
        specification = import_module(f"export.{task}")  # of one task alone: they do not know each other
        write_json(scratch / "config.json", {**values, "dtype": "float16"})
        for name in COPIED:
            if (source / name).exists():
                shutil.copyfile(source / name, scratch / name)
        report = specification.write_graphs(scratch, values, tensors, recipe)
        for path in sorted(p for p in scratch.rglob("*") if p.is_file()):
            target = out / path.relative_to(scratch)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
    if metrics or (out / METRICS).exists():
        write_metrics(out, metrics)
    for name in CARD:
        (out / name).unlink(missing_ok=True)
    write_manifest(out)
    return report


def _metrics(source, out):
    """Return the metrics of a new folder: the source's, without the figures of its graph for the CPU.

    The licence of the folder that is there stays, since a training says none.
    """
    metrics = read_json(source / METRICS) if (source / METRICS).exists() else {}
    for part in ("results", "samples"):
        if part in metrics:
            metrics[part] = [found for found in metrics[part] if found["engine"] != "onnx-cpu"]
    chosen = {name: value for name, value in read_metrics(out).items() if name == "license"}
    return chosen | metrics


@contextlib.contextmanager
def _folder(path):
    """Make a folder where it is missing; after an error it is missing again."""
    new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {path} cannot be made a folder: {error.strerror}") from error
    try:
        yield
    except BaseException:
        if new:
            shutil.rmtree(path)
        raise


def half_precision(source):
    """Read model.safetensors of a folder as a dict of float16 arrays.

    Raises:
        ModelFolderError: the file is missing or broken.
        ExportError: a weight is beyond float16's range.
    """
    path = source / "model.safetensors"
    tensors = {name: tensor.to(torch.float16).numpy() for name, tensor in read_tensors(source).items()}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ExportError(f"{path}: {name} holds a value that float16 cannot")
    return tensors
