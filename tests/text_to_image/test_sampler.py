"""The sampler against a flow whose end is known: noise to a normal distribution of another mean and deviation."""

import numpy as np
import pytest

from bigmodel.text_to_image.sampler import SAMPLERS, guided, sample

EULER, HEUN = SAMPLERS
MEAN, DEVIATION = 0.7, 0.3


def expected(z, t):
    """The mean of x given z = t x + (1 - t) e, for x of N(MEAN, DEVIATION^2) and e of N(0, 1)."""
    variance = (t * DEVIATION) ** 2 + (1 - t) ** 2
    return MEAN + t * DEVIATION**2 / variance * (z - t * MEAN)


def error(steps, sampler):
    noise = np.linspace(-2, 2, 9)
    *_, result = sample(expected, noise, steps=steps, sampler=sampler)
    return np.abs(result - (MEAN + DEVIATION * noise)).max()  # the flow keeps the order, and so each quantile


@pytest.mark.parametrize("sampler, order", [(EULER, 1), (HEUN, 2)])
def test_the_error_falls_by_the_order_of_the_method(sampler, order):
    errors = [error(steps, sampler) for steps in (40, 80, 160)]
    assert errors[-1] < 0.01
    ratios = np.divide(errors[:-1], errors[1:])
    assert np.all(ratios > 0.75 * 2**order) and np.all(ratios < 1.5 * 2**order)


def test_heun_is_nearer_at_equal_work():
    assert error(20, HEUN) < error(40, EULER)


@pytest.mark.parametrize("sampler, calls", [(EULER, 5), (HEUN, 9)])
def test_what_is_yielded_and_asked(sampler, calls):
    asked = []

    def denoise(z, t):
        asked.append(t)
        return expected(z, t)

    seen = list(sample(denoise, np.zeros(3), steps=5, sampler=sampler))
    assert len(seen) == 5 and len(asked) == calls
    assert asked[0] == 0 and max(asked) < 1


def test_one_step_gives_the_expected_picture():
    (result,) = sample(expected, np.ones(2), steps=1, sampler=HEUN)
    np.testing.assert_array_equal(result, expected(np.ones(2), 0))


def test_guidance():
    with_caption, without = np.array([1.0, 2.0]), np.array([0.0, 3.0])
    np.testing.assert_array_equal(guided(with_caption, without, 1), with_caption)
    np.testing.assert_array_equal(guided(with_caption, without, 0), without)
    np.testing.assert_array_equal(guided(with_caption, without, 3), [3.0, 0.0])
