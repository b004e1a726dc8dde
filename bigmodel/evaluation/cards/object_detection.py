"""What a detector's card says; see the package."""

from bigmodel.evaluation import notes

FIGURES = {
    "map": "AP, overlaps 0.5 to 0.95",
    "map_50": "AP at overlap 0.5",
    "precision": "precision, at the threshold",
    "recall": "recall, at the threshold",
}
PARTS = {
    "ap_50 of ": "AP at overlap 0.5 of ",
    "count_error of ": "mean error of the count of ",
    "count_bias of ": "the same, signed: too many or too few ",
}

LIMITS = {
    "blood-cells": (
        "**It is not a medical device**, and no finding of it may lead to a diagnosis. It has seen 205 pictures of one "
        "laboratory, one stain and one magnification; of others, and of sick cells, it knows nothing.",
        "Not every red cell of the corpus carries a box: a cell that is cut by the edge or lies under another is "
        "sometimes left out, in training and in the test, so that part of what counts as false is there.",
    ),
    "scenes": (
        "It knows forty-eight things as five sets of emoji draw them, upright, 24 to 56 of 128 pixels large, at most "
        "six on a ground of one or two colours. A photograph is nothing to it.",
    ),
    "other": (
        "It knows the labels that it was trained on, on pictures like those; it cannot say that it does not know.",
    ),
}
SHARED = "It is a demonstration, not for what a person's health, safety, money or rights depend on."
EXPLAINED = (
    "AP is the average precision of COCO's protocol, computed by pycocotools, with at most 100 detections a picture. "
    "Where an interval stands, 95 of 100 test sets drawn again from the pictures of this one lie in it. "
    "Precision, recall and counts are of the detections from the threshold on that gives the best F1 on the validation "
    "pictures."
)
COMPOSED = (
    "Test scenes are composed with another seed than those of the training, of the same emoji, and for *test_style* of "
    "emoji in a style that the training has not shown of that thing."
)

PUBLISHED = "The training's pictures are published; no private data is known to be in them."
MEMORISATION = (
    "A detector gives boxes and names, not pictures. This software keeps an uploaded picture for two hours at most."
)
LIBRARY = "bigmodel"  # that loads the folder
LOSS = "an object: classes, boxes and overlap, of both pairs of heads"
TOKENS = "pictures"
VALIDATION = "AP; the loss is what it lacks to 1"

FILES = {
    "model.safetensors": "the weights, 16 bit; `vit.*` under the names of `ViTModel`",
    "onnx/model_quantized.onnx": "the graph that the CPU runs, quantised, self-contained",
    "model_fp16.onnx": "the graph that CUDA runs; reads model.safetensors beside it",
}

USAGE = """
With BigModel, by ONNX Runtime on the CPU or a GPU, from the repository's folder:

```python
from bigmodel.object_detection.runtime import ObjectDetector

model = ObjectDetector.from_pretrained("export/artifacts/{name}")
found = model.detect("picture.png")
print(found.counts(model.labels))
for box, label, score in zip(found.boxes, found.labels, found.scores):
    print(label, score, box)
```

The graph takes `pixel_values`, prepared as preprocessor_config.json says, and gives `scores` (batch, tokens, labels)
and `boxes` (batch, tokens, 4): centre, width and height as shares of the picture. A detection is a token and a label
whose score reaches config.json's threshold; nothing has to be suppressed. No stock class of transformers has these
heads; the transformer behind the convolutional stem is a stock `ViTModel`.
"""


def shape(config, size):
    """Return the model's shape; ``size`` is its parameters in words, or nothing."""
    stem, labels = config["stem"], ", ".join(config["id2label"].values())
    height, width = stem["image_size"]
    return (
        f"A set predictor on a vision transformer with a convolutional stem, trained from scratch: {size}"
        f"{len(stem['channels'])} convolutions, {config['num_hidden_layers']} layers, width {config['hidden_size']}, "
        f"{config['num_attention_heads']} heads, pictures of {width} × {height}. Each token is a query; matched one to "
        f"one with the objects in training, tokens learn to leave an object to one of them. Labels: {labels}."
    )


def samples(shown):
    """Return nothing: a detector has no samples."""
    return []


def table(entries, engines):
    """Return a row for each data set and figure, a column for each engine."""
    return notes.table(entries, engines, _named, _written)


def _named(name):
    for part, words in PARTS.items():
        if name.startswith(part):
            return words + name.removeprefix(part)
    return FIGURES.get(name, name)


def _written(e):
    value = f"{e['value']:.3f}" if e["unit"] == "share" else f"{e['value']:+.2f}"
    if not e["name"].startswith("count_bias"):
        value = value.lstrip("+")
    bounds = e.get("settings") or {}
    return f"{value} ({bounds['from']:.2f} to {bounds['to']:.2f})" if "from" in bounds else value


def explanations(entries):
    """Return what is to be known of the figures."""
    return [EXPLAINED, COMPOSED] if any("scenes" in e["dataset"] for e in entries) else [EXPLAINED]


def limits(card, config):
    """Return what the model cannot do."""
    return [*LIMITS.get(card["name"], LIMITS["other"]), SHARED]


def memorisation(metrics):
    """Return what is known of training pictures that come out again."""
    return [MEMORISATION]


def usage(card, metrics):
    """Return how to load the model here and in ONNX Runtime."""
    return USAGE.format(name=card["name"])
