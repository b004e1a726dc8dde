"""Files to translate: which texts they hold, and the same file with translations in their places.

txt: a text is a line, but those of code between fences. csv and tsv: it is a cell of one column, and the translations
are a column added at the end. srt: it is the text of a cue, and its translation is divided into as many lines. All else
is kept to the letter, and what is wrong with a file is said at once.
"""

import csv
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from itertools import accumulate
from math import inf
from pathlib import Path

from bigmodel.errors import InputError
from bigmodel.limits import LIMITS
from bigmodel.translation.placeholders import TAG
from bigmodel.translation.segmentation import mark_fenced

FAILED = "⚠ "  # before a text that could not be translated
ADDED = "translation"  # header of the added column

_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|$)")
_BREAKS = re.compile(r"(?<!\s)\s*[\r\n]\s*")
_TIME = re.compile(r"\s*\d+:\d\d:\d\d[,.]\d{1,3}\s*-->\s*\d+:\d\d:\d\d[,.]\d{1,3}(?:\s.*)?")
_NAME = re.compile(r"[^\W\d][\w .:()/-]{0,39}")
_NUMBER = re.compile(r"[-+]?(?=\D*\d)[\d.,:/%\s-]+")
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_SEPARATOR = re.compile(r"sep=(.)(?:\r\n|\r|\n)(?=\s*\S)", re.IGNORECASE)  # a first line of spreadsheets
_LINES_A_TEXT = 10  # at most, all told: a cue has four, a cell may have some
_COLUMNS = 1000
_WIDE = ("W", "F")  # East Asian widths of characters that stand without spaces
_TAG = re.compile(TAG)
_SPEAKER = re.compile(rf"(?:{TAG})*[-–—] ?[^\W\d]")  # the beginning of what one of several says in a cue
_OPENING, _CLOSING = "“‘「『（《〈【", "，。！？；：、…”’」』）》〉】"  # end, and begin, no line


@dataclass(frozen=True)
class FileContent:
    """The content of a file.

    Attributes:
        units: the texts to translate, in order; empty ones too.
        template: the file's parts; a function is the place of the next text, and spells it as it has to stand there.
        encoding: of the translated file: UTF-8, with a mark where the file had one, or was in another.
    """

    units: list[str]
    template: list[str | Callable[[str], str]]
    encoding: str = "utf-8"

    def render(self, translations):
        """Return the file's text with translations.

        Args:
            translations: a text for each unit; None where there is none: then the unit stands there, marked FAILED.

        Raises:
            ValueError: there are more or fewer translations than units.
        """
        pairs = zip(self.units, translations, strict=True)
        texts = iter([_or_marked(unit, translation) for unit, translation in pairs])
        return "".join(part(next(texts)) if callable(part) else part for part in self.template)


def read(path, column=None):
    """Return the content of a file.

    Args:
        path: of a file whose suffix is in FORMATS.
        column: of a table: the name in its header or the number from 1; None takes the column with the most letters.

    Returns:
        FileContent.

    Raises:
        InputError: "file" is of another kind, too large, empty, binary or broken; or there is no such "column".
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise InputError("file", f"{kind or 'no suffix'} is unknown; give one of {', '.join(FORMATS)}")
    column = None if column is None or not str(column).strip() else str(column).strip()
    if column is not None and kind not in _TABLES:
        raise InputError("column", f"a {kind} file has no columns")
    try:
        if (size := path.stat().st_size) > LIMITS.file_bytes:
            raise InputError("file", f"{size:,} bytes; the limit is {LIMITS.file_bytes:,}")
        data = path.read_bytes()
    except OSError as error:
        raise InputError("file", f"cannot be read ({error.strerror})") from error
    text, encoding = decode(data)
    if not text.strip():
        raise InputError("file", "is empty")
    lines = text.count("\n") + text.count("\r") - text.count("\r\n")
    if lines > (limit := LIMITS.file_texts * _LINES_A_TEXT):
        raise InputError("file", f"{lines:,} lines; the limit is {limit:,}")
    content = _read_table(text, column, kind) if kind in _TABLES else _READERS[kind](text)
    _check_texts(len(content.units))
    return replace(content, encoding="utf-8" if encoding == "utf-8" else "utf-8-sig")


def _check_texts(count):
    if count > LIMITS.file_texts:
        raise InputError("file", f"{count:,} texts; the limit is {LIMITS.file_texts:,}")


def decode(data):
    """Return the text of a file's bytes and the name of its encoding.

    UTF-8 and UTF-16, with a mark or without; else Chinese GB18030, where most bytes beyond ASCII stand side by side;
    else Western cp1252.

    Raises:
        InputError: "file" is binary, or in none of these encodings, or UTF-8 but for some bytes.
    """
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            if encoding == "utf-8" and _mostly_utf8(data):
                place = f"{error.start + 1:,}"
                raise InputError("file", f"is UTF-8, but not at byte {place}; save it again as UTF-8") from error
            continue
        controls = sum(unicodedata.category(c) == "Cc" and not c.isspace() for c in text)
        if "\0" in text or controls > len(text) / 100:
            break
        if encoding == "gb18030" and _PRIVATE.search(text):  # such as Big5
            break
        return text, encoding
    raise InputError("file", "is no text, or in an unknown encoding; save it as UTF-8")


def _encodings(data):
    """Return the encodings to try, in order."""
    if data.startswith(b"\xef\xbb\xbf"):
        return ["utf-8-sig"]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ["utf-16"]
    if b"\0" in data:  # the upper halves of ASCII characters, all on one side
        return ["utf-16-le"] if b"\0" not in data[::2] else ["utf-16-be"] if b"\0" not in data[1::2] else []
    runs = _HIGH_BYTES.findall(data)
    together = sum(len(run) for run in runs if len(run) > 1)
    chinese = 2 * together > sum(map(len, runs))
    return ["utf-8", *(["gb18030"] if chinese else []), "cp1252"]


def _mostly_utf8(data):
    """Whether most runs of bytes beyond ASCII are UTF-8; hardly one of another encoding is."""
    runs = _HIGH_BYTES.findall(data)
    return 2 * sum("\ufffd" not in run.decode("utf-8", "replace") for run in runs) > len(runs)


def output_name(path, target):
    """Return the name of a translated file, such as menu.de.txt, without folders and control characters."""
    name = re.split(r"[\\/]", str(path))[-1]
    name = "".join(c for c in name if unicodedata.category(c)[0] != "C" and c not in '<>:"|?*')
    stem, suffix = Path(name).stem.strip(" ."), Path(name).suffix
    return f"{stem[:100] or ADDED}.{target}{suffix}"


def _or_marked(unit, translation):
    if translation is not None:
        return translation
    return FAILED + unit if unit.strip() else unit


def _one_line(text):
    return _BREAKS.sub(" ", text.strip("\r\n"))


def _one_cell(text):
    return _one_line(text).replace("\t", " ")


def _lines(text):
    """Return (line, line end) of each line; only carriage return and line feed end one."""
    return [match.groups() for match in _LINE.finditer(text) if match.group()]


def _read_txt(text):
    units, template = [], []
    lines = _lines(text)
    for (line, end), (_, fenced) in zip(lines, mark_fenced(line for line, _ in lines), strict=True):
        units += [] if fenced else [line]
        template += [line if fenced else _one_line, end]
    return FileContent(units, template)


def _read_srt(text):
    """Read subtitles; what is before the first time line stays as it is."""
    lines = _lines(text)
    timed = [bool(_TIME.fullmatch(line)) for line, _ in lines] + [False]
    if not any(timed):
        raise InputError("file", "has no time line, such as 00:00:01,000 --> 00:00:02,500")
    units, template, i = [], [], 0
    begin = timed.index(True)
    while i < len(lines):
        first = i
        while begin < i < len(lines) and lines[i][0].strip() and not _begins_cue(lines, timed, i):
            i += 1
        paragraph = [line for line, _ in lines[first:i]]
        if not paragraph or any("-->" in line for line in paragraph):  # a broken time line
            i = max(i, first + 1)
            template += map("".join, lines[first:i])
        else:
            spoken = _speeches([line.strip() for line, _ in lines[first:i]])
            units.append("\n".join(map(_flow, spoken)))
            template += [partial(_cue, counts=[*map(len, spoken)], end=lines[first][1]), lines[i - 1][1]]
    return FileContent(units, template)


def _begins_cue(lines, timed, i):
    return timed[i] or (lines[i][0].strip().isdecimal() and timed[i + 1])


def _speeches(lines):
    """Return the lines of a cue by who says them: a list of lists."""
    spoken = [[]]
    for line in lines:
        if spoken[-1] and _SPEAKER.match(line):
            spoken.append([])
        spoken[-1].append(line)
    return spoken


def _flow(lines):
    """Join lines by a blank, but not between Chinese characters."""
    text = ""
    for line in lines:
        text += line if not text or (_is_wide(text[-1]) and _is_wide(line[0])) else f" {line}"
    return text


def _is_wide(character):
    return unicodedata.east_asian_width(character) in _WIDE


def _cue(text, counts, end):
    """Return the text of a cue, each of whose speeches gets its count of lines again."""
    spoken = _BREAKS.split(text.strip("\r\n"))
    if len(spoken) != len(counts):
        spoken, counts = [_one_line(text)], [sum(counts)]
    return end.join(line for speech, count in zip(spoken, counts, strict=True) for line in _wrap(speech, count))


def _wrap(text, count):
    """Return a text as at most so many lines of nearly equal lengths; tags count for nothing, and are not broken."""
    hidden = {i for match in _TAG.finditer(text) for i in range(*match.span())}
    ends = [0, *accumulate(i not in hidden for i in range(len(text)))]  # what is seen before each place
    places = [i for i in range(1, len(text)) if i not in hidden and _may_end(text, i)]
    lines, start = [], 0
    for left in range(count, 1, -1):
        length, end, least = (ends[-1] - ends[start]) / left, None, inf
        for i in map(places.__getitem__, range(bisect_right(places, start), len(places))):
            beyond = ends[i] - ends[start] - length
            if beyond - length / 3 > least:  # as all that follow
                break
            if (cost := abs(beyond) - (text[i - 1] in _CLOSING) * length / 3) < least:
                end, least = i, cost
        if end is None:
            break
        lines.append(text[start:end].strip())
        start = end
    return [*lines, text[start:].strip()]


def _may_end(text, i):
    """Whether a line may end before the character at ``i``: at a blank, or beside a Chinese character."""
    if text[i - 1] in _OPENING or text[i] in _CLOSING:
        return False
    return text[i].isspace() or _is_wide(text[i - 1]) or _is_wide(text[i])


def _read_table(text, column, kind):
    said = _SEPARATOR.match(text) if kind == ".csv" else None
    text = text[said.end() :] if said else text
    delimiter = "\t" if kind == ".tsv" else said[1] if said else _delimiter(text)
    quotings = [csv.QUOTE_MINIMAL] + [csv.QUOTE_NONE] * (kind == ".tsv")  # many tsv files have bare quotes
    for quoting in quotings:
        try:
            rows = _parse(text, delimiter, quoting)
            torn = any("\n" in cell and delimiter in cell for _, cells in rows for cell in cells)
            if not torn or quoting == quotings[-1]:
                break  # else its quotes are bare, and happen to be even
        except csv.Error as error:
            if quoting == quotings[-1]:
                raise InputError("file", f"is no table: {error}") from error
    quoted = quoting == csv.QUOTE_MINIMAL
    full = [cells for _, cells in rows if cells]
    width = max(map(len, full))
    _check_texts(len(full) - 1)  # what follows grows with rows times columns
    if width > _COLUMNS:
        raise InputError("file", f"{width:,} columns; the limit is {_COLUMNS:,}")
    header = full[0] if _has_header(full, column) else None
    chosen = _choose(full[1:] if header else full, width, header, column)
    write = (lambda cell: _quote(cell, delimiter)) if quoted else _one_cell
    units, template = [], [said[0]] if said else []
    for raw, cells in rows:
        if len(cells) <= chosen:
            template.append(raw)
            continue
        body = raw.rstrip("\r\n")
        template.append(body + delimiter * (width - len(cells) + 1))
        if cells is header:
            template.append(ADDED)
        else:
            units.append(cells[chosen])
            template.append(write)
        template.append(raw[len(body) :])
    return FileContent(units, template)


def _delimiter(text):
    """Return what most often separates the cells of the first line."""
    first = re.sub(r'"[^"]*"', "", text.lstrip("\r\n")).split("\n")[0]
    counts = {mark: first.count(mark) for mark in ("\t", ";", "|", ",")}
    return max(counts, key=counts.get) if any(counts.values()) else ","


def _parse(text, delimiter, quoting):
    """Return (text with its line end, cells) of each row."""
    lines = list(StringIO(text, newline=""))
    options = {"delimiter": delimiter, "quoting": quoting, "skipinitialspace": True, "strict": True}
    reader, rows, done = csv.reader(lines, **options), [], 0
    try:
        for cells in reader:
            rows.append(("".join(lines[done : reader.line_num]), cells))
            done = reader.line_num
    except csv.Error as error:
        raise csv.Error(f"{error} in the row that begins in line {done + 1}") from error
    return rows


def _has_header(rows, column):
    """Whether the first row names the columns: when asked for by name, or when the cells below look different."""
    first, rest = rows[0], rows[1:]
    if column is not None and not column.isdecimal():
        return True
    if len(set(first)) < len(first) or not all(_NAME.fullmatch(cell.strip()) for cell in first):
        return False
    for i, name in enumerate(first):
        below = [row[i].strip() for row in rest if len(row) > i and row[i].strip()]
        if below and (all(map(_NUMBER.fullmatch, below)) or sum(map(len, below)) > 2 * len(name) * len(below)):
            return True
    return False


def _choose(rows, width, header, column):
    """Return the index of the column to translate."""
    names = [name.strip() for name in header or ()]
    if column is None:
        letters = [sum(map(str.isalpha, "".join(row[i] for row in rows if len(row) > i))) for i in range(width)]
        return letters.index(max(letters))
    if column in names:
        return names.index(column)
    if not column.isdecimal():
        raise InputError("column", f"{column[:40]!r} is not in the header; there are {', '.join(names)[:200]}")
    if len(column) > 9 or not 1 <= int(column) <= width:
        raise InputError("column", f"{column[:40]} is out of range; the table has {width} columns")
    return int(column) - 1


def _quote(cell, delimiter):
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(f'{delimiter}"\r\n') else cell


_TABLES = (".csv", ".tsv")
_READERS = {".txt": _read_txt, ".srt": _read_srt}
FORMATS = (".txt", *_TABLES, ".srt")
