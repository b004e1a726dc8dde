"""What a sampler may choose, and how often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bigmodel.runtime.sampling import Sampler, top_k_indices, top_p_indices

# few distinct values: equal logits are where selections go wrong
LOGITS = arrays(
    np.float32, st.integers(1, 60), elements=st.one_of(st.integers(-4, 4), st.floats(-30, 30, width=32)).map(float)
)


def softmax(logits, temperature=1.0):
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    return weights / weights.sum()


@given(LOGITS, st.integers(1, 60))
def test_top_k_keeps_the_k_largest(logits, k):
    k = min(k, len(logits))
    assert np.array_equal(top_k_indices(logits, k), np.sort(np.argsort(-logits, kind="stable")[:k]))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 600), st.sampled_from([1024, 5000, 8192]), st.booleans())
def test_top_k_of_a_whole_vocabulary(seed, k, size, rounded):
    logits = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    logits = logits.round(1) if rounded else logits
    assert np.array_equal(top_k_indices(logits, k), np.sort(np.argsort(-logits, kind="stable")[:k]))


@given(LOGITS, st.floats(0.01, 1))
def test_top_p_keeps_the_fewest_that_suffice(logits, top_p):
    probabilities = softmax(logits).astype(np.float32)
    kept = top_p_indices(probabilities, top_p)
    target = top_p * probabilities.sum(dtype=np.float64)
    mass = np.sort(probabilities[kept].astype(np.float64))
    assert mass.sum() >= target - 1e-6
    assert mass[1:].sum() < target + 1e-6  # without its least likely token it would not do
    others = np.delete(probabilities, kept)
    assert not len(others) or probabilities[kept].min() >= others.max()


@given(LOGITS, st.integers(0, 2**64 - 1), st.integers(0, 70), st.floats(0.05, 1), st.floats(0.1, 5))
def test_a_token_comes_from_the_support(logits, seed, top_k, top_p, temperature):
    sampler = Sampler(temperature, top_k, top_p, seed)
    kept, probabilities = sampler.distribution(logits)
    assert probabilities.sum() == pytest.approx(1)
    for _ in range(5):
        token = sampler(logits)
        assert isinstance(token, int) and token in (range(len(logits)) if kept is None else kept)


@given(LOGITS, st.integers(0, 2**64 - 1), st.integers(0, 70))
def test_temperature_0_is_the_argmax(logits, seed, top_k):
    assert Sampler(0, top_k, 0.9, seed)(logits) == logits.argmax()


@pytest.mark.parametrize("temperature", [1e-40, 1e-7])
def test_a_temperature_near_0_is_0(temperature):
    logits, sampler = np.array([1.0, 3.0, 2.0], np.float32), Sampler(temperature)
    assert sampler(logits) == 1 and sampler.among(logits[[1, 2]], np.array([1, 2])) == 1


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 3))
def test_equal_seeds_choose_equally(seed, temperature):
    logits = np.random.default_rng(seed).normal(size=(12, 50)).astype(np.float32)
    first, second = Sampler(temperature, 20, 0.9, seed), Sampler(temperature, 20, 0.9, seed)
    assert [first(row) for row in logits] == [second(row) for row in logits]


@given(LOGITS, st.integers(0, 2**32 - 1), st.data())
def test_only_allowed_tokens_come(logits, seed, data):
    allowed = data.draw(st.lists(st.integers(0, len(logits) - 1), min_size=1, unique=True))
    assert Sampler(1.0, 5, 0.9, seed)(logits, allowed=allowed) in allowed


def test_never_a_token_of_probability_0():
    logits = np.array([-np.inf, 0, -np.inf, -50, -np.inf], np.float32)
    sampler = Sampler(seed=3)
    assert {sampler(logits) for _ in range(500)} == {1}


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.8}, {"temperature": 1.5, "top_k": 8, "top_p": 0.9}]
)
def test_frequencies_are_the_probabilities(settings):
    logits = np.random.default_rng(1).normal(size=16).astype(np.float32)
    expected = softmax(logits, settings.get("temperature", 1))
    order = np.argsort(-expected)
    keep = np.zeros(16, bool)
    keep[order[: settings.get("top_k", 16)]] = True
    expected = np.where(keep, expected, 0) / expected[keep].sum()
    before = np.cumsum(expected[order]) - expected[order]
    expected[order[before >= settings.get("top_p", 1)]] = 0
    expected /= expected.sum()
    sampler, draws = Sampler(seed=7, **settings), 20_000
    counts = np.bincount([sampler(logits) for _ in range(draws)], minlength=16)
    seen = expected > 0
    assert counts[~seen].sum() == 0
    chi_square = ((counts - draws * expected)[seen] ** 2 / (draws * expected[seen])).sum()
    freedom = seen.sum() - 1
    assert chi_square < freedom + 5 * np.sqrt(2 * freedom)  # five standard deviations of chi-square


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"temperature": float("nan")}, {"top_p": 0}, {"top_k": -1}])
def test_out_of_range(wrong):
    with pytest.raises(ValueError, match="out of range"):
        Sampler(**wrong)
