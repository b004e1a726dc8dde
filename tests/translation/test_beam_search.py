"""Beam search against brute force on a tiny vocabulary, and alone against in a batch."""

import itertools

import numpy as np
import pytest

from bigmodel.translation.beam_search import beam_search

END, VOCABULARY = 0, 5


class Table:
    """A model whose next token depends on all tokens so far, through a table of its sentence."""

    def __init__(self, seeds, num_beams):
        self.seeds, self.num_beams, self.mask = list(seeds), num_beams, np.ones((len(seeds), 1))
        self.texts = np.zeros((len(seeds), num_beams, 0), np.int64)

    @staticmethod
    def log_probs(seed, text):
        """(VOCABULARY,) float64 after a text, its first END included."""
        logits = np.random.default_rng([seed, *text]).normal(size=VOCABULARY) * 2
        return logits - np.log(np.exp(logits).sum())

    def step(self, tokens, parents, num_candidates):
        self.texts = np.take_along_axis(self.texts, parents[..., None], 1)
        self.texts = np.concatenate([self.texts, tokens[..., None]], 2)
        values = [[self.log_probs(s, t) for t in beams] for s, beams in zip(self.seeds, self.texts, strict=True)]
        ids = np.argsort(-np.array(values), axis=-1, kind="stable")[..., :num_candidates]
        return np.take_along_axis(np.array(values), ids, -1), ids

    def keep(self, rows):
        self.seeds, self.texts, self.mask = [self.seeds[i] for i in rows], self.texts[rows], self.mask[rows]


def every_translation(seed, limit, length_penalty):
    """All (score, ids) of at most ``limit`` tokens, the best first."""
    found = []
    for length in range(1, limit + 1):
        for ids in itertools.product(range(1, VOCABULARY), repeat=length - 1):
            endings = [(END,)] if length < limit else [(i,) for i in range(VOCABULARY)]
            for ending in endings:
                text, total = (END,), 0.0
                for token in (*ids, *ending):
                    total += Table.log_probs(seed, text)[token]
                    text += (token,)
                found.append((total / length**length_penalty, [i for i in (*ids, *ending) if i != END]))
    return sorted(found, key=lambda pair: -pair[0])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_wide_beams_find_the_best_of_all(seed, length_penalty):
    limit, beams = 3, 40  # more than there are hypotheses of two tokens
    (found,) = beam_search(Table([seed], beams), end=END, limits=[limit], length_penalty=length_penalty)
    wanted = every_translation(seed, limit, length_penalty)
    assert found[0].ids == wanted[0][1]
    assert found[0].score == pytest.approx(wanted[0][0])
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert {tuple(h.ids) for h in found[:5]} == {tuple(ids) for _, ids in wanted[:5]}


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_alone_as_in_a_batch(beams, early_stopping):
    limits = np.array([3, 9, 5, 7, 9, 4, 6, 8])
    options = {"end": END, "early_stopping": early_stopping}
    together = beam_search(Table(range(8), beams), limits=limits, **options)
    alone = [beam_search(Table([s], beams), limits=limits[s : s + 1], **options)[0] for s in range(8)]
    assert together == alone
    assert all(len(found) == beams for found in together)


def test_one_beam_is_greedy():
    (found,) = beam_search(Table([3], 1), end=END, limits=[12], early_stopping=True)
    text, total = [END], 0.0
    while len(text) <= 12:
        values = Table.log_probs(3, text)
        total += values.max()
        text.append(int(values.argmax()))
        if text[-1] == END:
            break
    assert found[0].ids == [i for i in text if i != END]
    assert found[0].log_prob == pytest.approx(total)


def test_banned_tokens_never_come():
    banned = np.zeros((2, VOCABULARY), bool)
    banned[0, 2] = banned[1, [1, 3]] = True
    first, second = beam_search(Table([1, 1], 3), end=END, limits=[8, 8], banned=banned)
    assert not any(2 in h.ids for h in first) and any(2 in h.ids for h in second)
    assert not any({1, 3} & set(h.ids) for h in second)


def test_length_penalty_favours_longer_ones():
    lengths = []
    for penalty in (0.0, 1.0, 3.0):
        found = beam_search(Table(range(20), 4), end=END, limits=[10] * 20, length_penalty=penalty)
        lengths.append(np.mean([len(best.ids) for best, *_ in found]))
    assert lengths[0] < lengths[1] < lengths[2]
