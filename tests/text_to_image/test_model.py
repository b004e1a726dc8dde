"""The diffusion transformer: its loss as it begins, what each part reads, and that it learns."""

import dataclasses
import math
from statistics import NormalDist

import pytest
import torch
from safetensors.torch import load_file, save_file

from bigmodel.config import TransformerConfig
from bigmodel.errors import ConfigError, ModelFolderError
from bigmodel.runtime.artifacts import SHIPPED
from bigmodel.text_to_image.config import PRESETS, TIME_MEAN, DiffusionConfig
from bigmodel.text_to_image.model import (
    LAST,
    DiffusionTransformer,
    load_model,
    make_model,
    patchify,
    save_model,
    shape_of,
    training_times,
    unpatchify,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config():
    def stack(**values):
        return TransformerConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            **values,
        )

    text = stack(vocab_size=40, max_position_embeddings=6, qk_norm=False, relative_attention_num_buckets=8)
    return DiffusionConfig(16, 4, 6, text, stack(vocab_size=0, max_position_embeddings=16))


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    return DiffusionTransformer(config).eval()


@pytest.fixture
def lively(model):
    """A model whose layers say something."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "modulation" in name or name.startswith("proj_out"):
                weight.normal_(std=0.2)
    return model


def batch(count=3):
    torch.manual_seed(1)
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])[:count]
    return torch.rand(count, 3, 16, 16) * 2 - 1, torch.randint(40, (count, 6)), mask


def run(model, pictures, ids, mask, t=0.4):
    with torch.no_grad():
        return model(pictures, torch.full((len(pictures),), t), *model.encode(ids, mask), mask)


def test_patches_are_squares_and_go_back():
    pictures = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    patches = patchify(pictures, 4)
    assert patches.shape == (2, 4, 48)
    torch.testing.assert_close(patches[1, 1].view(3, 4, 4), pictures[1, :, :4, 4:])  # the first row's second
    torch.testing.assert_close(unpatchify(patches, 4), pictures)


def test_the_loss_as_it_begins(model):
    """Nothing is written to the picture yet: 0 is expected, and the velocity is off by x / (1 - t)."""
    pictures, ids, mask = batch()
    times = torch.tensor([0.0, 0.5, 0.99])
    loss = model.loss(pictures, ids, mask, times, torch.randn(3, 3, 16, 16))
    factors = 1 / (1 - times).clamp(min=LAST)
    torch.testing.assert_close(loss, ((pictures * factors[:, None, None, None]) ** 2).mean())


def test_the_perfect_answer_has_no_loss(model, monkeypatch):
    pictures, ids, mask = batch()
    monkeypatch.setattr(model, "forward", lambda *_: pictures)
    assert model.loss(pictures, ids, mask).item() == 0


def test_time_caption_and_every_pixel_count(lively):
    pictures, ids, mask = batch()
    plain = run(lively, pictures, ids, mask)
    assert plain.shape == pictures.shape
    assert not torch.allclose(run(lively, pictures, ids, mask, t=0.6), plain, atol=1e-3)
    other = ids.clone()
    other[0, 2] += 1
    moved = (run(lively, pictures, other % 40, mask) - plain).abs().amax((1, 2, 3))
    assert moved[0] > 1e-3 and moved[1:].max() < 1e-6
    pictures[2, 0, 15, 15] += 1
    assert (run(lively, pictures, ids, mask) - plain)[2, :, :4, :4].abs().max() > 1e-5


def test_padding_does_not_count(lively):
    pictures, ids, mask = batch()
    other = torch.where(mask == 1, ids, (ids + 7) % 40)
    torch.testing.assert_close(run(lively, pictures, other, mask), run(lively, pictures, ids, mask))


def test_it_learns_two_captions(config):
    """Two captions, two plain pictures: after some steps the caption says which."""
    torch.manual_seed(0)
    model = DiffusionTransformer(config)
    pictures = torch.stack([torch.full((3, 16, 16), level) for level in (-0.8, 0.8)]).repeat(8, 1, 1, 1)
    ids, mask = torch.tensor([[3, 0, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0]]).repeat(8, 1), torch.ones(16, 6).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(pictures, ids, mask).backward()
        optimizer.step()
    found = run(model.eval(), torch.randn(2, 3, 16, 16), ids[:2], mask[:2], t=0.0).mean((1, 2, 3))
    assert found[0] < -0.5 and found[1] > 0.5


def test_a_folder_keeps_it(lively, tmp_path):
    save_model(lively, tmp_path, about={"name": "x"})
    again = load_model(tmp_path)
    assert shape_of(tmp_path) == lively.config
    torch.testing.assert_close(run(again, *batch()), run(lively, *batch()), atol=1e-2, rtol=1e-2)


def test_shapes_that_do_not_fit(config):
    with pytest.raises(ConfigError, match="patch_size"):
        dataclasses.replace(config, patch_size=5)
    with pytest.raises(ConfigError, match="hidden_size"):
        dataclasses.replace(config, text=dataclasses.replace(config.text, hidden_size=64))
    with pytest.raises(ConfigError, match="lacks"):
        DiffusionConfig.from_json({"sample_size": 16})


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    config = PRESETS[name]()
    with torch.device("meta"):
        model = DiffusionTransformer(config.shape)
    assert 5e6 < sum(p.numel() for p in model.parameters()) < 40e6


def test_the_preset_makes_what_is_shipped():
    ours, shipped = PRESETS["emoji-gpu"]().shape, shape_of(SHIPPED / "emoji")
    words = dataclasses.replace(ours.text, vocab_size=shipped.text.vocab_size)  # which the tokenizer sets
    assert dataclasses.replace(ours, text=words) == shipped


def test_weights_of_another_version_are_named(config, model, tmp_path):
    save_model(model, tmp_path, about={"task": "text_to_image"})
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["text_position_embed"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelFolderError, match='this version; Missing key.*"text_position_embed"'):
        load_model(tmp_path)


def test_a_word_is_another_in_another_place(model):
    ids, mask = torch.tensor([[7, 3, 9, 0, 0, 0], [9, 3, 7, 0, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0, 0]]).expand(2, -1)
    with torch.no_grad():
        (first, second), _ = model.encode(ids, mask)
    assert (first[0] - second[2]).norm() > 0.1 * first[0].norm()


def test_a_lesson_is_of_early_times(config):
    lesson = dataclasses.replace(PRESETS["emoji-order-2"](), shape=config)
    torch.manual_seed(0)
    means = [
        torch.special.logit(training_times(10_000, mean=mean)).median().item() for mean in (TIME_MEAN, lesson.time_mean)
    ]
    assert means[0] - means[1] == pytest.approx(TIME_MEAN - lesson.time_mean, abs=0.2)
    assert make_model(lesson, 40).time_mean == lesson.time_mean and lesson.in_order == 0.12


def test_training_times_reach_both_ends():
    torch.manual_seed(0)
    times = torch.cat([training_times(128) for _ in range(100)])
    assert len(times) == 12_800 and times.min() > 0 and times.max() < 1
    # nine tenths are the sigmoid of a normal, a tenth is uniform
    share = lambda t: 0.9 * NormalDist(-0.8, 1.2).cdf(math.log(t / (1 - t))) + 0.1 * t  # noqa: E731
    for t in (0.01, 0.1, 0.5, 0.9, 0.99):
        assert (times < t).float().mean().item() == pytest.approx(share(t), abs=0.005)
    assert training_times(1).shape == (1,)
