"""The stem and the vision transformer of ``bigmodel.nn.vision`` as a part of an ONNX graph, for every task on pictures.

Batch normalisation is folded into the convolutions. Queries and keys of each layer are outputs of the graph, so that
whoever wants to know where it looked can compute the attention; whoever does not pays nothing for it.
"""

import math

import numpy as np

from bigmodel.nn.vision import EPSILON
from export.graph import Graph
from export.parity import open_graph
from export.weights import FLOATS

BATCH = "batch"


class VisionGraph:
    """A graph that begins with pictures.

    Args:
        name: of the graph.
        config: VisionConfig.
        weights: a store of weights.py or quantize.py.

    Attributes:
        graph: Graph; its input is pixel_values (batch, channels, height, width), normalised.
        features: the stem's output (batch, channels, rows, columns).
    """

    def __init__(self, name, config, weights):
        self.config, self.weights = config, weights
        self.graph = Graph(name)
        self.float = FLOATS[weights.dtype]
        shape = [BATCH, config.num_channels, *config.image_size]
        self.features = self._stem(self.graph.input("pixel_values", weights.dtype, shape))

    def tokens(self, only_class=False):
        """Return the tokens (batch, 1 + rows * columns, hidden_size) after the last normalisation.

        Args:
            only_class: the class token alone (batch, 1, hidden_size); the last layer computes no other.
        """
        x = self._embed(self.features)
        last = self.config.num_hidden_layers - 1
        for layer in range(last + 1):
            x = self._layer(x, layer, only_class and layer == last)
        return self.norm(x, "vit.layernorm")

    def linear(self, x, *names):
        """Several layers' outputs side by side, their biases added."""
        x = self.weights.linear(self.graph, x, *(f"{name}.weight" for name in names))
        return self.graph.op("Add", x, self.weights.vectors(self.graph, *(f"{name}.bias" for name in names)))

    def norm(self, x, name):
        """Layer normalisation over the last axis."""
        parts = (self.weights.vector(self.graph, f"{name}.{part}") for part in ("weight", "bias"))
        x = self.graph.op("LayerNormalization", x, *parts, axis=-1, epsilon=self.config.layer_norm_eps)
        return self.weights.normed(self.graph, x, f"{name}.weight")

    def gelu(self, x):
        """The exact one, by the error function."""
        return self.graph.op("Gelu", x)

    def first(self, x):
        """The class token of tokens: (batch, 1, hidden_size)."""
        edges = (self.graph.constant(f"edge_{i}", np.array([i])) for i in (0, 1, 1))
        return self.graph.op("Slice", x, *edges)

    def _stem(self, x):
        for i, stride in enumerate(self.config.stem_strides):
            kernel = self.weights.normalised_kernel(self.graph, f"stem.{i}", EPSILON)
            x = self.graph.op("Conv", x, *kernel, kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2)
            x = self.graph.op("Relu", x)
        return x

    def _embed(self, features):
        graph, width, prefix = self.graph, self.config.hidden_size, "vit.embeddings"
        projection = f"{prefix}.patch_embeddings.projection"
        shape = (width, self.config.stem_channels[-1], 1, 1)
        kernel = self.weights.kernel(graph, f"{projection}.weight", shape)
        x = graph.op("Conv", features, kernel, self.weights.vector(graph, f"{projection}.bias"), kernel_shape=[1, 1])
        flat = graph.op("Reshape", x, graph.constant("flat", np.array([0, width, math.prod(self.config.grid)])))
        x = graph.op("Transpose", flat, perm=[0, 2, 1])
        batch = graph.op("Shape", x, start=0, end=1)
        shape = graph.op("Concat", batch, graph.constant("one_token", np.array([1, width])), axis=0)
        token = graph.op("Expand", self.weights.vector(graph, f"{prefix}.cls_token"), shape)
        x = graph.op("Concat", token, x, axis=1)
        return graph.op("Add", x, self.weights.vector(graph, f"{prefix}.position_embeddings"))

    def _layer(self, x, layer, only_class):
        graph, config, prefix = self.graph, self.config, f"vit.layers.{layer}"
        attention, width = f"{prefix}.attention", config.hidden_size
        normed = self.norm(x, f"{prefix}.layernorm_before")
        names = [f"query.{layer}", f"key.{layer}"]
        if only_class:
            x = self.first(x)
            query = self.linear(self.norm(x, f"{prefix}.layernorm_before"), f"{attention}.q_proj")
            graph.op("Identity", query, outputs=[names[0]])
            both = self.linear(normed, f"{attention}.k_proj", f"{attention}.v_proj")
            sizes = graph.constant("two_widths", np.array([width] * 2))
            _, value = graph.op("Split", both, sizes, outputs=[names[1], f"value.{layer}"], axis=-1)
        else:
            three = self.linear(normed, *(f"{attention}.{n}_proj" for n in "qkv"))
            sizes = graph.constant("three_widths", np.array([width] * 3))
            *_, value = graph.op("Split", three, sizes, outputs=[*names, f"value.{layer}"], axis=-1)
        for name, tokens in zip(names, (1 if only_class else self._count, self._count), strict=True):
            graph.output(name, self.weights.dtype, [BATCH, tokens, width])
        mixed = graph.op("MultiHeadAttention", *names, value, num_heads=config.num_attention_heads)
        x = graph.op("Add", x, self.linear(mixed, f"{attention}.o_proj"))
        hidden = self.gelu(self.linear(self.norm(x, f"{prefix}.layernorm_after"), f"{prefix}.mlp.fc1"))
        return graph.op("Add", x, self.linear(hidden, f"{prefix}.mlp.fc2"))

    @property
    def _count(self):
        return 1 + math.prod(self.config.grid)


def smooth_pictures(config, count):
    """Return made-up pixel_values (count, channels, height, width) float32: coarse blotches and some noise."""
    rng, (height, width) = np.random.default_rng(0), config.image_size
    coarse = rng.normal(size=(count, config.num_channels, -(-height // 8), -(-width // 8)))
    blotches = coarse.repeat(8, 2).repeat(8, 3)[:, :, :height, :width]
    return (blotches + 0.3 * rng.normal(size=blotches.shape)).astype(np.float32)


def run_graph(path, pixel_values, names):
    """Return a graph's outputs of these names, as float32, on one CPU thread."""
    session = open_graph(path)
    kind = np.float16 if "float16" in session.get_inputs()[0].type else np.float32
    found = session.run(names, {"pixel_values": pixel_values.astype(kind)})
    return [array.astype(np.float32) for array in found]
