"""The generator's graphs against torch, at several times."""

import json
import shutil

import pytest
from safetensors.numpy import load_file, save_file

from bigmodel.errors import ExportError
from export.text_to_image import TOLERANCES, write_graphs

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def checkpoint(tiny_emoji, tmp_path):
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        shutil.copyfile(tiny_emoji / name, tmp_path / name)
    tensors = load_file(tiny_emoji / "model.safetensors")
    save_file(tensors, tmp_path / "model.safetensors")
    values = json.loads((tiny_emoji / "config.json").read_text())
    return tmp_path, values, {name: tensor.astype("float32") for name, tensor in tensors.items()}


def test_differences(checkpoint):
    report = write_graphs(*checkpoint, "int8")
    assert set(report) == {"transformer_float32.onnx", "transformer_fp16.onnx", "onnx/transformer_quantized.onnx"}
    exact, quantized = report["transformer_float32.onnx"], report["onnx/transformer_quantized.onnx"]
    assert exact["alone"].largest < 1e-4 and exact["batch"].largest < 1e-4
    assert exact["alone"].expected < quantized["alone"].expected < TOLERANCES["quantized"].expected
    folder = checkpoint[0]
    kept = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx"))
    quantised = [f"onnx/{name}_quantized.onnx" for name in ("text_encoder", "transformer")]
    assert kept == [*quantised, "text_encoder_fp16.onnx", "transformer_fp16.onnx"]


def test_a_graph_that_differs_is_refused(checkpoint, monkeypatch):
    import export.text_to_image as specification

    monkeypatch.setattr(specification, "TIMES", (0.5,))
    monkeypatch.setattr(specification.StackGraph, "silu", lambda self, x: self.graph.op("Gelu", x))
    with pytest.raises(ExportError, match="float32"):
        write_graphs(*checkpoint, "int8")
