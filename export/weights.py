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

    def vector(self, graph, name, factor=1.0):
        """A norm's weight (n,), times a number."""
        return graph.constant(name, self.tensors[name] * np.float32(factor))

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

    def embed(self, graph, ids, name):
        """See DenseWeights."""
        return graph.op("Gather", self.matrix(graph, name), ids)

    def linear(self, graph, x, *names, outputs=1):
        """See DenseWeights."""
        parts = [self.matrix(graph, name) for name in names]
        stacked = graph.op("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
        return graph.op("MatMul", x, graph.op("Transpose", stacked, perm=[1, 0]), outputs=outputs)
