"""Blocks of integers: the error that rounding may make, and the layout that ONNX Runtime reads."""

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto

from bigmodel.errors import ExportError
from export.graph import Graph
from export.quantize import Recipe, RowQuantizedWeights, quantize_blocks


@pytest.fixture
def matrix():
    return np.random.default_rng(0).standard_normal((24, 128)).astype(np.float32)


@pytest.mark.parametrize(("bits", "bound"), [(4, 0.12), (8, 0.01)])
def test_error_bound(matrix, bits, bound):
    error = quantize_blocks(matrix, bits, 32).dequantize() - matrix
    assert np.sqrt((error**2).mean() / (matrix**2).mean()) < bound


def test_eight_bits_round_to_half_a_step(matrix):
    blocks = quantize_blocks(matrix, 8, 32)
    steps = np.abs(blocks.dequantize() - matrix).reshape(24, 4, 32) / np.abs(blocks.scales)[..., None]
    # codes reach 128 steps to one side, 127 to the other: there the farthest may be cut
    assert (steps <= np.where(blocks.codes == 255, 1.01, 0.51)).all()


def test_zeros_and_constants():
    matrix = np.zeros((2, 64), np.float32)
    matrix[1] = 3.0
    assert np.allclose(quantize_blocks(matrix, 4, 32).dequantize(), matrix, rtol=0.15)


def test_packing(matrix):
    blocks = quantize_blocks(matrix, 4, 32)
    packed = blocks.packed()
    assert packed.shape == (24, 4, 16)
    assert np.array_equal(packed & 15, blocks.codes[..., 0::2]) and np.array_equal(packed >> 4, blocks.codes[..., 1::2])


@pytest.mark.parametrize(("reaches", "reach"), [({}, 4.0), ({"w": 2.0}, 2.0)])
def test_rows_are_divided_by_their_largest_value_or_cut_where_a_layer_was_observed(reaches, reach):
    graph = Graph("rows")
    graph.input("x", TensorProto.FLOAT, [1, 2])
    weights = RowQuantizedWeights({"w": np.eye(2, dtype=np.float32)}, reaches)
    weights.linear(graph, "x", "w", outputs=["y"])
    graph.output("y", TensorProto.FLOAT, [1, 2])
    session = ort.InferenceSession(graph.model().SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.array([[4.0, 1.0]], np.float32)})[0]
    np.testing.assert_allclose(found, [reach, 1.0], atol=reach / 127, rtol=0)


def test_blocks_fit_the_matrix(matrix):
    assert Recipe(block_size=64).block_size_of(320) == 64
    assert Recipe(block_size=64).block_size_of(96) == 32
    with pytest.raises(ExportError, match="48"):
        quantize_blocks(matrix, 4, 48)
