"""From a checkpoint folder to a model folder that the page serves.

    python -m bigmodel export text_generation --model <checkpoint folder> [--out export/artifacts/<name>]

The checkpoint folder holds config.json, tokenizer.json and model.safetensors under Hugging Face's Qwen3 names.
Written are
  model.safetensors          the weights, float16
  model_fp16.onnx            the CUDA graph: no weights, it reads model.safetensors, beside which it has to lie
  onnx/model_quantized.onnx  the CPU graph, self-contained
  manifest.json              sha256 of every file
and every other file of the checkpoint folder that belongs to a model. Each graph is compared with torch, at prefill, at
every cached step and in a ragged batch; above the tolerance nothing is written.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file

from bigmodel.config import TransformerConfig, read_json, write_json
from bigmodel.errors import ConfigError, ExportError, ModelFolderError
from bigmodel.nn.transformer import CausalLM
from bigmodel.runtime.artifacts import write_manifest
from export import parity
from export.graph import save
from export.quantize import DEFAULT_RECIPE, RECIPES, QuantizedWeights
from export.text_generation import DecoderGraph, DenseWeights, ExternalWeights

ARTIFACTS = Path(__file__).parent / "artifacts"
COPIED = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "metrics.json", "README.md")
CUDA_GRAPH = "model_fp16.onnx"
CPU_GRAPH = "onnx/model_quantized.onnx"


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``export text_generation``."""
    parser.add_argument("--model", type=Path, required=True, help="folder with config.json and model.safetensors")
    parser.add_argument("--out", type=Path, help="model folder to write; default export/artifacts/<name>")
    parser.add_argument("--recipe", choices=RECIPES, default=DEFAULT_RECIPE, help="how the CPU's weights are quantised")


def run(arguments):
    """Export, print what parity found, and return 0."""
    config = read_json(arguments.model / "config.json")
    name = config.get("bigmodel", {}).get("name")
    if arguments.out is None and not name:
        raise ConfigError("config.json names no model; say --out")
    out = arguments.out or ARTIFACTS / name
    report = export(arguments.model, out, arguments.recipe)
    for graph, differences in report.items():
        for way, difference in differences.items():
            print(f"{graph:28} {way:8} largest {difference.largest:.1e}  expected {difference.expected:.1e} nats")
    for path in (CPU_GRAPH, CUDA_GRAPH, "model.safetensors"):
        print(f"{path:28} {(out / path).stat().st_size / 1e6:8.2f} MB")
    print(f"wrote {out}")
    return 0


def export(source, out, recipe=DEFAULT_RECIPE):
    """Write a model folder.

    Args:
        source: checkpoint folder.
        out: folder to write; its other files stay.
        recipe: key of RECIPES.

    Returns:
        dict of graph name -> what parity.measure found.

    Raises:
        ModelFolderError: source lacks a file or a tensor.
        ExportError: a graph differs from the model by more than parity.TOLERANCES; nothing is written.
    """
    source, out = Path(source), Path(out)
    values = read_json(source / "config.json")
    config = TransformerConfig.from_qwen3(values)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as scratch:
        scratch = Path(scratch)
        tensors = half_precision(source)
        save_file(tensors, scratch / "model.safetensors", metadata={"format": "pt"})
        tensors = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
        report = write_graphs(scratch, config, tensors, RECIPES[recipe])
        write_json(scratch / "config.json", {**values, "dtype": "float16"})
        for name in COPIED:
            if (source / name).exists():
                shutil.copyfile(source / name, scratch / name)
        for path in sorted(p for p in scratch.rglob("*") if p.is_file()):
            target = out / path.relative_to(scratch)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
    write_manifest(out)
    return report


def half_precision(source):
    """Read model.safetensors of a folder as a dict of float16 arrays.

    Raises:
        ModelFolderError: the file is missing.
        ExportError: a weight is beyond float16's range.
    """
    path = source / "model.safetensors"
    if not path.exists():
        raise ModelFolderError(f"{path} is missing")
    tensors = {name: tensor.to(torch.float16).numpy() for name, tensor in load_file(path).items()}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ExportError(f"{path}: {name} holds a value that float16 cannot")
    return tensors


def write_graphs(folder, config, tensors, recipe):
    """Write both graphs into a folder that holds model.safetensors, and compare them and the float32 graph with torch.

    Args:
        folder: Path.
        config: TransformerConfig.
        tensors: dict of float32 arrays.
        recipe: quantize.Recipe; None keeps the CPU graph in float32.

    Returns:
        dict of graph name -> what parity.measure found.
    """
    model = CausalLM(config).eval()
    state = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    graphs = {
        "fp32": ("float32.onnx", DenseWeights(tensors)),
        "fp16": (CUDA_GRAPH, ExternalWeights(folder / "model.safetensors")),
        "quantized": (CPU_GRAPH, QuantizedWeights(tensors, recipe) if recipe else DenseWeights(tensors)),
    }
    report = {}
    for kind, (name, weights) in graphs.items():
        save(DecoderGraph(config, weights).build(), folder / name)
        report[name] = parity.measure(folder / name, model)
        for way, difference in report[name].items():
            difference.check(f"{name} ({way})", parity.TOLERANCES[kind])
    (folder / "float32.onnx").unlink()
    return report
