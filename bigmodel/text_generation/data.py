"""From a corpus to token ids: documents, tokenizer, training windows, validation text."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from bigmodel.errors import DataError
from bigmodel.text_generation import poetry
from bigmodel.training.sources import (
    cache_name,
    corpus_file,
    find_files,
    has_tokenizer,
    is_current,
    note_sources,
    read_lines,
    read_rows,
)
from bigmodel.training.state import replacing
from bigmodel.training.tokenizer import END_OF_TEXT, UNKNOWN, save_tokenizer, train_bpe, train_characters
from bigmodel.training.windows import TokenWindows

POEM_COLUMNS = ("kind", "author", "title", "text")
_PART = 64  # lines after which a long training document begins anew, so that a prompt may begin anywhere
_TOKENIZER_CHARACTERS = 30_000_000
_FIELD_DROPOUT = 0.1  # share of training poems that lack a field, so that every field may be left out


@dataclass
class Corpus:
    """A corpus ready for training.

    Attributes:
        tokenizer: tokenizers.Tokenizer.
        windows: TokenWindows of the training text.
        valid: list of (ids, first) a document: those from index ``first`` are scored, what is before is context.
        valid_units: UTF-8 bytes (a tokenizer over bytes) or characters of the scored validation text.
    """

    tokenizer: Tokenizer
    windows: TokenWindows
    valid: list
    valid_units: int


def read_plain(source, part=None):
    """Yield the documents of a text source, each with its line ends.

    A txt file is a document, and so is what follows a line that begins with "<book>"; a row of jsonl or parquet is
    a document (its "text").

    Args:
        source: see bigmodel.training.sources.find_files.
        part: a document of more lines is cut after each so many; None never cuts.

    Raises:
        DataError: nothing is there.
    """
    empty = True
    for path in find_files(source):
        is_text = ".txt" in map(str.lower, path.suffixes)
        texts = read_lines(path) if is_text else ()
        lines = []
        for _, line in texts:
            if lines and (line.startswith("<book>") or len(lines) == part):
                yield "".join(lines)
                lines = []
            lines.append(line + "\n")
            empty = False
        if lines:
            yield "".join(lines)
        if not is_text:
            for (text,) in read_rows(path, ("text",)):
                empty = False
                yield text
    if empty:
        raise DataError(f"{source}: the corpus is empty")


def poem_document(kind, author, title, text, rng=None):
    """Return a poem's document (see poetry) and the length of what comes before its body.

    Args:
        kind, author, title, text: a row of the corpus; an unknown kind is left out.
        rng: np.random.Generator that leaves out fields now and then; None keeps all.
    """
    keep = [True] * 4 if rng is None else rng.random(4) >= _FIELD_DROPOUT
    prompt = poetry.encode_prompt(
        kind=kind if keep[0] and kind in poetry.KINDS else None,
        form=poetry.form_of(text) if keep[1] else None,
        author=author if keep[2] else None,
        title=title if keep[3] else None,
    )
    return prompt + text, len(prompt)


def load_corpus(config, data, folder):
    """Read, tokenize and cache the corpora of a configuration.

    Args:
        config: TextGenerationConfig.
        data: folder of the corpora's files; a corpus that is not in it is an absolute path or a Hub dataset id.
        folder: gets tokenizer.json and the ids, which a resumed run reads again.

    Returns:
        Corpus.

    Raises:
        DataError: a file is missing, empty or broken.
    """
    data, folder = Path(data), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    train, valid = (_poems, valid_poems) if config.format == "poetry" else (_plain, valid_plain)
    sources = [corpus_file(data, name) for name, _ in config.train]
    if not has_tokenizer(folder, *sources):
        save_tokenizer(_tokenizer(config, data), folder)
        note_sources(folder / "tokenizer.json", *sources)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    streams = []
    for name, weight in config.train:
        cached = folder / f"{cache_name(name)}.npy"
        if not is_current(cached, corpus_file(data, name)):  # written whole or not at all: a run may be killed here
            tokens = train(corpus_file(data, name), tokenizer)
            with replacing(cached) as part:
                np.save(part, tokens)
            note_sources(cached, corpus_file(data, name))
        streams.append((np.load(cached, mmap_mode="r"), weight))
    if config.valid is None:  # the last tenth, by position
        tokens, weight = streams[-1]
        cut = int(len(tokens) * 0.9)
        streams[-1] = tokens[:cut], weight
        documents = [(tokens[cut:].astype(np.int64), 1)]
        units = int(_token_units(tokenizer)[tokens[cut + 1 :]].sum())
    else:
        documents, units = valid(data / config.valid, tokenizer)
    windows = TokenWindows(streams, length=config.window, batch_size=config.batch_size, seed=config.settings.seed)
    return Corpus(tokenizer, windows, documents, units)


def _token_units(tokenizer):
    """Return how many bytes (over bytes) or characters (else) each token id is; special ones but UNKNOWN are none."""
    special = tokenizer.get_added_tokens_decoder()
    units = np.zeros(tokenizer.get_vocab_size(), np.int64)
    for token, i in tokenizer.get_vocab().items():
        length = 0 if i in special else len(token)  # byte-level tokens spell each byte as one character
        units[i] = 1 if token == UNKNOWN else length
    return units


def _tokenizer(config, data):
    """Return the tokenizer of the model that the training begins with, or train one."""
    if config.init_from:
        return Tokenizer.from_file(str(config.init_from / "tokenizer.json"))
    size = config.transformer.vocab_size
    if config.format == "poetry":
        rows = (row for name, _ in config.train for row in read_rows(corpus_file(data, name), POEM_COLUMNS))
        texts = (author + title + text for _, author, title, text in rows)
        return train_characters(texts, vocab_size=size, special_tokens=poetry.SPECIAL_TOKENS, min_count=2)
    documents = (text for name, _ in config.train for text in read_plain(corpus_file(data, name)))
    if config.tokenizer == "characters":
        return train_characters(documents, vocab_size=size)
    return train_bpe(_first_characters(documents, _TOKENIZER_CHARACTERS), vocab_size=size)


def _first_characters(texts, limit):
    """Yield texts until they are ``limit`` characters together."""
    for text in texts:
        yield from text[:limit].splitlines(keepends=True)
        limit -= len(text)
        if limit <= 0:
            return


def _encode(tokenizer, texts):
    """Return the ids of each text, in lists, line by line, since short pieces encode in parallel."""
    for text in texts:
        pieces = tokenizer.encode_batch(text.splitlines(keepends=True) or [""])
        yield [i for piece in pieces for i in piece.ids]


def _join(tokenizer, documents):
    """Return one array of all documents, each after an END_OF_TEXT."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    return np.concatenate([np.array([end, *ids], dtype) for ids in documents])


def _plain(source, tokenizer):
    return _join(tokenizer, _encode(tokenizer, read_plain(source, _PART)))


def _poems(source, tokenizer):
    rng = np.random.default_rng(0)
    documents = [poem_document(*row, rng=rng)[0] for row in read_rows(source, POEM_COLUMNS)]
    rng.shuffle(documents)
    encodings = (e for i in range(0, len(documents), 4096) for e in tokenizer.encode_batch(documents[i : i + 4096]))
    return _join(tokenizer, (encoding.ids for encoding in encodings))


def valid_plain(source, tokenizer):
    """Return the documents of a text source as (ids, first), all but END_OF_TEXT scored, and their UTF-8 bytes."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    texts = list(read_plain(source))
    documents = [(np.array([end, *ids]), 1) for ids in _encode(tokenizer, texts)]
    return documents, sum(len(text.encode()) for text in texts)


def valid_poems(source, tokenizer):
    """Return poems as (ids, first) and the number of scored characters.

    Bodies alone are scored, given their kind, form, author and title; and not the END_OF_TEXT after them.
    """
    end, body = (tokenizer.token_to_id(token) for token in (END_OF_TEXT, poetry.BODY))
    documents = []
    for row in read_rows(source, POEM_COLUMNS):
        ids = [end, *tokenizer.encode(poem_document(*row)[0]).ids]
        documents.append((np.array(ids), ids.index(body) + 1))
    return documents, sum(len(ids) - first for ids, first in documents)


def unknown_share(tokenizer, documents):
    """Return the share of scored ids that are the unknown token."""
    unknown = tokenizer.token_to_id(UNKNOWN)
    scored = np.concatenate([ids[first:] for ids, first in documents])
    return float((scored == unknown).mean()) if unknown is not None else 0.0
