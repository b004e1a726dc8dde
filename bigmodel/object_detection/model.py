"""The detector of a configuration, and its files.

Every token of the vision transformer is a query: it says what is near its place, and where, or that nothing is. The
loss lets one token answer for an object; since tokens see each other, the others learn to keep silent, so that no
suppression of doubles is needed afterwards.
"""

import torch
from torch import nn
from torch.nn import functional as F

from bigmodel.config import VisionConfig
from bigmodel.nn.checkpoint import fitting, load_fitting, read_weights, write_weights
from bigmodel.nn.vision import Stem, VisionTransformer, initialise
from bigmodel.object_detection.matching import set_loss

USUAL = 0.2  # height and width of an object, as shares of the picture
RARE = 0.01  # score of an object at the beginning
MANY = "many."  # begins the names of what only training needs


class Heads(nn.Module):
    """From a token to scores of labels, and to a box around the token's own place.

    Args:
        config: VisionConfig.
        num_labels: classes.
    """

    def __init__(self, config, num_labels):
        super().__init__()
        width, (rows, columns) = config.hidden_size, config.grid
        self.class_labels_classifier = nn.Linear(width, num_labels)
        self.bbox_predictor = nn.ModuleDict({"fc1": nn.Linear(width, width), "fc2": nn.Linear(width, 4)})
        y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
        places = torch.stack([x, y, torch.full_like(x, USUAL), torch.full_like(x, USUAL)], -1).flatten(0, 1)
        self.register_buffer("places", torch.logit(places), persistent=False)

    def reset(self):
        """Begin with boxes of the usual size at the tokens' places, and low scores."""
        nn.init.zeros_(self.bbox_predictor["fc2"].weight)
        nn.init.constant_(self.class_labels_classifier.bias, torch.logit(torch.tensor(RARE)).item())

    def forward(self, tokens):
        """Map tokens (batch, rows * columns, hidden_size) to logits (…, num_labels) and boxes (…, 4) cxcywh."""
        moved = self.bbox_predictor["fc2"](F.gelu(self.bbox_predictor["fc1"](tokens)))
        return self.class_labels_classifier(tokens), (moved.float() + self.places).sigmoid()


class ObjectDetectionModel(nn.Module):
    """Stem, vision transformer and heads; and in training a second pair of heads, several of whose tokens may answer.

    ``vit`` is a stock ``ViTModel``'s.

    Args:
        config: VisionConfig.
        num_labels: classes.
        repeats: tokens that answer for an object in the second heads; 0 for no second heads.

    Source: Jia et al. 2022, arXiv:2207.13080 (second heads).
    """

    def __init__(self, config, num_labels, repeats=0):
        super().__init__()
        self.config, self.repeats = config, repeats
        self.stem = Stem(config)
        self.vit = VisionTransformer(config)
        self.heads = Heads(config, num_labels)
        self.many = Heads(config, num_labels) if repeats else None
        initialise(self)
        for heads in (self.heads, self.many) if repeats else (self.heads,):
            heads.reset()

    def _tokens(self, pixel_values):
        return self.vit(self.stem(pixel_values))[:, 1:]

    def forward(self, pixel_values):
        """Return logits and boxes of pixel_values (batch, channels, height, width), normalised; see Heads."""
        return self.heads(self._tokens(pixel_values))

    def loss(self, pixel_values, labels, truths):
        """Return the loss an object; see matching.set_loss for labels and truths."""
        tokens = self._tokens(pixel_values)
        loss = set_loss(*self.heads(tokens), labels, truths)
        if self.many is not None and self.training:
            loss = loss + set_loss(*self.many(tokens), labels, truths, self.repeats)
        return loss


def make_model(config, num_labels):
    """Return an ObjectDetectionModel with fresh weights, or with those of ``config.init_from``."""
    torch.manual_seed(config.settings.seed)
    model = ObjectDetectionModel(config.transformer, num_labels, config.repeats)
    if config.init_from:
        load_fitting(model, read_weights(config.init_from)[1])  # the second heads begin anew, too
    return model


def save_model(model, folder, *, labels, about):
    """Write config.json and model.safetensors, without what only training needs.

    Args:
        model: ObjectDetectionModel.
        folder: made where missing.
        labels: names of the classes.
        about: the "bigmodel" part of config.json.
    """
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    config = {"architectures": ["ViTModel"], **model.config.to_vit(), **names, "bigmodel": about}
    state = {name: weight for name, weight in model.state_dict().items() if not name.startswith(MANY)}
    write_weights(folder, config, state, dtype=torch.float16)


def load_model(folder):
    """Return the ObjectDetectionModel of a folder, ready to evaluate.

    Raises:
        ConfigError: config.json is missing or lacks a key.
        ModelFolderError: the weights do not fit.
    """
    values, state = read_weights(folder)
    model = ObjectDetectionModel(VisionConfig.from_vit(values), len(values["id2label"]))
    with fitting(folder):
        model.load_state_dict(state)
    return model.eval()


def predict(model, batches):
    """Yield (scores, boxes) of each picture: scores (tokens, labels), boxes (tokens, 4) cxcywh, float32 arrays.

    Args:
        model: ObjectDetectionModel in evaluation mode.
        batches: iterable of pixel_values (batch, channels, height, width), normalised.
    """
    device = next(model.parameters()).device
    for pixel_values in batches:
        with torch.inference_mode():
            logits, boxes = model(pixel_values.to(device))
        yield from zip(logits.float().sigmoid().cpu().numpy(), boxes.cpu().numpy(), strict=True)
