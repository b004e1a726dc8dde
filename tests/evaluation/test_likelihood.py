"""Likelihood: against a loop over tokens, whatever the pieces."""

import numpy as np
import pytest

from bigmodel.evaluation.likelihood import bits_per_byte, log_probabilities, negative_log_likelihood


def bigram_logits(ids, keep, vocab=11):
    """A model whose next token depends on the last one alone, so that windows cannot change a score."""
    table = np.random.default_rng(0).normal(size=(vocab, vocab)).astype(np.float32)
    return table[np.asarray(ids)[-keep:]]


def test_pieces_add_up_to_the_whole():
    ids = np.random.default_rng(1).integers(0, 11, 40)
    whole = negative_log_likelihood(bigram_logits, [(ids, 1)])
    pieces = [(ids[:20], 1), (ids[10:33], 10), (ids[25:], 8)]
    assert negative_log_likelihood(bigram_logits, pieces) == pytest.approx(whole, rel=1e-6)
    by_hand = 0.0
    for before, after in zip(ids[:-1], ids[1:], strict=True):
        row = bigram_logits([before], 1)[0].astype(np.float64)
        by_hand -= np.log(np.exp(row) / np.exp(row).sum())[after]
    assert whole == pytest.approx(by_hand, rel=1e-6)


def test_large_logits_do_not_overflow():
    assert log_probabilities(np.array([[1000.0, 0.0]], np.float32), [0]) == pytest.approx(0.0)


def test_a_fair_coin_a_byte_is_one_bit():
    assert bits_per_byte(8 * np.log(2), 8) == pytest.approx(1.0)
