"""A vision transformer on a convolutional stem, with Hugging Face's names.

The stem turns a picture into a small map of features; a ViT whose patches are single places of that map reads it. The
part named ``vit`` loads, strictly, in the stock ``ViTModel``, which then takes the stem's output as its picture.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from bigmodel.config import TransformerConfig
from bigmodel.nn.attention import Attention

EPSILON = 1e-5  # of batch normalisation


class Convolution(nn.Module):
    """A 3x3 convolution, batch normalisation, and what is positive of it.

    The kernel is kept as the matrix (outputs, inputs * 9) that it is to a patch of its input, so that an optimiser of
    matrices takes it for one.

    Args:
        inputs, outputs: channels.
        stride: pixels between two outputs.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167 (batch normalisation).
    """

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs * 9))
        self.scale = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("running_mean", torch.zeros(outputs))
        self.register_buffer("running_var", torch.ones(outputs))

    def forward(self, x):
        """Map x (batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        x = F.conv2d(x, self.weight.view(len(self.weight), -1, 3, 3), stride=self.stride, padding=1)
        counted = self.running_mean, self.running_var
        return F.relu(F.batch_norm(x, *counted, self.scale, self.bias, self.training, eps=EPSILON))


class Stem(nn.Sequential):
    """The convolutions of a VisionConfig, one after the other.

    Source: Xiao et al. 2021, arXiv:2106.14881 (vision transformers train faster and better on convolutions).
    """

    def __init__(self, config):
        inputs = (config.num_channels, *config.stem_channels)
        strides = config.stem_strides
        super().__init__(*(Convolution(inputs[i], inputs[i + 1], stride) for i, stride in enumerate(strides)))

    def forward(self, pixel_values):
        """Map pixel_values (batch, num_channels, height, width) to (batch, stem_channels[-1], rows, columns)."""
        return super().forward(pixel_values.contiguous(memory_format=torch.channels_last))


class Embeddings(nn.Module):
    """Tokens of a feature map: each place projected, a class token before them, positions added."""

    def __init__(self, config):
        super().__init__()
        rows, columns = config.grid
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.hidden_size))
        self.position_embeddings = nn.Parameter(torch.empty(1, 1 + rows * columns, config.hidden_size))
        self.patch_embeddings = nn.ModuleDict(
            {"projection": nn.Conv2d(config.stem_channels[-1], config.hidden_size, kernel_size=1)}
        )

    def forward(self, features):
        """Map features (batch, channels, rows, columns) to tokens (batch, 1 + rows * columns, hidden_size)."""
        tokens = self.patch_embeddings["projection"](features).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1) + self.position_embeddings


class MLP(nn.Module):
    """fc2(gelu(fc1(x)))."""

    def __init__(self, config):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x):
        """Map x (..., hidden_size) to the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class VisionLayer(nn.Module):
    """Self-attention and feed-forward, each normalised before, added after."""

    def __init__(self, config, layer):
        super().__init__()
        self.dropout = config.dropout
        self.layernorm_before = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.attention = Attention(_attention_config(config), layer, bias=True)
        self.layernorm_after = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x):
        """Map x (batch, tokens, hidden_size) to the same shape."""
        x = x + F.dropout(self.attention(self.layernorm_before(x)), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.layernorm_after(x)), self.dropout, self.training)


class VisionTransformer(nn.Module):
    """Feature map to tokens: embeddings, layers, a last normalisation. Its state dict is a stock ``ViTModel``'s.

    Args:
        config: VisionConfig.

    Source: Dosovitskiy et al. 2020, arXiv:2010.11929.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(VisionLayer(config, i) for i in range(config.num_hidden_layers))
        self.layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, features):
        """Map features (batch, channels, rows, columns) to tokens (batch, 1 + rows * columns, hidden_size)."""
        x = self.embeddings(features)
        for layer in self.layers:
            x = layer(x)
        return self.layernorm(x)


def initialise(module):
    """Draw every matrix of a module from N(0, 0.5 / sqrt(inputs)), positions and class token from N(0, 0.02).

    What writes to the residual stream is smaller by sqrt(2 * layers); see transformer.initialise.
    """
    depth = sum(isinstance(m, VisionLayer) for m in module.modules())
    for name, weight in module.named_parameters():
        if weight.dim() < 2:
            continue
        scale = 0.02 if name.endswith(("cls_token", "position_embeddings")) else 0.5 / math.sqrt(weight[0].numel())
        if name.endswith(("o_proj.weight", "fc2.weight")):
            scale /= math.sqrt(2 * depth)
        nn.init.normal_(weight, std=scale)


def _attention_config(config):
    """Return the TransformerConfig whose attention a layer has: a key head a query head, positions in the tokens."""
    heads = config.num_attention_heads
    return TransformerConfig(
        vocab_size=0,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=config.hidden_size // heads,
        max_position_embeddings=math.prod(config.grid) + 1,
        qk_norm=False,
    )
