"""Temperature, calibration error and distance on made-up cases whose answer is known."""

import numpy as np
import pytest
import torch

from bigmodel.image_classification import calibration
from bigmodel.image_classification.model import Familiarity


@pytest.fixture
def drawn():
    """Logits, and labels drawn from exactly the probabilities that they say."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40_000, 5)) * 2
    cumulated = np.exp(calibration.log_softmax(logits)).cumsum(1)
    return logits, (rng.random((len(logits), 1)) > cumulated).sum(1)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_is_found_and_mends_the_error(drawn, factor):
    logits, labels = drawn
    assert calibration.fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.03)
    assert calibration.calibration_error(logits, labels) < 0.01
    if factor != 1:
        assert calibration.calibration_error(factor * logits, labels) > 0.05


@pytest.mark.parametrize("count", [10, 200])
def test_who_is_always_right_is_not_certain(count):
    labels = np.arange(count) % 3
    logits = 4.0 * np.eye(3)[labels]
    probabilities = np.exp(calibration.log_softmax(logits / calibration.fit_temperature(logits, labels)))
    assert probabilities.max(1) == pytest.approx((count + 1) / (count + 2), abs=1e-4)


def test_calibration_error_by_hand():
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]]))
    labels = np.array([0, 1, 0, 1])  # half right at 0.9, all right at 0.6
    assert calibration.calibration_error(logits, labels) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert calibration.negative_log_likelihood(logits, labels) == pytest.approx(-np.log([0.9, 0.1, 0.6, 0.6]).mean())


def test_distance_is_one_for_the_usual_and_large_for_others():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(5000, 6)) @ rng.normal(size=(6, 6)) + 3
    familiarity = Familiarity(6)
    familiarity.mean, familiarity.whitening = map(torch.from_numpy, calibration.fit_spread(features))
    distance = lambda features: familiarity.distance(torch.from_numpy(features)[:, :, None, None]).numpy()  # noqa: E731
    usual = distance(features)
    assert usual.mean() == pytest.approx(1, rel=0.01)
    found = calibration.calibrate(np.zeros((5000, 2)), np.zeros(5000, int), usual)
    assert (usual > found["distance_threshold"]).mean() == pytest.approx(calibration.FALSE_ALARMS, abs=1e-3)
    assert distance(features[:1] + 30)[0] > found["distance_threshold"]
    constant = np.concatenate([features, np.zeros((5000, 1))], 1)  # a direction without any spread
    assert np.isfinite(calibration.fit_spread(constant)[1]).all()


def test_colour_of_the_edges():
    images = np.zeros((10, 1, 8, 8), np.uint8)
    images[:, :, 2:6, 2:6] = 255
    assert calibration.edge_colour(images) == [0]
    noise = np.random.default_rng(0).integers(0, 256, (10, 3, 8, 8)).astype(np.uint8)
    assert calibration.edge_colour(noise) is None
