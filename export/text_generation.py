"""The decoder of ``bigmodel.nn.CausalLM`` as one ONNX graph, for prefill and for decoding.

Inputs
    input_ids (batch, sequence) int64: the new tokens of every row.
    seqlens_k (batch,) int32: tokens in the row's cache after this step, minus 1.
    total_sequence_length () int32: the largest of those, plus 1.
    logits_from (1,) int64: the first position that gets logits, counted from the end: -1 for the last alone. It goes
        to the slice as it is: a node between them would run on the device, and CUDA could record nothing.
    past_key_values.{layer}.key|value (batch, key_value_heads, max_length, head_dim): the cache.
Outputs
    logits (batch, kept, vocab_size) float32.
    top_logits, top_ids (batch, kept, 64) float32, int64: the likeliest tokens, best first. Choosing among
        them spares numpy a search of the whole vocabulary at each token, which costs six times as much.
    present.{layer}.key|value: the cache again; bind it to the same buffers, then nothing is copied.

How a weight is stored is the business of a store of weights.py.
"""

import numpy as np
import torch
from onnx import TensorProto

from bigmodel.config import TransformerConfig
from bigmodel.nn.checkpoint import load_weights
from bigmodel.nn.transformer import CausalLM
from export import parity
from export.graph import Graph, save
from export.quantize import RECIPES, QuantizedWeights
from export.weights import FLOATS, DenseWeights, ExternalWeights

EMBEDDING = "model.embed_tokens.weight"
CANDIDATES = 64
CUDA_GRAPH = "model_fp16.onnx"
CPU_GRAPH = "onnx/model_quantized.onnx"


def rotary_tables(config):
    """Return cos and sin, each (max_position_embeddings, head_dim / 2) float32, of the angle position * frequency."""
    frequencies = config.rope_theta ** (-np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim)
    angles = np.outer(np.arange(config.max_position_embeddings), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


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
        """The positions of (batch, sequence, n) from ``logits_from`` on."""
        end, axis = (self.graph.constant(name, np.array([value])) for name, value in (("end", 2**62), ("axis", 1)))
        return self.graph.op("Slice", x, "logits_from", end, axis)

    def build(self):
        """Return the onnx.ModelProto."""
        graph, config = self.graph, self.config
        graph.input("input_ids", TensorProto.INT64, ["batch", "sequence"])
        graph.input("seqlens_k", TensorProto.INT32, ["batch"])
        graph.input("total_sequence_length", TensorProto.INT32, [])
        graph.input("logits_from", TensorProto.INT64, [1])
        for name, table in zip(("cos", "sin"), rotary_tables(config), strict=True):
            graph.constant(name, table.astype(FLOATS[self.weights.dtype]))
        residual = self.weights.embed(graph, "input_ids", EMBEDDING)
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
        self.weights.logits(graph, last, self.head_name, outputs=["logits"])
        count = min(CANDIDATES, config.vocab_size)
        graph.op("TopK", "logits", graph.constant("candidates", np.array([count])), outputs=["top_logits", "top_ids"])
        graph.output("logits", TensorProto.FLOAT, ["batch", "kept", config.vocab_size])
        graph.output("top_logits", TensorProto.FLOAT, ["batch", "kept", count])
        graph.output("top_ids", TensorProto.INT64, ["batch", "kept", count])


def write_graphs(folder, values, tensors, recipe):
    """Write both graphs into a folder that holds model.safetensors, and compare them and the float32 graph with torch.

    Args:
        folder: Path.
        values: dict of config.json.
        tensors: dict of float32 arrays.
        recipe: key of quantize.RECIPES.

    Returns:
        dict of graph name -> way -> parity.Difference.

    Raises:
        ExportError: a difference is above its tolerance.
    """
    config, quantized = TransformerConfig.from_qwen3(values), RECIPES[recipe]
    model = load_weights(CausalLM(config), {name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    graphs = {
        "fp32": ("float32.onnx", DenseWeights(tensors)),
        "fp16": (CUDA_GRAPH, ExternalWeights(folder / "model.safetensors")),
        "quantized": (CPU_GRAPH, QuantizedWeights(tensors, quantized) if quantized else DenseWeights(tensors)),
    }
    report = {}
    for kind, (name, weights) in graphs.items():
        save(DecoderGraph(config, weights).build(), folder / name)
        report[name] = parity.measure(folder / name, model)
        for way, difference in report[name].items():
            difference.check(f"{name} ({way})", parity.TOLERANCES[kind])
    (folder / "float32.onnx").unlink()
    return report
