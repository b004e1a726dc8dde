"""The classifier's graphs say what the model says, or the export fails; the stock class says it, too."""

import shutil

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from bigmodel.config import read_json
from bigmodel.errors import ExportError, ModelFolderError
from bigmodel.image_classification.model import load_model
from bigmodel.runtime.artifacts import ModelFolder
from export import image_classification
from export.image_classification import measure
from export.parity import Difference
from export.to_onnx import export
from export.vision import run_graph, smooth_pictures

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("name", "largest"), [("onnx/model_quantized.onnx", 0.6), ("model_fp16.onnx", 0.05)])
def test_graphs_equal_the_model(tiny_photos, name, largest):
    model = load_model(tiny_photos)
    for difference in measure(tiny_photos / name, model).values():
        assert 0 < difference.largest < largest
    pictures = smooth_pictures(model.config, 5)
    with torch.inference_mode():
        _, distances = model.judge(torch.from_numpy(pictures))
    np.testing.assert_allclose(run_graph(tiny_photos / name, pictures, ["distance"])[0], distances, rtol=0.05)


def test_rows_do_not_depend_on_their_company(tiny_photos):
    pictures = smooth_pictures(load_model(tiny_photos).config, 7)
    path = tiny_photos / "onnx/model_quantized.onnx"
    together = run_graph(path, pictures, ["logits"])[0]
    alone = np.concatenate([run_graph(path, pictures[i : i + 1], ["logits"])[0] for i in range(7)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_stock_class_takes_the_stem_s_output(tiny_photos):
    from transformers import ViTConfig, ViTForImageClassification

    model = load_model(tiny_photos)
    values = read_json(tiny_photos / "config.json")
    values["image_size"] = list(model.config.grid)  # not square
    stock = ViTForImageClassification(ViTConfig(**values)).eval()
    weights = {n: w.float() for n, w in load_file(tiny_photos / "model.safetensors").items()}
    stock.load_state_dict({n: w for n, w in weights.items() if n.startswith(("vit.", "classifier."))})
    pictures = torch.from_numpy(smooth_pictures(model.config, 3))
    with torch.inference_mode():
        theirs = stock(model.stem(pictures)).logits
        torch.testing.assert_close(theirs, model(pictures), atol=1e-4, rtol=1e-4)


def test_the_cuda_graph_holds_no_weights(tiny_photos):
    graph = onnx.load(tiny_photos / "model_fp16.onnx", load_external_data=False)
    own = [t for t in graph.graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
    assert max(np.prod(t.dims) for t in own) < 16
    assert {i.name for i in graph.graph.input} == {"pixel_values"}


def test_a_difference_fails_the_export(tiny_photos, tmp_path, monkeypatch):
    strict = dict.fromkeys(("fp32", "fp16", "quantized"), Difference(largest=1e-9, expected=1e-9))
    monkeypatch.setattr(image_classification, "TOLERANCES", strict)
    with pytest.raises(ExportError, match="differs from its model"):
        export(tiny_photos.parent / "checkpoint", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.onnx"))


def test_what_a_folder_of_pictures_needs(tiny_photos, tmp_path):
    assert ModelFolder.open(tiny_photos).name == "tiny-photos"
    folder = shutil.copytree(tiny_photos, tmp_path / "folder")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelFolderError, match="preprocessor_config.json is missing"):
        ModelFolder.open(folder)


def test_a_tensor_beyond_half_precision_is_refused(tiny_photos, tmp_path):
    folder = shutil.copytree(tiny_photos.parent / "checkpoint", tmp_path / "checkpoint")
    tensors = load_file(folder / "model.safetensors")
    tensors["stem.0.running_var"] = torch.full_like(tensors["stem.0.running_var"].float(), 1e6)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ExportError, match="stem.0.running_var"):
        export(folder, tmp_path / "out")
