"""Text to token ids and back, with ``tokenizers`` alone."""

import codecs
import json
from functools import cached_property

import numpy as np
from tokenizers import Tokenizer as RawTokenizer

from bigmodel.errors import InputError, ModelFolderError

_CURLY = {"'": "‘’", '"': "“”"}


class Tokenizer:
    """The tokenizer of a model folder.

    Args:
        path: tokenizer.json.

    Attributes:
        vocabulary: token -> id, as tokenizer.json spells tokens (bytes in GPT-2's letters where it works on bytes).
        special: id -> special token.

    Raises:
        ModelFolderError: the file is not a tokenizer.
    """

    def __init__(self, path):
        try:
            self.raw = RawTokenizer.from_file(str(path))
            settings = json.loads(path.read_text(encoding="utf-8"))
        except Exception as error:  # tokenizers raises plain Exception
            raise ModelFolderError(f"{path} cannot be read: {error}") from error
        self.raw.no_padding()
        self.raw.no_truncation()
        self.vocabulary = self.raw.get_vocab()
        self.special = {id_: t.content for id_, t in self.raw.get_added_tokens_decoder().items() if t.special}
        self.unknown_id = self.vocabulary.get(settings["model"].get("unk_token"))
        self._on_bytes = (settings.get("decoder") or {}).get("type") == "ByteLevel"

    def encode(self, text):
        """Return the ids of a text in which special tokens may be spelled out; nothing is added."""
        return self.raw.encode(text, add_special_tokens=False).ids

    def unknown_characters(self, text):
        """Return the characters that the model has no token for, each once, in the order of the text."""
        if self.unknown_id is None:
            return []
        encoding = self.raw.encode(text, add_special_tokens=False)
        unknown = {
            text[start:end]: None
            for id_, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if id_ == self.unknown_id and text[start:end] != self.special.get(id_)
        }
        return list(unknown)

    @cached_property
    def token_bytes(self):
        """A list: the bytes of each id; none for special tokens."""
        letters = _bytes_of_letters() if self._on_bytes else None
        table = [b""] * (max(self.vocabulary.values()) + 1)
        for token, id_ in self.vocabulary.items():
            if id_ not in self.special:
                table[id_] = bytes(map(letters.__getitem__, token)) if letters else token.encode()
        return table

    @cached_property
    def word_ids(self):
        """The ids of tokens that bring the blank before them along; none where a blank is a token of its own."""
        return np.array([id_ for id_, spelled in enumerate(self.token_bytes) if spelled[:1] == b" " != spelled], int)

    def straighten(self, text, marks="'\""):
        """Return a text with straight quotation marks for curly ones, of the kinds that the vocabulary spells so.

        A phone sets curly ones by itself; a model that has hardly ever read them loses the words around.
        """
        return text.translate({ord(curly): mark for mark in marks if mark in self._straight for curly in _CURLY[mark]})

    @cached_property
    def _straight(self):
        count = lambda marks: sum(mark.encode() in token for token in self.token_bytes for mark in marks)  # noqa: E731
        return {straight for straight, curly in _CURLY.items() if count(straight) > count(curly)}

    def decode(self, ids):
        """Return the text of ids, without special tokens; what is no UTF-8 becomes U+FFFD."""
        return b"".join(map(self.token_bytes.__getitem__, ids)).decode("utf-8", "replace")

    def token_text(self, id_):
        """Return one token as a reader should see it: special tokens by name, half characters as U+FFFD."""
        return self.special.get(id_) or self.decode([id_])

    def stream(self, after_blank=False):
        """Return a new StreamDecoder; see there."""
        return StreamDecoder(self, after_blank)


class StreamDecoder:
    """Turns ids into text as they come, and holds back a character of which only some bytes are there.

    Args:
        tokenizer: Tokenizer.
        after_blank: the text before ends in a blank: that of a first token that brings one is left out.
    """

    def __init__(self, tokenizer, after_blank=False):
        self._table, self._after_blank = tokenizer.token_bytes, after_blank
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id_):
        """Return the text that an id completes; often its own, sometimes none."""
        spelled = self._table[id_]
        if self._after_blank:
            spelled, self._after_blank = spelled.removeprefix(b" "), False
        return self._decoder.decode(spelled)

    def flush(self):
        """Return what was held back; half a character becomes U+FFFD."""
        return self._decoder.decode(b"", final=True)


def _bytes_of_letters():
    """Return letter -> byte of byte-level tokenizers, which spell each byte as a printable letter.

    Source: Radford et al. 2019 (GPT-2), bytes_to_unicode.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


def plain_text(field, text):
    """Return a text as it is.

    Raises:
        InputError: it is none, or holds half a character.
    """
    if not isinstance(text, str):
        raise InputError(field, f"must be a text, not {type(text).__name__}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(field, "holds half a character (a surrogate)")
    return text
