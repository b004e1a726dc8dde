"""Captions say what a picture shows, and what is held out is held out however it is said."""

from itertools import permutations

import numpy as np
import pytest

from bigmodel.text_to_image.captions import (
    COLOURS,
    HELD_OUT,
    RELATIONS,
    STYLES,
    TONES,
    Subject,
    canonical,
    describe,
    describe_scene,
    is_held_out,
)
from bigmodel.text_to_image.config import THINGS

CAT = Subject("cat face", "猫脸", ("pet", "whiskers"))
WAVE = Subject("waving hand", "挥手", tone="dark skin tone")


def captions_of(subject, style, count=400):
    rng = np.random.default_rng(0)
    return [describe(subject, style, rng) for _ in range(count)]


def test_a_caption_names_the_thing_or_its_keywords():
    said = captions_of(CAT, "noto")
    for caption in said:
        assert any(words in caption for words in ("cat face", "猫脸", "pet", "whiskers")), caption
        assert not any(style in caption for style in STYLES if style != "noto")
    assert len(set(said)) > 20 and any("猫脸" in caption for caption in said)
    named = sum("noto" in caption for caption in said) / len(said)
    assert 0.84 < named < 0.96  # a tenth leaves the style out
    assert any("pet, whiskers" in caption for caption in said)


def test_a_tone_is_always_said():
    for caption in captions_of(WAVE, "twemoji"):
        assert ("dark skin tone" in caption) != (TONES["dark skin tone"] in caption), caption
    assert canonical("waving hand", "noto", "dark skin tone") == "waving hand, dark skin tone, noto style"
    assert canonical("cat face", "noto") == "cat face, noto style"


def test_chinese_captions_are_chinese_but_for_the_style():
    chinese = [caption for caption in captions_of(WAVE, "fluent") if "挥手" in caption]
    assert set(chinese) == {"挥手，深肤色，fluent风格", "挥手，深肤色"}
    assert 0.08 < len(chinese) / 400 < 0.25
    assert not any("猫" in c for c in captions_of(Subject("cat face"), "noto"))  # no name, no Chinese


def test_equal_state_equal_caption():
    assert captions_of(CAT, "noto") == captions_of(CAT, "noto")


@pytest.mark.parametrize("relation", RELATIONS)
def test_scenes_name_things_relation_style_and_ground(relation):
    rose = Subject("rose", "玫瑰")
    assert describe_scene([CAT, rose], relation, "noto", "blue") == f"a cat face {relation} a rose, noto style, on blue"
    rng = np.random.default_rng(0)
    for caption in {describe_scene([CAT, rose], relation, "noto", "blue", rng) for _ in range(100)}:
        if "猫脸" in caption:
            assert caption == f"猫脸在玫瑰{RELATIONS[relation][0]}，noto风格，蓝色背景"
        else:
            assert caption.index("cat face") < caption.index(relation) < caption.index("rose")
            assert "noto" in caption and "blue" in caption


def test_scenes_of_one_and_three_things():
    things = [Subject(name) for name in ("key", "rose", "star")]
    assert describe_scene(things[:1], None, "noto", "red") == "a key, noto style, on red"
    assert describe_scene(things, None, "noto", "red") == "a key, a rose and a star, noto style, on red"


def test_a_picture_is_held_out_however_it_is_said():
    for first, second in permutations(THINGS[:12], 2):
        for relation, (_, inverse) in RELATIONS.items():
            assert is_held_out(first, relation, second) == is_held_out(second, inverse, first)


def test_some_pairs_and_some_relations_of_others_are_held_out():
    pairs = [(a, b) for a, b in permutations(THINGS, 2) if a < b]
    counts = np.array([sum(is_held_out(a, relation, b) for relation in RELATIONS) for a, b in pairs])
    whole = (counts == 4).mean()
    assert abs(whole - 1 / HELD_OUT) < 0.04  # no relation of these is ever composed
    kept = counts[counts < 4].sum() / (4 * (counts < 4).sum())
    assert abs(kept - 1 / HELD_OUT) < 0.04


def test_words_are_told_apart():
    assert all(inverse != name and RELATIONS[inverse][1] == name for name, (_, inverse) in RELATIONS.items())
    assert len({chinese for chinese, _ in COLOURS.values()}) == len(COLOURS)
    assert len(set(TONES.values())) == len(TONES)
