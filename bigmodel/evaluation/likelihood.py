"""How well a model predicts a text, whatever engine runs it."""

import math

import numpy as np


def negative_log_likelihood(predict, pieces):
    """Return the summed negative log-likelihood of pieces of text, in nats.

    Args:
        predict: function of (ids, keep): logits (keep, vocab_size) of the token after each of the last ``keep`` ids.
        pieces: iterable of (ids, first): ids[first:] are scored, each given those before it; first >= 1.
    """
    total = 0.0
    for ids, first in pieces:
        logits = predict(ids[:-1], len(ids) - first)
        total -= float(log_probabilities(logits, ids[first:]).sum(dtype=np.float64))
    return total


def log_probabilities(logits, ids):
    """Return the log-probability in nats of one id a row.

    Args:
        logits: (n, vocab_size) float32, unnormalised.
        ids: (n,) integers.

    Returns:
        (n,) float32.
    """
    largest = logits.max(-1)
    log_z = np.log(np.exp(logits - largest[:, None]).sum(-1)) + largest
    return logits[np.arange(len(ids)), np.asarray(ids)] - log_z


def bits_per_byte(nats, size):
    """Turn the nats of a text of ``size`` bytes into bits per byte."""
    return nats / size / math.log(2)
