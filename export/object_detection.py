"""The detector of ``bigmodel.object_detection`` as an ONNX graph.

pixel_values (batch, 3, height, width) float: normalised pictures.
-> scores (batch, tokens, labels) float, in 0..1.
-> boxes (batch, tokens, 4) float: centre, width and height as shares of the picture.
"""

import math

import numpy as np
import torch
from onnx import TensorProto

from bigmodel.config import VisionConfig
from bigmodel.object_detection.model import Heads, ObjectDetectionModel
from export import precisions
from export.parity import Difference
from export.vision import BATCH, VisionGraph, run_graph, smooth_pictures

PICTURES = 6
UNIT = "of a score or of the picture"


TOLERANCES = {
    "fp32": Difference(largest=1e-4, expected=1e-5),
    "fp16": Difference(largest=0.1, expected=5e-3),
    "quantized": Difference(largest=float("inf"), expected=0.02),
}


def detector_graph(config, num_labels, weights):
    """Return the onnx.ModelProto.

    Args:
        config: VisionConfig.
        num_labels: classes.
        weights: a store of weights.py or quantize.py.
    """
    pictures = VisionGraph("object_detection", config, weights)
    graph, count = pictures.graph, math.prod(config.grid)
    edges = (graph.constant(f"place_{i}", np.array([i])) for i in (1, count + 1, 1))
    tokens = graph.op("Slice", pictures.tokens(), *edges)
    weights.normed(graph, tokens, "vit.layernorm.weight")
    logits = pictures.linear(tokens, "heads.class_labels_classifier")
    hidden = pictures.gelu(pictures.linear(tokens, "heads.bbox_predictor.fc1"))
    moved = pictures.linear(hidden, "heads.bbox_predictor.fc2")
    if weights.dtype != TensorProto.FLOAT:
        logits, moved = (graph.op("Cast", x, to=TensorProto.FLOAT) for x in (logits, moved))
    places = Heads(config, num_labels).places.numpy()
    graph.op("Sigmoid", logits, outputs=["scores"])
    graph.op("Sigmoid", graph.op("Add", moved, graph.constant("places", places)), outputs=["boxes"])
    graph.output("scores", TensorProto.FLOAT, [BATCH, count, num_labels])
    graph.output("boxes", TensorProto.FLOAT, [BATCH, count, 4])
    return graph.model()


@torch.inference_mode()
def measure(path, model):
    """Compare a graph's scores and boxes with the model's on made-up pictures, alone and in a batch.

    Returns:
        dict of "alone", "batch" -> Difference.
    """
    pictures = smooth_pictures(model.config, PICTURES)
    logits, boxes = model(torch.from_numpy(pictures))
    expected = torch.cat([logits.sigmoid(), boxes], -1).numpy()
    weight = logits.sigmoid().amax(-1, keepdim=True).numpy()
    report = {}
    for way, size in (("alone", 1), ("batch", PICTURES)):
        parts = [run_graph(path, pictures[i : i + size], ["scores", "boxes"]) for i in range(0, PICTURES, size)]
        found = np.concatenate([np.concatenate(part, -1) for part in parts])
        error = np.abs(found - expected)
        weighted = (weight * error).sum() / (weight.sum() * error.shape[-1])
        report[way] = Difference(float(error.max()), float(weighted), UNIT)
    return report


def write_graphs(folder, values, tensors, recipe):
    """Write the graphs into a folder that holds model.safetensors, and compare them and a float32 one with torch.

    Args:
        folder: Path.
        values: dict of config.json.
        tensors: dict of float32 arrays under the model's names.
        recipe: "fp32" keeps float weights; any other quantises rows, see RowQuantizedWeights.

    Returns:
        dict of graph name -> way -> Difference.

    Raises:
        ExportError: a difference is above its tolerance.
    """
    config, num_labels = VisionConfig.from_vit(values), len(values["id2label"])
    model = ObjectDetectionModel(config, num_labels)
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    model.eval()
    builds = {"model": lambda weights: detector_graph(config, num_labels, weights)}
    return precisions.write_graphs(folder, tensors, recipe, builds, measure, model, TOLERANCES)
