"""Beam search over hypotheses that a model continues step by step; pure numpy."""

from dataclasses import dataclass

import numpy as np

_NEVER = -1e9
_DONE_SHARE = 0.1  # sentences that have ended leave the batch when they are so many: leaving costs a copy of the rest


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation.

    Attributes:
        ids: its tokens, the end left out.
        log_prob: summed, in nats, the end included.
        score: log_prob / length ** length_penalty, with the end counted.
    """

    ids: list
    log_prob: float
    score: float


def beam_search(hypotheses, *, end, limits, num_hypotheses=None, length_penalty=1.0, early_stopping=False, banned=None):
    """Return the best translations of each sentence, best first, as many as there are beams at most.

    At each step the 2 x beams likeliest continuations of all hypotheses of a sentence are taken; those among the first
    ``beams`` that end are finished, the best that do not end go on. A sentence is done when ``num_hypotheses`` are
    finished and none that goes on is better at its present length.

    Args:
        hypotheses: with num_beams, mask (sentences, source), step(tokens, parents, num_candidates), keep(rows); see
            decoding.Hypotheses.
        end: id that begins and ends a translation.
        limits: (sentences,) longest translation, in tokens with the end.
        num_hypotheses: so many are wanted, ``beams`` by default; fewer are found sooner.
        length_penalty: exponent of the length by which a log-probability is divided; above 0 favours longer ones.
        early_stopping: a sentence is done as soon as ``num_hypotheses`` are finished.
        banned: (sentences, vocab_size) or (vocab_size,) bool, tokens that never come; None for none.

    Returns:
        list of lists of Hypothesis.

    Source: transformers, GenerationMixin._beam_search, whose results these are where ``beams`` are wanted.
    """
    beams, count = hypotheses.num_beams, len(hypotheses.mask)
    wanted, early_stopping = num_hypotheses or beams, early_stopping or beams == 1  # one beam is greedy
    found, limits = [[] for _ in range(count)], np.asarray(limits)
    rows, alive, enough, length = np.arange(count), np.ones(count, bool), np.zeros(count, bool), 0
    tokens = np.full((count, beams), end, np.int64)
    parents = np.tile(np.arange(beams), (count, 1))
    scores = np.tile(np.where(np.arange(beams) == 0, 0.0, _NEVER), (count, 1))
    texts = np.empty((count, beams, limits.max()), np.int64)
    while True:
        length += 1
        total, origins, ids = _continuations(hypotheses, tokens, parents, scores, banned, rows)
        at_limit = length >= limits[rows]
        ends = (ids == end) | at_limit[:, None]
        if ends[:, :beams].any():
            for row, place in np.argwhere(ends[:, :beams] & (total[:, :beams] > _NEVER / 2) & alive[:, None]):
                text, last = texts[row, origins[row, place], : length - 1].tolist(), int(ids[row, place])
                text += [last] if last != end else []
                log_prob = float(total[row, place])
                finished = [*found[rows[row]], Hypothesis(text, log_prob, log_prob / length**length_penalty)]
                found[rows[row]] = sorted(finished, key=lambda h: -h.score)[:beams]
                enough[row] = len(finished) >= wanted
            going = np.arange(len(rows))[:, None], np.argsort(ends, axis=1, kind="stable")[:, :beams]
            scores, tokens, parents = total[going], ids[going], origins[going]
        else:  # at most steps
            scores, tokens, parents = (values[:, :beams] for values in (total, ids, origins))
        if beams > 1:
            texts[..., : length - 1] = texts[np.arange(len(rows))[:, None], parents, : length - 1]
        texts[..., length - 1] = tokens
        if not (perhaps_done := alive & (enough | at_limit)).any():
            continue
        hope = scores[:, 0] / length**length_penalty
        for row in np.flatnonzero(perhaps_done):
            alive[row] = not (at_limit[row] or early_stopping or hope[row] <= found[rows[row]][wanted - 1].score)
        if not alive.any():
            return found
        if alive.mean() <= 1 - _DONE_SHARE:
            hypotheses.keep(rest := np.flatnonzero(alive))
            rows, alive, enough, scores, tokens, parents, texts = (
                values[rest] for values in (rows, alive, enough, scores, tokens, parents, texts)
            )


def _continuations(hypotheses, tokens, parents, scores, banned, rows):
    """Return the 2 x beams best continuations of each sentence: log-probabilities, parents, ids, best first."""
    beams, count = hypotheses.num_beams, 2 * hypotheses.num_beams
    log_probs, ids = hypotheses.step(tokens, parents, count)
    total, width = scores[:, :, None] + log_probs, ids.shape[-1]  # fewer than asked for of a small vocabulary
    unknown = None if banned is None else banned[ids] if banned.ndim == 1 else banned[rows[:, None, None], ids]
    in_order = beams == 1
    if unknown is not None and unknown.any():
        total, in_order = np.where(unknown, _NEVER, total), False
    total, ids = total.reshape(len(tokens), -1), ids.reshape(len(tokens), -1)
    if in_order:
        return total, np.zeros_like(ids), ids
    best = np.argsort(-total, axis=1, kind="stable")[:, :count]
    places = np.arange(len(tokens))[:, None], best
    return total[places], best // width, ids[places]
