"""The language model of a configuration, and its likelihood of a text."""

import dataclasses

import numpy as np
import torch

from bigmodel.nn.checkpoint import from_pretrained
from bigmodel.nn.loss import IGNORE
from bigmodel.nn.transformer import CausalLM

BATCH_TOKENS = 8192  # of a forward pass, about


def make_model(config, vocab_size):
    """Return a CausalLM with fresh weights, or with those of ``config.init_from``.

    Args:
        config: TextGenerationConfig; its seed draws the weights.
        vocab_size: of the trained tokenizer, rounded up to a multiple of 64 for fast products.
    """
    torch.manual_seed(config.settings.seed)
    begun = from_pretrained(config.init_from) if config.init_from else None
    rows = begun.config.vocab_size if begun else -(-vocab_size // 64) * 64
    model = CausalLM(dataclasses.replace(config.transformer, vocab_size=rows))
    if begun:
        model.load_state_dict(begun.state_dict())
    return model


def document_windows(documents, context, stride):
    """Yield (ids, first) pieces of at most ``context`` tokens that score every id of every document once.

    A piece's first ids repeat the piece before it as context; ``stride`` ids of a full piece are scored.

    Args:
        documents: list of (ids, first); ids[first:] are scored, first >= 1.
        context: longest piece, in tokens, without its last label.
        stride: scored ids a piece, at most context.
    """
    for ids, first in documents:
        position = first
        while position < len(ids):
            end = min(len(ids), max(position + stride, context + 1 if position == first else 0))
            start = max(0, end - 1 - context)
            yield ids[start:end], position - start
            position = end


def total_loss(model, documents, *, context, stride):
    """Return the summed negative log-likelihood of documents, in nats.

    Args:
        model: with ``loss(input_ids, labels, "sum")``.
        documents, context, stride: see document_windows.
    """
    pieces = sorted(document_windows(documents, context, stride), key=lambda piece: len(piece[0]))
    device = next(model.parameters()).device
    total, start = 0.0, 0
    while start < len(pieces):
        longest = len(pieces[min(len(pieces), start + 64) - 1][0]) - 1
        batch = pieces[start : start + max(1, min(64, BATCH_TOKENS // max(longest, 1)))]
        width = max(len(ids) for ids, _ in batch) - 1
        inputs = np.zeros((len(batch), width), np.int64)
        labels = np.full((len(batch), width), IGNORE, np.int64)
        for row, (ids, first) in enumerate(batch):
            inputs[row, : len(ids) - 1] = ids[:-1]
            labels[row, first - 1 : len(ids) - 1] = ids[first:]
        rows = torch.from_numpy(inputs).to(device), torch.from_numpy(labels).to(device)
        total += model.loss(*rows, "sum").item()
        start += len(batch)
    return total
