"""Block-wise integer weights for the CPU: MatMulNBits for the matrices, GatherBlockQuantized for the embedding.

Weights alone are quantised; activations are rounded per block of a row inside the kernel (accuracy level 4), so that a
row's result does not depend on its company in the batch, as per-tensor dynamic quantisation's would.

Small models take 8 bits: where the weights fit the processor's cache, 4 bits are hardly faster, and cost quality.

A block of ``block_size`` consecutive inputs of one output shares a scale: ``weight = (code - middle) * scale``, where
middle is ``2 ** (bits - 1)``. The scale is searched for the least squared error instead of taken from the range.
"""

import math
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from bigmodel.errors import ExportError
from export.weights import DenseWeights

NORM_REACH = 10  # root mean squares; what lies beyond is cut
SHRINKS = np.linspace(1.0, 0.7, 13, dtype=np.float32)


@dataclass(frozen=True)
class Recipe:
    """How each matrix is quantised.

    Attributes:
        bits: 4 or 8.
        block_size: inputs that share a scale; a power of two, 16 at least. A matrix whose inputs it does not divide
            takes the largest power of two that does.
    """

    bits: int = 4
    block_size: int = 32

    def block_size_of(self, columns):
        """Return the block size for a matrix of so many inputs."""
        return math.gcd(columns, self.block_size)


# The largest blocks with which a row's result is the same alone and in a batch, bit for bit, in ONNX Runtime 1.31:
# larger ones are 5 to 25 % faster, but there the kernels of one row and of several sum in different orders; so do
# those of int4 where the processor lacks AVX-512.
RECIPES = {
    "int4": Recipe(bits=4, block_size=32),
    "int8": Recipe(bits=8, block_size=64),
    "fp32": None,
}
DEFAULT_RECIPE = "int8"


@dataclass(frozen=True)
class Blocks:
    """A quantised matrix of n outputs and k inputs.

    Attributes:
        codes: (n, k / block_size, block_size) uint8.
        scales: (n, k / block_size) float32.
        bits: of a code.
    """

    codes: np.ndarray
    scales: np.ndarray
    bits: int

    def dequantize(self):
        """Return the matrix (n, k) float32 that the codes stand for."""
        values = (self.codes.astype(np.float32) - 2 ** (self.bits - 1)) * self.scales[..., None]
        return values.reshape(len(values), -1)

    def packed(self):
        """Return the codes as MatMulNBits stores them: (n, blocks, block_size * bits / 8), the low half first."""
        return self.codes if self.bits == 8 else self.codes[..., 0::2] | self.codes[..., 1::2] << 4


def quantize_blocks(matrix, bits, block_size):
    """Round a matrix to ``bits`` bits, block by block, with the scale of least squared error.

    Args:
        matrix: (n, k) float32; k must divide by block_size.
        bits: 4 or 8.
        block_size: inputs that share a scale.

    Returns:
        Blocks.

    Raises:
        ExportError: k does not divide by block_size.
    """
    rows, columns = matrix.shape
    if columns % block_size:
        raise ExportError(f"block_size {block_size} does not divide the {columns} inputs of a matrix")
    blocks = matrix.reshape(rows, columns // block_size, block_size)
    top, middle = 2**bits - 1, 2 ** (bits - 1)
    ranges = -np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)[..., 0] / middle
    best_error = np.full(ranges.shape, np.inf, np.float32)
    best_scales, best_codes = ranges, np.zeros(blocks.shape, np.uint8)
    for shrink in SHRINKS if bits < 8 else SHRINKS[:1]:
        scales = np.where(ranges == 0, 1, ranges * shrink).astype(np.float32)
        codes = np.clip(np.round(blocks / scales[..., None]) + middle, 0, top)
        error = (((codes - middle) * scales[..., None] - blocks) ** 2).sum(-1)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        best_scales = np.where(better, scales, best_scales)
        best_codes = np.where(better[..., None], codes, best_codes).astype(np.uint8)
    return Blocks(best_codes, best_scales.astype(np.float32), bits)


class QuantizedWeights(DenseWeights):
    """Weights stored as blocks of integers.

    Args:
        tensors: dict of float32 arrays under Hugging Face's names.
        recipe: Recipe.
    """

    def __init__(self, tensors, recipe):
        super().__init__(tensors)
        self.recipe = recipe

    def _store(self, graph, names):
        """Return the stacked matrix's Blocks, and the names of its codes and scales in the graph."""
        recipe, label = self.recipe, "|".join(names)
        stacked = np.concatenate([self.tensors[name] for name in names])
        blocks = quantize_blocks(stacked, recipe.bits, recipe.block_size_of(stacked.shape[1]))
        codes = graph.constant(f"{label}.codes", blocks.packed())
        return blocks, codes, graph.constant(f"{label}.scales", blocks.scales)

    def linear(self, graph, x, *names, outputs=1):
        """See DenseWeights."""
        blocks, codes, scales = self._store(graph, names)
        rows, count, size = blocks.codes.shape
        return graph.op(
            "MatMulNBits",
            x,
            codes,
            scales,
            N=rows,
            K=count * size,
            bits=blocks.bits,
            block_size=size,
            accuracy_level=4,
            outputs=outputs,
        )

    def embed(self, graph, ids, name):
        """See DenseWeights. A tied head reads the same codes: they are stored once and reshaped while loading."""
        blocks, codes, scales = self._store(graph, [name])
        rows, count, size = blocks.codes.shape
        shape = graph.constant(f"{name}.by_row", np.array([rows, count * size * blocks.bits // 8], np.int64))
        by_row = graph.op("Reshape", codes, shape)
        return graph.op(
            "GatherBlockQuantized",
            by_row,
            ids,
            scales,
            bits=blocks.bits,
            block_size=size,
            gather_axis=0,
            quantize_axis=1,
        )


class RowQuantizedWeights(DenseWeights):
    """Weights of 7 bits with a scale an output, and activations of 8 bits with a scale a row.

    For products of many rows, such as beams or encoders have, integer products of whole rows are faster than blocks.
    ONNX Runtime's own dynamic quantisation takes one scale for all rows, so that a row's result depends on its
    company; here each row is divided by its largest value first. After a norm even that is not needed: its output has
    the root mean square of its weight, and one step for all rows is fine enough. Sums of integers are exact: a row's
    result is the same in any batch, bit for bit. Seven bits, since without VNNI the processor adds two products in 16
    bits.

    Where it is known what a layer reads, its rows need not be divided either, which takes as long as the products.

    Args:
        tensors: dict of float32 arrays under Hugging Face's names.
        reaches: dict of a weight's name -> the largest value that its layer reads; what lies beyond is cut.
    """

    def __init__(self, tensors, reaches=None):
        super().__init__(tensors)
        self.reaches, self._quantized = reaches or {}, {}

    def _store(self, graph, names):
        """Return the names of the codes (inputs, outputs) int8 and the scales (outputs,) of the stacked matrices."""
        stacked, label = np.concatenate([self.tensors[name] for name in names]), "|".join(names)
        scales = np.maximum(np.abs(stacked).max(1), 1e-12) / 63
        codes = np.round(stacked / scales[:, None]).astype(np.int8)
        scales = graph.constant(f"{label}.scales", scales.astype(np.float32))
        return graph.constant(f"{label}.codes", codes.T), scales

    def _kernel(self, graph, name, array):
        """A kernel, stored in 8 bits with a scale an output; ONNX Runtime makes floats of it while it loads."""
        scales = np.maximum(np.abs(array).max((1, 2, 3), keepdims=True), 1e-12) / 127
        codes = graph.constant(f"{name}.codes", np.round(array / scales).astype(np.int8))
        scales = graph.constant(f"{name}.scales", scales.astype(np.float32))
        return graph.op("Mul", graph.op("Cast", codes, to=TensorProto.FLOAT), scales)

    def normed(self, graph, x, name, factor=1.0):
        """See DenseWeights."""
        reach = NORM_REACH * float(np.sqrt(np.mean(self.tensors[name] ** 2)))
        self._quantized[x] = self._quantize_within(graph, x, name, reach, factor)
        return x

    def _quantize_within(self, graph, x, name, reach, factor=1.0):
        """Return what ``_quantize`` does, of values up to ``reach``, times a number."""
        step = graph.constant(f"{name}.step", np.float32(reach / 127))
        scaled = graph.constant(f"{name}.scaled_step", np.float32(reach / 127 * factor))
        return graph.op("QuantizeLinear", x, step, self._middle(graph)), scaled, None

    @staticmethod
    def _middle(graph):
        return graph.constant("middle", np.uint8(128))

    def _quantize(self, graph, x, name):
        """Return the codes of x, uint8 around 128, their step, and what the product is to be multiplied by.

        Args:
            graph: Graph.
            x: of a value.
            name: of the layer's weight that reads it.
        """
        if x not in self._quantized and name in self.reaches:
            self._quantized[x] = self._quantize_within(graph, x, name, self.reaches[name])
        elif x not in self._quantized:
            largest = graph.op("ReduceMax", graph.op("Abs", x), graph.constant("last_axis", np.array([-1])), keepdims=1)
            largest = graph.op("Max", largest, graph.constant("tiny", np.float32(1e-12)))
            step = graph.constant("step", np.float32(1 / 127))
            codes = graph.op("QuantizeLinear", graph.op("Div", x, largest), step, self._middle(graph))
            self._quantized[x] = codes, step, largest
        return self._quantized[x]

    def linear(self, graph, x, *names, outputs=1):
        """See DenseWeights."""
        codes, scales = self._store(graph, names)
        rows, step, largest = self._quantize(graph, x, names[0])
        inputs = rows, codes, step, scales, self._middle(graph)
        if largest is None:
            return graph.op("MatMulIntegerToFloat", *inputs, outputs=outputs)
        return graph.op("Mul", graph.op("MatMulIntegerToFloat", *inputs), largest, outputs=outputs)

    def linear_in_floats(self, graph, x, *names):
        """See DenseWeights."""
        return super().linear(graph, x, *names)

    def embed(self, graph, ids, name):
        """See DenseWeights. A tied head reads the same codes; ONNX Runtime turns them while it loads the graph."""
        codes, scales = self._store(graph, [name])
        rows = graph.op("Gather", graph.op("Transpose", codes, perm=[1, 0]), ids)
        column = graph.op("Unsqueeze", graph.op("Gather", scales, ids), graph.constant("last_axis", np.array([-1])))
        return graph.op("Mul", graph.op("Cast", rows, to=TensorProto.FLOAT), column)
