"""What is asked of an image generator: limits, links of strangers, the words of a style."""

import json

import pytest

from bigmodel.errors import InputError
from bigmodel.text_to_image.events import chosen
from bigmodel.text_to_image.request import CHECKS, TASK, Request, given, with_style
from bigmodel.ui.models import Models

STYLES = ("noto", "fluent", "twemoji")


@pytest.fixture
def models(tmp_path):
    """Two models that are not opened here, one of another task."""
    for name, task in (("small", TASK), ("large", TASK), ("other", "translation")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"bigmodel": {"task": task, "name": name}}))
    return Models([tmp_path], {TASK: None, "translation": None})


def test_a_prompt_alone(models):
    request = Request.check(models, prompt="  a cat ")
    assert request == Request("a cat", "large") and request.num_images == 4
    assert (request.steps, request.guidance, request.seed, request.sampler) == (None, None, None, None)


def test_nothing_asked_for(models):
    assert Request.check(models, prompt="").prompt == Request.check(models, prompt=None).prompt == ""


def test_whole_numbers_stay_whole(models):
    request = Request.check(models, prompt="a", num_images=2.0, steps=10.0, seed=7.0, guidance=3)
    assert isinstance(request.seed, int) and isinstance(request.num_images, int) and isinstance(request.guidance, float)


BAD = [
    ({"prompt": "a" * 10_000}, "prompt: 10000 characters; the limit is 500"),
    ({"prompt": 7}, "prompt: must be a text, not int"),
    ({"prompt": ["a"]}, "prompt: must be a text, not list"),
    ({"prompt": "\ud83d"}, "prompt: holds half a character"),
    ({"model": "gpt"}, "model: 'gpt' is unknown; choose one of large, small"),
    ({"model": "other"}, "model: 'other' is unknown; choose one of large, small"),
    ({"model": {}}, "model: must be a text, not dict"),
    ({"num_images": 0}, "num_images: 0 is out of range; give a whole number from 1 to 8"),
    ({"num_images": 9}, "num_images: 9 is out of range"),
    ({"num_images": 1.5}, "num_images: 1.5 is not a whole number"),
    ({"num_images": True}, "num_images: 'True' is not a whole number"),
    ({"steps": 0}, "steps: 0 is out of range; give a whole number from 1 to 100"),
    ({"steps": 101}, "steps: 101 is out of range"),
    ({"steps": "many"}, "steps: 'many' is not a whole number"),
    ({"guidance": -1}, "guidance: -1 is out of range; give a number from 0 to 20"),
    ({"guidance": float("nan")}, "guidance: 'nan' is not a number"),
    ({"guidance": 1e308}, "guidance: .* is out of range"),
    ({"seed": -1}, "seed: -1 is out of range"),
    ({"seed": 10**30}, "seed: .* is out of range"),
    ({"seed": 2**32 - 1, "num_images": 2}, "seed: 4294967295 is out of range; .* from 0 to 4294967294"),
    ({"sampler": "ddim"}, "sampler: 'ddim' is unknown; choose one of euler, heun"),
    ({"variation_of": -1}, "variation_of: -1 is out of range"),
    ({"strength": 1.1}, "strength: 1.1 is out of range; give a number from 0 to 1"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[message for _, message in BAD])
def test_out_of_the_limits(models, values, message):
    with pytest.raises(InputError, match=message):
        Request.check(models, **{"prompt": "a", **values})


def test_a_host_without_a_generator(tmp_path):
    with pytest.raises(InputError, match="model: this host has no image generator"):
        Request.check(Models([tmp_path], {}), prompt="a")


def test_a_link_or_file_of_strangers():
    values = {"prompt": "a cat", "seed": "7", "guidance": "2.5", "steps": 9, "sampler": "heun", "x": "y"}
    fields, refused = given(values)
    assert fields == {"prompt": "a cat", "seed": 7, "guidance": 2.5, "steps": 9, "sampler": "heun"} and refused == []
    hostile = {
        "prompt": "a" * 3000,
        "model": "b" * 101,
        "num_images": "9" * 3000,
        "steps": "1e400",
        "guidance": "nan",
        "seed": "0x10",
        "sampler": "<script>",
        "variation_of": "-1",
        "strength": "",
    }
    fields, refused = given(hostile)
    assert fields == {} and refused == [name for name in CHECKS if name != "strength"]


def test_an_empty_prompt_in_a_file_empties_the_field():
    assert given({"prompt": "", "seed": ""}) == ({"prompt": ""}, [])


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", "fluent style"),
        ("a cat", "a cat, fluent style"),
        ("a cat, ", "a cat, fluent style"),
        ("a cat, noto style, on blue", "a cat, fluent style, on blue"),
        ("a cat in noto style", "a cat in fluent style"),
        ("a cat, fluent style", "a cat, fluent style"),
        ("a snail on green, twemoji", "a snail on green, fluent"),
        ("a cat, Noto style, on blue", "a cat, fluent style, on blue"),
        ("A cat in Noto style", "A cat in fluent style"),
        ("蘑菇，Noto风格，黄色背景", "蘑菇，fluent风格，黄色背景"),
        ("a noto, a cat", "a noto, a cat, fluent style"),
        ("蘑菇", "蘑菇，fluent风格"),
        ("蘑菇，noto风格，黄色背景", "蘑菇，fluent风格，黄色背景"),
    ],
)
def test_another_style(prompt, expected):
    assert with_style(prompt, "fluent", STYLES) == expected


FORM = {"prompt": "another", "num_images": 6, "strength": 0.3, "seed": None, "variation_of": None}
PICTURE = {"prompt": "a cat", "model": "small", "num_images": 4, "steps": 8, "guidance": 2.0, "seed": 11}


def test_the_same_picture_again():
    fields = chosen("again", {**PICTURE, "x": 1}, FORM)
    assert {name: fields[name] for name in PICTURE} == {**PICTURE, "num_images": 1} and set(fields) == set(CHECKS)


def test_variations_begin_with_the_pictures_noise():
    fields = chosen("variations", PICTURE, FORM)
    assert fields["variation_of"] == 11 and fields["num_images"] == 6 and fields["strength"] == 0.3
    assert fields["prompt"] == "a cat" and 0 <= fields["seed"] < 1_000_000
    assert chosen("variations", PICTURE, {**FORM, "num_images": 1})["num_images"] == 4
    assert chosen("variations", {**PICTURE, "variation_of": 5}, FORM)["variation_of"] == 5


@pytest.mark.parametrize("picture", [None, 7, [], "x", {"prompt": None}])
def test_buttons_of_no_picture_are_refused_later(models, picture):
    fields = chosen("variations", picture, FORM)
    assert Request.check(models, **fields).prompt == ""
