"""A translator to be scored: on its graphs, as it is served, or on its weights in torch. Both are a runtime.Translator.

What differs is ``Translator.model``; sentences, marks, limits and beam search are the same.
"""

import numpy as np
import torch

from bigmodel.nn.cache import KVCache
from bigmodel.nn.checkpoint import from_pretrained
from bigmodel.runtime import engines
from bigmodel.translation.decoding import padded
from bigmodel.translation.runtime import Translator


def open_engine(name, folder, provider=None):
    """Open a model folder as a Translator by one of runtime.engines.ENGINES."""
    return engines.open_engine(name, folder, Translator, _torch_model, provider)


def _torch_model(opened):
    return TorchEncoderDecoder(from_pretrained(opened.path), opened.config["eos_token_id"])


class TorchEncoderDecoder:
    """The weights of a translator in torch, in the place of decoding.EncoderDecoder.

    Args:
        model: nn.transformer.EncoderDecoder in evaluation mode.
        end: id that begins and ends a translation, and fills a batch.
    """

    def __init__(self, model, end):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.end = model.to(self.device), end

    @torch.inference_mode()
    def start(self, sources, num_beams):
        """Return the TorchHypotheses of lists of token ids, direction and end included."""
        ids, mask = padded(sources, self.end)
        seen = torch.from_numpy(mask).to(self.device)
        encoded = self.model.encoder(torch.from_numpy(ids).to(self.device), attention_mask=seen)
        return TorchHypotheses(self.model, mask, encoded, num_beams)


class TorchHypotheses:
    """Hypotheses of sentences, as decoding.Hypotheses: a row of the batch for each.

    Args:
        model: nn.transformer.EncoderDecoder.
        mask: (sentences, source) int64 array, 0 at padding.
        encoded: (sentences, source, hidden_size) tensor.
        num_beams: hypotheses a sentence.
    """

    def __init__(self, model, mask, encoded, num_beams):
        self.model, self.mask, self.num_beams, self.cache = model, mask, num_beams, RowCache()
        self.encoded = encoded.repeat_interleave(num_beams, dim=0)

    @torch.inference_mode()
    def step(self, tokens, parents, num_candidates):
        """Continue every hypothesis by a token; see decoding.Hypotheses."""
        device, shape = self.encoded.device, tokens.shape
        self.cache.reorder(self._rows(np.arange(len(tokens))[:, None], parents))
        mask = torch.from_numpy(self.mask).to(device).repeat_interleave(self.num_beams, dim=0)
        ids = torch.from_numpy(tokens).to(device).reshape(-1, 1)
        logits = self.model(None, ids, source=self.encoded, source_mask=mask, cache=self.cache)[:, 0]
        found = logits.float().log_softmax(-1).topk(min(num_candidates, logits.shape[-1]))
        return tuple(values.cpu().numpy().reshape(*shape, -1) for values in found)

    @torch.inference_mode()
    def keep(self, rows):
        """Go on with these sentences alone."""
        kept = self._rows(rows[:, None], np.arange(self.num_beams))
        self.mask, self.encoded = self.mask[rows], self.encoded[kept]
        self.cache.keep(kept)

    def _rows(self, sentences, beams):
        """Return the rows of the batch of sentences' beams, as a tensor."""
        return torch.from_numpy((sentences * self.num_beams + beams).ravel()).to(self.encoded.device)


class RowCache(KVCache):
    """A cache whose rows can change places."""

    def reorder(self, rows):
        """Let each row go on from the tokens of ``rows``, another hypothesis of the same source."""
        self._self = {layer: (key[rows], value[rows]) for layer, (key, value) in self._self.items()}

    def keep(self, rows):
        """Go on with these rows alone."""
        self.reorder(rows)
        self._cross = {layer: (key[rows], value[rows]) for layer, (key, value) in self._cross.items()}
