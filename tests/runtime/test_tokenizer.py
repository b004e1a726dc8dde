"""Ids to text as it comes, without half characters."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigmodel.errors import ModelFolderError
from bigmodel.runtime.tokenizer import Tokenizer

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@pytest.fixture(scope="module")
def bytes_tokenizer(tiny_stories):
    return Tokenizer(tiny_stories / "tokenizer.json")


@pytest.fixture(scope="module")
def characters_tokenizer(tiny_poetry):
    return Tokenizer(tiny_poetry / "tokenizer.json")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_pieces_join_to_the_text(bytes_tokenizer, text):
    ids = bytes_tokenizer.encode(text)
    stream = bytes_tokenizer.stream()
    pieces = [stream.push(id_) for id_ in ids]
    expected = text.replace("<|endoftext|>", "")
    assert "".join(pieces) + stream.flush() == expected == bytes_tokenizer.decode(ids)
    if REPLACEMENT not in text:
        assert all(REPLACEMENT not in piece for piece in pieces)


@given(ids=st.lists(st.integers(0, 319)))
def test_decodes_like_the_stock_tokenizer(bytes_tokenizer, ids):
    assert bytes_tokenizer.decode(ids) == bytes_tokenizer.raw.decode(ids, skip_special_tokens=True)


def test_half_a_character_is_held_back(bytes_tokenizer):
    ids = bytes_tokenizer.encode("🦉")  # not in the training text: four single bytes
    stream = bytes_tokenizer.stream()
    assert len(ids) == 4
    assert [stream.push(id_) for id_ in ids] == ["", "", "", "🦉"]
    assert stream.push(ids[0]) == "" and stream.flush() == REPLACEMENT
    assert bytes_tokenizer.token_text(ids[0]) == REPLACEMENT


def test_special_tokens(characters_tokenizer):
    ids = characters_tokenizer.encode("<|唐诗|><|五绝|><|body|>床前")
    assert len(ids) == 5
    assert characters_tokenizer.decode(ids) == "床前"
    assert characters_tokenizer.token_text(ids[0]) == "<|唐诗|>"


def test_unknown_characters(bytes_tokenizer, characters_tokenizer):
    assert characters_tokenizer.unknown_characters("床前fox明f月<|body|>") == ["f", "o", "x"]
    assert characters_tokenizer.unknown_characters("床前明月") == []
    assert bytes_tokenizer.unknown_characters("任何文字 🦉") == []


def test_not_a_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="tokenizer.json"):
        Tokenizer(tmp_path / "tokenizer.json")
