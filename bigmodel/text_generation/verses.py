"""What sampled poems are like beside real ones: form, rhyme, repetition, and lines that stand in the training set."""

from collections import defaultdict
from itertools import chain

import numpy as np

from bigmodel.text_generation import rhyme
from bigmodel.text_generation.poetry import KINDS, REGULATED, encode_prompt, form_of, split_lines


def by_form(rows):
    """Return regulated form -> the rows (kind, author, title, text) of that form, in their order."""
    groups = defaultdict(list)
    for row in rows:
        groups[form_of(row[3])].append(row)
    return {form: groups[form] for form in REGULATED if groups[form]}


def draw_prompts(groups, samples, seed):
    """Return (form, prompt) pairs: kind, author and title of real poems that were written in that form.

    Args:
        groups: see by_form.
        samples: how many, spread evenly over the forms.
        seed: of the draw.
    """
    rng, pairs = np.random.default_rng(seed), []
    for i, (form, rows) in enumerate(groups.items()):
        count = samples // len(groups) + (i < samples % len(groups))
        for row in rng.choice(len(rows), count, replace=count > len(rows)):
            kind, author, title, _ = rows[row]
            kind = kind if kind in KINDS else None
            pairs.append((form, encode_prompt(kind=kind, form=form, author=author, title=title)))
    return pairs


def form_share(pairs):
    """Return the share of (form, body) pairs whose body has the number and length of lines of its form."""
    return _mean(form_of(body) == form for form, body in pairs)


def rhyme_rate(pairs):
    """Return the share of (form, body) pairs whose even lines all rhyme; every form counts alike."""
    groups = defaultdict(list)
    for form, body in pairs:
        groups[form].append(rhyme.rhymed(body))
    return _mean(map(_mean, groups.values()))


def chance_rhyme_rate(pairs, seed):
    """Return the rhyme rate of the same pairs after their even lines were dealt out anew within each form."""
    rng, rates = np.random.default_rng(seed), []
    groups = defaultdict(list)
    for form, body in pairs:
        groups[form].append(rhyme.line_ends(body))
    for group in groups.values():
        dealt = iter(rng.permutation(list(chain.from_iterable(group))).tolist())
        rates.append(_mean(rhyme.share_rhyme([next(dealt) for _ in ends]) for ends in group))
    return _mean(rates)


def known_lines(bodies, training_bodies):
    """Return the lines of ``bodies`` that stand in any of ``training_bodies``, as a set."""
    sought = set(chain.from_iterable(map(split_lines, bodies)))
    return {line for body in training_bodies for line in split_lines(body) if line in sought}


def line_count(bodies):
    """Return the number of lines of bodies."""
    return sum(len(split_lines(body)) for body in bodies)


def share_of_lines(bodies, known):
    """Return the share of the lines of bodies that are in the set ``known``."""
    return _mean(line in known for body in bodies for line in split_lines(body))


def repeated_share(bodies):
    """Return the share of lines that stand earlier in the same body."""
    return _mean(line in lines[:i] for lines in map(split_lines, bodies) for i, line in enumerate(lines))


def _mean(values):
    values = list(values)
    return float(np.mean(values)) if values else 0.0
