"""Configurations as frozen dataclasses, and their JSON files. Imports no torch."""

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from bigmodel.errors import ConfigError


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a transformer, in the names of Hugging Face's Qwen3.

    Attributes:
        vocab_size: rows of the embedding.
        hidden_size: width of the residual stream.
        intermediate_size: width of the gated feed-forward layer.
        num_hidden_layers: blocks.
        num_attention_heads: query heads.
        num_key_value_heads: key and value heads; divides num_attention_heads.
        head_dim: width of a head; even, for rotary positions.
        max_position_embeddings: longest sequence, in tokens.
        rms_norm_eps: added to the mean square before its root.
        rope_theta: base of the rotary frequencies.
        tie_word_embeddings: the head shares the embedding's weights.
        dropout: on the residual branches and the embedding, in training only.
        qk_norm: queries and keys are normalised head by head.
        relative_attention_num_buckets: distances that self-attention tells apart; 0 for rotary positions instead.
        relative_attention_max_distance: larger distances, in tokens, count as this one.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    tie_word_embeddings: bool = True
    dropout: float = 0.0
    qk_norm: bool = True
    relative_attention_num_buckets: int = 0
    relative_attention_max_distance: int = 128

    def __post_init__(self):
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_key_value_heads {self.num_key_value_heads} does not divide "
                f"num_attention_heads {self.num_attention_heads}"
            )
        if self.head_dim % 2:
            raise ConfigError(f"head_dim {self.head_dim} is odd; rotary positions turn pairs")

    def to_qwen3(self):
        """Return the config.json of a stock ``Qwen3ForCausalLM``, which has rotary positions and qk_norm, as a dict.

        Source: transformers 5, Qwen3Config (rope_theta is nested under rope_parameters).
        """
        values = asdict(self)
        rope_theta = values.pop("rope_theta")
        for ours in ("dropout", "qk_norm", "relative_attention_num_buckets", "relative_attention_max_distance"):
            del values[ours]
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            **values,
            "rope_parameters": {"rope_type": "default", "rope_theta": rope_theta},
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "use_sliding_window": False,
            "dtype": "bfloat16",
        }

    @classmethod
    def from_qwen3(cls, values):
        """Read the dict of a Qwen3 config.json; keys that are not of this class are ignored."""
        known = {f.name for f in fields(cls)}
        kept = {k: v for k, v in values.items() if k in known}
        rope = values.get("rope_parameters") or {}
        if "rope_theta" in rope:
            kept["rope_theta"] = rope["rope_theta"]
        missing = [f.name for f in fields(cls) if f.name not in kept and f.default is f.default_factory]
        if missing:
            raise ConfigError(f"config.json lacks {', '.join(missing)}")
        return cls(**kept)

    def to_t5(self, decoder):
        """Return the config.json of a stock ``T5ForConditionalGeneration`` with this encoder, as a dict.

        Args:
            decoder: TransformerConfig that differs in its layers at most.

        Raises:
            ConfigError: T5 has no such shape.
        """
        if replace(decoder, num_hidden_layers=self.num_hidden_layers) != self:
            raise ConfigError("encoder and decoder differ in more than their layers")
        groups = self.num_attention_heads != self.num_key_value_heads
        if self.qk_norm or not self.relative_attention_num_buckets or groups or not self.tie_word_embeddings:
            raise ConfigError("T5 has relative positions, a key head a query head, tied embeddings, and no qk_norm")
        return {
            "architectures": ["T5ForConditionalGeneration"],
            "model_type": "t5",
            "is_encoder_decoder": True,
            "vocab_size": self.vocab_size,
            "d_model": self.hidden_size,
            "d_kv": self.head_dim,
            "d_ff": self.intermediate_size,
            "num_layers": self.num_hidden_layers,
            "num_decoder_layers": decoder.num_hidden_layers,
            "num_heads": self.num_attention_heads,
            "relative_attention_num_buckets": self.relative_attention_num_buckets,
            "relative_attention_max_distance": self.relative_attention_max_distance,
            "n_positions": self.max_position_embeddings,
            "layer_norm_epsilon": self.rms_norm_eps,
            "feed_forward_proj": "gated-silu",
        }

    @classmethod
    def from_t5(cls, values):
        """Read the dict of a T5 config.json, as to_t5 writes it, and return the encoder's and the decoder's."""
        try:
            encoder = cls(
                vocab_size=values["vocab_size"],
                hidden_size=values["d_model"],
                intermediate_size=values["d_ff"],
                num_hidden_layers=values["num_layers"],
                num_attention_heads=values["num_heads"],
                num_key_value_heads=values["num_heads"],
                head_dim=values["d_kv"],
                max_position_embeddings=values["n_positions"],
                rms_norm_eps=values["layer_norm_epsilon"],
                qk_norm=False,
                relative_attention_num_buckets=values["relative_attention_num_buckets"],
                relative_attention_max_distance=values["relative_attention_max_distance"],
            )
            return encoder, replace(encoder, num_hidden_layers=values["num_decoder_layers"])
        except KeyError as error:
            raise ConfigError(f"config.json lacks {error.args[0]}") from error


@dataclass(frozen=True)
class VisionConfig:
    """The shape of a convolutional stem and a vision transformer on it, in the names of Hugging Face's ViT.

    Attributes:
        image_size: (height, width) of a picture, in pixels; the strides' product divides both.
        num_channels: of a picture; 3 for colours, 1 for grey levels.
        stem_channels: outputs of each 3x3 convolution.
        stem_strides: of each; a number for each of stem_channels.
        hidden_size: width of the residual stream.
        intermediate_size: width of the feed-forward layer.
        num_hidden_layers: blocks.
        num_attention_heads: divides hidden_size.
        layer_norm_eps: added to the variance before its root.
        dropout: on the residual branches, in training only.
    """

    image_size: tuple[int, int]
    num_channels: int
    stem_channels: tuple[int, ...]
    stem_strides: tuple[int, ...]
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    layer_norm_eps: float = 1e-6
    dropout: float = 0.0

    def __post_init__(self):
        if len(self.stem_channels) != len(self.stem_strides) or not self.stem_channels:
            raise ConfigError(f"{len(self.stem_channels)} stem_channels, but {len(self.stem_strides)} stem_strides")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"num_attention_heads {self.num_attention_heads} does not divide hidden_size {self.hidden_size}"
            )
        if any(side % self.stride for side in self.image_size):
            raise ConfigError(f"image_size {self.image_size} is not a multiple of the stem's stride {self.stride}")

    @property
    def stride(self):
        """Pixels of a picture between two tokens."""
        return math.prod(self.stem_strides)

    @property
    def grid(self):
        """(rows, columns) of tokens."""
        return tuple(side // self.stride for side in self.image_size)

    def to_vit(self):
        """Return the config.json of a stock ``ViTModel`` that reads the stem's output, and the stem's own keys."""
        return {
            "model_type": "vit",
            "image_size": self.grid[0] if self.grid[0] == self.grid[1] else list(self.grid),
            "patch_size": 1,
            "num_channels": self.stem_channels[-1],
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "layer_norm_eps": self.layer_norm_eps,
            "hidden_act": "gelu",
            "qkv_bias": True,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "stem": {
                "image_size": list(self.image_size),
                "num_channels": self.num_channels,
                "channels": list(self.stem_channels),
                "strides": list(self.stem_strides),
            },
        }

    @classmethod
    def from_vit(cls, values):
        """Read the dict of a config.json that to_vit wrote."""
        try:
            stem = values["stem"]
            return cls(
                image_size=tuple(stem["image_size"]),
                num_channels=stem["num_channels"],
                stem_channels=tuple(stem["channels"]),
                stem_strides=tuple(stem["strides"]),
                hidden_size=values["hidden_size"],
                intermediate_size=values["intermediate_size"],
                num_hidden_layers=values["num_hidden_layers"],
                num_attention_heads=values["num_attention_heads"],
                layer_norm_eps=values["layer_norm_eps"],
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"config.json lacks {error.args[0]}") from error


def read_json(path):
    """Read a JSON file.

    Raises:
        ConfigError: the file is missing or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is missing") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error


def read_config(folder):
    """Read the config.json of a model folder.

    Raises:
        ConfigError: it is missing or no object of JSON, or its part "bigmodel" has values of other kinds than ours.
    """
    path = Path(folder) / "config.json"
    values = read_json(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not an object of JSON")
    if not _is_description(values.get("bigmodel", {})):
        raise ConfigError(f"{path}: bigmodel is no description of a model")
    return values


def _is_description(card):
    if not isinstance(card, dict):
        return False
    texts = [card[key] for key in ("task", "name", "title", "description", "format") if key in card]
    for key in ("languages", "directions"):
        texts += codes if isinstance(codes := card.get(key, []), list) else [None]
    return all(isinstance(text, str) for text in texts) and isinstance(card.get("threshold", 0.5), int | float)


def write_json(path, values):
    """Write a dict as indented UTF-8 JSON with a final newline."""
    text = json.dumps(values, ensure_ascii=False, indent=2)
    Path(path).write_text(text + "\n", encoding="utf-8")
