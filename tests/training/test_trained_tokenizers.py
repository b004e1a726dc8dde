"""Tokenizers: exact round trips over bytes, unknown characters, and stock files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bigmodel.errors import DataError
from bigmodel.training.tokenizer import END_OF_TEXT, UNKNOWN, save_tokenizer, train_bpe, train_characters

TEXTS = ["the cat and the dog\n", "and the end — 春眠不觉晓\n"] * 20
BPE = train_bpe(TEXTS, vocab_size=280)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_bpe_gives_every_text_back(text):
    ids = BPE.encode(text).ids
    assert BPE.decode(ids, skip_special_tokens=False) == text
    assert all(0 <= i < BPE.get_vocab_size() for i in ids)


def test_bpe_sizes_and_special_tokens():
    assert BPE.get_vocab_size() == 280
    assert BPE.token_to_id(END_OF_TEXT) == 0
    assert BPE.encode(f"a{END_OF_TEXT}b").ids.count(0) == 1
    greedy = train_bpe(["tiny"], vocab_size=8192)  # more than the corpus can give
    assert 257 <= greedy.get_vocab_size() < 300
    assert train_bpe([], vocab_size=8192).get_vocab_size() == 257


def test_characters_are_tokens_and_rare_ones_unknown():
    tokenizer = train_characters(["aaabbc\n"], vocab_size=5, min_count=1)
    assert tokenizer.get_vocab_size() == 5
    assert tokenizer.encode("abba").tokens == ["a", "b", "b", "a"]
    assert tokenizer.encode("a春b").tokens == ["a", UNKNOWN, "b"]
    assert tokenizer.decode(tokenizer.encode("ab ba").ids) == "abba"  # what is unknown is lost, nothing is added
    frequent = train_characters(["aab"], vocab_size=100, min_count=2)
    assert frequent.token_to_id("b") is None


@given(st.text("abc 春眠\n\t🦊", max_size=40))
def test_known_characters_come_back(text):
    tokenizer = train_characters(["abc 春眠\n\t🦊"], vocab_size=100)
    ids = tokenizer.encode(text).ids
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text


def test_characters_of_nothing_are_refused():
    with pytest.raises(DataError, match="empty"):
        train_characters(["", ""], vocab_size=10)


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_a_saved_tokenizer_is_a_stock_one(tmp_path, kind):
    from transformers import AutoTokenizer

    tokenizer = BPE if kind == "bpe" else train_characters(TEXTS, vocab_size=100)
    save_tokenizer(tokenizer, tmp_path)
    stock, again = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "the dog and 春眠 the end\n"
    ids = tokenizer.encode(text).ids
    assert stock(text).input_ids == again.encode(text).ids == ids
    assert stock.decode(ids) == again.decode(ids) == text
    assert stock.eos_token == stock.bos_token == END_OF_TEXT
    assert (stock.unk_token == UNKNOWN) == (kind == "characters")
    assert len(stock) == tokenizer.get_vocab_size()
