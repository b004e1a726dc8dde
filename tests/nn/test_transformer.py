"""Caches, padding and shapes of the encoder, the decoder and both together."""

import math

import pytest
import torch

from bigmodel.nn.cache import KVCache
from bigmodel.nn.transformer import CausalLM, EncoderDecoder, Transformer


@pytest.mark.parametrize("pieces", [[1] * 9, [4, 1, 1, 3], [9], [1, 8]])
def test_cached_pieces_equal_the_full_pass(make_config, roughen, pieces):
    model = roughen(CausalLM(make_config())).double().eval()
    ids = torch.randint(37, (2, 9))
    cache, steps, start = KVCache(), [], 0
    for length in pieces:
        steps.append(model(ids[:, start : start + length], cache=cache))
        start += length
    assert cache.length == 9
    torch.testing.assert_close(torch.cat(steps, 1), model(ids))


def test_a_decoder_does_not_see_what_comes_after(make_config, roughen):
    model = roughen(CausalLM(make_config())).double().eval()
    ids = torch.randint(37, (1, 8))
    other = ids.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 37
    before, after = model(ids), model(other)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().max() > 1e-3


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_decoders_padding_changes_nothing(make_config, roughen, side):
    model = roughen(CausalLM(make_config())).double().eval()
    ids, noise = torch.randint(37, (2, 5)), torch.randint(37, (2, 3))
    real, padding = torch.ones(2, 5), torch.zeros(2, 3)
    padded = torch.cat([noise, ids] if side == "left" else [ids, noise], 1)
    mask = torch.cat([padding, real] if side == "left" else [real, padding], 1)
    logits = model(padded, attention_mask=mask)
    kept = logits[:, 3:] if side == "left" else logits[:, :5]
    torch.testing.assert_close(kept, model(ids))  # rotary positions are relative: a shift does no harm


def test_an_encoder_sees_both_ways_and_ignores_padding(make_config, roughen):
    encoder = roughen(Transformer(make_config(), causal=False)).double().eval()
    ids = torch.randint(37, (1, 6))
    padded = torch.cat([ids, torch.randint(37, (1, 4))], 1)
    mask = torch.tensor([[True] * 6 + [False] * 4])
    full = encoder(ids)
    torch.testing.assert_close(encoder(padded, attention_mask=mask)[:, :6], full)
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 1) % 37
    assert (encoder(other)[:, 0] - full[:, 0]).abs().max() > 1e-3


def test_encoder_decoder_cached_decoding_equals_uncached(make_config, roughen):
    config = make_config()
    model = roughen(EncoderDecoder(config, config)).double().eval()
    source, target = torch.randint(37, (2, 7)), torch.randint(37, (2, 6))
    source_mask = torch.ones(2, 7, dtype=torch.bool)
    source_mask[1, 5:] = False
    full = model(source, target, source_mask=source_mask)
    encoded = model.encoder(source, attention_mask=source_mask)
    cache = KVCache()
    steps = [
        model(source, target[:, i : i + 1], source_mask=source_mask, cache=cache, source=encoded) for i in range(6)
    ]
    torch.testing.assert_close(torch.cat(steps, 1), full)
    alone = model(source[1:, :5], target[1:])
    torch.testing.assert_close(full[1:], alone)


def test_encoder_and_decoder_share_one_embedding(make_config):
    model = EncoderDecoder(make_config(), make_config())
    assert model.encoder.embed_tokens.weight is model.decoder.embed_tokens.weight is model.lm_head.weight


@pytest.mark.parametrize("tied", [True, False])
def test_the_loss_begins_at_a_uniform_guess(make_config, tied):
    model = CausalLM(make_config(vocab_size=2048, hidden_size=64, head_dim=16, tie_word_embeddings=tied))
    ids = torch.randint(2048, (4, 33))
    loss = model.loss(ids[:, :-1], ids[:, 1:]).item()
    assert abs(loss - math.log(2048)) < 0.1


def test_dropout_acts_in_training_alone(make_config):
    model = CausalLM(make_config(dropout=0.5))
    ids = torch.randint(37, (2, 8))
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))
