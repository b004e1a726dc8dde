"""The classifier of ``bigmodel.image_classification`` as an ONNX graph.

pixel_values (batch, channels, height, width) float: normalised pictures.
-> logits (batch, labels) float.
-> distance (batch,) float: how far a picture is from the training's, about 1 for these.
-> query.{layer}, key.{layer} (batch, tokens, hidden_size): what attention is computed from; the last layer's query is
   the class token's alone.
"""

import numpy as np
import torch
from onnx import TensorProto

from bigmodel.config import VisionConfig
from bigmodel.image_classification.model import ImageClassificationModel, load_weights
from export import precisions
from export.parity import Difference, log_softmax
from export.vision import BATCH, VisionGraph, run_graph, smooth_pictures

TOLERANCES = {
    "fp32": Difference(largest=1e-3, expected=1e-4),
    "fp16": Difference(largest=0.5, expected=1e-2),
    "quantized": Difference(largest=float("inf"), expected=0.1),
}
PICTURES = 24


def classifier_graph(config, num_labels, weights):
    """Return the onnx.ModelProto.

    Args:
        config: VisionConfig.
        num_labels: classes.
        weights: a store of weights.py or quantize.py.
    """
    pictures = VisionGraph("image_classification", config, weights)
    graph = pictures.graph
    token = pictures.tokens(only_class=True)
    logits = pictures.linear(token, "classifier")
    if weights.dtype != TensorProto.FLOAT:
        logits = graph.op("Cast", logits, to=TensorProto.FLOAT)
    graph.op("Squeeze", logits, graph.constant("token_axis", np.array([1])), outputs=["logits"])
    graph.output("logits", TensorProto.FLOAT, [BATCH, num_labels])
    _distance(pictures)
    return graph.model()


def _distance(pictures):
    """Write the output "distance": the mean square of the stem's mean features, whitened, in 32 bits."""
    graph, weights = pictures.graph, pictures.weights
    read = lambda name: graph.op("Cast", weights.matrix(graph, f"familiar.{name}"), to=TensorProto.FLOAT)  # noqa: E731
    pooled = graph.op("ReduceMean", pictures.features, graph.constant("places", np.array([2, 3])), keepdims=0)
    pooled = graph.op("Cast", pooled, to=TensorProto.FLOAT)
    whitened = graph.op("MatMul", graph.op("Sub", pooled, read("mean")), read("whitening"))
    square = graph.op("Mul", whitened, whitened)
    graph.op("ReduceMean", square, graph.constant("directions", np.array([1])), keepdims=0, outputs=["distance"])
    graph.output("distance", TensorProto.FLOAT, [BATCH])


@torch.inference_mode()
def measure(path, model):
    """Compare a graph's log-probabilities with the model's on made-up pictures, alone and in a batch.

    Returns:
        dict of "alone", "batch" -> Difference.
    """
    pictures = smooth_pictures(model.config, PICTURES)
    expected = log_softmax(model(torch.from_numpy(pictures)).numpy())
    report = {}
    for way, size in (("alone", 1), ("batch", PICTURES)):
        parts = [run_graph(path, pictures[i : i + size], ["logits"])[0] for i in range(0, PICTURES, size)]
        error = np.abs(log_softmax(np.concatenate(parts)) - expected)
        report[way] = Difference(float(error.max()), float((np.exp(expected) * error).sum(-1).mean()))
    return report


def write_graphs(folder, values, tensors, recipe):
    """Write the graphs into a folder that holds model.safetensors, and compare them and a float32 one with torch.

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
    config, num_labels = VisionConfig.from_vit(values), len(values["id2label"])
    state = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    model = load_weights(ImageClassificationModel(config, num_labels), state)
    builds = {"model": lambda weights: classifier_graph(config, num_labels, weights)}
    return precisions.write_graphs(folder, tensors, recipe, builds, measure, model, TOLERANCES)
