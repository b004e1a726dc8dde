"""The classifier on its exported graph: labels, doubts, where it looked, and what it saw."""

import numpy as np
import pytest
import torch
from PIL import Image

from bigmodel.errors import InputError, ModelFolderError
from bigmodel.image_classification.engines import open_engine
from bigmodel.image_classification.model import load_model
from bigmodel.image_classification.runtime import ImageClassifier
from bigmodel.nn.attention import attention
from bigmodel.runtime.pictures import Picture

pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(count, height=16, width=24):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def photos(tiny_photos):
    return ImageClassifier.from_pretrained(tiny_photos)


@pytest.fixture(scope="module")
def exact(make_classifier):
    return ImageClassifier.from_pretrained(make_classifier("exact", recipe="fp32"))


def test_a_picture_and_several(photos):
    images = pictures(40)  # more than run together
    several = photos.classify(images, top_k=2)
    alone = [photos.classify(image, top_k=2) for image in images]
    assert [[name for name, _ in a.labels] for a in several] == [[name for name, _ in a.labels] for a in alone]
    for one, other in zip(several, alone, strict=True):
        assert one.labels[0][1] == pytest.approx(other.labels[0][1], abs=1e-4)
        np.testing.assert_allclose(one.looked, other.looked, atol=1e-5)
        assert len(one.labels) == 2 and one.labels[0][1] >= one.labels[1][1] > 0
        assert one.looked.shape == (4, 6) and one.looked.sum() == pytest.approx(1, abs=1e-5)
        assert one.seen.shape == (16, 24, 3) and one.unfamiliar == (one.distance > photos.threshold)
    assert len({a.labels[0] for a in alone}) > 5


def test_equals_torch(exact):
    image = pictures(1)[0]
    model = load_model(exact.folder.path)
    seen, _ = exact.preparation.see(image)
    with torch.inference_mode():
        logits, distance = model.judge(torch.from_numpy(exact.preparation.normalise(seen[None])))
    expected = (logits[0] / exact.temperature).softmax(-1)
    found = exact.classify(image, top_k=3)
    for name, probability in found.labels:
        assert probability == pytest.approx(expected[exact.labels.index(name)].item(), abs=1e-4)
    assert found.distance == pytest.approx(distance.item(), rel=1e-3)


def test_rollout_equals_its_definition(exact):
    image = pictures(1)[0]
    model = load_model(exact.folder.path)
    with torch.inference_mode():
        x = torch.from_numpy(exact.preparation.normalise(exact.preparation.see(image)[0][None]))
        x = model.vit.embeddings(model.stem(x))
        rolled = torch.eye(x.shape[1])
        for layer in model.vit.layers:
            normed, own = layer.layernorm_before(x), layer.attention
            query, key = (own._heads(p(normed)).transpose(1, 2) for p in (own.q_proj, own.k_proj))
            weights = attention(query, key, key)[1].mean(1)[0]
            rolled = (weights + torch.eye(len(weights))) / 2 @ rolled
            x = layer(x)
    places = rolled[0, 1:].reshape(4, 6)
    np.testing.assert_allclose(exact.classify(image).looked, places / places.sum(), atol=1e-4)


def test_light_grounds_are_inverted_for_a_model_of_dark_ones(tiny_fashion):
    classifier = ImageClassifier.from_pretrained(tiny_fashion)
    dark = np.zeros((16, 24, 3), np.uint8)
    dark[4:12, 8:16] = 200
    one, other = classifier.classify([dark, 255 - dark])
    assert one.notes == () and other.notes == ("inverted",)
    assert one.labels == other.labels and one.seen.shape == (16, 24)
    np.testing.assert_array_equal(one.seen, other.seen)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_what_a_model_saw_gives_the_same_again(tiny_fashion, fit):
    classifier = ImageClassifier.from_pretrained(tiny_fashion)
    wide = np.full((40, 200, 3), 250, np.uint8)
    wide[:, 50:150] = np.random.default_rng(1).integers(0, 256, (40, 100, 3))
    wide[1:-1, :20] = wide[1:-1, -20:] = 0  # a dark ground around light edges
    first = classifier.classify(255 - wide, fit=fit)
    seen = Picture(np.stack([first.seen] * 3, axis=-1), first.seen.shape[::-1])
    again = classifier.classify(seen, fit=fit)
    np.testing.assert_array_equal(again.seen, first.seen)
    assert again.labels == first.labels and again.distance == first.distance


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (300, 200)])
def test_any_shape(photos, fit, size):
    found = photos.classify(Image.new("RGB", size, "red"), fit=fit)
    assert sum(probability for _, probability in found.labels) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("field", "image", "options"),
    [
        ("top_k", np.zeros((9, 9, 3), np.uint8), {"top_k": 0}),
        ("top_k", np.zeros((9, 9, 3), np.uint8), {"top_k": True}),
        ("fit", np.zeros((9, 9, 3), np.uint8), {"fit": "squash"}),
        ("image", b"<html>", {}),
        ("image", None, {}),
    ],
)
def test_what_cannot_be_done_is_said(photos, field, image, options):
    with pytest.raises(InputError, match=f"^{field}: "):
        photos.classify(image, **options)


def test_torch_and_onnx_agree(tiny_photos):
    seen = np.stack(pictures(50)).transpose(0, 3, 1, 2)
    (torch_one, name), (onnx_one, other) = (open_engine(engine, tiny_photos) for engine in ("torch", "onnx"))
    assert (name, other) == ("torch", "onnx-cpu")
    (logits, distances), (quantised, their_distances) = torch_one.judge(seen), onnx_one.judge(seen)
    assert np.abs(logits - quantised).mean() < 0.2 * logits.std()  # of random weights, which quantise badly
    np.testing.assert_allclose(distances, their_distances, rtol=0.05)
    with pytest.raises(ModelFolderError, match="export it first"):
        open_engine("onnx", tiny_photos.parent / "checkpoint")
