"""Encoder, decoder, causal language model and encoder-decoder, from the same layers.

Names are Hugging Face's, so that a CausalLM's weights load in the stock ``Qwen3ForCausalLM`` as they are; an
EncoderDecoder's load in ``T5ForConditionalGeneration`` where it has relative positions (see checkpoint).
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from bigmodel.nn.attention import Attention, causal_mask
from bigmodel.nn.feed_forward import SwiGLU
from bigmodel.nn.loss import linear_cross_entropy
from bigmodel.nn.norm import RMSNorm
from bigmodel.nn.relative import RelativePositions
from bigmodel.nn.rope import rotary_angles


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention where asked for, and feed-forward; each normalised before, added after.

    Args:
        config: TransformerConfig.
        layer: index of the layer.
        cross: has cross-attention.

    Source: Xiong et al. 2020, arXiv:2002.04745 (normalisation before each part).
    """

    def __init__(self, config, layer, cross=False):
        super().__init__()
        self.dropout = config.dropout
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.cross_attn = Attention(config, layer) if cross else None
        if cross:
            self.cross_attn_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = SwiGLU(config.hidden_size, config.intermediate_size)

    def _drop(self, x):
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def forward(self, x, *, rotary, mask=None, causal=False, cache=None, source=None, source_mask=None):
        """Map x (batch, sequence, hidden_size) to the same shape; the other arguments are Attention's."""
        normed = self.input_layernorm(x)
        x = x + self._drop(self.self_attn(normed, rotary=rotary, mask=mask, causal=causal, cache=cache))
        if self.cross_attn is not None:
            normed = self.cross_attn_layernorm(x)
            x = x + self._drop(self.cross_attn(normed, source=source, mask=source_mask, cache=cache))
        return x + self._drop(self.mlp(self.post_attention_layernorm(x)))


class Transformer(nn.Module):
    """A stack of layers between an embedding and a last normalisation.

    Args:
        config: TransformerConfig.
        causal: a position sees itself and what is before it (decoder); otherwise everything (encoder).
        cross: layers read a source by cross-attention.
        embed_tokens: an embedding to share; None makes one.
    """

    def __init__(self, config, *, causal, cross=False, embed_tokens=None):
        super().__init__()
        self.config = config
        self.causal = causal
        self.embed_tokens = embed_tokens or nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(TransformerLayer(config, i, cross) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.relative_embed = RelativePositions(config, causal) if config.relative_attention_num_buckets else None

    def forward(self, input_ids, *, attention_mask=None, cache=None, source=None, source_mask=None):
        """Return the hidden state of each position.

        Args:
            input_ids: (batch, sequence) int64; with a cache, the tokens after those it holds.
            attention_mask: (batch, keys) bool or int, true at tokens and false at padding; None for no padding.
            cache: KVCache, extended in place.
            source: (batch, source_length, hidden_size), what cross-attention reads.
            source_mask: (batch, source_length) bool or int, false at the source's padding.

        Returns:
            (batch, sequence, hidden_size).
        """
        config, (_, length) = self.config, input_ids.shape
        past = cache.length if cache is not None else 0
        positions = torch.arange(past, past + length, device=input_ids.device)
        x = self.embed_tokens(input_ids)
        rotary = bias = None
        if self.relative_embed is None:
            rotary = rotary_angles(positions, config.head_dim, config.rope_theta, x.dtype)
        else:
            bias = self.relative_embed(positions, torch.arange(past + length, device=input_ids.device))
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        causal = self.causal and past == 0 and mask is None and bias is None
        if self.causal and not causal and length > 1:
            allowed = causal_mask(length, past + length, input_ids.device)
            mask = allowed if mask is None else mask & allowed
        if bias is not None:
            mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        if source_mask is not None:
            source_mask = source_mask[:, None, None, :].bool()
        if config.dropout:
            x = F.dropout(x, config.dropout, self.training)
        for layer in self.layers:
            x = layer(
                x,
                rotary=rotary,
                mask=mask,
                causal=causal,
                cache=cache,
                source=source,
                source_mask=source_mask,
            )
        if cache is not None:
            cache.advance(length)
        return self.norm(x)


class LanguageModelHead(nn.Linear):
    """From hidden states to logits; a language model shares its weight with the embedding where tied."""

    def __init__(self, config, embed_tokens):
        super().__init__(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.weight = embed_tokens.weight


class CausalLM(nn.Module):
    """A decoder that predicts the next token. Its state dict loads strictly in ``Qwen3ForCausalLM``."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = Transformer(config, causal=True)
        self.lm_head = LanguageModelHead(config, self.model.embed_tokens)
        initialise(self)

    def forward(self, input_ids, *, attention_mask=None, cache=None):
        """Return logits (batch, sequence, vocab_size) for input_ids (batch, sequence); see Transformer.forward."""
        return self.lm_head(self.model(input_ids, attention_mask=attention_mask, cache=cache))

    def loss(self, input_ids, labels, reduction="mean"):
        """Return the cross-entropy in nats of labels (batch, sequence), the next token at each position.

        Labels of -100 do not count. "mean" is over the labels that count, "sum" their sum.
        """
        return linear_cross_entropy(self.model(input_ids), self.lm_head.weight, labels, reduction)


class EncoderDecoder(nn.Module):
    """An encoder reads the source, a decoder writes the target; one embedding for both and for the head.

    Args:
        encoder_config, decoder_config: TransformerConfig.
        label_smoothing: share of a label that is spread over the vocabulary, in training only.
    """

    def __init__(self, encoder_config, decoder_config, *, label_smoothing=0.0):
        super().__init__()
        self.label_smoothing = label_smoothing
        self.encoder = Transformer(encoder_config, causal=False)
        self.decoder = Transformer(decoder_config, causal=True, cross=True, embed_tokens=self.encoder.embed_tokens)
        self.lm_head = LanguageModelHead(decoder_config, self.decoder.embed_tokens)
        initialise(self)

    def forward(self, source_ids, target_ids, *, source_mask=None, cache=None, source=None):
        """Return logits (batch, target_length, vocab_size) of the token after each target position.

        Args:
            source_ids: (batch, source_length) int64.
            target_ids: (batch, target_length) int64; with a cache, the tokens after those it holds.
            source_mask: (batch, source_length), false at padding.
            cache: KVCache for step by step decoding.
            source: the encoder's output where it is already there.
        """
        if source is None:
            source = self.encoder(source_ids, attention_mask=source_mask)
        return self.lm_head(self.decoder(target_ids, source=source, source_mask=source_mask, cache=cache))

    def loss(self, source_ids, source_mask, target_ids, labels, reduction="mean"):
        """Return the cross-entropy in nats of labels (batch, target_length), the token after each target position.

        Labels of -100 do not count. "mean" is over the labels that count, "sum" their sum.
        """
        source = self.encoder(source_ids, attention_mask=source_mask)
        hidden = self.decoder(target_ids, source=source, source_mask=source_mask)
        smoothing = self.label_smoothing if self.training else 0.0
        return linear_cross_entropy(hidden, self.lm_head.weight, labels, reduction, smoothing)


def initialise(module):
    """Draw every weight of a module.

    Embeddings from N(0, 0.02), matrices from N(0, 0.5 / sqrt(inputs)); those that write to the residual stream
    are smaller by sqrt(2 * layers), so that its variance does not grow with depth.

    Source: Radford et al. 2019 (GPT-2), section 2.3, for the residual scale.
    """
    depth = sum(isinstance(m, TransformerLayer) for m in module.modules())
    for name, weight in module.named_parameters():
        if weight.dim() < 2:
            continue
        scale = 0.02 if "embed_tokens" in name or "lm_head" in name else 0.5 / math.sqrt(weight.shape[1])
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            scale /= math.sqrt(2 * depth)
        nn.init.normal_(weight, std=scale)
