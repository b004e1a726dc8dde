"""What no translation may change: numbers, addresses, code, tags and emoji travel as marks and come back unchanged."""

import re
from collections import Counter

COUNT = 10
# in a text a mark is a private-use character, in a tokenizer a special token
MARKS = [chr(0xE000 + i) for i in range(COUNT)]
TOKENS = [f"<|{i}|>" for i in range(COUNT)]
_ANY_MARK = f"{MARKS[0]}-{MARKS[-1]}"
_MARK = re.compile(f"([{_ANY_MARK}])")
_WORD = re.compile(r"[^\W\d_]+")
_COPIED_LETTERS = 4  # that a word has at least which is taken for one in both languages
_NUMBERS = {"zwei": "two", "drei": "three", "vier": "four", "fünf": "five", "sechs": "six", "sieben": "seven"}
_NUMBER_WORDS = {*_NUMBERS.values()}
_EMOJI = (  # keycaps and flags are several characters
    r"(?:[0-9#*]\uFE0F?\u20E3|[\u203C\u2049\u2122\u2139\u2190-\u21FF\u2300-\u23FF\u24C2\u25A0-\u27BF\u2900-\u297F\u2B00-\u2BFF"
    r"\u3030\u303D\u3297\u3299\U0001F000-\U0001FAFF][\uFE0F\u20E3\U0001F3FB-\U0001F3FF\U000E0020-\U000E007F]*)"
)
TAG = (
    r"</?[A-Za-z][\w:.-]*(?:\s+[\w:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s<>\"'/]+))*\s*/?>"  # <font color="red">, </i>
    r"|\{\\[^{}\n]*\}"  # {\an8}, of subtitles
)
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_LETTER = rf"[^\W{_HAN}]"  # of a word: Chinese sets no blank before and after it
_PART = rf"\([^\s<>\"'()]*\)|(?<=[/=#_])[{_HAN}]+"  # of a URL: brackets come in pairs, Chinese as a whole name
_SIGN = rf"(?:(?<!{_LETTER})(?<![+−±-])[+−±-])?"  # not within Covid-19 or C++17
_CURRENCY = r"(?:(?<![A-Za-z])[A-Z]{1,2})?[$€£¥￥₹]"  # US$ too
_FIXED = re.compile(
    r"`[^`\n]+`"  # code
    rf"|{TAG}"
    rf"|(?:(?i:https?|ftp)://|www\.)(?:[^\s<>\"'，。；、（）《》(){_HAN}]|{_PART})*"
    rf"(?:[^\s<>\"'，。；、（）《》.,;:!?(){_HAN}]|{_PART})"
    rf"|(?<!{_LETTER})(?<![.+-])(?:{_LETTER}|[.+-])+@(?:{_LETTER}|-)+(?:\.(?:{_LETTER}|-)+)+"  # e-mail
    rf"|{_EMOJI}(?:\u200D?{_EMOJI})*"
    r"|\+(?:[ ()/-]{0,2}\d){7,}"  # telephone
    rf"|[{_ANY_MARK}]+"  # of the text's own, such as an icon font's: no mark of ours
    rf"|{_SIGN}(?:{_CURRENCY}[ \u00a0]?[+−±-]?)?\d+(?:[.,:/-]\d+)*(?:%|[ \u00a0]?{_CURRENCY}(?!\d))?"
)
_APART_BEFORE = re.compile(rf"(?<!\S)[{_ANY_MARK}]")
_APART_AFTER = re.compile(rf"[{_ANY_MARK}](?=[\s.,;:!?)]|$)")
_TOUCHED_BEFORE = re.compile(rf"(?<=[\w.,;:!?){_ANY_MARK}])[{_ANY_MARK}]")
_TOUCHED_AFTER = re.compile(rf"[{_ANY_MARK}](?=[\w(])")


def protect(text):
    """Replace what must not change by marks.

    Args:
        text: a sentence.

    Returns:
        text with a mark for each of the first ``COUNT`` things, and the list of these.
    """
    kept = []

    def replace(match):
        if len(kept) == COUNT:
            return _MARK.sub("", match[0])
        kept.append(match[0])
        return MARKS[len(kept) - 1]

    return _FIXED.sub(replace, text), kept


def count(text):
    """Return how many things of a text must not change; ``protect`` marks no more than ``COUNT``."""
    return sum(1 for _ in _FIXED.finditer(text))


def restore(text, kept):
    """Put back what ``protect`` took out; None where a mark is missing, doubled or was never there."""
    if Counter(_MARK.findall(text)) != Counter(MARKS[: len(kept)]):
        return None
    return fill(text, kept)


def set_apart(text, source):
    """Put a space on each side of a mark on which a word touches it, but not in the source."""
    before, after = _APART_BEFORE.findall(source), _APART_AFTER.findall(source)
    text = _TOUCHED_BEFORE.sub(lambda match: " " * (match[0] in before) + match[0], text)
    return _TOUCHED_AFTER.sub(lambda match: match[0] + " " * (match[0] in after), text)


def fill(text, kept):
    """Replace the marks of a text by what ``protect`` kept, wherever they stand."""
    return _MARK.sub(lambda match: kept[MARKS.index(match[0])], text)


def mark(text, kept):
    """Replace the first of each thing that ``protect`` kept, in another text, by its mark."""
    for sign, thing in sorted(zip(MARKS, kept, strict=False), key=lambda pair: -len(pair[1])):  # 1 is within 12
        text = text.replace(thing, sign, 1)
    return text


def without(text):
    """Return a text without anything that no translation may change."""
    return _FIXED.sub(" ", text)


def parts(text):
    """Return what a text with marks is made of: marks, and what lies between them."""
    return [part for part in _MARK.split(text) if part]


def protect_pair(source, target):
    """Replace what stands alike in a sentence and its translation by the same marks; returns both."""
    (source, kept), target = protect(_MARK.sub("", source)), _MARK.sub("", target)
    found = []
    for mark, thing in zip(MARKS, kept, strict=False):
        edge = r"(?<![\d.,]){}(?![\d])" if any(map(str.isdigit, thing)) else "{}"
        target, count = re.subn(edge.format(re.escape(thing)), mark, target, count=1)
        if count:
            found.append(mark)
        else:
            source = source.replace(mark, thing)
    for new, old in zip(MARKS, found, strict=False):  # numbered from 0 again
        source, target = source.replace(old, new), target.replace(old, new)
    return source, target


def mark_words(source, target):
    """Replace words that stand alike, once, in a sentence and its translation by marks, numerals too; returns both."""
    pair = [source, target]
    words = [Counter(_alike(word[0]) for word in _WORD.finditer(text)) for text in pair]
    free = [mark for mark in MARKS if mark not in source]
    for word in [_alike(word[0]) for word in _WORD.finditer(source)]:
        long_enough = len(word) >= _COPIED_LETTERS or word in _NUMBER_WORDS
        if free and long_enough and all(counts[word] == 1 for counts in words):
            mark = free.pop(0)
            pair = [_WORD.sub(lambda m, w=word, s=mark: s if _alike(m[0]) == w else m[0], text) for text in pair]
    return pair


def _alike(word):
    return _NUMBERS.get(word.casefold(), word.casefold())


def encode(text, encode_plain, mark_ids):
    """Return the ids of a text with marks.

    Args:
        text: what ``protect`` gave.
        encode_plain: function of a text without marks that returns a list of ids.
        mark_ids: the ids of TOKENS.
    """
    ids = []
    for i, part in enumerate(_MARK.split(text)):
        if part:
            ids += [mark_ids[MARKS.index(part)]] if i % 2 else encode_plain(part)
    return ids
