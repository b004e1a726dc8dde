"""The encoder-decoder of a configuration, and its loss on held-out pairs."""

import dataclasses

import numpy as np
import torch

from bigmodel.nn.checkpoint import from_pretrained
from bigmodel.nn.loss import IGNORE
from bigmodel.nn.transformer import EncoderDecoder
from bigmodel.translation.data import make_batch


def make_model(config, vocab_size):
    """Return an EncoderDecoder with fresh weights, or with those of ``config.init_from``.

    Args:
        config: TranslationConfig; its seed draws the weights.
        vocab_size: of the trained tokenizer, rounded up to a multiple of 64 for fast products.
    """
    torch.manual_seed(config.settings.seed)
    encoder = dataclasses.replace(config.transformer, vocab_size=-(-vocab_size // 64) * 64)
    decoder = dataclasses.replace(encoder, num_hidden_layers=config.decoder_layers)
    model = EncoderDecoder(encoder, decoder, label_smoothing=config.label_smoothing)
    if config.init_from:
        model.load_state_dict(from_pretrained(config.init_from).state_dict())
    return model


def mean_loss(model, pairs, end, rows=64):
    """Return the negative log-likelihood of translations, in nats a token, the end of each included.

    Args:
        model: EncoderDecoder in evaluation mode.
        pairs: Pairs.
        end: id of END_OF_TEXT.
        rows: of a batch.
    """
    device = next(model.parameters()).device
    order = np.argsort(pairs.lengths().sum(1), kind="stable")
    total, count = 0.0, 0
    for start in range(0, len(order), rows):
        chosen = np.stack([np.zeros(len(order[start : start + rows]), np.int64), order[start : start + rows]], 1)
        batch = [tensor.to(device) for tensor in make_batch([pairs], chosen, end)]
        total += model.loss(*batch, "sum").item()
        count += int((batch[-1] != IGNORE).sum())
    return total / count
