"""Presets: functions that return a whole configuration. Each says its command, its duration and what to expect."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bigmodel.config import TransformerConfig
from bigmodel.errors import ConfigError
from bigmodel.training.settings import TrainingSettings, on_gpu

THINGS = (
    *("cat face", "dog face", "monkey face", "pig face", "frog", "bear", "penguin", "elephant", "fish", "octopus"),
    *("snail", "honeybee", "red apple", "banana", "cherries", "pineapple", "pizza", "hamburger", "doughnut"),
    *("bicycle", "automobile", "bus", "rocket", "sailboat", "house", "evergreen tree", "sunflower", "rose"),
    *("mushroom", "soccer ball", "basketball", "guitar", "key", "alarm clock", "light bulb", "red heart", "balloon"),
    *("star", "snowflake", "crown"),
)
COUNTS = (0.3, 0.55, 0.15)  # shares of compositions with one, two and three things
TIME_MEAN = -0.8  # of the normal whose sigmoid training times are: a caption decides early


@dataclass(frozen=True)
class DiffusionConfig:
    """The shape of a text encoder and of the diffusion transformer that reads it.

    Attributes:
        sample_size: pixels of a picture's side.
        patch_size: pixels of a token's side; divides sample_size.
        max_tokens: of a caption; the rest is cut off.
        text: TransformerConfig of the text encoder; vocab_size is that of the tokenizer.
        transformer: TransformerConfig of the denoiser, which has no vocabulary.
    """

    sample_size: int
    patch_size: int
    max_tokens: int
    text: TransformerConfig
    transformer: TransformerConfig

    def __post_init__(self):
        if self.sample_size % self.patch_size:
            raise ConfigError(f"patch_size {self.patch_size} does not divide sample_size {self.sample_size}")
        if self.text.hidden_size != self.transformer.hidden_size:
            raise ConfigError("text encoder and denoiser differ in hidden_size")

    @property
    def num_patches(self):
        """Tokens of a picture."""
        return (self.sample_size // self.patch_size) ** 2

    def to_json(self):
        """Return the shape's part of config.json."""
        return {"architectures": ["DiffusionTransformer"], "model_type": "diffusion_transformer", **asdict(self)}

    @classmethod
    def from_json(cls, values):
        """Read the dict of a config.json that to_json wrote.

        Raises:
            ConfigError: a key is missing or unknown.
        """
        try:
            stacks = {name: TransformerConfig(**values[name]) for name in ("text", "transformer")}
            return cls(values["sample_size"], values["patch_size"], values["max_tokens"], **stacks)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"config.json lacks {error.args[0]}") from error


@dataclass(frozen=True)
class TextToImageConfig:
    """Everything that an image generator is made from.

    Attributes:
        name: of the model and its folder.
        title, description: for the page and the card.
        corpus: parquet of pictures with names, in the data folder; see data.read_pictures.
        shape: DiffusionConfig; the tokenizer sets its vocabulary.
        things: names of what compositions are made of.
        composed: share of training pictures that are compositions.
        counts: shares of compositions, see COUNTS.
        in_order: share of "right of" and "below" that become "left of" and "above": what is named first comes first.
        time_mean: of training times, see TIME_MEAN.
        caption_dropout: share of pictures whose caption is left out, for classifier-free guidance.
        batch_size: pictures.
        settings: TrainingSettings.
        init_from: model folder whose weights, shape and tokenizer the training begins with; None for fresh ones.
    """

    name: str
    title: str
    description: str
    corpus: str
    shape: DiffusionConfig
    things: tuple[str, ...]
    composed: float
    caption_dropout: float
    batch_size: int
    settings: TrainingSettings
    init_from: Path | None = None
    counts: tuple[float, float, float] = COUNTS
    in_order: float = 0.0
    time_mean: float = TIME_MEAN

    @property
    def transformer(self):
        """TransformerConfig of the denoiser."""
        return self.shape.transformer


def _shape(sample_size, patch_size, hidden_size, intermediate_size, layers, text_layers, *, dropout=0.0):
    def stack(layers, intermediate_size, **values):
        return TransformerConfig(
            hidden_size=hidden_size,
            intermediate_size=intermediate_size,
            num_hidden_layers=layers,
            num_attention_heads=hidden_size // 64,
            num_key_value_heads=hidden_size // 64,
            head_dim=64,
            dropout=dropout,
            **values,
        )

    words = 20
    text = stack(
        text_layers,
        2 * hidden_size,
        vocab_size=8192,
        max_position_embeddings=words,
        qk_norm=False,
        relative_attention_num_buckets=32,
    )
    places = (sample_size // patch_size) ** 2
    return DiffusionConfig(
        sample_size,
        patch_size,
        words,
        text,
        stack(layers, intermediate_size, vocab_size=0, max_position_embeddings=places),
    )


def emoji():
    """Emoji of 32 x 32 pixels on CPU cores: 365 minutes, 983,000 pictures; a caption is found as often as of real ones.

    That is first among 100; of two things and their relation 99 % are right. That one had 95 minutes on two cores in
    batches of 64, then by --init-from, on one core with fast bfloat16, 98 with a rate of 1.4e-3, 118 with 1e-3, the two
    lessons of emoji-order, and 40 with 1e-3; its first 193 had fewer compositions, and before the lessons words had no
    places. The shipped one is emoji-gpu's.

    python -m bigmodel train text_to_image --preset emoji --data DATA
    """
    return TextToImageConfig(
        name="emoji",
        title="Emoji",
        description="Draws emoji in five styles, alone or two and three together on a coloured ground.",
        corpus="emoji64.parquet",
        shape=_shape(32, 4, 256, 640, 8, 2),
        things=THINGS,
        composed=0.5,
        caption_dropout=0.1,
        batch_size=128,
        settings=TrainingSettings(
            max_minutes=351, learning_rate=2e-3, weight_decay=0.02, ema=0.998, compile=True, validate_every=500
        ),
    )


def emoji_gpu():
    """Emoji of 64 x 64 pixels on one GPU: 20 M parameters, 5 minutes beside two other trainings, 1.2 M pictures.

    A caption is found as often as that of a real picture; the model card has all figures.

    python -m bigmodel train text_to_image --preset emoji-gpu --data DATA
    """
    config = emoji()
    return replace(
        config,
        shape=_shape(64, 4, 320, 896, 7, 2, dropout=0.05),
        composed=0.55,
        in_order=0.6,
        batch_size=256,
        settings=on_gpu(config.settings, 5, workers=8, ema=0.999, validate_every=500),
    )


def emoji_order(in_order=0.9):
    """A lesson for ``emoji`` in the order of words: 7 minutes of compositions, at early times.

    "A left of B" and "B right of A" are one picture, so that neither a word's place nor "left" alone says where a thing
    goes: after 311 minutes without a lesson the model took both orders for the same. Where nearly all captions name
    first what is left or above, places are learnt in 200 steps. The second lesson has nearly as many with "right" and
    "below": what they turn is learnt in 200 more.

    python -m bigmodel train text_to_image --preset emoji-order --init-from runs/emoji/model --data DATA
    python -m bigmodel train text_to_image --preset emoji-order-2 --init-from runs/emoji-order/model --data DATA
    """
    config = emoji()
    return replace(
        config,
        composed=0.95,
        counts=(0.0, 0.7, 0.3),
        in_order=in_order,
        time_mean=-2.2,
        settings=replace(config.settings, max_minutes=7, learning_rate=1.5e-3),
    )


PRESETS = {
    "emoji": emoji,
    "emoji-order": emoji_order,
    "emoji-order-2": lambda: emoji_order(in_order=0.12),
    "emoji-gpu": emoji_gpu,
}
