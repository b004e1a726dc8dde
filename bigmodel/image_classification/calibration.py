"""Probabilities that mean roughly what they say, and pictures that are unlike anything in training.

A temperature divides the logits, so that of answers given with a probability of 80 % about 80 % are right. A picture's
distance is that of its mean features after the stem to those of the training's pictures, measured in their own spread;
the threshold is what all but a twentieth of the validation pictures stay under.

Source: Guo et al. 2017, arXiv:1706.04599 (temperature); Lee et al. 2018, arXiv:1807.03888 (distance).
"""

import numpy as np

FALSE_ALARMS = 0.05
BINS = 15  # of confidence, equally wide
TEMPERATURES = (0.05, 20.0)  # the limits of what is looked for
EDGE_TOLERANCE = 16  # grey levels
EDGE_SHARE = 0.8  # of the edges' pixels
_GOLDEN = (5**0.5 - 1) / 2


def log_softmax(logits):
    """Return log-probabilities (..., labels) in nats."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def negative_log_likelihood(logits, labels):
    """Return the mean of -log p(label) in nats; logits (count, labels), labels (count,) int."""
    return float(-np.take_along_axis(log_softmax(logits), labels[:, None], 1).mean())


def calibration_error(logits, labels):
    """Return the expected calibration error: how far confidence is from accuracy, over BINS of confidence.

    Args:
        logits: (count, labels).
        labels: (count,) int.
    """
    probabilities = np.exp(log_softmax(logits))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    where = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[where == b].sum() - right[where == b].sum()) for b in range(BINS)]
    return float(sum(gaps) / len(labels))


def fit_temperature(logits, labels):
    """Return the temperature of least negative log-likelihood, within TEMPERATURES.

    Each of n pictures has a share of 1 / (n + 2) on the labels that are not its own, so that a model which is right on
    all of them is not taken to be certain. The likelihood has one peak in the temperature: golden sections find it.

    Args:
        logits: (count, labels), two labels or more.
        labels: (count,) int.

    Source: Platt 1999, "Probabilistic outputs for support vector machines" (the share, his out-of-sample model).
    """
    count, num_labels = logits.shape
    targets = np.full(logits.shape, 1 / (count + 2) / (num_labels - 1))
    targets[np.arange(count), labels] = 1 - 1 / (count + 2)
    loss = lambda x: -(targets * log_softmax(logits / np.exp(x))).sum()  # noqa: E731
    left, right = np.log(TEMPERATURES)
    for _ in range(40):
        a, b = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
        left, right = (left, b) if loss(a) < loss(b) else (a, right)
    return float(np.exp((left + right) / 2))


def fit_spread(features):
    """Return the mean (width,) of features (count, width), and the matrix (width, width) that makes their spread 1.

    Directions in which they hardly differ are taken to have a ten-thousandth of the mean variance at least.
    """
    mean = features.mean(0)
    values, vectors = np.linalg.eigh(np.cov(features - mean, rowvar=False))
    return mean, vectors / np.sqrt(np.maximum(values, values.mean() * 1e-4))


def calibrate(logits, labels, distances):
    """Return what a model folder says of its probabilities and of unfamiliar pictures.

    Args:
        logits: (count, labels) of validation pictures.
        labels: (count,) int.
        distances: (count,) of the same pictures.

    Returns:
        dict: temperature; distance_threshold, which FALSE_ALARMS of many such pictures are above.
    """
    threshold = float(np.quantile(distances, 1 - FALSE_ALARMS))
    temperature = fit_temperature(logits, labels)
    return {"temperature": temperature, "distance_threshold": threshold}


def edge_colour(images):
    """Return the level (0..255) of each channel that most edges of pictures have; None where they differ.

    Args:
        images: (count, channels, height, width) uint8.
    """
    rows, columns = (images[:, :, [0, -1]], images[:, :, :, [0, -1]].swapaxes(2, 3))
    edges = np.concatenate([part.transpose(0, 2, 3, 1).reshape(-1, images.shape[1]) for part in (rows, columns)])
    colour = np.median(edges, 0)
    like = (np.abs(edges - colour) <= EDGE_TOLERANCE).all(1).mean()
    return [int(level) for level in colour] if like >= EDGE_SHARE else None
