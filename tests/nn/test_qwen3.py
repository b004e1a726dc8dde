"""A model made here is a stock Qwen3 model: strict loading, equal logits, ids and strings."""

import pytest
import torch

from bigmodel.config import TransformerConfig, read_json
from bigmodel.errors import ConfigError, ModelFolderError
from bigmodel.nn.cache import KVCache
from bigmodel.nn.checkpoint import from_pretrained, save_pretrained
from bigmodel.nn.transformer import CausalLM
from bigmodel.training.tokenizer import save_tokenizer, train_bpe

TEXTS = ["Once upon a time there was a fox.\n", "The fox — quick, brown — jumped; 狐狸!\n"] * 3


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def folder(request, tmp_path, make_config, roughen):
    """A model folder with a tokenizer, and the model that was saved in it."""
    tokenizer = train_bpe(TEXTS, vocab_size=290)
    config = make_config(
        vocab_size=tokenizer.get_vocab_size(), rope_theta=500.0, rms_norm_eps=1e-5, tie_word_embeddings=request.param
    )
    model = roughen(CausalLM(config)).eval()
    save_pretrained(model, tmp_path, dtype=torch.float32, extra={"bigmodel": {"task": "text_generation"}})
    save_tokenizer(tokenizer, tmp_path)
    return tmp_path, model


def greedy(model, ids, count, cached):
    """Return ids and the ``count`` most likely tokens after them, one after the other."""
    cache, new = (KVCache() if cached else None), ids
    with torch.inference_mode():
        for _ in range(count):
            token = model(new if cached else ids, cache=cache)[:, -1:].argmax(-1)
            ids, new = torch.cat([ids, token], 1), token
    return ids


def test_stock_transformers_loads_it_and_agrees(folder):
    from transformers import AutoTokenizer, Qwen3ForCausalLM

    path, ours = folder
    stock, info = Qwen3ForCausalLM.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert stock.config.rope_parameters["rope_theta"] == 500.0
    assert stock.state_dict().keys() == ours.state_dict().keys()

    tokenizer = AutoTokenizer.from_pretrained(path)
    ids = tokenizer("The quick fox 狐", return_tensors="pt").input_ids
    batch = torch.cat([ids, ids.flip(1)])
    with torch.inference_mode():
        torch.testing.assert_close(ours(batch), stock(batch).logits, rtol=1e-4, atol=1e-4)

    stock.generation_config.eos_token_id = None
    mask = torch.ones_like(ids)
    for cached in (True, False):
        theirs = stock.generate(ids, attention_mask=mask, max_new_tokens=16, do_sample=False, use_cache=cached)
        mine = greedy(ours, ids, 16, cached)
        assert torch.equal(mine, theirs)
        from tokenizers import Tokenizer

        text = Tokenizer.from_file(str(path / "tokenizer.json")).decode(mine[0].tolist())
        assert text == tokenizer.decode(theirs[0], skip_special_tokens=True)
        assert text.startswith("The quick fox 狐")


def test_round_trip(folder):
    path, model = folder
    again = from_pretrained(path)
    assert again.config == model.config
    assert not again.training
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert (again.lm_head.weight is again.model.embed_tokens.weight) == model.config.tie_word_embeddings


def test_sixteen_bit_files_are_named_and_close(folder, tmp_path):
    path, model = folder
    save_pretrained(model, path)
    assert read_json(path / "config.json")["dtype"] == "bfloat16"
    again = from_pretrained(path)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight.bfloat16().float(), again.state_dict()[name])


def test_weights_that_are_broken_are_named(folder):
    path, _ = folder
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelFolderError, match="model.safetensors cannot be read"):
        from_pretrained(path)
    weights.unlink()
    with pytest.raises(ModelFolderError, match="model.safetensors is missing"):
        from_pretrained(path)


def test_a_config_without_a_key_is_refused(make_config):
    values = make_config().to_qwen3()
    assert TransformerConfig.from_qwen3(values) == make_config()
    del values["hidden_size"]
    with pytest.raises(ConfigError, match="hidden_size"):
        TransformerConfig.from_qwen3(values)
