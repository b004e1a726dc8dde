"""Presets: functions that return a whole configuration. Each says its command, its duration and what to expect."""

from dataclasses import dataclass, replace
from pathlib import Path

from bigmodel.config import TransformerConfig
from bigmodel.training.settings import TrainingSettings, on_gpu


@dataclass(frozen=True)
class TextGenerationConfig:
    """Everything that a language model is made from.

    Attributes:
        name: of the model and its folder.
        title, description: for the page and the card.
        languages: codes of the languages that it writes; none where nobody said, as of one's own text.
        format: "plain" text, or "poetry", whose documents have fields.
        tokenizer: "bpe" over bytes, or "characters".
        train: (file, weight) of the corpora; an epoch reads a file ``weight`` times. Files lie in the data folder.
        valid: the file of the validation text; None holds out the last tenth of the training text.
        transformer: the shape; vocab_size is the largest that the tokenizer may have.
        window: tokens of a training sequence.
        batch_size: sequences of a step.
        settings: TrainingSettings.
        init_from: model folder whose weights, shape and tokenizer the training begins with; None for fresh ones.
    """

    name: str
    title: str
    description: str
    languages: tuple[str, ...]
    format: str
    tokenizer: str
    train: tuple[tuple[str, int], ...]
    valid: str | None
    transformer: TransformerConfig
    window: int
    batch_size: int
    settings: TrainingSettings
    init_from: Path | None = None


def _shape(vocab_size, hidden_size, layers, intermediate_size, *, heads, key_value_heads, context, dropout=0.0):
    return TransformerConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        head_dim=hidden_size // heads,
        max_position_embeddings=context,
        dropout=dropout,
    )


_STORIES = {
    "name": "stories",
    "title": "Stories",
    "description": "English prose in the manner of the children's classics and of older fiction.",
    "languages": ("en",),
    "format": "plain",
    "tokenizer": "bpe",
    "train": (("en.kids-classics.train.txt.zst", 6), ("en.classic-fiction.train.txt.zst", 1)),
    "valid": "en.kids-classics.valid.txt.xz",
}

_POETRY = {
    "name": "poetry",
    "title": "诗 Poetry",
    "description": "Classical Chinese poems by kind, form, author and title.",
    "languages": ("zh",),
    "format": "poetry",
    "tokenizer": "characters",
    "train": (("zh.poetry.train.tsv.zst", 1),),
    "valid": "zh.poetry.valid.tsv.xz",
}


def stories():
    """English prose on two CPU cores: 60 minutes; 1.45 bits per byte after 6 M tokens, which 25 take.

    python -m bigmodel train text_generation --preset stories --data DATA
    """
    return TextGenerationConfig(
        **_STORIES,
        transformer=_shape(8192, 256, 6, 640, heads=4, key_value_heads=4, context=512),
        window=512,
        batch_size=8,
        settings=TrainingSettings(max_minutes=60, compile=True, validate_every=600),
    )


def _gpu(config, minutes, **changes):
    settings = on_gpu(config.settings, minutes, workers=2, ema=0.995, validate_every=250)
    return replace(config, settings=settings, **changes)


def stories_gpu():
    """English prose on one GPU: 18 M parameters, 1.2 minutes beside two other trainings, 33 M tokens.

    1.36 bits per byte, after 1.3 passes over the corpus, and falling: see `stories-further`.

    python -m bigmodel train text_generation --preset stories-gpu --data DATA
    """
    return _gpu(
        stories(),
        1.2,
        train=tuple((file, min(weight, 2)) for file, weight in _STORIES["train"]),
        transformer=_shape(8192, 448, 6, 1216, heads=7, key_value_heads=7, context=1024, dropout=0.1),
        window=1024,
        batch_size=64,
    )


def stories_further():
    """The model of `stories-gpu`, further on two CPU cores that multiply bfloat16: 80 minutes; 1.27 bits per byte.

    The children's books count four times here, of which the first training had seen each twice.

    python -m bigmodel train text_generation --preset stories-further --init-from runs/stories-gpu/model --data DATA
    """
    config = stories_gpu()
    return replace(
        config,
        train=tuple((file, min(weight, 4)) for file, weight in _STORIES["train"]),
        transformer=replace(config.transformer, dropout=0.0),
        batch_size=8,
        settings=replace(stories().settings, max_minutes=120, max_steps=2300, learning_rate=1e-3),
    )


def poetry():
    """Classical Chinese poems by character on two CPU cores: 50 minutes; 4.57 nats a character after 9 M tokens, in 40.

    python -m bigmodel train text_generation --preset poetry --data DATA
    """
    return TextGenerationConfig(
        **_POETRY,
        transformer=_shape(8192, 256, 6, 640, heads=4, key_value_heads=4, context=512),
        window=256,
        batch_size=16,
        settings=TrainingSettings(max_minutes=50, compile=True, validate_every=600),
    )


def poetry_gpu():
    """Classical Chinese poems on one GPU: 16 M parameters, 1.1 minutes beside two other trainings, 32 M tokens.

    4.36 nats a character; a longer training was not tried.

    python -m bigmodel train text_generation --preset poetry-gpu --data DATA
    """
    return _gpu(
        poetry(),
        1.1,
        transformer=_shape(8192, 448, 5, 1216, heads=7, key_value_heads=7, context=512, dropout=0.15),
        batch_size=192,
    )


def tinyshakespeare():
    """A check of the trainer, by character: three minutes on two CPU cores, 1.52 nats a character.

    python -m bigmodel train text_generation --preset tinyshakespeare --data DATA
    """
    return TextGenerationConfig(
        name="tinyshakespeare",
        title="Tiny Shakespeare",
        description="Characters in the manner of Shakespeare; a check of the trainer.",
        languages=("en",),
        format="plain",
        tokenizer="characters",
        train=(("en.tinyshakespeare.txt.xz", 1),),
        valid=None,
        transformer=_shape(128, 192, 4, 512, heads=6, key_value_heads=6, context=256),
        window=128,
        batch_size=12,
        settings=TrainingSettings(max_minutes=3, compile=True, validate_every=10_000),
    )


PRESETS = {
    "stories": stories,
    "stories-gpu": stories_gpu,
    "stories-further": stories_further,
    "poetry": poetry,
    "poetry-gpu": poetry_gpu,
    "tinyshakespeare": tinyshakespeare,
}
