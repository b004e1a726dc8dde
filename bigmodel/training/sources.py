"""Reading a corpus: files, folders and Hub datasets, compressed or not."""

import codecs
import gzip
import hashlib
import io
import json
import lzma
import re
import zlib
from pathlib import Path

from bigmodel.errors import DataError

_OPENERS = {".gz": gzip.open, ".xz": lzma.open}
_COMPRESSED = (".gz", ".xz", ".zst")
FORMATS = (".txt", ".tsv", ".jsonl", ".parquet")
_HELD_OUT = re.compile(r"(?<![a-z])(?:test|valid|val|validation|dev|eval)(?![a-z])", re.IGNORECASE)


def find_files(source):
    """Return the files of a source, sorted.

    Args:
        source: a file, a folder (searched downwards), or a string that is no path but a Hub dataset id "user/name", of
            which files are left out whose names say that they are held out, such as test-00000.parquet.

    Raises:
        DataError: nothing is there, or no file has a known format.
    """
    path = Path(source)
    fetched = not path.exists()
    if fetched:
        path = _fetch(source)
    files = sorted(p for p in path.rglob("*") if _format(p) and p.is_file()) if path.is_dir() else [path]
    if fetched:
        held_out = lambda p: _HELD_OUT.search(p.relative_to(path).as_posix()) and "train" not in p.name.lower()  # noqa: E731
        files = [p for p in files if not held_out(p)] or files
    if not files or not all(_format(p) for p in files):
        raise DataError(f"{source}: no file in a known format ({', '.join(FORMATS)}, compressed or not)")
    return files


def corpus_file(data, name):
    """Return the file of a corpus in the folder ``data``, or its name where that is a Hub dataset id."""
    return data / name if (data / name).exists() or name.count("/") != 1 else name


def corpus_name(file_name):
    """Return a corpus' name: its file's without format and compression."""
    return next((file_name.partition(ending)[0] for ending in FORMATS if ending in file_name), file_name)


def cache_name(corpus, *settings):
    """Return a file name for what was made of a corpus by some settings.

    Two corpora of one file name in two folders have two; what was made can be used where the corpus itself is not.
    """
    digest = hashlib.sha256(repr((str(corpus), *settings)).encode()).hexdigest()
    return f"{Path(corpus).name}-{digest[:12]}"


def _fetch(dataset_id):
    named_as_file = isinstance(dataset_id, Path) or _format(Path(dataset_id))
    if named_as_file or dataset_id.count("/") != 1 or dataset_id.startswith((".", "/")):
        raise DataError(f"{dataset_id}: no such file or folder, nor a Hub dataset id (user/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [f"*{ending}*" for ending in FORMATS]
    try:
        return Path(snapshot_download(dataset_id, repo_type="dataset", allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise DataError(f"{dataset_id}: no such file or folder, and the Hub did not give it: {error}") from error


def is_current(made, *sources):
    """Whether a file is there that was made of sources as they are now, as ``note_sources`` has kept them.

    What was made of sources that are gone, or of Hub datasets, stays current.
    """
    note, now = _note_of(made), _stamp(sources)
    return made.exists() and (not now or (note.exists() and note.read_text() == now))


def note_sources(made, *sources):
    """Keep beside a file what its sources are now."""
    _note_of(made).write_text(_stamp(sources))


def _note_of(made):
    return made.with_name(f"{made.name}.sources")


def _stamp(sources):
    """Return a text that changes with the name, the size or the date of a file; "" where none is there."""
    files = [file for path in map(Path, sources) for file in (path, *sorted(path.rglob("*"))) if file.is_file()]
    seen = [(file.name, file.stat().st_size, int(file.stat().st_mtime)) for file in files]
    return hashlib.sha256(repr(seen).encode()).hexdigest() if seen else ""


def has_tokenizer(folder, *sources):
    """Whether a run's folder of tokens has the tokenizer that the run is to have; else what it has of sources goes.

    A run that has a checkpoint keeps its tokenizer; one that has none yet follows its sources.
    """
    path = folder / "tokenizer.json"
    if path.exists() and ((folder.parent / "checkpoint.pt").exists() or is_current(path, *sources)):
        return True
    for note in folder.glob("*.sources"):
        note.with_suffix("").unlink(missing_ok=True)
        note.unlink(missing_ok=True)
    return False


def _format(path):
    endings = [ending for ending in map(str.lower, path.suffixes) if ending not in _COMPRESSED]
    return endings[-1] if endings and endings[-1] in FORMATS else None


def _open(path):
    if path.suffix.lower() == ".zst":
        return io.BufferedReader(_Stream(_decompress_zstd(path)))
    return _OPENERS.get(path.suffix.lower(), open)(path, "rb")


def _decompress_zstd(path):
    """Yield the bytes of a zstd file; unlike the package's own reader, notice that its end is missing."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=2**28)
    frame = decompressor.decompressobj()
    with path.open("rb") as file:
        while chunk := file.read(2**18):
            while chunk:
                if frame.eof:  # a file may have several frames
                    frame = decompressor.decompressobj()
                yield frame.decompress(chunk)
                chunk = frame.unused_data
    if not frame.eof:
        raise EOFError("the compressed file ends before its end")


class _Stream(io.RawIOBase):
    """A file of the pieces that an iterator yields."""

    def __init__(self, pieces):
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def read_lines(path):
    """Yield (number, line) of a text file, from 1, without line ends.

    Raises:
        DataError: the file cannot be opened or a line is not UTF-8; names file and line.
    """
    number = 0
    try:
        with _open(Path(path)) as file:
            for number, line in enumerate(file, 1):
                line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                yield number, line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path}, after line {number}: {error}") from error
    except Exception as error:  # zstandard's own error type, without importing it for other files
        if type(error).__name__ != "ZstdError":
            raise
        raise DataError(f"{path}, after line {number}: {error}") from error


def read_rows(source, columns):
    """Yield one tuple of strings a row.

    Args:
        source: see find_files. A txt file has one column, its line; a tsv file has ``columns`` in this order and no
            header; jsonl and parquet are read by name.
        columns: names of the wanted columns.

    Raises:
        DataError: a line has too few or too many columns, is not JSON, lacks a name, or nothing is there at all.
    """
    empty = True
    for path in find_files(source):
        for row in _READERS[_format(path)](path, columns):
            empty = False
            yield row
    if empty:
        raise DataError(f"{source}: the corpus is empty")


def _read_txt(path, columns):
    if len(columns) != 1:
        raise DataError(f"{path}: a txt file has one column, not {', '.join(columns)}")
    for _, line in read_lines(path):
        yield (line,)


def _read_tsv(path, columns):
    for number, line in read_lines(path):
        row = tuple(line.split("\t"))
        if len(row) != len(columns):
            raise DataError(f"{path}, line {number}: {len(row)} columns, not the {len(columns)} {', '.join(columns)}")
        yield row


def _read_jsonl(path, columns):
    for number, line in read_lines(path):
        try:
            row = json.loads(line)
            row = tuple(_filled(row[name]) for name in columns)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: no JSON object with {', '.join(columns)} ({error})") from error
        yield row


def _filled(value):
    if value is None:
        raise ValueError("a value is null")
    text = str(value)
    text.encode()  # half a character is a ValueError
    return text


def _read_parquet(path, columns):
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(columns=list(columns)):
            if batch.num_columns != len(columns):
                raise DataError(f"{path}: lacks one of the columns {', '.join(columns)}")
            for row in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
                number += 1
                yield tuple(map(_filled, row))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}, row {number}: {error}") from error


_READERS = {".txt": _read_txt, ".tsv": _read_tsv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
