"""Every format and compression gives the same rows; what is wrong with a file is said with its place."""

import gzip
import json
import lzma
import os

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from bigmodel.errors import DataError
from bigmodel.training.sources import find_files, has_tokenizer, is_current, note_sources, read_lines, read_rows

ROWS = [("李白", "床前明月光"), ("anon", "a  b"), ("", "🦊")]
COMPRESS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.compress}


def as_tsv(rows):
    return "".join("\t".join(row) + "\n" for row in rows).encode()


def as_jsonl(rows):
    return "".join(json.dumps({"text": text, "n": 1, "author": author}) + "\n" for author, text in rows).encode()


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize(("ending", "write"), [(".tsv", as_tsv), (".jsonl", as_jsonl)])
def test_rows_of_lines(tmp_path, ending, write, compression):
    path = tmp_path / f"my.data.train{ending}{compression}"
    path.write_bytes(COMPRESS[compression](write(ROWS)))
    assert list(read_rows(path, ("author", "text"))) == ROWS


def test_rows_of_parquet(tmp_path):
    columns = {"text": [t for _, t in ROWS], "n": [1, 2, 3], "author": [a for a, _ in ROWS]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet", row_group_size=2)
    assert list(read_rows(tmp_path, ("author", "text"))) == ROWS
    assert list(read_rows(tmp_path, ("n",))) == [("1",), ("2",), ("3",)]


@pytest.mark.parametrize("compression", COMPRESS)
def test_lines_of_text(tmp_path, compression):
    path = tmp_path / f"a.txt{compression}"
    path.write_bytes(COMPRESS[compression]("one\r\n\n三\nno end".encode()))
    assert list(read_lines(path)) == [(1, "one"), (2, ""), (3, "三"), (4, "no end")]
    assert list(read_rows(path, ("text",))) == [("one",), ("",), ("三",), ("no end",)]


def test_a_zstd_file_of_several_frames_is_read_whole(tmp_path):
    (tmp_path / "a.txt.zst").write_bytes(b"".join(zstandard.compress(b"%d\n" % i * 1000) for i in range(300)))
    assert sum(1 for _ in read_lines(tmp_path / "a.txt.zst")) == 300_000


def test_a_folder_is_read_in_order_and_downwards(tmp_path):
    (tmp_path / "sub.txt").mkdir()
    (tmp_path / "b.txt").write_text("2\n")
    (tmp_path / "sub.txt" / "c.txt.gz").write_bytes(gzip.compress(b"3\n"))
    (tmp_path / "a.txt").write_text("1\n")
    (tmp_path / "README.md").write_text("not data\n")
    assert list(read_rows(tmp_path, ("text",))) == [("1",), ("2",), ("3",)]


def fails(source, columns, *words):
    with pytest.raises(DataError) as caught:
        list(read_rows(source, columns))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bad.tsv", b"a\tb\nc\td\ne\n", ("bad.tsv, line 3: 1 columns", "2 author, text")),
        ("bad.tsv", b"a\tb\tc\n", ("bad.tsv, line 1: 3 columns",)),
        ("bad.tsv", b"a\tb\n\xff\xfe\tx\n", ("bad.tsv, line 2: not UTF-8",)),
        ("bad.jsonl", b'{"author": "a", "text": "b"}\n{"author"\n', ("bad.jsonl, line 2",)),
        ("bad.jsonl", b'{"author": "a"}\n', ("bad.jsonl, line 1", "text")),
        ("bad.jsonl", b'{"author": "a", "text": null}\n', ("bad.jsonl, line 1", "null")),
        ("bad.jsonl", b"[1, 2]\n", ("bad.jsonl, line 1",)),
        ("bad.jsonl", b'{"author": "a", "text": "half \\ud83d"}\n', ("bad.jsonl, line 1", "surrogates")),
        ("bad.parquet", b"this is not parquet", ("bad.parquet",)),
        ("bad.txt", b"one column\n", ("bad.txt", "one column, not author, text")),
        ("empty.tsv", b"", ("empty.tsv", "empty")),
        ("bad.csv", b"a,b\n", ("bad.csv", "no file in a known format", ".parquet")),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    fails(tmp_path / name, ("author", "text"), *words)


def test_a_bad_parquet_row_and_a_missing_column_are_named(tmp_path):
    parquet.write_table(pyarrow.table({"text": ["a", None]}), tmp_path / "a.parquet")
    fails(tmp_path / "a.parquet", ("text",), "a.parquet, row 2", "null")
    fails(tmp_path / "a.parquet", ("author",), "a.parquet", "author")


@pytest.mark.parametrize("compression", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("fault", ["cut", "altered", "disguised"])
def test_a_broken_compressed_file_is_named(tmp_path, compression, fault):
    content = bytearray(COMPRESS[compression]("".join(f"line {i}\n" for i in range(20_000)).encode()))
    if fault == "cut":
        content = content[: len(content) // 2]
    elif fault == "altered":
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    else:
        content = b"this is not compressed at all"
    path = tmp_path / f"a.txt{compression}"
    path.write_bytes(content)
    fails(path, ("text",), f"a.txt{compression}, after line")


def test_an_empty_folder_and_a_missing_file(tmp_path):
    fails(tmp_path, ("text",), "no file in a known format")
    fails(tmp_path / "absent.txt", ("text",), "absent.txt", "no such file or folder")


@pytest.mark.parametrize("name", ["nobody/no-such-data", "not a/valid id!", "a/b/c"])
def test_an_unknown_dataset_without_a_network_is_a_clear_error(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    fails(name, ("text",), name, "no such file or folder")


def test_a_dataset_of_the_hub_is_fetched(tmp_path, monkeypatch):
    (tmp_path / "train.jsonl").write_text('{"text": "from the Hub"}\n')
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **kw: asked.append((args, kw)) or tmp_path)
    assert list(read_rows("someone/data", ("text",))) == [("from the Hub",)]
    assert asked[0][0] == ("someone/data",) and asked[0][1]["repo_type"] == "dataset"
    assert find_files("someone/data") == [tmp_path / "train.jsonl"]
    (tmp_path / "plain").mkdir()
    for name in ("plain/test-00000-of-00001.parquet", "plain/validation.jsonl", "plain/latest.jsonl", "dev-train.txt"):
        (tmp_path / name).touch()
    names = {file.relative_to(tmp_path).as_posix() for file in find_files("someone/data")}
    assert names == {"train.jsonl", "plain/latest.jsonl", "dev-train.txt"}


def test_what_was_made_of_a_corpus_is_so_until_that_changes(tmp_path):
    made, corpus = tmp_path / "made.npy", tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.txt").write_text("one")
    made.touch()
    assert not is_current(made, corpus)
    note_sources(made, corpus)
    assert is_current(made, corpus) and is_current(made, "someone/data") and is_current(made, tmp_path / "gone.txt")
    (corpus / ".#a.txt").symlink_to("nowhere")  # an editor's lock
    assert is_current(made, corpus) and not is_current(made, corpus, made)
    os.utime(corpus / "a.txt", (1e9, 1e9))  # as old as what was moved here may be
    assert not is_current(made, corpus) and not is_current(made, corpus / "a.txt")
    (corpus / "a.txt").unlink()
    made.unlink()
    assert not is_current(made, corpus)


def test_a_tokenizer_stays_with_a_checkpoint_or_its_sources(tmp_path):
    tokens, corpus = tmp_path / "run/tokens", tmp_path / "a.txt"
    tokens.mkdir(parents=True)
    corpus.write_text("one")
    assert not has_tokenizer(tokens, corpus)
    for name in ("tokenizer.json", "a.npy"):
        (tokens / name).touch()
        note_sources(tokens / name, corpus)
    assert has_tokenizer(tokens, corpus)
    corpus.write_text("one, two")
    (tmp_path / "run/checkpoint.pt").touch()
    assert has_tokenizer(tokens, corpus)
    (tmp_path / "run/checkpoint.pt").unlink()
    assert not has_tokenizer(tokens, corpus) and list(tokens.iterdir()) == []


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\xef\xbb\xbftwo\r\n")
    assert list(read_lines(tmp_path / "a.txt")) == [(1, "one"), (2, "\ufefftwo")]


def test_endings_in_capitals(tmp_path):
    (tmp_path / "A.TXT").write_text("one\n")
    (tmp_path / "B.Jsonl.GZ").write_bytes(gzip.compress(b'{"text": "two"}\n'))
    assert list(read_rows(tmp_path, ("text",))) == [("one",), ("two",)]
