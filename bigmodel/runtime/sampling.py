"""Choosing the next token. Seeded for each row alone, so that its company in a batch changes nothing."""

import numpy as np

# what a generation_config.json without such a value means
DEFAULTS = {"max_new_tokens": 256, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
_COLDEST = 1e-6  # temperatures below are 0: their inverse is beyond 32 bits
_PROBE = 256  # candidates that a nucleus is first sought among
TOGETHER = 8  # rows from which on ``among_rows`` is quicker than ``among`` for each


class Sampler:
    """Draws the tokens of one text.

    Args:
        temperature: divides the logits; 0 selects the likeliest token.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: then keep the fewest whose probabilities sum to this; in (0, 1].
        seed: equal seed, equal logits, equal tokens.

    Raises:
        ValueError: an argument is out of range.

    Source: Fan et al. 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2020, arXiv:1904.09751 (top-p).
    """

    def __init__(self, temperature=1.0, top_k=0, top_p=1.0, seed=0):
        if not temperature >= 0 or not 0 < top_p <= 1 or top_k < 0:
            raise ValueError(f"temperature {temperature}, top_k {top_k}, top_p {top_p}: out of range")
        self.temperature, self.top_k, self.top_p = temperature if temperature >= _COLDEST else 0, top_k, top_p
        self._uniform = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed))).random

    def __call__(self, logits, allowed=None):
        """Return the next token's id.

        One random number is drawn at each call, whatever the settings, so that a text's n-th token has the n-th number.

        Args:
            logits: (vocab_size,) float32; -inf for what must not come.
            allowed: ids that may come; None for all.
        """
        uniform = self._uniform()
        ids = None
        if allowed is not None:
            ids = np.asarray(allowed)
            logits = logits[ids]
        if self.temperature == 0:
            choice = int(logits.argmax())
        else:
            kept, probabilities = self.distribution(logits)
            cumulative = probabilities.cumsum()
            choice = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
            choice = min(choice, len(probabilities) - 1)  # uniform * total may round up to the total
            choice = choice if kept is None else int(kept[choice])
        return choice if ids is None else int(ids[choice])

    def among(self, logits, ids):
        """Return the next token's id, the same that a call with all logits would: where few are likely, this is quick.

        Args:
            logits: (m,) float32, the largest of the vocabulary, in decreasing order; m >= top_k > 0.
            ids: (m,) their tokens.
        """
        uniform = self._uniform()
        if self.temperature == 0:
            return int(ids[0])
        logits, ids = logits[: self.top_k], ids[: self.top_k]
        weights = np.exp((logits - logits[0]) * np.float32(1 / self.temperature))
        if self.top_p < 1:
            cumulative = weights.cumsum(dtype=np.float64)
            needed = int(cumulative.searchsorted(self.top_p * cumulative[-1])) + 1
            weights, ids = weights[:needed], ids[:needed]
        order = ids.argsort()
        cumulative = weights[order].cumsum(dtype=np.float64)
        choice = int(cumulative.searchsorted(uniform * cumulative[-1], side="right"))
        return int(ids[order[min(choice, len(order) - 1)]])  # uniform * total may round up to the total

    def distribution(self, logits):
        """Return the tokens that may come, and their probabilities.

        Args:
            logits: (n,) float32.

        Returns:
            ids: (m,) int64 in increasing order; None for all.
            probabilities: (m,) float64 that sum to 1.
        """
        kept = None
        if 0 < self.top_k < len(logits):
            kept = top_k_indices(logits, self.top_k)
            logits = logits[kept]
        weights = np.exp((logits - logits.max()) * np.float32(1 / self.temperature), dtype=np.float32)
        if self.top_p < 1:
            nucleus = top_p_indices(weights, self.top_p)
            weights = weights[nucleus]
            kept = nucleus if kept is None else kept[nucleus]
        weights = weights.astype(np.float64)
        return kept, weights / weights.sum()


def among_rows(samplers, logits, ids):
    """Return the next token's id of each row, all at once: what each sampler's ``among`` would.

    Args:
        samplers: list of Sampler, each with 0 < top_k <= m.
        logits, ids: (rows, m) float32 and int64, as ``Sampler.among`` takes a row of them.

    Returns:
        list of int.
    """
    uniform = np.array([sampler._uniform() for sampler in samplers])[:, None]
    scale = np.array([1 / (sampler.temperature or 1) for sampler in samplers], np.float32)[:, None]
    top_k, top_p = (np.array([getattr(s, name) for s in samplers])[:, None] for name in ("top_k", "top_p"))
    places = np.arange(top_k.max())
    logits, ids = logits[:, : len(places)], ids[:, : len(places)]
    kept = places < top_k
    weights = np.where(kept, np.exp((logits - logits[:, :1]) * scale), np.float32(0))
    if (top_p < 1).any():
        cumulative = weights.cumsum(1, dtype=np.float64)
        needed = (cumulative < top_p * cumulative[:, -1:]).sum(1, keepdims=True) + 1
        kept &= (places < needed) | (top_p == 1)
        weights = np.where(kept, weights, np.float32(0))
    order = ids.argsort(1)
    cumulative = np.take_along_axis(weights, order, 1).cumsum(1, dtype=np.float64)
    choice = (cumulative <= uniform * cumulative[:, -1:]).sum(1)
    # uniform * total may round up to the total
    last = len(places) - 1 - np.take_along_axis(kept, order, 1)[:, ::-1].argmax(1)
    rows = np.arange(len(ids))
    chosen = ids[rows, order[rows, np.minimum(choice, last)]]
    greedy = np.array([sampler.temperature == 0 for sampler in samplers])
    return np.where(greedy, ids[:, 0], chosen).tolist()


def top_k_indices(values, k):
    """Return the indices of the k largest values, in increasing order; of equal values the first ones.

    Args:
        values: (n,) float32.
        k: 1 to n.
    """
    if k == len(values):
        return np.arange(k)
    groups = max(256, 4 * k)
    members = len(values) // groups
    kept = None
    if members >= 4:
        # k groups have a maximum of at least this, hence k values: few others are left to compare
        maxima = values[: groups * members].reshape(members, groups).max(axis=0)
        kept = np.flatnonzero(values >= np.partition(maxima, groups - k)[groups - k])
        values = values[kept]
    threshold = np.partition(values, len(values) - k)[len(values) - k]
    chosen = np.flatnonzero(values >= threshold)
    if len(chosen) > k:  # more values equal to the threshold than there is room for
        equal = np.flatnonzero(values[chosen] == threshold)
        chosen = np.delete(chosen, equal[len(equal) - (len(chosen) - k) :])
    return chosen if kept is None else kept[chosen]


def top_p_indices(weights, top_p):
    """Return the indices of the fewest weights that sum to top_p of the whole, in increasing order.

    Args:
        weights: (n,) float32, not negative.
        top_p: share of the sum; in (0, 1].
    """
    target, count = top_p * float(weights.sum(dtype=np.float64)), min(_PROBE, len(weights))
    while True:
        kept = top_k_indices(weights, count)
        order = kept[np.argsort(-weights[kept], kind="stable")]
        cumulative = weights[order].cumsum(dtype=np.float64)
        if cumulative[-1] >= target or count == len(weights):
            break
        count = min(count * 8, len(weights))
    needed = int(np.searchsorted(cumulative, target)) + 1
    return np.sort(order[:needed])
