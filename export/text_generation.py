"""The decoder of ``bigmodel.nn.CausalLM`` as one ONNX graph, for prefill and for decoding.

Inputs
    input_ids (batch, sequence) int64: the new tokens of every row.
    seqlens_k (batch,) int32: tokens in the row's cache after this step, minus 1.
    total_sequence_length () int32: the largest of those, plus 1.
    logits_to_keep () int64: how many of the last positions get logits.
    past_key_values.{layer}.key|value (batch, key_value_heads, max_length, head_dim): the cache.
Outputs
    logits (batch, logits_to_keep, vocab_size) float32.
    top_logits, top_ids (batch, logits_to_keep, 64) float32, int64: the likeliest tokens, best first. Choosing among
        them spares numpy a search of the whole vocabulary at each token, which costs six times as much.
    present.{layer}.key|value: the cache again; bind it to the same buffers, then nothing is copied.

How a weight is stored is not the graph's business: it asks a store (``DenseWeights`` here, ``ExternalWeights`` for
CUDA, ``quantize.QuantizedWeights`` for the CPU) for an embedding, a linear layer, a head and vectors.
"""

import json
import struct

import numpy as np
from onnx import TensorProto

from bigmodel.errors import ExportError
from export.graph import Graph

EMBEDDING = "model.embed_tokens.weight"
CANDIDATES = 64
FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}


def rotary_tables(config):
    """Return cos and sin, each (max_position_embeddings, head_dim / 2) float32, of the angle position * frequency."""
    frequencies = config.rope_theta ** (-np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim)
    angles = np.outer(np.arange(config.max_position_embeddings), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


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

    def embed(self, graph, ids):
        """Rows of the embedding: (batch, sequence) -> (batch, sequence, hidden_size)."""
        return graph.op("Gather", graph.constant(EMBEDDING, self.tensors[EMBEDDING]), ids)

    def linear(self, graph, x, *names, outputs=1):
        """Multiply x by the stacked weights, transposed: the outputs of several layers side by side."""
        stacked = np.concatenate([self.tensors[name] for name in names])
        return graph.op("MatMul", x, graph.constant("|".join(names) + ".T", stacked.T), outputs=outputs)


class ExternalWeights:
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

    def embed(self, graph, ids):
        """See DenseWeights."""
        return graph.op("Gather", self.matrix(graph, EMBEDDING), ids)

    def linear(self, graph, x, *names, outputs=1):
        """See DenseWeights."""
        parts = [self.matrix(graph, name) for name in names]
        stacked = graph.op("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
        return graph.op("MatMul", x, graph.op("Transpose", stacked, perm=[1, 0]), outputs=outputs)


class DecoderGraph:
    """Writes a decoder, layer by layer.

    Args:
        config: TransformerConfig.
        weights: a store, see the module's docstring.
    """

    def __init__(self, config, weights):
        self.config, self.weights = config, weights
        self.graph = Graph("text_generation")
        self.head_name = EMBEDDING if config.tie_word_embeddings else "lm_head.weight"

    def norm(self, x, weight):
        """RMSNorm over the last axis."""
        return self.graph.op("SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=self.config.rms_norm_eps)

    def add_norm(self, x, residual, name):
        """Return the norm of x + residual, and the sum."""
        weight = self.weights.vector(self.graph, name)
        label = name.removesuffix(".weight")
        names = [f"{label}.normed", "", "", f"{label}.sum"]
        self.graph.op(
            "SkipSimplifiedLayerNormalization", x, residual, weight, outputs=names, epsilon=self.config.rms_norm_eps
        )
        return names[0], names[3]

    def attention(self, x, layer):
        """Grouped-query attention over the cache, with normalised queries and keys: same shape as x."""
        graph, config, prefix = self.graph, self.config, f"model.layers.{layer}.self_attn"
        heads, groups, size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        qkv = self.weights.linear(graph, x, *(f"{prefix}.{n}_proj.weight" for n in "qkv"))
        widths = graph.constant("qkv_widths", np.array([heads * size, groups * size, groups * size], np.int64))
        parts = graph.op("Split", qkv, widths, outputs=3, axis=-1)
        # folded into the queries' norm: with scale 1 the CPU's products take their fast path; CUDA has no such path
        folded = size**-0.5 if self.weights.dtype == TensorProto.FLOAT else 1.0
        for i, (name, factor) in enumerate((("q_norm", folded), ("k_norm", 1.0))):
            by_head = graph.op("Reshape", parts[i], graph.constant("by_head", np.array([0, 0, -1, size], np.int64)))
            normed = self.norm(by_head, self.weights.vector(graph, f"{prefix}.{name}.weight", factor))
            parts[i] = graph.op("Reshape", normed, graph.constant("flat", np.array([0, 0, -1], np.int64)))
        cache = [f"past_key_values.{layer}.{n}" for n in ("key", "value")]
        presents = [f"present.{layer}.{n}" for n in ("key", "value")]
        shape = ["batch", groups, "max_length", size]
        for past, present in zip(cache, presents, strict=True):
            graph.input(past, self.weights.dtype, shape)
            graph.output(present, self.weights.dtype, shape)
        mixed = graph.op(
            "GroupQueryAttention",
            *parts,
            *cache,
            "seqlens_k",
            "total_sequence_length",
            "cos",
            "sin",
            outputs=[f"{prefix}.mixed", *presents],
            num_heads=heads,
            kv_num_heads=groups,
            do_rotary=1,
            scale=size**-0.5 / folded,
        )[0]
        return self.weights.linear(graph, mixed, f"{prefix}.o_proj.weight")

    def feed_forward(self, x, layer):
        """SwiGLU: down(silu(gate(x)) * up(x))."""
        graph, prefix = self.graph, f"model.layers.{layer}.mlp"
        both = self.weights.linear(graph, x, f"{prefix}.gate_proj.weight", f"{prefix}.up_proj.weight")
        gate, up = graph.op("Split", both, outputs=2, axis=-1, num_outputs=2)
        activated = graph.op("Mul", graph.op("QuickGelu", gate, alpha=1.0), up)
        return self.weights.linear(graph, activated, f"{prefix}.down_proj.weight")

    def last_positions(self, x):
        """The last ``logits_to_keep`` positions of (batch, sequence, n)."""
        graph = self.graph
        one = graph.constant("one", np.array([1], np.int64))
        start = graph.op("Neg", graph.op("Reshape", "logits_to_keep", one))
        return graph.op("Slice", x, start, graph.constant("end", np.array([2**62], np.int64)), one)

    def build(self):
        """Return the onnx.ModelProto."""
        graph, config = self.graph, self.config
        graph.input("input_ids", TensorProto.INT64, ["batch", "sequence"])
        graph.input("seqlens_k", TensorProto.INT32, ["batch"])
        graph.input("total_sequence_length", TensorProto.INT32, [])
        graph.input("logits_to_keep", TensorProto.INT64, [])
        for name, table in zip(("cos", "sin"), rotary_tables(config), strict=True):
            graph.constant(name, table.astype(FLOATS[self.weights.dtype]))
        residual = self.weights.embed(graph, "input_ids")
        x = self.norm(residual, self.weights.vector(graph, "model.layers.0.input_layernorm.weight"))
        for layer in range(config.num_hidden_layers):
            prefix, following = f"model.layers.{layer}", f"model.layers.{layer + 1}.input_layernorm.weight"
            last = layer + 1 == config.num_hidden_layers
            mixed = self.attention(x, layer)
            x, residual = self.add_norm(mixed, residual, f"{prefix}.post_attention_layernorm.weight")
            x, residual = self.add_norm(
                self.feed_forward(x, layer), residual, "model.norm.weight" if last else following
            )
        self.head(x)
        return graph.model()

    def head(self, x):
        """Write the outputs: the logits of the last positions, and the likeliest tokens."""
        graph, config, last = self.graph, self.config, self.last_positions(x)
        if self.weights.dtype == TensorProto.FLOAT:
            self.weights.linear(graph, last, self.head_name, outputs=["logits"])
        else:
            logits = self.weights.linear(graph, last, self.head_name)
            graph.op("Cast", logits, outputs=["logits"], to=TensorProto.FLOAT)
        count = min(CANDIDATES, config.vocab_size)
        graph.op("TopK", "logits", graph.constant("candidates", np.array([count])), outputs=["top_logits", "top_ids"])
        graph.output("logits", TensorProto.FLOAT, ["batch", "logits_to_keep", config.vocab_size])
        graph.output("top_logits", TensorProto.FLOAT, ["batch", "logits_to_keep", count])
        graph.output("top_ids", TensorProto.INT64, ["batch", "logits_to_keep", count])
