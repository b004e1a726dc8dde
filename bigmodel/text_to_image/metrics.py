"""Numbers that say how near drawn pictures are to real ones."""

import numpy as np

BLOCK = 2000  # pictures compared at once


def frechet_distance(features, others):
    """Return the Fréchet distance of two sets of features, each taken for a normal distribution.

    It is |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of means m and covariances C: 0 for equal ones. Few samples make
    it larger than it is, so that two distances can be compared only where the sets have the same size.

    Args:
        features: (count, width).
        others: (count of these, width).

    Source: Heusel et al. 2017, arXiv:1706.08500.
    """
    means, covariances = zip(*((f.mean(0), np.cov(f, rowvar=False)) for f in (features, others)), strict=True)
    # the product's eigenvalues are those of a positive matrix: what is negative or complex is rounding
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0))
    return float(np.square(means[0] - means[1]).sum() + sum(map(np.trace, covariances)) - 2 * roots.sum())


def nearest(images, others):
    """Return how far each picture is from the nearest of others: the root of the mean square, in grey levels (0..255).

    Args:
        images: (count, height, width, 3) uint8.
        others: (count of these, height, width, 3) uint8.

    Returns:
        (count,) float32.
    """
    flat = images.reshape(len(images), -1).astype(np.float32)
    found = np.full(len(images), np.inf, np.float32)
    for first in range(0, len(others), BLOCK):
        block = others[first : first + BLOCK].reshape(-1, flat.shape[1]).astype(np.float32)
        squares = np.square(flat).sum(1)[:, None] - 2 * flat @ block.T + np.square(block).sum(1)
        found = np.minimum(found, squares.min(1))
    return np.sqrt(found.clip(0) / flat.shape[1])


def comes_first(pictures, captions, own, pool, count, rng):
    """Say of each picture whether its caption is liked better than others that are drawn from a pool.

    Args:
        pictures: (pictures, width), of length 1.
        captions: (captions, width), of length 1.
        own: (pictures,) int, each one's caption.
        pool: (candidates,) int, captions to draw from.
        count: captions in all, the own among them; fewer where the pool has no more.
        rng: np.random.Generator.

    Returns:
        (pictures,) bool.
    """
    similar = pictures @ captions.T
    right = np.zeros(len(pictures), bool)
    for i, caption in enumerate(own):
        others = pool[pool != caption]
        others = rng.choice(others, min(count - 1, len(others)), replace=False)
        right[i] = (similar[i, caption] > similar[i, others]).all()
    return right
