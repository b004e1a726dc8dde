"""The Chinese model card, README.zh.md: the English one, block by block; code, data and names stay as they are.

``chinese.txt`` has the sentences of ``report``, of ``cards`` and of the presets, each with its Chinese below it; a test
says which lack it.
"""

import re
from pathlib import Path

# heads of tables of samples, which are no sentences of ours
SAMPLES = {
    "| source | translation | reference |": "| 原文 | 译文 | 参考译文 |",
    "| row | caption | of |": "| 行 | 描述 | 数据集 |",
}
_VALUE = re.compile(r"[\w.\- ]*\d|sampler \w+")  # such as "top_k 40"
_CODE = re.compile(r"(^(?:```.*?^```$|~~~.*?^~~~$))", re.DOTALL | re.MULTILINE)


def read_texts():
    """Return chinese.txt as a dict of English -> Chinese; {} stands for a value, which is translated likewise."""
    text = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    pairs = (pair.split("\n") for pair in text.strip().split("\n\n") if not pair.startswith("# "))
    return dict(pairs)


TEXTS = read_texts()
# the longest first, so that a text of values alone comes last
_PATTERNS = [
    (re.compile("(.+?)".join(map(re.escape, english.split("{}")))), chinese)
    for english, chinese in sorted(TEXTS.items(), key=lambda item: -len(item[0].replace("{}", "")))
    if "{}" in english
]


def translated(card):
    """Return an English card, Markdown with the Hub's front matter, in Chinese and without that."""
    card = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL).strip()
    parts = _CODE.split(card)  # every second one is code
    prose = lambda text: "\n\n".join(map(_block, text.split("\n\n")))  # noqa: E731
    return "".join(part if i % 2 else prose(part) for i, part in enumerate(parts)) + "\n"


def phrase(text):
    """Return a sentence, a cell or a list of values in Chinese; what is not in TEXTS stays as it is."""
    if text in TEXTS:
        return TEXTS[text]
    parts = text.split(", ")
    if len(parts) > 1 and all(map(_VALUE.fullmatch, parts)):
        return "，".join(map(phrase, parts))
    for pattern, chinese in _PATTERNS:
        if found := pattern.fullmatch(text):
            return chinese.format(*map(phrase, found.groups()))
    values = list(map(phrase, parts)) if len(parts) > 1 else parts
    return "，".join(values) if values != parts else text


def _block(block):
    """Return a heading, a table, a list or a paragraph in Chinese."""
    lines = block.split("\n")
    if block.startswith("|"):
        return "\n".join([SAMPLES[lines[0]], *lines[1:]] if lines[0] in SAMPLES else map(_row, lines))
    if block.startswith(("- ", "#")):
        return "\n".join(map(_line, lines))
    text = " ".join(lines)
    sentences = re.split(r"(?<=[.]) (?=[A-Z])", text)
    values = list(map(phrase, sentences))
    apart = text not in TEXTS and all(map(str.__ne__, values, sentences))
    return "".join(values) if apart else block if phrase(text) == text else phrase(text)


def _row(line):
    cells = re.split(r"(?<!\\)\|", line)[1:-1]
    return f"| {' | '.join(phrase(cell.strip()) for cell in cells)} |"


def _line(line):
    mark = re.match("#+ |", line)[0]
    return mark + phrase(line.removeprefix(mark))
