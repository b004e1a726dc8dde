"""Presets: functions that return a whole configuration. Each says its command, its duration and what to expect."""

from dataclasses import dataclass, replace
from pathlib import Path

from bigmodel.config import TransformerConfig
from bigmodel.training.settings import TrainingSettings, on_gpu

LANGUAGES = {"en": "English", "de": "German", "zh": "Chinese", "lzh": "Classical Chinese"}


@dataclass(frozen=True)
class PairCorpus:
    """A file of sentence pairs.

    Attributes:
        file: two columns; lies in the data folder.
        languages: codes of its columns.
        weight: how often an epoch reads it; a fraction reads a new random part each time.
    """

    file: str
    languages: tuple[str, str]
    weight: float = 1.0


@dataclass(frozen=True)
class TranslationConfig:
    """Everything that a translator is made from.

    Attributes:
        name: of the model and its folder.
        title, description: for the page and the card.
        directions: (source, target) codes that it translates.
        train, valid: corpora, read in every direction that fits their languages.
        transformer: the encoder's shape; vocab_size is the largest that the tokenizer may have.
        decoder_layers: the decoder's; else it is shaped as the encoder.
        batch_tokens: positions of a batch, source and target with their padding.
        max_length: longer sentences, in tokens, are left out of training.
        label_smoothing: share of a label that is spread over the vocabulary.
        settings: TrainingSettings.
        init_from: model folder whose weights, shape and tokenizer the training begins with; None for fresh ones.
    """

    name: str
    title: str
    description: str
    directions: tuple[tuple[str, str], ...]
    train: tuple[PairCorpus, ...]
    valid: tuple[PairCorpus, ...]
    transformer: TransformerConfig
    decoder_layers: int
    batch_tokens: int
    max_length: int
    label_smoothing: float
    settings: TrainingSettings
    init_from: Path | None = None


def _shape(vocab_size, hidden_size, layers, intermediate_size, *, dropout):
    return TransformerConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 64,
        num_key_value_heads=hidden_size // 64,
        head_dim=64,
        max_position_embeddings=256,
        dropout=dropout,
        qk_norm=False,
        relative_attention_num_buckets=32,
    )


def _both_ways(*languages):
    return (languages, languages[::-1])


_EN_DE = {
    "name": "en-de",
    "title": "English ↔ German",
    "description": "Translates short descriptions of what can be seen, between English and German.",
    "directions": _both_ways("en", "de"),
    "train": (PairCorpus("en-de.multi30k.train.tsv.zst", ("en", "de")),),
    "valid": (PairCorpus("en-de.multi30k.val.tsv.xz", ("en", "de")),),
}

_EN_ZH = {
    "name": "en-zh",
    "title": "English ↔ Chinese",
    "description": "Translates captions, everyday sentences and software documentation between English and Chinese.",
    "directions": _both_ways("en", "zh"),
    "train": (
        PairCorpus("en-zh.tatoeba.train.tsv.xz", ("en", "zh"), 3),
        PairCorpus("en-zh.3am.train.tsv.zst", ("en", "zh"), 4),
        PairCorpus("en-zh.docs.train.tsv.zst", ("en", "zh"), 0.15),
    ),
    "valid": (PairCorpus("en-zh.3am.val.tsv.xz", ("en", "zh")),),
}

_LZH_ZH = {
    "name": "lzh-zh",
    "title": "文言 → 白话",
    "description": "Translates classical Chinese prose into modern Chinese.",
    "directions": (("lzh", "zh"),),
    "train": (PairCorpus("lzh-zh.classical-modern.train.tsv.zst", ("lzh", "zh")),),
    "valid": (PairCorpus("lzh-zh.classical-modern.valid.tsv.xz", ("lzh", "zh")),),
}


_MULTILINGUAL = {
    "name": "multilingual",
    "title": "English ↔ German, Chinese; 文言 → 白话",
    "description": "Translates captions, everyday sentences and documentation between English, German and Chinese, "
    "and classical Chinese prose into modern Chinese.",
    **{part: tuple(x for pair in (_EN_DE, _EN_ZH, _LZH_ZH) for x in pair[part]) for part in ("directions", "valid")},
    "train": (
        PairCorpus("en-de.multi30k.train.tsv.zst", ("en", "de"), 4),
        *_EN_ZH["train"],
        PairCorpus("lzh-zh.classical-modern.train.tsv.zst", ("lzh", "zh"), 0.5),
    ),
}


def _cpu(values, minutes, *, dropout, max_length=64):
    return TranslationConfig(
        **values,
        transformer=_shape(8192, 256, 3, 512, dropout=dropout),
        decoder_layers=3,
        batch_tokens=4096,
        max_length=max_length,
        label_smoothing=0.1,
        # not compiled: batches of many shapes would be compiled again and again
        settings=TrainingSettings(
            max_minutes=minutes, learning_rate=2e-3, weight_decay=0.05, ema=0.998, validate_every=500
        ),
    )


def en_de():
    """English and German on one CPU core: 382 minutes; 40.6 and 44.2 BLEU on 2016 flickr after 37 M tokens.

    The shipped one had 97 of them, then 125, 110 and 50 more by --init-from with a rate of 1.2e-3, the last ones on a
    core with fast bfloat16, two and a half times as fast.

    python -m bigmodel train translation --preset en-de --data DATA
    """
    return _cpu(_EN_DE, 382, dropout=0.2)


def en_zh():
    """English and Chinese on one CPU core: 384 minutes; 25.5 BLEU on 3AM, 28 on Tatoeba after 34 M tokens.

    The shipped one had 122 of them, then 112, 108 and 42 more by --init-from with a rate of 1.2e-3, the last ones on a
    core with fast bfloat16, two and a half times as fast.

    python -m bigmodel train translation --preset en-zh --data DATA
    """
    return _cpu(_EN_ZH, 384, dropout=0.1)


def lzh_zh():
    """Classical to modern Chinese on one CPU core: 320 minutes; 23 BLEU after 26 M tokens, 14 for a copied source.

    The shipped one had 100 of them, then 112 and 108 more by --init-from with a rate of 1.2e-3.

    python -m bigmodel train translation --preset lzh-zh --data DATA
    """
    return _cpu(_LZH_ZH, 320, dropout=0.05)


def multilingual():
    """All five directions in one model on two CPU cores; not measured yet.

    python -m bigmodel train translation --preset multilingual --data DATA
    """
    return _cpu(_MULTILINGUAL, 120, dropout=0.1)


def multilingual_gpu():
    """All five directions in one model of 30 M parameters on one GPU: 3.3 minutes; not shipped.

    Beside two other trainings these were 57 M tokens: en-de has 36.4 BLEU on 2016 flickr, where 382 minutes of a model
    for this pair alone have 40.6.

    python -m bigmodel train translation --preset multilingual-gpu --data DATA
    """
    config = _cpu(_MULTILINGUAL, 3.3, dropout=0.15, max_length=128)
    return replace(
        config,
        transformer=_shape(16384, 512, 4, 1024, dropout=0.15),
        batch_tokens=32768,
        settings=on_gpu(config.settings, 3.3, workers=3, ema=0.998, validate_every=500),
    )


PRESETS = {
    "en-de": en_de,
    "en-zh": en_zh,
    "lzh-zh": lzh_zh,
    "multilingual": multilingual,
    "multilingual-gpu": multilingual_gpu,
}
