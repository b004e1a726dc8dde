"""The encoder-decoder of ``bigmodel.nn`` as two ONNX graphs, under T5's names of weights.

encoder_model
    input_ids (batch, source) int64, attention_mask (batch, source) int64: sentences, padded at their ends.
    -> present.{layer}.encoder.key|value (batch, heads, source, head_dim): what the decoder's cross-attention reads,
       computed once.
decoder_model, one step of ``beams`` hypotheses of each sentence
    input_ids (batch, beams) int64: the last token of each hypothesis.
    ancestors (batch or 1, 1, beams, total) float: added to the scores; 0 at a hypothesis' own tokens, large and
        negative at those of others. total = (step + 1) * beams: the cache holds every step's tokens of all beams in
        order, and is not copied when hypotheses change places.
    distances (total,) int64: steps from each of these to the new token.
    attention_mask (batch, source) int64, past_key_values.{layer}.encoder.key|value: from the encoder.
    past_key_values.{layer}.decoder.key|value (batch, heads, total - beams, head_dim): the cache.
    num_candidates (1,) int64.
    -> top_log_probs, top_ids (batch, beams, num_candidates) float, int64: the likeliest next tokens, best first.
    -> present.{layer}.decoder.key|value (batch, heads, total, head_dim).
    -> cross_query.{layer} (batch, beams, heads * head_dim): with the encoder's keys, where each token looked.
The beams of a sentence lie along the query axis, so that no key or value of its source is copied for each of them.
"""

import numpy as np
import torch
from onnx import TensorProto

from bigmodel.config import TransformerConfig
from bigmodel.nn.checkpoint import load_weights
from bigmodel.nn.relative import relative_buckets
from bigmodel.nn.transformer import EncoderDecoder
from export import parity_translation, precisions
from export.graph import Graph
from export.parity import TOLERANCES
from export.weights import FLOATS

EMBEDDING = "shared.weight"


class StackGraph:
    """What the encoder's and the decoder's graph have in common.

    Args:
        name: "encoder" or "decoder".
        config: TransformerConfig of the stack.
        weights: a store of weights.py or quantize.py.
    """

    def __init__(self, name, config, weights):
        self.name, self.config, self.weights = name, config, weights
        self.graph = Graph(name)
        self.width = config.num_attention_heads * config.head_dim
        self.float = FLOATS[weights.dtype]

    def norm(self, x, name, factor=1.0):
        """RMSNorm over the last axis; Add and norm apart are faster than the fused kernel where rows are few."""
        weight = self.weights.vector(self.graph, f"{name}.weight")
        x = self.graph.op("SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=self.config.rms_norm_eps)
        return self.weights.normed(self.graph, x, f"{name}.weight", factor)

    def linear(self, x, *names):
        """Several layers' outputs side by side."""
        return self.weights.linear(self.graph, x, *(f"{name}.weight" for name in names))

    def split(self, x, *widths):
        """Cut the last axis."""
        sizes = self.graph.constant("widths_" + "_".join(map(str, widths)), np.array(widths, np.int64))
        return self.graph.op("Split", x, sizes, outputs=len(widths), axis=-1)

    def attention(self, query, key, value, *, mask="", bias="", past=("", ""), outputs=1):
        """Multi-head attention without T5's missing scale: (batch, queries, width)."""
        heads = self.config.num_attention_heads
        inputs = (query, key, value, "", mask, bias, *past)
        return self.graph.op("MultiHeadAttention", *inputs, outputs=outputs, num_heads=heads, scale=1.0)

    def by_head(self, x):
        """(batch, sequence, width) -> (batch, heads, sequence, head_dim)."""
        shape = np.array([0, 0, self.config.num_attention_heads, self.config.head_dim], np.int64)
        x = self.graph.op("Reshape", x, self.graph.constant("by_head", shape))
        return self.graph.op("Transpose", x, perm=[0, 2, 1, 3])

    def feed_forward(self, x, prefix):
        """SwiGLU: wo(silu(wi_0(x)) * wi_1(x))."""
        both = self.linear(x, f"{prefix}.wi_0", f"{prefix}.wi_1")
        gate, up = self.split(both, self.config.intermediate_size, self.config.intermediate_size)
        activated = self.graph.op("Mul", self.graph.op("QuickGelu", gate, alpha=1.0), up)
        return self.linear(activated, f"{prefix}.wo")

    def bias_of_distances(self, tensors, *, bidirectional):
        """Return a table (heads, distances) of the relative bias, from -longest to longest, or from 0 to longest."""
        config = self.config
        longest = config.max_position_embeddings - 1
        distances = torch.arange(-longest if bidirectional else 0, longest + 1)
        buckets = relative_buckets(
            distances if bidirectional else -distances,
            bidirectional=bidirectional,
            num_buckets=config.relative_attention_num_buckets,
            max_distance=config.relative_attention_max_distance,
        )
        table = tensors[f"{self.name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        return self.graph.constant("bias_of_distances", table[buckets.numpy()].T.astype(self.float))

    def key_mask(self):
        """attention_mask as MultiHeadAttention takes it."""
        return self.graph.op("Cast", "attention_mask", to=TensorProto.INT32)


def encoder_graph(encoder, decoder_layers, weights, tensors):
    """Return the encoder's onnx.ModelProto; ``tensors`` are float32 arrays under T5's names."""
    stack = StackGraph("encoder", encoder, weights)
    graph = stack.graph
    graph.input("input_ids", TensorProto.INT64, ["batch", "source"])
    graph.input("attention_mask", TensorProto.INT64, ["batch", "source"])
    zero, one = (graph.constant(name, np.array(i)) for i, name in enumerate(("zero", "one")))
    length = graph.op("Gather", graph.op("Shape", "input_ids"), one)
    positions = graph.op("Range", zero, length, one)
    column = graph.op("Unsqueeze", positions, graph.constant("column", np.array([1])))
    middle = graph.constant("middle_distance", np.array(encoder.max_position_embeddings - 1))
    distances = graph.op("Add", graph.op("Sub", positions, column), middle)
    bias = graph.op("Gather", stack.bias_of_distances(tensors, bidirectional=True), distances, axis=1)
    bias = graph.op("Unsqueeze", bias, graph.constant("first_axis", np.array([0])))
    mask = stack.key_mask()
    x = weights.embed(graph, "input_ids", EMBEDDING)
    for layer in range(encoder.num_hidden_layers):
        prefix = f"encoder.block.{layer}.layer"
        normed = stack.norm(x, f"{prefix}.0.layer_norm")
        qkv = stack.linear(normed, *(f"{prefix}.0.SelfAttention.{n}" for n in "qkv"))
        mixed = stack.attention(*stack.split(qkv, *[stack.width] * 3), mask=mask, bias=bias)
        x = graph.op("Add", x, stack.linear(mixed, f"{prefix}.0.SelfAttention.o"))
        normed = stack.norm(x, f"{prefix}.1.layer_norm")
        x = graph.op("Add", x, stack.feed_forward(normed, f"{prefix}.1.DenseReluDense"))
    x = stack.norm(x, "encoder.final_layer_norm")
    names = [f"decoder.block.{i}.layer.1.EncDecAttention.{n}" for i in range(decoder_layers) for n in "kv"]
    parts = stack.split(stack.linear(x, *names), *[stack.width] * len(names))
    shape = ["batch", encoder.num_attention_heads, "source", encoder.head_dim]
    for i, part in enumerate(parts):
        output = f"present.{i // 2}.encoder.{('key', 'value')[i % 2]}"
        graph.op("Identity", stack.by_head(part), outputs=[output])
        graph.output(output, weights.dtype, shape)
    return graph.model()


def decoder_graph(decoder, weights, tensors):
    """Return the onnx.ModelProto of a decoder's step; ``tensors`` are float32 arrays under T5's names."""
    stack = StackGraph("decoder", decoder, weights)
    graph, heads, size = stack.graph, decoder.num_attention_heads, decoder.head_dim
    graph.input("input_ids", TensorProto.INT64, ["batch", "beams"])
    graph.input("ancestors", weights.dtype, ["batch_or_one", 1, "beams", "total"])
    graph.input("distances", TensorProto.INT64, ["total"])
    graph.input("attention_mask", TensorProto.INT64, ["batch", "source"])
    graph.input("num_candidates", TensorProto.INT64, [1])
    mask = stack.key_mask()
    by_distance = graph.op("Gather", stack.bias_of_distances(tensors, bidirectional=False), "distances", axis=1)
    by_distance = graph.op("Unsqueeze", by_distance, graph.constant("bias_axes", np.array([0, 2])))
    bias = graph.op("Add", by_distance, "ancestors")
    x = weights.embed(graph, "input_ids", EMBEDDING)
    for layer in range(decoder.num_hidden_layers):
        prefix, past = f"decoder.block.{layer}.layer", f"past_key_values.{layer}"
        cache = [f"{past}.decoder.{n}" for n in ("key", "value")]
        cross = [f"{past}.encoder.{n}" for n in ("key", "value")]
        presents = [f"present.{layer}.decoder.{n}" for n in ("key", "value")]
        for name, length in zip(
            (*cache, *cross, *presents), ("past", "past", "source", "source", "total", "total"), strict=True
        ):
            (graph.output if name in presents else graph.input)(name, weights.dtype, ["batch", heads, length, size])
        normed = stack.norm(x, f"{prefix}.0.layer_norm")
        qkv = stack.linear(normed, *(f"{prefix}.0.SelfAttention.{n}" for n in "qkv"))
        mixed, *_ = stack.attention(
            *stack.split(qkv, *[stack.width] * 3), bias=bias, past=cache, outputs=[f"mixed.{layer}", *presents]
        )
        x = graph.op("Add", x, stack.linear(mixed, f"{prefix}.0.SelfAttention.o"))
        query = stack.linear(stack.norm(x, f"{prefix}.1.layer_norm"), f"{prefix}.1.EncDecAttention.q")
        graph.op("Identity", query, outputs=[f"cross_query.{layer}"])
        graph.output(f"cross_query.{layer}", weights.dtype, ["batch", "beams", stack.width])
        mixed = stack.attention(query, *cross, mask=mask)
        x = graph.op("Add", x, stack.linear(mixed, f"{prefix}.1.EncDecAttention.o"))
        normed = stack.norm(x, f"{prefix}.2.layer_norm")
        x = graph.op("Add", x, stack.feed_forward(normed, f"{prefix}.2.DenseReluDense"))
    logits = weights.logits(graph, stack.norm(x, "decoder.final_layer_norm", decoder.hidden_size**-0.5), EMBEDDING)
    names = ["top_log_probs", "top_ids"]
    graph.op("TopK", graph.op("LogSoftmax", logits, axis=-1), "num_candidates", outputs=names)
    for name, kind in zip(names, (TensorProto.FLOAT, TensorProto.INT64), strict=True):
        graph.output(name, kind, ["batch", "beams", "num_candidates"])
    return graph.model()


def write_graphs(folder, values, tensors, recipe):
    """Write the graphs into a folder that holds model.safetensors, and compare them and float32 ones with torch.

    Args:
        folder: Path.
        values: dict of config.json.
        tensors: dict of float32 arrays under T5's names.
        recipe: "fp32" keeps float weights; any other quantises rows, see RowQuantizedWeights.

    Returns:
        dict of graph name -> way -> parity.Difference.

    Raises:
        ExportError: a difference is above its tolerance.
    """
    encoder, decoder = TransformerConfig.from_t5(values)
    model = EncoderDecoder(encoder, decoder)
    load_weights(model, {name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    builds = {
        "encoder_model": lambda weights: encoder_graph(encoder, decoder.num_hidden_layers, weights, tensors),
        "decoder_model": lambda weights: decoder_graph(decoder, weights, tensors),
    }
    return precisions.write_graphs(folder, tensors, recipe, builds, parity_translation.measure, model, TOLERANCES)
