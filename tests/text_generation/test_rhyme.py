"""Rhyme: famous poems rhyme, the same poems with one line changed do not."""

import pytest

from bigmodel.text_generation import rhyme, verses

pytest.importorskip("pypinyin")

POEMS = {
    "静夜思": "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
    "春晓": "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
    "登鹳雀楼": "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。",
    "山行": "远上寒山石径斜，白云生处有人家。停车坐爱枫林晚，霜叶红于二月花。",
    "相思": "红豆生南国，春来发几枝。愿君多采撷，此物最相思。",
    "春望": "国破山河在，城春草木深。感时花溅泪，恨别鸟惊心。烽火连三月，家书抵万金。白头搔更短，浑欲不胜簪。",
    "早发白帝城": "朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。",
}


@pytest.mark.parametrize("title", [title for title in POEMS if title != "春望"])
def test_famous_poems_rhyme(title):
    assert rhyme.rhymed(POEMS[title])


@pytest.mark.parametrize(
    "body",
    [
        "床前明月光，疑是地上霜。举头望明月，低头思故人。",
        "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多时。",
        "白日依山尽，黄河入海流。欲穷千里目，更上一层山。",
        "床前明月光，疑是地上霜。",  # one even line rhymes with nothing
        "",
        "ab，cd。ef，gh。",
    ],
)
def test_controls_do_not(body):
    assert not rhyme.rhymed(body)


def test_every_even_line_counts():
    # 簪 (zān) has left 侵 for 寒 since: one classical rhyme, two modern ones
    assert not rhyme.rhymed(POEMS["春望"])
    assert rhyme.share_rhyme("深心金") and not rhyme.share_rhyme("深心金簪")


def test_any_reading_rhymes_and_medials_do_not_matter():
    assert rhyme.share_rhyme("还间")  # hái, huán
    assert rhyme.share_rhyme("光乡霜") and rhyme.share_rhyme("时知期")
    assert not rhyme.share_rhyme("山") and rhyme.rhymes("，") == frozenset()


def test_rates_count_forms_alike_and_shuffled_lines_seldom_rhyme():
    short = [("五绝", POEMS[title]) for title in ("静夜思", "春晓", "登鹳雀楼", "相思")]
    pairs = [*short, ("七绝", "一二三四五六七，一二三四五六天。一二三四五六七，一二三四五六海。")]
    assert verses.rhyme_rate(pairs) == 0.5
    assert verses.chance_rhyme_rate(short * 5, seed=1) < 0.6
