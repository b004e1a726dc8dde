"""What a classifier's card says; see the package."""

from bigmodel.evaluation import notes

FIGURES = {
    "accuracy": "accuracy",
    "negative_log_likelihood": "negative log-likelihood, nats",
    "calibration_error": "expected calibration error",
    "calibration_error_before": "the same without the temperature",
    "called_unfamiliar": "said to be unlike the training's pictures",
}
LABEL = "accuracy of "

LIMITS = {
    "photos": (
        "It knows ten things and nothing else: whatever a picture shows, one of the ten is its answer. It sees 32 × 32 "
        "pixels, so that a thing which does not fill the middle of a photograph is a few pixels to it.",
        "The pictures are JPEG copies of CIFAR-10, compressed once more than the original files: figures "
        "here cannot be compared to the last tenth of a percent with those of the literature. The data set has no "
        "formal licence; it was collected from the web for research, and shows the world as the web of that time did.",
    ),
    "fashion": (
        "It knows ten kinds of clothes, each alone, upright, light on a dark ground, 28 × 28 grey levels. A worn "
        "piece, a pattern or a fold is unlike its pictures; shirts, T-shirts, pullovers and coats are easily confused.",
        "The pictures are those of Fashion-MNIST, in another order than the official files', and not all of the test "
        "pictures are there.",
    ),
    "other": ("It knows the labels that it was trained on and nothing else: one of these is always its answer.",),
}
UNFAMILIAR = (
    "What is unlike its training is said to be so by the distance of the picture's mean features from the training's. "
    "Pictures of another kind are often noticed, an eleventh thing of the same kind seldom: the table above says how "
    "often."
)
SHARED = (
    "One temperature, fitted to held-out pictures of the same kind, calibrates the probabilities roughly: those "
    "between 60 and 90 % are too high, and on other pictures all are. It is a demonstration, not for what a person's "
    "safety, money or rights depend on."
)
EXPLAINED = (
    "The calibration error is the mean gap between confidence and accuracy over fifteen bins. The share said to be "
    "unlike the training's pictures ought to be small on the model's own test pictures, where it is a false alarm, and "
    "large on all others."
)

PUBLISHED = "The training's pictures are published; no private data is known to be in them."
MEMORISATION = "A classifier gives names, not pictures. This software keeps an uploaded picture for two hours at most."
LIBRARY = "bigmodel"  # that loads the folder
LOSS = "nats a picture, of smoothed labels"
TOKENS = "pictures"
VALIDATION = "nats a picture, labels not smoothed"

FILES = {
    "model.safetensors": "the weights, 16 bit; without the stem under the names of `ViTForImageClassification`",
    "onnx/model_quantized.onnx": "the graph that the CPU runs, quantised, self-contained",
    "model_fp16.onnx": "the graph that CUDA runs; reads model.safetensors beside it",
}

USAGE = """
With BigModel, by ONNX Runtime on the CPU or a GPU, from the repository's folder:

```python
from bigmodel.image_classification.runtime import ImageClassifier

model = ImageClassifier.from_pretrained("export/artifacts/{name}")
found = model.classify("picture.png")
print(found.labels, "unfamiliar" if found.unfamiliar else "familiar")
```

The graph takes `pixel_values`, prepared as preprocessor_config.json says, and gives `logits`, to be divided by the
temperature of config.json; `distance`, which says "unfamiliar" above config.json's threshold; and `query.*` and `key.*`
of each layer, from which its attention is computed. What follows the convolutional stem loads in transformers:

```python
from safetensors.torch import load_file
from transformers import ViTConfig, ViTForImageClassification

folder = "export/artifacts/{name}"
model = ViTForImageClassification(ViTConfig.from_pretrained(folder))
weights = load_file(folder + "/model.safetensors")
model.load_state_dict({{n: w for n, w in weights.items() if n.startswith(("vit.", "classifier."))}})
```
"""


def shape(config, size):
    """Return the model's shape; ``size`` is its parameters in words, or nothing."""
    stem, labels = config["stem"], ", ".join(config["id2label"].values())
    height, width = stem["image_size"]
    kind = "grey levels" if stem["num_channels"] == 1 else "colours"
    return (
        f"A vision transformer on a convolutional stem, trained from scratch: {size}{len(stem['channels'])} "
        f"convolutions, {config['num_hidden_layers']} layers, width {config['hidden_size']}, "
        f"{config['num_attention_heads']} heads, pictures of {width} × {height} {kind}. Labels: {labels}."
    )


def samples(shown):
    """Return nothing: a classifier has no samples."""
    return []


def table(entries, engines):
    """Return a row for each data set and figure, a column for each engine; the labels' own accuracies last."""
    own_last = sorted(entries, key=lambda e: e["name"].startswith(LABEL))
    return notes.table(own_last, engines, lambda name: FIGURES.get(name, name), _written)


def _written(e):
    return f"{e['value']:.2%}" if e["unit"] == "share" else f"{e['value']:.4f}"


def explanations(entries):
    """Return what is to be known of the figures."""
    return [EXPLAINED]


def limits(card, config):
    """Return what the model cannot do."""
    return [*LIMITS.get(card["name"], LIMITS["other"]), UNFAMILIAR, SHARED]


def memorisation(metrics):
    """Return what is known of training pictures that come out again."""
    return [MEMORISATION]


def usage(card, metrics):
    """Return how to load the model here, in ONNX Runtime and in transformers."""
    return USAGE.format(name=card["name"])
