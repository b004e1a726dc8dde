"""Forms, prompts and acrostics of poems."""

import pytest

from bigmodel.errors import InputError
from bigmodel.text_generation import poetry

QUIET_NIGHT = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"


@pytest.mark.parametrize(
    "body, form",
    [
        (QUIET_NIGHT, "五绝"),
        (QUIET_NIGHT * 2, "五律"),
        (QUIET_NIGHT * 3, "五言"),
        ("朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。", "七绝"),
        ("朝辞白帝彩云间？千里江陵一日还！两岸猿声啼不住；轻舟已过万重山。" * 2, "七律"),
        ("朝辞白帝彩云间，千里江陵一日还。", "七言"),
        ("床前“明月”光，疑是《地上》霜。举头望明月，低头思故乡。", "五绝"),
        ("枯藤老树昏鸦，小桥流水人家。", "杂言"),
        ("床前明月光，疑是地上霜啊。", "杂言"),
        ("", "杂言"),
    ],
)
def test_form_of(body, form):
    assert poetry.form_of(body) == form


def test_encode_prompt():
    full = poetry.encode_prompt("唐诗", "五绝", "李白", "静夜思", "床前")
    assert full == "<|唐诗|><|五绝|><|author|>李白<|title|>静夜思<|body|>床前"
    assert poetry.encode_prompt() == "<|body|>"
    assert poetry.encode_prompt(title="雪", author="") == "<|title|>雪<|body|>"


@pytest.mark.parametrize(
    "field, value", [("kind", "明诗"), ("form", "三言"), ("author", "<|body|>"), ("title", "a<|"), ("body", "<|unk|>")]
)
def test_encode_prompt_refuses(field, value):
    with pytest.raises(InputError, match=field):
        poetry.encode_prompt(**{field: value})


def test_special_tokens_are_those_of_the_format():
    assert len(poetry.SPECIAL_TOKENS) == len(set(poetry.SPECIAL_TOKENS)) == 17
    assert poetry.SPECIAL_TOKENS[0] == "<|endoftext|>"


@pytest.mark.parametrize(
    "acrostic, asked, form",
    [
        ("春夏秋冬", None, "七绝"),
        ("春夏秋冬", "五律", "五绝"),
        ("春夏秋冬" * 2, None, "七律"),
        ("春夏秋冬" * 2, "五言", "五律"),
        ("春夏秋", "杂言", "七言"),
        ("春", "五绝", "五言"),
    ],
)
def test_form_for_acrostic(acrostic, asked, form):
    assert poetry.form_for_acrostic(acrostic, asked) == form


@pytest.mark.parametrize("acrostic", ["", "春，夏", "春 夏", "春" * 17])
def test_acrostic_refuses(acrostic):
    with pytest.raises(InputError, match="acrostic"):
        poetry.form_for_acrostic(acrostic)


def test_acrostic_forces_lines_and_end():
    vocabulary = {token: i for i, token in enumerate([*poetry.SPECIAL_TOKENS, *"，。？春夏秋冬山水"])}
    tokens = list(vocabulary)
    constraint = poetry.Acrostic("春夏秋", "五言", vocabulary)
    text, ids = "", []
    while True:
        allowed = constraint(ids, text)
        ids.append(
            allowed if isinstance(allowed, int) else allowed[-1 if "山" in map(tokens.__getitem__, allowed) else 0]
        )
        if tokens[ids[-1]] == poetry.START:
            break
        text += tokens[ids[-1]]
    assert text == "春水水水水，夏水水水水。秋水水水水。"
    assert constraint([], "春水水水水水水") == constraint([], "春水水水水")  # a first line of a visitor's, too long
    assert constraint([], "春水水水水， ") == constraint([], "春水水水水，")  # signs are no characters of a line
    with pytest.raises(InputError, match="begins with 山"):
        constraint([], "春水水水水，“山水")
    with pytest.raises(InputError, match="雪"):
        poetry.Acrostic("雪", "五言", vocabulary)
