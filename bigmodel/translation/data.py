"""From sentence pairs to token ids: tokenizer, batches of similar lengths, validation pairs."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from tokenizers import Tokenizer

from bigmodel.errors import ConfigError, DataError
from bigmodel.nn.loss import IGNORE
from bigmodel.training.sources import cache_name, corpus_file, has_tokenizer, is_current, note_sources, read_rows
from bigmodel.training.state import replacing
from bigmodel.training.tokenizer import END_OF_TEXT, save_tokenizer, train_bpe
from bigmodel.translation import placeholders

COLUMNS = ("source", "target")
_TOKENIZER_PAIRS = 60_000  # of each corpus that is read whole, fewer of one that is read in part
_LOOSE_MARKS = 0.03  # share of training pairs that get a mark at one end, so that marks are copied anywhere
_MARKED_WORDS = 0.1  # share of those in which words that stand in both sentences become marks


def direction_token(source, target):
    """Return the special token with which a source begins, such as "<|en-de|>"."""
    return f"<|{source}-{target}|>"


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations, in one direction.

    Attributes:
        direction: (source, target) codes.
        token: id of the direction's token.
        source, target: lists of (length,) id arrays.
        weight: how often an epoch reads them.
    """

    direction: tuple[str, str]
    token: int
    source: list
    target: list
    weight: float

    def lengths(self):
        """Return (pairs, 2) lengths of what encoder and decoder read: a direction, and an end, each more."""
        return np.array([[len(s) + 2, len(t) + 1] for s, t in zip(self.source, self.target, strict=True)])


def load_tokenizer(config, data, folder):
    """Return the tokenizer of a run: its own from before, that of the model it begins with, or a new one."""
    path, sources = folder / "tokenizer.json", [corpus_file(data, corpus.file) for corpus in config.train]
    if not has_tokenizer(folder, *sources):
        folder.mkdir(parents=True, exist_ok=True)
        if config.init_from:
            tokenizer = Tokenizer.from_file(str(config.init_from / "tokenizer.json"))
        else:
            directions = [direction_token(*d) for d in config.directions]
            special = (END_OF_TEXT, *placeholders.TOKENS, *directions)
            size = config.transformer.vocab_size
            tokenizer = train_bpe(_texts(config, data), vocab_size=size, special_tokens=special)
        save_tokenizer(tokenizer, folder)
        note_sources(path, *sources)
    return Tokenizer.from_file(str(path))


def _texts(config, data):
    for corpus in config.train:
        count = round(_TOKENIZER_PAIRS * min(corpus.weight, 1.0))
        for pair in islice(read_rows(corpus_file(data, corpus.file), COLUMNS), count):
            yield from pair


def load_pairs(config, corpora, tokenizer, data, folder, *, training):
    """Read, tokenize and cache corpora, in every direction of a configuration.

    Args:
        config: TranslationConfig.
        corpora: its train or valid.
        tokenizer: tokenizers.Tokenizer.
        data: folder of the corpora.
        folder: of the cache.
        training: put a loose mark at one end, and marks for words of both sides, now and then.

    Returns:
        list of Pairs.

    Raises:
        DataError: a file is missing, empty or broken.
        ConfigError: a corpus fits no direction, or the run's tokenizer knows it not.
    """
    result = []
    for corpus in corpora:
        cached = folder / f"{cache_name(corpus.file, training)}.npz"
        if not is_current(cached, corpus_file(data, corpus.file)):  # written whole or not at all: it may be killed
            columns = _encode(tokenizer, corpus_file(data, corpus.file), training)
            with replacing(cached) as part:
                np.savez(part, **columns)
            note_sources(cached, corpus_file(data, corpus.file))
        with np.load(cached) as columns:
            sides = {
                code: np.split(columns[f"ids{i}"], columns[f"ends{i}"][:-1]) for i, code in enumerate(corpus.languages)
            }
        fitting = [d for d in config.directions if set(d) == set(corpus.languages)]
        if not fitting:
            raise ConfigError(f"{corpus.file} fits no direction of {config.name}")
        for source, target in fitting:
            if (token := tokenizer.token_to_id(direction_token(source, target))) is None:
                text = f"{folder / 'tokenizer.json'} does not know {source}-{target}; choose another --name or --out"
                raise ConfigError(text + (", and another --init-from" if config.init_from else ""))
            result.append(Pairs((source, target), token, sides[source], sides[target], corpus.weight))
    return result


def _encode(tokenizer, source, training):
    """Return the ids of both columns as flat arrays, and where each sentence ends."""
    mark_ids = [tokenizer.token_to_id(token) for token in placeholders.TOKENS]
    tokenizer.encode_special_tokens = True  # a corpus may spell one out
    rng = np.random.default_rng(0)
    columns = [], []
    for pair in read_rows(source, COLUMNS):
        pair = placeholders.protect_pair(*(text.strip() for text in pair))
        if training and rng.random() < _MARKED_WORDS:
            pair = placeholders.mark_words(*pair)
        if training and rng.random() < _LOOSE_MARKS and placeholders.MARKS[-1] not in pair[0]:
            mark = next(mark for mark in placeholders.MARKS if mark not in pair[0])
            pair = [f"{mark} {text}" for text in pair] if rng.random() < 0.5 else [f"{text} {mark}" for text in pair]
        for column, text in zip(columns, pair, strict=True):
            plain = lambda part: tokenizer.encode(part, add_special_tokens=False).ids  # noqa: E731
            column.append(np.array(placeholders.encode(text, plain, mark_ids), np.uint16))
    arrays = {}
    for i, column in enumerate(columns):
        arrays[f"ids{i}"], arrays[f"ends{i}"] = np.concatenate(column), np.cumsum([len(ids) for ids in column])
    return arrays


def make_batch(pairs, rows, end):
    """Return pairs as the model takes them.

    Args:
        pairs: list of Pairs.
        rows: (count, 2) int: an index of ``pairs``, and of a pair in it.
        end: id of END_OF_TEXT, which ends both sides and begins the decoder's.

    Returns:
        source_ids, source_mask, target_ids, labels: (count, longest) int64, padded with ``end``, labels with IGNORE.
    """
    sources = [[pairs[p].token, *pairs[p].source[i], end] for p, i in rows]
    targets = [[*pairs[p].target[i], end] for p, i in rows]
    source_ids = np.full((len(rows), max(map(len, sources))), end, np.int64)
    source_mask = np.zeros_like(source_ids)
    labels = np.full((len(rows), max(map(len, targets))), IGNORE, np.int64)
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        source_ids[row, : len(source)], source_mask[row, : len(source)] = source, 1
        labels[row, : len(target)] = target
    target_ids = np.where(labels == IGNORE, end, labels)
    target_ids = np.concatenate([np.full((len(rows), 1), end), target_ids[:, :-1]], axis=1)
    return tuple(map(torch.from_numpy, (source_ids, source_mask, target_ids, labels)))


class PairBatches:
    """Batches of pairs of similar lengths, each a function of its step, in a new order and mixture every epoch.

    Args:
        pairs: list of Pairs.
        batch_tokens: positions of a batch at most, source and target with their padding.
        max_length: pairs with a longer side, in tokens, are left out; ``left_out`` says how many.
        end: id of END_OF_TEXT.
        seed: of mixture and order.

    Raises:
        DataError: no pair is short enough.
    """

    unit = "tokens"

    def __init__(self, pairs, *, batch_tokens, max_length, end, seed):
        self.pairs, self.batch_tokens, self.end, self.seed = pairs, batch_tokens, end, seed
        self.lengths = [p.lengths() for p in pairs]
        self.short = [np.flatnonzero(lengths.max(1) <= max_length) for lengths in self.lengths]
        if not sum(map(len, self.short)):
            raise DataError(f"no pair of sentences is at most {max_length} tokens long")
        self.left_out = sum(map(len, self.lengths)) - sum(map(len, self.short))
        self._epoch, self._first, self._batches = -1, 0, []

    @property
    def tokens_per_step(self):
        """Positions of a batch, at most."""
        return self.batch_tokens

    @property
    def tokens_of_corpus(self):
        """Positions of an epoch's batches, at most, as tokens_per_step counts them."""
        return len(self._draw(np.random.default_rng((self.seed, 0)))) * self.batch_tokens

    def __str__(self):
        return f"sentence pairs of similar lengths, up to {self.batch_tokens:,} tokens"

    def _draw(self, rng):
        """Return the batches of an epoch: a list of (rows, 2) int."""
        rows, lengths = [], []
        for p, (pairs, short) in enumerate(zip(self.pairs, self.short, strict=True)):
            whole, part = divmod(pairs.weight, 1)
            chosen = np.concatenate([short] * int(whole) + [rng.permutation(short)[: round(part * len(short))]])
            rows.append(np.stack([np.full(len(chosen), p), chosen], 1))
            lengths.append(self.lengths[p][chosen])
        rows, lengths = np.concatenate(rows).astype(np.int64), np.concatenate(lengths)
        order = np.lexsort((rng.random(len(rows)), lengths[:, 0], lengths[:, 1] // 2))
        cuts, start, widest, longest = [], 0, 0, 0
        for i, (source, target) in enumerate(lengths[order].tolist()):
            widest, longest = max(widest, source), max(longest, target)
            if i > start and (widest + longest) * (i + 1 - start) > self.batch_tokens:
                cuts.append(i)
                start, widest, longest = i, source, target
        batches = np.split(rows[order], cuts)
        return [batches[i] for i in rng.permutation(len(batches))]

    def batch(self, step, rank=0, world=1):
        """Return the batch of a step; see make_batch.

        Args:
            step: number of the batch, from 0.
            rank, world: this process and how many share the batch, row by row.
        """
        if step < self._first:
            self._epoch, self._first, self._batches = -1, 0, []
        while step >= self._first + len(self._batches):
            self._first += len(self._batches)
            self._epoch += 1
            self._batches = self._draw(np.random.default_rng((self.seed, self._epoch)))
        rows = self._batches[step - self._first]
        return make_batch(self.pairs, rows[rank::world] if len(rows) >= world else rows, self.end)
