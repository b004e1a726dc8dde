"""The detector's graphs say what the model says, or the export fails."""

import numpy as np
import pytest

from bigmodel.errors import ExportError
from bigmodel.object_detection.model import load_model
from export import object_detection
from export.object_detection import measure
from export.parity import Difference
from export.to_onnx import export
from export.vision import run_graph, smooth_pictures

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("name", "largest"), [("onnx/model_quantized.onnx", 1e-4), ("model_fp16.onnx", 0.02)])
def test_graphs_equal_the_model(tiny_detector, name, largest):
    for difference in measure(tiny_detector / name, load_model(tiny_detector)).values():
        assert difference.largest < largest


def test_rows_do_not_depend_on_their_company(tiny_detector, tmp_path):
    export(tiny_detector, tmp_path / "int8", "int8")
    pictures, path = smooth_pictures(load_model(tiny_detector).config, 5), tmp_path / "int8/onnx/model_quantized.onnx"
    together = run_graph(path, pictures, ["scores"])[0]
    alone = np.concatenate([run_graph(path, pictures[i : i + 1], ["scores"])[0] for i in range(5)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_a_graph_that_differs_is_not_written(tiny_detector, tmp_path, monkeypatch):
    tolerances = {name: Difference(largest=1e-12, expected=1e-12) for name in object_detection.TOLERANCES}
    monkeypatch.setattr(object_detection, "TOLERANCES", tolerances)
    with pytest.raises(ExportError, match="differs from its model"):
        export(tiny_detector, tmp_path / "out", "int8")
    assert not list((tmp_path / "out").glob("*.onnx"))
