"""The diffusion transformer: a caption's encoder, and a denoiser that reads it by cross-attention.

A picture x and noise e of the same size are mixed, z = t x + (1 - t) e, at a time t from 0 (noise) to 1 (picture). On
that straight way the velocity is v = x - e. The denoiser says what x is expected to be; v follows from it,
(x - z) / (1 - t), and the loss is the velocity's squared error.

Source: Lipman et al. 2022, arXiv:2210.02747 (flow matching); Peebles and Xie 2022, arXiv:2212.09748 (diffusion
transformer); Li and He 2025, arXiv:2511.13720 (the picture is predicted, the velocity scored).
"""

import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from bigmodel.config import read_json
from bigmodel.nn.attention import Attention
from bigmodel.nn.checkpoint import fitting, read_weights, write_weights
from bigmodel.nn.feed_forward import SwiGLU
from bigmodel.nn.transformer import Transformer, initialise
from bigmodel.text_to_image.config import TIME_MEAN, DiffusionConfig

FREQUENCIES = 64  # of which a time is made
LAST = 0.05  # the loss counts times as if this much noise were left at least
TIME_DEVIATION = 1.2  # of the normal whose sigmoid training times are
UNIFORM = 0.1  # share of training times that are uniform, so that both ends are known


def frequencies(device=None):
    """Return the angles (FREQUENCIES,) of time 1, float32: no buffer, which 16 bits would spoil."""
    return 1000 * 1e4 ** -(torch.arange(FREQUENCIES, device=device) / FREQUENCIES)


class TimeEmbedding(nn.Module):
    """A time in 0..1 as a vector: cosines and sines of many frequencies, and two layers."""

    def __init__(self, hidden_size):
        super().__init__()
        self.linear_1 = nn.Linear(2 * FREQUENCIES, hidden_size)
        self.linear_2 = nn.Linear(hidden_size, hidden_size)

    def forward(self, timestep):
        """Map timestep (batch,) to (batch, hidden_size)."""
        angles = timestep[:, None] * frequencies(timestep.device)
        waves = torch.cat([angles.cos(), angles.sin()], -1).to(self.linear_1.weight.dtype)
        return self.linear_2(F.silu(self.linear_1(waves)))


class DenoiserLayer(nn.Module):
    """Self-attention, cross-attention to the caption, and feed-forward, scaled and gated by time and caption.

    Args:
        config: TransformerConfig.
        layer: its index.
    """

    def __init__(self, config, layer):
        super().__init__()
        self.dropout, self.eps = config.dropout, config.rms_norm_eps
        self.modulation_embed = nn.Linear(config.hidden_size, 6 * config.hidden_size)
        self.self_attn = Attention(config, layer)
        self.cross_attn = Attention(config, layer)
        self.mlp = SwiGLU(config.hidden_size, config.intermediate_size)

    def forward(self, x, condition, text, text_mask):
        """Map x (batch, patches, hidden_size) to the same shape.

        Args:
            condition: (batch, hidden_size), of time and caption.
            text: (batch, tokens, hidden_size).
            text_mask: (batch, 1, 1, tokens) bool.
        """
        shift, scale, gate, shift_2, scale_2, gate_2 = self.modulation_embed(condition)[:, None].chunk(6, -1)
        x = x + gate * self._drop(self.self_attn(self._norm(x) * (1 + scale) + shift))
        x = x + self._drop(self.cross_attn(self._norm(x), source=text, mask=text_mask))
        return x + gate_2 * self._drop(self.mlp(self._norm(x) * (1 + scale_2) + shift_2))

    def _norm(self, x):
        return F.rms_norm(x, x.shape[-1:], eps=self.eps)

    def _drop(self, x):
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class DiffusionTransformer(nn.Module):
    """Text encoder and denoiser.

    Args:
        config: DiffusionConfig.
    """

    def __init__(self, config):
        super().__init__()
        self.config, shape = config, config.transformer
        width, values = shape.hidden_size, 3 * config.patch_size**2
        self.text_encoder = Transformer(config.text, causal=False)
        self.text_position_embed = nn.Parameter(torch.empty(1, config.max_tokens, width))
        self.text_pool = nn.Linear(width, width)
        self.time_embed = TimeEmbedding(width)
        self.patch_embed = nn.Linear(values, width)
        self.position_embed = nn.Parameter(torch.empty(1, config.num_patches, width))
        self.layers = nn.ModuleList(DenoiserLayer(shape, i) for i in range(shape.num_hidden_layers))
        self.modulation_embed = nn.Linear(width, 2 * width)
        self.proj_out = nn.Linear(width, values)
        self.time_mean = TIME_MEAN
        self._initialise()

    def _initialise(self):
        """Draw the weights; what scales, gates and writes the picture begins at 0."""
        initialise(self)
        nn.init.normal_(self.position_embed, std=0.02)
        nn.init.normal_(self.text_position_embed, std=0.2)  # of words that are about 1
        for name, weight in self.named_parameters():
            if "modulation" in name or name.startswith("proj_out"):
                nn.init.zeros_(weight)

    def encode(self, input_ids, attention_mask):
        """Encode captions.

        Args:
            input_ids: (batch, max_tokens) int64.
            attention_mask: (batch, max_tokens) int64, 0 at padding.

        Returns:
            text: (batch, max_tokens, hidden_size).
            pooled: (batch, hidden_size), their mean.
        """
        text = self.text_encoder(input_ids, attention_mask=attention_mask) + self.text_position_embed
        share = attention_mask / attention_mask.sum(1, keepdim=True)
        return text, (text * share[..., None].to(text.dtype)).sum(1)

    def forward(self, sample, timestep, text, pooled, attention_mask):
        """Say which picture a noisy one is expected to be.

        Args:
            sample: (batch, 3, height, width), noisy.
            timestep: (batch,) in 0..1, 0 for noise alone.
            text, pooled: of ``encode``.
            attention_mask: (batch, max_tokens), of the captions.

        Returns:
            (batch, 3, height, width), in about -1..1.
        """
        condition = F.silu(self.time_embed(timestep) + self.text_pool(pooled))
        x = self.patch_embed(patchify(sample, self.config.patch_size)) + self.position_embed
        mask = attention_mask[:, None, None, :].bool()
        for layer in self.layers:
            x = layer(x, condition, text, mask)
        shift, scale = self.modulation_embed(condition)[:, None].chunk(2, -1)
        x = F.rms_norm(x, x.shape[-1:], eps=self.config.transformer.rms_norm_eps)
        return unpatchify(self.proj_out(x * (1 + scale) + shift), self.config.patch_size)

    def loss(self, pixel_values, input_ids, attention_mask, timestep=None, noise=None):
        """Return the velocity's mean squared error.

        Args:
            pixel_values: (batch, 3, height, width) in -1..1.
            input_ids, attention_mask: (batch, max_tokens).
            timestep: (batch,), drawn where it is None.
            noise: like pixel_values, drawn where it is None.
        """
        if timestep is None:
            timestep = training_times(len(pixel_values), pixel_values.device, mean=self.time_mean)
        if noise is None:
            noise = torch.randn_like(pixel_values)
        t = timestep[:, None, None, None]
        expected = self(
            t * pixel_values + (1 - t) * noise, timestep, *self.encode(input_ids, attention_mask), attention_mask
        )
        return ((expected.float() - pixel_values) / (1 - t).clamp(min=LAST)).square().mean()


def training_times(count, device=None, *, mean=TIME_MEAN):
    """Draw times (count,) for a batch, evenly over the quantiles of their distribution; ``mean`` is of the normal.

    Source: Esser et al. 2024, arXiv:2403.03206, section 3.1 (the sigmoid of a normal).
    """
    uniform = round(UNIFORM * count)
    quantile = lambda n: (torch.arange(n, device=device) + torch.rand(n, device=device)) / max(n, 1)  # noqa: E731
    normal = torch.special.ndtri(quantile(count - uniform).clamp(1e-6, 1 - 1e-6))
    return torch.cat([quantile(uniform), torch.sigmoid(mean + TIME_DEVIATION * normal)])


def patchify(pictures, size):
    """Return the squares of pictures (batch, 3, height, width), row by row: (batch, patches, 3 * size * size)."""
    return F.pixel_unshuffle(pictures, size).flatten(2).transpose(1, 2)


def unpatchify(patches, size):
    """Return the pictures whose squares ``patchify`` gave; they are square."""
    side = math.isqrt(patches.shape[1])
    return F.pixel_shuffle(patches.transpose(1, 2).unflatten(2, (side, side)), size)


def make_model(config, vocab_size):
    """Return a DiffusionTransformer with fresh weights, or with those of ``config.init_from``."""
    torch.manual_seed(config.settings.seed)
    if config.init_from:
        model = load_model(config.init_from).train()
    else:
        model = DiffusionTransformer(replace(config.shape, text=replace(config.shape.text, vocab_size=vocab_size)))
    model.time_mean = config.time_mean
    return model


def save_model(model, folder, *, about):
    """Write config.json and model.safetensors; ``about`` is the "bigmodel" part of config.json."""
    write_weights(folder, {**model.config.to_json(), "bigmodel": about}, model.state_dict(), dtype=torch.float16)


def load_model(folder):
    """Return the DiffusionTransformer of a folder, ready to evaluate.

    Raises:
        ConfigError: config.json is missing or lacks a key.
        ModelFolderError: the weights do not fit.
    """
    values, state = read_weights(folder)
    with fitting(folder):
        return load_weights(DiffusionTransformer(DiffusionConfig.from_json(values)), state)


def load_weights(model, state):
    """Load what save_model wrote into a DiffusionTransformer; returns it, ready to evaluate."""
    model.load_state_dict(state)
    return model.eval()


def shape_of(folder):
    """Return the DiffusionConfig of a model folder."""
    return DiffusionConfig.from_json(read_json(folder / "config.json"))
