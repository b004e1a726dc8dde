"""The vision transformer against the stock ViT, and the stem."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from bigmodel.config import VisionConfig
from bigmodel.errors import ConfigError
from bigmodel.image_classification.model import ImageClassificationModel
from bigmodel.nn.checkpoint import load_fitting
from bigmodel.nn.vision import Stem, VisionTransformer, initialise

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config():
    return VisionConfig(
        image_size=(16, 16),
        num_channels=3,
        stem_channels=(6, 10),
        stem_strides=(1, 4),
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=3,
    )


def test_stock_vit_loads_it_strictly_and_agrees(config, roughen):
    from transformers import ViTConfig, ViTForImageClassification

    model = roughen(ImageClassificationModel(config, 5)).eval()
    values = {name: value for name, value in config.to_vit().items() if name not in ("stem", "model_type")}
    stock = ViTForImageClassification(ViTConfig(**values, num_labels=5)).eval()
    state = model.state_dict()
    stock.load_state_dict({name: w for name, w in state.items() if not name.startswith("stem.")}, strict=True)
    pictures = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        features = model.stem(pictures)
        torch.testing.assert_close(model(pictures), stock(features).logits, atol=1e-4, rtol=1e-4)


def test_a_grid_that_is_not_square(config):
    from transformers import ViTConfig, ViTModel

    wide = dataclasses.replace(config, image_size=(8, 24))
    model = VisionTransformer(wide).eval()
    initialise(model)
    values = {name: value for name, value in wide.to_vit().items() if name not in ("stem", "model_type")}
    stock = ViTModel(ViTConfig(**values), add_pooling_layer=False).eval()
    stock.load_state_dict(model.state_dict(), strict=True)
    features = torch.randn(2, 10, 2, 6)
    with torch.no_grad():
        torch.testing.assert_close(model(features), stock(features).last_hidden_state, atol=1e-5, rtol=1e-4)


def test_normalised_in_training(config):
    stem = Stem(config)
    initialise(stem)
    features = stem[0](torch.randn(8, 3, 16, 16) * 7 + 3)
    positive = F.relu(torch.randn(1_000_000))
    assert features.mean().item() == pytest.approx(positive.mean().item(), abs=0.02)


def test_round_trip_of_the_configuration(config):
    assert VisionConfig.from_vit(config.to_vit()) == config
    with pytest.raises(ConfigError, match="lacks stem"):
        VisionConfig.from_vit({})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem_strides": (1,)}, "2 stem_channels, but 1"),
        ({"num_attention_heads": 5}, "does not divide hidden_size"),
        ({"image_size": (16, 18)}, "not a multiple of the stem's stride 4"),
    ],
)
def test_impossible_shapes(config, change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(config, **change)


def test_other_labels_get_a_fresh_head_and_the_rest_stays(config):
    first, second = ImageClassificationModel(config, 3), ImageClassificationModel(config, 4)
    load_fitting(second, first.state_dict())
    ours, theirs = second.state_dict(), first.state_dict()
    fresh = {name for name in ours if ours[name].shape != theirs[name].shape}
    assert fresh == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name not in fresh)
