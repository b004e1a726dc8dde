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
    "ui/ray_serve.py",
    "text_generation/completions.py",
    "text_generation/runtime.py",
    "text_generation/generate.py",
    "translation/runtime.py",
    "text_to_image/runtime.py",
    "image_classification/runtime.py",
    "object_detection/runtime.py",
}


# what a visitor may be told -> which argument is the message
TOLD = {"InputError": 1, "Refusal": 1, "HTTPException": 1, "Error": 0}


def messages():
    """(file, message with {} for its values) of all that the page can tell a visitor, but of what is passed on."""
    tasks = "text_generation", "translation", "text_to_image", "image_classification", "object_detection"
    for pattern in (*(f"{folder}/*.py" for folder in ("ui", *tasks)), "runtime/pictures.py"):
        for path in sorted(PACKAGE.glob(pattern)):
            name = path.relative_to(PACKAGE).as_posix()
            if name in PROGRAMS:
                continue
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            assigned = [node for node in nodes if isinstance(node, ast.Assign)]
            named = {node.targets[0].id: node.value for node in assigned if isinstance(node.targets[0], ast.Name)}
            for node in (node for node in nodes if isinstance(node, ast.Call)):
                place = TOLD.get(getattr(node.func, "id", getattr(node.func, "attr", "")))
                if place is not None and len(node.args) > place and (text := spelt(node.args[place], named)):
                    yield name, text


def spelt(node, named):
    """The text of an argument, through names and functions; None of what is no text of ours."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.Name):
        return spelt(named.get(node.id), {})
    if isinstance(node, ast.Call):
        return spelt(node.args[0], named) if node.args else None
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_every_message_has_its_chinese():
    found = list(messages())
    files = {file for file, _ in found}
    assert len(found) > 40 and {"ui/guard.py", "ui/operation.py", "translation/request.py"} <= files
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
    assert translated("text: is empty; give 1 to 5 characters", "zh") == "原文：为空；请输入 1 到 5 个字符"
    assert translated(said, "en") == said
    assert translated(said, "zh") == "长度：0 超出范围；请给出 1 到 1024 之间的整数"
    said = "source: Chinese is not translated here; this host translates English to German, German to English"
    assert translated(said, "zh") == "源语言：此处不翻译中文；此处可以翻译：英语到德语、德语到英语"
    said = "the request is too large; the limit is 1,000,000 bytes (request 0a1b2c)"
    assert translated(said, "zh") == "请求过大；最多 1,000,000 字节（请求 0a1b2c）"
    said = "This did not work, and it is our fault. The log has it as request 0a1b2c."
    assert translated(said, "zh") == "未能完成，错在我们。日志编号：0a1b2c。"
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
