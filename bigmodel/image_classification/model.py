"""The classifier of a configuration, its files, and its loss on held-out pictures."""

import torch
from torch import nn
from torch.nn import functional as F

from bigmodel.config import VisionConfig
from bigmodel.nn.checkpoint import fitting, load_fitting, read_weights, write_weights
from bigmodel.nn.vision import Stem, VisionTransformer, initialise
from bigmodel.training.pictures import normalise

BATCH = 256  # pictures judged together
FAMILIAR = "familiar."  # begins the names of what is measured after the training


class Familiarity:
    """How far a picture is from the training's: see calibration. Measured afterwards, so that no checkpoint has it.

    Args:
        width: channels of the stem's output.
    """

    def __init__(self, width):
        self.mean, self.whitening = torch.zeros(width), torch.eye(width)

    def distance(self, features):
        """Return the distance (batch,) of a feature map (batch, channels, rows, columns)."""
        mean, whitening = (values.to(features) for values in (self.mean, self.whitening))
        return ((features.mean((2, 3)) - mean) @ whitening).square().mean(1)


class ImageClassificationModel(nn.Module):
    """Stem, vision transformer, and a linear classifier of its class token.

    Without the stem its state dict is a stock ``ViTForImageClassification``'s.

    Args:
        config: VisionConfig.
        num_labels: classes.
    """

    def __init__(self, config, num_labels):
        super().__init__()
        self.config = config
        self.stem = Stem(config)
        self.vit = VisionTransformer(config)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        self.familiar = Familiarity(config.stem_channels[-1])
        initialise(self)

    def forward(self, pixel_values):
        """Return logits (batch, num_labels) of pixel_values (batch, channels, height, width), normalised."""
        return self.judge(pixel_values)[0]

    def judge(self, pixel_values):
        """Return logits (batch, num_labels), and how far each picture is from the training's (batch,)."""
        features = self.stem(pixel_values)
        return self.classifier(self.vit(features)[:, 0]), self.familiar.distance(features)

    def loss(self, pixel_values, targets):
        """Return the mean cross-entropy in nats with targets (batch, num_labels), rows of which sum to 1."""
        return F.cross_entropy(self(pixel_values), targets)


def make_model(config, num_labels):
    """Return an ImageClassificationModel with fresh weights, or with those of ``config.init_from``."""
    torch.manual_seed(config.settings.seed)
    model = ImageClassificationModel(config.transformer, num_labels)
    if config.init_from:
        load_fitting(model, read_weights(config.init_from)[1])
    return model


def save_model(model, folder, *, labels, about):
    """Write config.json and model.safetensors.

    Args:
        model: ImageClassificationModel.
        folder: made where missing.
        labels: names of the classes.
        about: the "bigmodel" part of config.json.
    """
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    config = {"architectures": ["ViTForImageClassification"], **model.config.to_vit(), **names, "bigmodel": about}
    familiar = {FAMILIAR + name: values for name, values in vars(model.familiar).items()}
    write_weights(folder, config, {**model.state_dict(), **familiar}, dtype=torch.float16)


def load_model(folder):
    """Return the ImageClassificationModel of a folder, ready to evaluate.

    Raises:
        ConfigError: config.json is missing or lacks a key.
        ModelFolderError: the weights do not fit.
    """
    values, state = read_weights(folder)
    with fitting(folder):
        return load_weights(ImageClassificationModel(VisionConfig.from_vit(values), len(values["id2label"])), state)


def load_weights(model, state):
    """Load what save_model wrote into an ImageClassificationModel; returns it, ready to evaluate."""
    for name in vars(model.familiar):
        setattr(model.familiar, name, state[FAMILIAR + name])
    model.load_state_dict({name: weight for name, weight in state.items() if not name.startswith(FAMILIAR)})
    return model.eval()


def predict(model, images, mean, std):
    """Judge uint8 images (count, channels, height, width).

    Returns:
        logits (count, num_labels) and distances (count,), float32 tensors.
    """
    device = next(model.parameters()).device
    parts = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
    with torch.inference_mode():
        found = [model.judge(normalise(part, mean, std).to(device)) for part in parts]
    return tuple(torch.cat([values.float().cpu() for values in column]) for column in zip(*found, strict=True))


def measure(model, pictures, mean, std):
    """Return {"loss": mean negative log-likelihood in nats, "accuracy": share} on Pictures."""
    logits, labels = predict(model, pictures.images, mean, std)[0], torch.from_numpy(pictures.labels)
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    return {"loss": F.cross_entropy(logits, labels).item(), "accuracy": accuracy}
