"""Stores of weights: how a graph's constants are kept is not the graph's business.

A specification asks a store (``DenseWeights`` and, for CUDA, ``ExternalWeights`` here; for the CPU those of
quantize.py) for embeddings, linear layers and vectors, by Hugging Face's names.
"""

import json
import struct

import numpy as np
from onnx import TensorProto

from bigmodel.errors import ExportError

FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}


class DenseWeights:
    """Weights stored in the graph as floats.

    Args:
        tensors: dict of float32 arrays under Hugging Face's names.
    """

    dtype = TensorProto.FLOAT

    def __init__(self, tensors):
        self.tensors = tensors

    def matrix(self, graph, name):
        """A tensor as it is, in floats."""
        return graph.constant(name, self.tensors[name])

    def vector(self, graph, name, factor=1.0):
        """A norm's weight (n,), times a number."""
        return graph.constant(name, self.tensors[name] * np.float32(factor))

    def vectors(self, graph, *names):
        """Several layers' biases end to end."""
        return graph.constant("|".join(names), np.concatenate([self.tensors[name] for name in names]))

    def kernel(self, graph, name, shape):
        """The matrix ``name`` (outputs, …) as a convolution's kernel of a shape."""
        return self._kernel(graph, name, self.tensors[name].reshape(shape))

    def _kernel(self, graph, name, array):
        return graph.constant(name, array)

    def normalised_kernel(self, graph, name, epsilon):
        """A 3x3 kernel and bias that do what a convolution ``name`` and its batch normalisation do."""
        parts = ("weight", "scale", "bias", "running_mean", "running_var")
        weight, scale, bias, mean, variance = (self.tensors[f"{name}.{part}"] for part in parts)
        factor = scale / np.sqrt(variance + np.float32(epsilon))
        kernel = (weight * factor[:, None]).reshape(len(weight), -1, 3, 3)
        return self._kernel(graph, f"{name}.kernel", kernel), graph.constant(f"{name}.shift", bias - mean * factor)

    def normed(self, graph, x, name, factor=1.0):
        """Return x, the output of a norm with the weight ``name``, times a number, for ``linear`` to read."""
        if factor == 1:
            return x
        return graph.op("Mul", x, graph.constant(f"{name}.factor", np.array(factor, FLOATS[self.dtype])))

    def embed(self, graph, ids, name):
        """Rows of the embedding ``name``: (batch, sequence) -> (batch, sequence, hidden_size)."""
        return graph.op("Gather", graph.constant(name, self.tensors[name]), ids)

    def linear(self, graph, x, *names, outputs=1):
        """Multiply x by the stacked weights, transposed: the outputs of several layers side by side."""
        stacked = np.concatenate([self.tensors[name] for name in names])
        return graph.op("MatMul", x, graph.constant("|".join(names) + ".T", stacked.T), outputs=outputs)

    def linear_in_floats(self, graph, x, *names):
        """The same, whatever the store does to other layers: for values whose smallest steps count."""
        return self.linear(graph, x, *names)

    def logits(self, graph, x, name, outputs=1):
        """A head's answers, in 32 bits."""
        return self.linear(graph, x, name, outputs=outputs)


class ExternalWeights(DenseWeights):
    """Weights that stay in model.safetensors; ONNX Runtime stacks and transposes them while it loads the graph.

    The graph's file must lie beside model.safetensors: ONNX Runtime takes external data of the same folder only.

    Args:
        path: model.safetensors, float16.

    Source: safetensors format (8 bytes length, JSON header, raw tensors), github.com/huggingface/safetensors.
    """

    dtype = TensorProto.FLOAT16

    def __init__(self, path):
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            self.header = json.loads(file.read(length))
        self.start, self.location = 8 + length, path.name

    def vector(self, graph, name, factor=1.0):
        """See DenseWeights; a product with a number could not be folded while loading."""
        assert factor == 1
        return self.matrix(graph, name)

    def matrix(self, graph, name):
        """A tensor as it is stored."""
        entry = self.header[name]
        if entry["dtype"] != "F16":
            raise ExportError(f"{self.location}: {name} is {entry['dtype']}; the CUDA graph reads F16")
        begin, end = entry["data_offsets"]
        return graph.external(name, self.dtype, entry["shape"], self.location, self.start + begin, end - begin)

    def vectors(self, graph, *names):
        """See DenseWeights."""
        parts = [self.matrix(graph, name) for name in names]
        return graph.op("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    def kernel(self, graph, name, shape):
        """See DenseWeights."""
        return graph.op("Reshape", self.matrix(graph, name), graph.constant(f"{name}.shape", np.array(shape)))

    def normalised_kernel(self, graph, name, epsilon):
        """See DenseWeights; ONNX Runtime computes it, in 32 bits, while it loads the graph."""
        parts = ("weight", "scale", "bias", "running_mean", "running_var")
        weight, scale, bias, mean, variance = (
            graph.op("Cast", self.matrix(graph, f"{name}.{part}"), to=TensorProto.FLOAT) for part in parts
        )
        safe = graph.op("Add", variance, graph.constant("epsilon", np.float32(epsilon)))
        factor = graph.op("Div", scale, graph.op("Sqrt", safe))
        column = graph.op("Unsqueeze", factor, graph.constant("column_axis", np.array([1])))
        kernel = graph.op("Mul", weight, column)
        kernel = graph.op("Reshape", kernel, graph.constant("kernel_shape", np.array([0, -1, 3, 3])))
        shift = graph.op("Sub", bias, graph.op("Mul", mean, factor))
        return tuple(graph.op("Cast", part, to=self.dtype) for part in (kernel, shift))

    def embed(self, graph, ids, name):
        """See DenseWeights."""
        return graph.op("Gather", self.matrix(graph, name), ids)

    def linear(self, graph, x, *names, outputs=1):
        """See DenseWeights."""
        parts = [self.matrix(graph, name) for name in names]
        stacked = graph.op("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
        return graph.op("MatMul", x, graph.op("Transpose", stacked, perm=[1, 0]), outputs=outputs)

    def logits(self, graph, x, name, outputs=1):
        """See DenseWeights. A product of 16 bits would round logits of 8 and more to 1/128, and make equals of them."""
        x, weight = (graph.op("Cast", value, to=TensorProto.FLOAT) for value in (x, self.matrix(graph, name)))
        return graph.op("MatMul", x, graph.op("Transpose", weight, perm=[1, 0]), outputs=outputs)
