"""From files to documents, ids, windows and the held-out text."""

import dataclasses
import json
import lzma

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from bigmodel.errors import DataError
from bigmodel.text_generation import config as presets
from bigmodel.text_generation import poetry
from bigmodel.text_generation.data import load_corpus, poem_document, read_plain, unknown_share
from bigmodel.training.tokenizer import END_OF_TEXT, UNKNOWN

LINES = [f"{name} saw {count} foxes, é and 狐狸.\n" for name in ("Ann", "Bob", "Cy") for count in range(40)]
POEM = ("唐诗", "李白", "静夜思", "床前明月光，疑是地上霜。举头望明月，低头思故乡。")


def make_config(*train, valid=None, **changes):
    base = presets.stories()
    values = {"train": tuple((str(name), 1) for name in train), "valid": valid, "window": 16, "batch_size": 2}
    return dataclasses.replace(base, **{**values, **changes})


def text_of(corpus, ids):
    return corpus.tokenizer.decode(list(map(int, ids)), skip_special_tokens=True)


def test_documents_of_a_text_file(tmp_path):
    (tmp_path / "a.txt").write_text("<book> One\nfirst\n\n<book> Two\nsecond\nthird\n")
    (tmp_path / "b.txt").write_text("no book\n")
    assert list(read_plain(tmp_path)) == ["<book> One\nfirst\n\n", "<book> Two\nsecond\nthird\n", "no book\n"]
    parts = list(read_plain(tmp_path / "a.txt", part=2))
    assert parts == ["<book> One\nfirst\n", "\n", "<book> Two\nsecond\n", "third\n"]


def test_documents_of_rows(tmp_path):
    texts = ["one\ntwo", "three"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert list(read_plain(tmp_path / "a.jsonl")) == texts


def test_an_empty_corpus_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="empty"):
        load_corpus(make_config("a.txt"), tmp_path, tmp_path / "tokens")


def write(folder, kind):
    """Write LINES in a format and return the file's, or the folder's, name."""
    if kind == "parquet":
        parquet.write_table(pyarrow.table({"text": LINES}), folder / "a.parquet")
    elif kind == "jsonl":
        (folder / "a.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in LINES))
    elif kind == "tsv":
        (folder / "a.tsv").write_text("".join(LINES))
    elif kind == "txt.xz":
        (folder / "a.txt.xz").write_bytes(lzma.compress("".join(LINES).encode()))
    elif kind == "folder":
        (folder / "sub").mkdir()
        (folder / "sub" / "1.txt").write_text("".join(LINES[:60]))
        (folder / "sub" / "2.txt").write_text("".join(LINES[60:]))
        return "sub"
    return f"a.{kind}"


@pytest.mark.parametrize("tokenizer", ["bpe", "characters"])
@pytest.mark.parametrize("kind", ["txt.xz", "tsv", "jsonl", "parquet", "folder"])
def test_the_last_tenth_is_held_out_and_its_units_counted(tmp_path, kind, tokenizer):
    config = make_config(write(tmp_path, kind), tokenizer=tokenizer)
    corpus = load_corpus(config, tmp_path, tmp_path / "tokens")
    train = corpus.windows.copies[0]
    ((held_out, first),) = corpus.valid
    assert first == 1
    assert len(held_out) == pytest.approx((len(train) + len(held_out)) / 10, abs=1)
    scored = text_of(corpus, held_out[1:])
    if tokenizer == "bpe":
        first_byte_may_be_cut = 3
        assert abs(corpus.valid_units - len(scored.encode())) <= first_byte_may_be_cut
    else:
        assert corpus.valid_units == len(scored)
    whole = text_of(corpus, np.concatenate([train, held_out]))
    lines = "".join(LINES)
    assert whole == (lines.replace("\n", "") if kind == "tsv" else lines)
    assert (tmp_path / "tokens").exists() and not list(tmp_path.glob("*.npy"))


def test_unknown_characters_count_as_characters(tmp_path):
    (tmp_path / "a.txt").write_text("ab" * 200 + "\n" + "中国" * 40)
    config = make_config("a.txt", tokenizer="characters")
    shape = dataclasses.replace(config.transformer, vocab_size=4)  # two special ones, a and b
    corpus = load_corpus(dataclasses.replace(config, transformer=shape), tmp_path, tmp_path / "tokens")
    ids = corpus.valid[0][0]
    assert UNKNOWN in [corpus.tokenizer.id_to_token(int(i)) for i in ids]
    assert corpus.valid_units == len(ids) - 1
    assert unknown_share(corpus.tokenizer, corpus.valid) > 0.9


def test_a_corpus_that_is_too_small_says_so(tmp_path):
    (tmp_path / "a.txt").write_text("a few words\n")
    with pytest.raises(DataError, match="training needs at least 33"):
        load_corpus(make_config("a.txt"), tmp_path, tmp_path / "tokens")


def test_a_validation_file_is_scored_whole(tmp_path):
    (tmp_path / "a.train.txt").write_text("".join(LINES))
    (tmp_path / "a.valid.txt").write_text("<book> One\nAnn saw.\n<book> Two\n狐\n")
    corpus = load_corpus(make_config("a.train.txt", valid="a.valid.txt"), tmp_path, tmp_path / "tokens")
    assert corpus.valid_units == len((tmp_path / "a.valid.txt").read_bytes())
    assert [text_of(corpus, ids[first:]) for ids, first in corpus.valid] == [
        "<book> One\nAnn saw.\n",
        "<book> Two\n狐\n",
    ]
    assert len(corpus.windows.copies[0]) == len(np.load(next((tmp_path / "tokens").glob("a.train.txt-*.npy"))))


def test_ids_are_made_once_of_each_corpus(tmp_path):
    (tmp_path / "a.txt").write_text("".join(LINES))
    config = make_config("a.txt")
    first = load_corpus(config, tmp_path, tmp_path / "tokens")
    (tmp_path / "a.txt").unlink()  # a machine that goes on may lack it
    again = load_corpus(config, tmp_path, tmp_path / "tokens")
    assert np.array_equal(first.windows.copies[0], again.windows.copies[0])
    assert not list((tmp_path / "tokens").glob(".*"))
    (tmp_path / "b").mkdir()
    (tmp_path / "b/a.txt").write_text("".join(LINES[::-1]))
    other = load_corpus(make_config("b/a.txt"), tmp_path, tmp_path / "tokens")
    assert not np.array_equal(first.windows.copies[0], other.windows.copies[0])


def test_an_absolute_path_leaves_nothing_beside_it(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "my.txt").write_text("".join(LINES))
    load_corpus(make_config(own / "my.txt"), tmp_path / "data", tmp_path / "tokens")
    assert [path.name for path in own.iterdir()] == ["my.txt"]


def test_a_hub_dataset_is_asked_for_by_its_id(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("".join(LINES))
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: asked.append(name) or tmp_path)
    load_corpus(make_config("someone/prose"), tmp_path / "data", tmp_path / "tokens")
    assert set(asked) == {"someone/prose"}


def test_a_poems_document():
    text, before = poem_document(*POEM)
    assert text == "<|唐诗|><|五绝|><|author|>李白<|title|>静夜思<|body|>" + POEM[3]
    assert text[before:] == POEM[3]
    rng = np.random.default_rng(0)
    kinds = [poem_document(*POEM, rng=rng)[0] for _ in range(300)]
    for tag in ("<|唐诗|>", "<|五绝|>", "<|author|>", "<|title|>"):
        assert 0.03 < sum(tag not in text for text in kinds) / 300 < 0.2
    assert all(text.endswith("<|body|>" + POEM[3]) for text in kinds)


def test_poems_are_scored_by_their_bodies_alone(tmp_path):
    rows = [POEM, ("宋词", "某", "题", "春眠不觉晓，处处闻啼鸟。")] * 30
    (tmp_path / "p.train.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    (tmp_path / "p.valid.tsv").write_text("\t".join(POEM) + "\n")
    config = dataclasses.replace(
        presets.poetry(), train=(("p.train.tsv", 1),), valid="p.valid.tsv", window=16, batch_size=2
    )
    corpus = load_corpus(config, tmp_path, tmp_path / "tokens")
    ((ids, first),) = corpus.valid
    tokens = [corpus.tokenizer.id_to_token(int(i)) for i in ids]
    assert tokens[0] == END_OF_TEXT and tokens[first - 1] == poetry.BODY
    assert "".join(tokens[first:]) == POEM[3]
    assert corpus.valid_units == len(POEM[3])
    assert (corpus.windows.copies[0] == corpus.tokenizer.token_to_id(END_OF_TEXT)).sum() == 60
