"""Errors in the visitor's language: every message that the page can show has its Chinese."""

import ast
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from bigmodel.ui.language import MESSAGES, translated, visitor_language

PACKAGE = Path(__file__).parents[2] / "bigmodel"
# raised for programs, not for a field of the page
PROGRAMS = {
    "text_generation/completions.py",
    "text_generation/runtime.py",
    "text_generation/generate.py",
    "translation/runtime.py",
    "text_to_image/runtime.py",
    "image_classification/runtime.py",
    "object_detection/runtime.py",
}


def messages():
    """(file, message with {} for its values) of every InputError that a field of the page can raise."""
    tasks = "text_generation", "translation", "text_to_image", "image_classification", "object_detection"
    for pattern in (*(f"{folder}/*.py" for folder in ("ui", *tasks)), "runtime/pictures.py"):
        for path in sorted(PACKAGE.glob(pattern)):
            name = path.relative_to(PACKAGE).as_posix()
            if name in PROGRAMS:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError":
                    yield name, spelt(node.args[1])


def spelt(node):
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value


def test_every_message_has_its_chinese():
    found = list(messages())
    assert len(found) > 25
    assert [(file, text) for file, text in found if text not in MESSAGES] == []


@pytest.mark.parametrize("english", MESSAGES)
def test_values_stay(english):
    count = english.count("{}")
    values = [f"«{i}»" for i in range(count)]
    chinese = translated("prompt: " + english.format(*values), "zh")
    assert chinese.startswith("开头：") and all(value in chinese for value in values)
    assert english.format(*values) not in chinese


def test_whole_messages():
    said = "max_new_tokens: 0 is out of range; give a whole number from 1 to 1024"
    assert translated(said, "en") == said
    assert translated(said, "zh") == "长度：0 超出范围；请给出 1 到 1024 之间的整数"
    said = "source: Chinese is not translated here; this host translates English to German, German to English"
    assert translated(said, "zh") == "源语言：此处不翻译中文；此处可以翻译：英语到德语、德语到英语"
    assert not re.search("[a-z]", translated("seed: 'X' is not a whole number; give a whole number from 0 to 9", "zh"))


@pytest.mark.parametrize(
    ("cookie", "header", "expected"),
    [
        (None, "zh-CN,en;q=0.5", "zh"),
        (None, "de", "en"),
        ("en", "zh-CN", "en"),
        ("zh-CN", "de", "zh"),
        (None, None, "en"),
    ],
)
def test_the_switch_goes_before_the_browser(cookie, header, expected):
    headers = {"accept-language": header} if header else {}
    cookies = {"bigmodel-language": cookie} if cookie else {}
    assert visitor_language(SimpleNamespace(headers=headers, cookies=cookies)) == expected
    assert visitor_language() == "en"
