"""The diffusion transformer of ``bigmodel.text_to_image`` as two ONNX graphs.

text_encoder, run once for a prompt
    input_ids, attention_mask (batch, max_tokens) int64.
    -> encoder_key_values (batch, max_tokens, 2 * layers * hidden_size): what each layer's cross-attention reads.
    -> pooled_projections (batch, hidden_size) float32.
transformer, run for each step; captions with and without guidance are rows of one run
    sample (batch, 3, height, width): noisy pictures.
    timestep (batch,) float32 in 0..1, 0 for noise alone.
    encoder_key_values, pooled_projections, attention_mask: of the captions.
    -> expected (batch, 3, height, width): the pictures that they are expected to be.
"""

from itertools import cycle

import numpy as np
import torch
from onnx import TensorProto
from torch import nn

from bigmodel.nn.relative import relative_buckets
from bigmodel.runtime.artifacts import ModelFolder
from bigmodel.text_to_image.config import DiffusionConfig
from bigmodel.text_to_image.engines import TorchModel
from bigmodel.text_to_image.model import DiffusionTransformer, frequencies, load_weights
from bigmodel.text_to_image.runtime import ImageGenerator
from export import precisions
from export.graph import Graph
from export.parity import Difference, open_graph

BATCH = "batch"
# of values in about -1..1
TOLERANCES = {
    "fp32": Difference(largest=1e-3, expected=1e-4),
    "fp16": Difference(largest=0.1, expected=5e-3),
    "quantized": Difference(largest=1.0, expected=5e-2),
}
TIMES = (0.0, 0.1, 0.5, 0.9, 0.99)
ROWS = 6
OBSERVED = 8  # things, and pairs of things
# single rows, what the text encoder runs, and the feed-forward's inner values, of which single ones are a hundred times
# the others: one step for all were too coarse
UNOBSERVED = ("modulation_embed", "cross_attn.k_proj", "cross_attn.v_proj", "down_proj")
REACH = 0.85  # of the largest value that a layer was seen to read: to cut the rest costs less than coarser steps


class StackGraph:
    """What both graphs have in common.

    Args:
        name: of the graph.
        config: DiffusionConfig.
        shape: TransformerConfig of the stack.
        weights: a store of weights.py or quantize.py.
    """

    def __init__(self, name, config, shape, weights):
        self.config, self.shape, self.weights, self.graph = config, shape, weights, Graph(name)

    def constant(self, name, array):
        """Store an array; floats in the type of the weights."""
        kind = np.float16 if self.weights.dtype == TensorProto.FLOAT16 else np.float32
        return self.graph.constant(name, array.astype(kind) if array.dtype.kind == "f" else array)

    def norm(self, x, weight=None):
        """RMSNorm over the last axis, with a weight of the model or none."""
        width = self.shape.hidden_size
        weight = self.weights.vector(self.graph, weight) if weight else self.constant("ones", np.ones(width))
        return self.graph.op("SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=self.shape.rms_norm_eps)

    def linear(self, x, *names):
        """Several layers' outputs side by side."""
        return self.weights.linear(self.graph, x, *(f"{name}.weight" for name in names))

    def linears(self, x, prefix, *names):
        """Several layers' outputs, one by one: to cut them apart would take longer than they do."""
        return (self.linear(x, f"{prefix}.{name}_proj") for name in names)

    def linear_with_bias(self, x, *names, in_floats=False):
        """The same, and their biases added; in_floats for values whose smallest steps count."""
        linear = self.weights.linear_in_floats if in_floats else self.weights.linear
        x = linear(self.graph, x, *(f"{name}.weight" for name in names))
        return self.graph.op("Add", x, self.weights.vectors(self.graph, *(f"{name}.bias" for name in names)))

    def split(self, x, count):
        """Cut the last axis, which has ``count`` times hidden_size."""
        sizes = self.constant(f"widths_{count}", np.array([self.shape.hidden_size] * count))
        return self.graph.op("Split", x, sizes, outputs=count, axis=-1)

    def norm_heads(self, x, weight):
        """Normalise head by head: (batch, sequence, hidden_size) -> the same."""
        shape = self.shape
        by_head = self.constant("by_head", np.array([0, 0, shape.num_attention_heads, shape.head_dim]))
        flat = self.constant("flat", np.array([0, 0, shape.hidden_size]))
        x = self.norm(self.graph.op("Reshape", x, by_head), weight)
        return self.graph.op("Reshape", x, flat)

    def attention(self, query, key, value, mask="", bias=""):
        """Multi-head attention; mask (batch, keys) int32."""
        heads = self.shape.num_attention_heads
        return self.graph.op("MultiHeadAttention", query, key, value, "", mask, bias, num_heads=heads)

    def feed_forward(self, x, prefix):
        """SwiGLU."""
        gate, up = self.linears(x, prefix, "gate", "up")
        activated = self.graph.op("Mul", self.silu(gate), up)
        return self.linear(activated, f"{prefix}.down_proj")

    def silu(self, x):
        """The input times its sigmoid."""
        return self.graph.op("QuickGelu", x, alpha=1.0)

    def key_mask(self):
        """attention_mask as MultiHeadAttention takes it."""
        self.graph.input("attention_mask", TensorProto.INT64, [BATCH, self.config.max_tokens])
        return self.graph.op("Cast", "attention_mask", to=TensorProto.INT32)

    def to_float(self, x, **options):
        """Cast to 32 bits."""
        return self.graph.op("Cast", x, to=TensorProto.FLOAT, **options)

    def to_weights(self, x):
        """Cast to the type of the weights."""
        return x if self.weights.dtype == TensorProto.FLOAT else self.graph.op("Cast", x, to=self.weights.dtype)


def text_encoder_graph(config, weights, tensors):
    """Return the onnx.ModelProto.

    Args:
        config: DiffusionConfig.
        weights: a store of weights.py or quantize.py.
        tensors: dict of float32 arrays under the model's names.
    """
    stack = StackGraph("text_encoder", config, config.text, weights)
    graph, width, tokens = stack.graph, config.text.hidden_size, config.max_tokens
    graph.input("input_ids", TensorProto.INT64, [BATCH, tokens])
    mask = stack.key_mask()
    bias = stack.constant("bias_of_distances", _bias(config.text, tokens, tensors))
    x = weights.embed(graph, "input_ids", "text_encoder.embed_tokens.weight")
    for layer in range(config.text.num_hidden_layers):
        prefix = f"text_encoder.layers.{layer}"
        normed = stack.norm(x, f"{prefix}.input_layernorm.weight")
        mixed = stack.attention(*stack.linears(normed, f"{prefix}.self_attn", *"qkv"), mask, bias)
        x = graph.op("Add", x, stack.linear(mixed, f"{prefix}.self_attn.o_proj"))
        normed = stack.norm(x, f"{prefix}.post_attention_layernorm.weight")
        x = graph.op("Add", x, stack.feed_forward(normed, f"{prefix}.mlp"))
    x = stack.norm(x, "text_encoder.norm.weight")
    x = graph.op("Add", x, weights.vector(graph, "text_position_embed"))
    _key_values(stack, x)
    _pooled(stack, x)
    kind, layers = weights.dtype, config.transformer.num_hidden_layers
    graph.output("encoder_key_values", kind, [BATCH, tokens, 2 * layers * width])
    graph.output("pooled_projections", TensorProto.FLOAT, [BATCH, width])
    return graph.model()


def _bias(shape, tokens, tensors):
    """Return the scores' bias (1, heads, tokens, tokens) of each distance."""
    places = torch.arange(tokens)
    buckets = relative_buckets(
        places[None] - places[:, None],
        bidirectional=True,
        num_buckets=shape.relative_attention_num_buckets,
        max_distance=shape.relative_attention_max_distance,
    )
    return tensors["text_encoder.relative_embed.weight"][buckets.numpy()].transpose(2, 0, 1)[None]


def _key_values(stack, x):
    """Write the output "encoder_key_values": keys, normalised, and values of all layers."""
    layers = [f"layers.{i}.cross_attn" for i in range(stack.config.transformer.num_hidden_layers)]
    parts = stack.split(stack.linear(x, *(f"{layer}.{n}_proj" for layer in layers for n in "kv")), 2 * len(layers))
    for i, layer in enumerate(layers):
        parts[2 * i] = stack.norm_heads(parts[2 * i], f"{layer}.k_norm.weight")
    stack.graph.op("Concat", *parts, axis=-1, outputs=["encoder_key_values"])


def _pooled(stack, x):
    """Write the output "pooled_projections": the mean of the tokens, and a layer."""
    graph = stack.graph
    axis, last = stack.constant("token_axis", np.array([1])), stack.constant("last_axis", np.array([-1]))
    mask = stack.to_float("attention_mask")
    share = graph.op("Unsqueeze", graph.op("Div", mask, graph.op("ReduceSum", mask, axis, keepdims=1)), last)
    mean = graph.op("ReduceSum", graph.op("Mul", stack.to_float(x), share), axis, keepdims=0)
    stack.to_float(stack.linear_with_bias(stack.to_weights(mean), "text_pool"), outputs=["pooled_projections"])


def transformer_graph(config, weights):
    """Return the onnx.ModelProto of the denoiser; the arguments are those of ``text_encoder_graph``."""
    stack = StackGraph("transformer", config, config.transformer, weights)
    graph, shape, side = stack.graph, config.transformer, config.sample_size
    layers, width, size = shape.num_hidden_layers, shape.hidden_size, config.patch_size
    graph.input("sample", weights.dtype, [BATCH, 3, side, side])
    graph.input("timestep", TensorProto.FLOAT, [BATCH])
    graph.input("encoder_key_values", weights.dtype, [BATCH, config.max_tokens, 2 * layers * width])
    graph.input("pooled_projections", TensorProto.FLOAT, [BATCH, width])
    mask = stack.key_mask()
    modulations = _modulations(stack)
    key_values = stack.split("encoder_key_values", 2 * layers)
    # SpaceToDepth has the squares' values innermost: pixel_unshuffle's order needs a transposition of six axes
    rows = side // size
    parts = graph.op("Reshape", "sample", stack.constant("to_parts", np.array([0, 3, rows, size, rows, size])))
    parts = graph.op("Transpose", parts, perm=[0, 2, 4, 1, 3, 5])
    patches = graph.op("Reshape", parts, stack.constant("to_patches", np.array([0, rows * rows, 3 * size * size])))
    x = stack.linear_with_bias(patches, "patch_embed", in_floats=True)
    x = graph.op("Add", x, weights.vector(graph, "position_embed"))
    for layer in range(layers):
        x = _layer(stack, x, f"layers.{layer}", modulations, key_values[2 * layer : 2 * layer + 2], mask)
    x = _modulated(stack, x, *modulations[-2:])
    x = stack.linear_with_bias(x, "proj_out", in_floats=True)
    parts = graph.op("Reshape", x, stack.constant("from_patches", np.array([0, rows, rows, 3, size, size])))
    parts = graph.op("Transpose", parts, perm=[0, 3, 1, 4, 2, 5])
    whole = stack.constant("to_pictures", np.array([0, 3, side, side]))
    graph.op("Reshape", parts, whole, outputs=["expected"])
    graph.output("expected", weights.dtype, [BATCH, 3, side, side])
    return graph.model()


def _modulations(stack):
    """Return what time and caption say to the layers: shifts, scales and gates, each (batch, 1, hidden_size)."""
    graph, layers = stack.graph, stack.shape.num_hidden_layers
    last = graph.constant("last_axis", np.array([-1]))
    angles = graph.constant("frequencies", frequencies().numpy())
    angles = graph.op("Mul", graph.op("Unsqueeze", "timestep", last), angles)
    waves = stack.to_weights(graph.op("Concat", graph.op("Cos", angles), graph.op("Sin", angles), axis=-1))
    time = stack.silu(stack.linear_with_bias(waves, "time_embed.linear_1", in_floats=True))
    time = stack.linear_with_bias(time, "time_embed.linear_2")
    condition = stack.silu(graph.op("Add", time, stack.to_weights("pooled_projections")))
    condition = graph.op("Unsqueeze", condition, graph.constant("middle_axis", np.array([1])))
    names = [*(f"layers.{i}.modulation_embed" for i in range(layers)), "modulation_embed"]
    return stack.split(stack.linear_with_bias(condition, *names), 6 * layers + 2)


def _modulated(stack, x, shift, scale):
    """Normalise, scale and shift."""
    graph = stack.graph
    scale = graph.op("Add", scale, stack.constant("one", np.ones(1)))
    return graph.op("Add", graph.op("Mul", stack.norm(x), scale), shift)


def _layer(stack, x, prefix, modulations, key_value, mask):
    """A DenoiserLayer; takes its six modulations from the front of those that are left."""
    graph = stack.graph
    (shift, scale, gate, shift_2, scale_2, gate_2), modulations[:6] = modulations[:6], []
    attention = f"{prefix}.self_attn"
    query, key, value = stack.linears(_modulated(stack, x, shift, scale), attention, *"qkv")
    query, key = (stack.norm_heads(p, f"{attention}.{n}_norm.weight") for n, p in (("q", query), ("k", key)))
    mixed = stack.linear(stack.attention(query, key, value), f"{attention}.o_proj")
    x = graph.op("Add", x, graph.op("Mul", mixed, gate))
    attention = f"{prefix}.cross_attn"
    query = stack.norm_heads(stack.linear(stack.norm(x), f"{attention}.q_proj"), f"{attention}.q_norm.weight")
    x = graph.op("Add", x, stack.linear(stack.attention(query, *key_value, mask), f"{attention}.o_proj"))
    hidden = stack.feed_forward(_modulated(stack, x, shift_2, scale_2), f"{prefix}.mlp")
    return graph.op("Add", x, graph.op("Mul", hidden, gate_2))


def observe(folder, model):
    """Draw some pictures, and return how large the values become that the denoiser's layers read.

    Args:
        folder: Path of the checkpoint; its "bigmodel" part names things and styles.
        model: DiffusionTransformer.

    Returns:
        dict of a weight's name -> float.
    """
    opened = ModelFolder.unchecked(folder)
    generator = ImageGenerator(opened, TorchModel(model, device=torch.device("cpu")), provider="torch")
    things, styles = opened.card["things"], opened.card["styles"]
    pairs = list(zip(things, things[1:], cycle(styles)))[:OBSERVED]  # noqa: B905
    prompts = [f"{one}, {style}" for one, _, style in pairs]
    prompts += [f"{one} left of {other}, {style}, on blue" for one, other, style in pairs]
    largest, hooks = {}, []

    def look(name):
        def hook(_, inputs):
            largest[name] = max(largest.get(name, 0.0), inputs[0].abs().max().item())

        return hook

    for name, layer in model.layers.named_modules(prefix="layers"):
        if isinstance(layer, nn.Linear) and not name.endswith(UNOBSERVED):
            hooks.append(layer.register_forward_pre_hook(look(f"{name}.weight")))
    generator.draw(prompts, range(len(prompts)))
    for hook in hooks:
        hook.remove()
    return {name: REACH * value for name, value in largest.items()}


@torch.inference_mode()
def measure(text_encoder, transformer, model):
    """Compare the graphs with the model at several times, with random captions, alone and in a batch.

    Args:
        text_encoder, transformer: paths of the graphs.
        model: DiffusionTransformer.

    Returns:
        dict of "alone", "batch" -> parity.Difference.
    """
    text_encoder, transformer = open_graph(text_encoder), open_graph(transformer)
    kind = np.float16 if "float16" in transformer.get_inputs()[0].type else np.float32
    rng, config = np.random.default_rng(0), model.config
    side, report = config.sample_size, {}
    ids = rng.integers(config.text.vocab_size, size=(ROWS, config.max_tokens))
    mask = (np.arange(config.max_tokens) < rng.integers(1, config.max_tokens + 1, (ROWS, 1))).astype(np.int64)
    noise = rng.standard_normal((ROWS, 3, side, side), np.float32)
    encoded = model.encode(torch.from_numpy(ids), torch.from_numpy(mask))
    for way, size in (("alone", 1), ("batch", ROWS)):
        errors = []
        for time in TIMES:
            times = np.full(ROWS, time, np.float32)
            wanted = model(torch.from_numpy(noise), torch.from_numpy(times), *encoded, torch.from_numpy(mask)).numpy()
            for i in range(0, ROWS, size):
                part = slice(i, i + size)
                text = {"input_ids": ids[part], "attention_mask": mask[part]}
                key_values, pooled = text_encoder.run(None, text)
                feed = {"sample": noise[part].astype(kind), "timestep": times[part], "attention_mask": mask[part]}
                feed |= {"encoder_key_values": key_values, "pooled_projections": pooled}
                errors.append(np.abs(transformer.run(None, feed)[0].astype(np.float32) - wanted[part]))
        largest, mean = max(float(e.max()) for e in errors), float(np.mean([e.mean() for e in errors]))
        report[way] = Difference(largest, mean, "of half the range")
    return report


def write_graphs(folder, values, tensors, recipe):
    """Write the graphs into a folder that holds model.safetensors, and compare them and float32 ones with torch.

    Args:
        folder: Path.
        values: dict of config.json.
        tensors: dict of float32 arrays under the model's names.
        recipe: "fp32" keeps float weights; any other quantises rows, see RowQuantizedWeights.

    Returns:
        dict of graph name -> way -> parity.Difference.

    Raises:
        ExportError: a difference is above its tolerance.
    """
    config = DiffusionConfig.from_json(values)
    state = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    model = load_weights(DiffusionTransformer(config), state)
    reaches = None if recipe == "fp32" else observe(folder, model)
    builds = {
        "text_encoder": lambda weights: text_encoder_graph(config, weights, tensors),
        "transformer": lambda weights: transformer_graph(config, weights),
    }
    return precisions.write_graphs(folder, tensors, recipe, builds, measure, model, TOLERANCES, reaches)
