"""A text as sentences to translate and what lies between them, and back.

What lies between is kept as it stands: line ends, indentation, marks of lists and headings, tags, what has no letter,
and code between fences.
Sentence ends are found by sentencex, the segmenter of the Wikimedia Foundation.
"""

import re
import unicodedata
from dataclasses import dataclass

from sentencex import segment

from bigmodel.translation.placeholders import TAG

WITHOUT_SPACES = ("zh", "lzh", "ja")
_SPACES = " \u00a0\u3000"
_MARKS = re.compile(
    r"\s*(?:(?:[-*+•◦‣·–—]|#{1,6}|\d{1,3}[.)])\s+|>\s*)*"  # lists, headings and quotations, which may be nested
    r"(?:(?:[一二三四五六七八九十]{1,3}|\d{1,3})、|[（(](?:[一二三四五六七八九十]{1,3}|\d{1,3})[)）])?\s*"
)
_FENCE = re.compile(r"\s*(`{3,}(?=[^`]*$)|~{3,})(.*)")  # of code in Markdown, and what it says of it
_CLAUSE_END = re.compile(r"(?:[，；：、][”’」』）》]*|[,;:](?=\s))\s*")  # not within 3,5 or 12:30
_SPACE = re.compile(r"\s+")
_TRIMMED = re.compile(rf"((?:\s|{TAG})*)(.*?)((?:\s|{TAG})*)", re.DOTALL)
_ORDINAL = re.compile(r"(?:^|\s)\d{1,2}\.\s*$")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Segment:
    """A part of a text.

    Attributes:
        text: the part as it stands in the text.
        translate: whether it is a sentence to translate; it then has a letter, and neither white space nor tags
            around it.
    """

    text: str
    translate: bool


def split(text, language, limit=400):
    """Return the segments of a text, which put together are the text again.

    Args:
        text: any text; each line is split by itself.
        language: the code of its language.
        limit: longest sentence in characters; a longer one is cut after a clause, else at white space, else anywhere.

    Returns:
        list of Segment.
    """
    segments = []
    for line, fenced in mark_fenced(text.splitlines(keepends=True)):
        if fenced:
            segments.append(Segment(line, False))
            continue
        start = _MARKS.match(line).end()
        segments += [Segment(line[:start], False)] * (start > 0)
        for sentence in _sentences(line[start:], language):
            segments.extend(cut(sentence, limit))
    return segments


def mark_fenced(lines):
    """Yield (line, whether it is code between fences, or a fence) of each line."""
    fence = ""
    for line in lines:
        mark = _FENCE.match(line)
        yield line, bool(fence or mark)
        if not fence:
            fence = mark[1] if mark else ""
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""


def join(segments, translations, source, target):
    """Return the text of the translated segments.

    Args:
        segments: see split.
        translations: a text for each segment to translate, in order.
        source, target: language codes. Spaces between two sentences of a line become none for Chinese and one for
            other targets; Chinese sentences that touch are set apart for a target that writes spaces.

    Raises:
        ValueError: there are more or fewer translations than segments to translate.
    """
    translations = list(translations)
    if len(translations) != sum(part.translate for part in segments):
        raise ValueError(f"{len(translations)} translations for {sum(part.translate for part in segments)} sentences")
    gap = "" if target in WITHOUT_SPACES else " "
    rest, parts = iter(translations), []
    for i, part in enumerate(segments):
        after_sentence = i > 0 and segments[i - 1].translate
        before_sentence = i + 1 < len(segments) and segments[i + 1].translate
        if part.translate:
            parts.append(gap if after_sentence and source in WITHOUT_SPACES else "")
            parts.append(next(rest))
        elif after_sentence and before_sentence and not part.text.strip(_SPACES):
            parts.append(gap)
        else:
            parts.append(part.text)
    return "".join(parts)


def _sentences(line, language):
    """Yield the sentences of a line, each with the white space after it."""
    plain = _SURROGATE.sub("\ufffd", line)  # half a character is no UTF-8
    start = end = 0
    for piece in segment(language, plain):
        end += len(piece)
        if language == "de" and _ORDINAL.search(piece):
            continue  # "der 2. Versuch" is no end
        yield line[start:end]
        start = end
    yield line[start:]


def cut(sentence, limit):
    """Return the segments of a sentence, none longer than ``limit`` characters, as far as one may be cut there."""
    start, stop, segments = 0, len(sentence.rstrip()), []
    while start < stop:
        end = stop if stop - start <= limit else _cut_at(sentence, start, limit)
        before, part, after = _TRIMMED.fullmatch(sentence, start, end).groups()
        segments += Segment(before, False), Segment(part, any(map(str.isalpha, part))), Segment(after, False)
        start = end
    segments.append(Segment(sentence[stop:], False))
    return [part for part in segments if part.text]


def _cut_at(text, start, limit):
    """Return where to end the part from ``start`` on of a text that goes on for more than ``limit``."""
    for pattern in (_CLAUSE_END, _SPACE):
        ends = [match.end() for match in pattern.finditer(text, start, start + limit + 1)]
        if ends := [end for end in ends if 0 < len(text[start:end].strip()) <= limit]:
            return ends[-1]
    end = start + limit
    while end > start and _continues(text, end):
        end -= 1
    if end == start:
        end = next((i for i in range(start + limit, len(text)) if not _continues(text, i)), len(text))
    return end


def _continues(text, i):
    """Whether the character at ``i`` belongs to the one before it: an accent, a skin tone, half of a pair."""
    character, before = text[i], text[i - 1]
    return (
        unicodedata.category(character).startswith("M")
        or "\u200d" in (character, before)
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or ("\udc00" <= character <= "\udfff" and "\ud800" <= before <= "\udbff")
    )
