"""The encoder-decoder against the stock T5ForConditionalGeneration, whose names and formulas are another's."""

import pytest
import torch

from bigmodel.config import read_json
from bigmodel.errors import ConfigError
from bigmodel.nn.checkpoint import from_pretrained, save_pretrained
from bigmodel.nn.relative import relative_buckets
from bigmodel.nn.transformer import EncoderDecoder

T5_SHAPE = {"num_key_value_heads": 4, "qk_norm": False, "relative_attention_num_buckets": 8}


@pytest.fixture
def model(make_config, roughen):
    encoder = make_config(**T5_SHAPE, relative_attention_max_distance=20, head_dim=16)
    decoder = make_config(**T5_SHAPE, relative_attention_max_distance=20, head_dim=16, num_hidden_layers=3)
    return roughen(EncoderDecoder(encoder, decoder)).eval()


def test_stock_t5_loads_it_strictly_and_agrees(model, tmp_path):
    from transformers import T5ForConditionalGeneration

    save_pretrained(model, tmp_path, dtype=torch.float32)
    stock, report = T5ForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    source, target = torch.randint(37, (3, 30)), torch.randint(37, (3, 26))
    mask = torch.arange(30) < torch.tensor([30, 11, 1])[:, None]
    ours = model(source, target, source_mask=mask)
    theirs = stock.eval()(input_ids=source, attention_mask=mask.long(), decoder_input_ids=target).logits
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)


def test_round_trip(model, tmp_path):
    save_pretrained(model, tmp_path, dtype=torch.float32, extra={"bigmodel": {"name": "tiny"}})
    again = from_pretrained(tmp_path)
    assert read_json(tmp_path / "config.json")["bigmodel"]["name"] == "tiny"
    assert again.lm_head.weight is again.encoder.embed_tokens.weight is again.decoder.embed_tokens.weight
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, msg=name)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_are_those_of_t5(bidirectional):
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-300, 301)
    settings = {"bidirectional": bidirectional, "num_buckets": 32, "max_distance": 128}
    theirs = T5Attention._relative_position_bucket(distance, **settings)
    assert torch.equal(relative_buckets(distance, **settings), theirs)


def test_other_shapes_are_refused(make_config):
    with pytest.raises(ConfigError, match="relative positions"):
        make_config().to_t5(make_config())
    with pytest.raises(ConfigError, match="more than their layers"):
        make_config(**T5_SHAPE).to_t5(make_config(**T5_SHAPE, dropout=0.5))
