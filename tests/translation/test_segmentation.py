"""Segments put together are the text; what is between sentences is kept, spaces follow the target."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigmodel.translation.placeholders import without
from bigmodel.translation.segmentation import Segment, join, split

CODES = ("en", "de", "zh", "lzh")
LIVELY = st.lists(
    st.sampled_from(
        [
            "Hello there. ",
            "Wie geht's? ",
            "你好。",
            "“好，”他说。",
            "\r\n",
            "\n\n",
            "  - ",
            "1. ",
            "一、",
            "# ",
            "> ",
            "\t",
            "\u3000",
            "<i>",
            "</i>",
            "```\n",
            "~~~",
        ]
        + ["a" * 30, "🦊", "e\u0301", "👩\u200d🚀", "3,5", ", ", "，", "\ud83d", "\udc00", "\x85", "z. B. ", "Dr. "]
    )
).map("".join)
ANY = st.text(st.characters(exclude_categories=())) | LIVELY


def sentences(text, language, **limit):
    return [part.text for part in split(text, language, **limit) if part.translate]


@given(ANY, st.sampled_from(CODES), st.integers(1, 50))
def test_segments_put_together_are_the_text(text, language, limit):
    segments = split(text, language, limit)
    assert "".join(part.text for part in segments) == text
    for part in segments:
        assert part.text
        if part.translate:
            assert part.text == part.text.strip() and any(map(str.isalpha, part.text))
            assert "\n" not in part.text and "\r" not in part.text
        else:
            assert not any(
                map(str.isalpha, without(part.text).lstrip("一二三四五六七八九十、（(）) \u3000\t>#-*+•.0123456789"))
            )


@given(LIVELY, st.sampled_from(("en", "de")))
def test_sentences_that_stay_as_they_are_give_the_text_again_but_for_spaces(text, language):
    segments = split(text, language)
    joined = join(segments, [part.text for part in segments if part.translate], language, language)
    assert joined.replace(" ", "").replace("\u3000", "") == text.replace(" ", "").replace("\u3000", "")
    assert joined.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "en",
            "Dr. Smith left at 5 p.m. on Monday. He was tired.",
            ["Dr. Smith left at 5 p.m. on Monday.", "He was tired."],
        ),
        ("en", "It costs $3.50, e.g. in L.A. or so.", ["It costs $3.50, e.g. in L.A. or so."]),
        ("de", "Am 3. Oktober kam z. B. Herr Dr. Maier. Gut!", ["Am 3. Oktober kam z. B. Herr Dr. Maier.", "Gut!"]),
        ("de", "Das ist der 2. Versuch. Er gelang.", ["Das ist der 2. Versuch.", "Er gelang."]),
        ("zh", "你好！我是小明。你来吗？", ["你好！", "我是小明。", "你来吗？"]),
        ("zh", "他说：“好的。”然后走了。", ["他说：“好的。”", "然后走了。"]),
        ("lzh", "学而时习之，不亦说乎？有朋自远方来。", ["学而时习之，不亦说乎？", "有朋自远方来。"]),
    ],
)
def test_sentences_end_where_they_end(language, text, expected):
    assert sentences(text, language) == expected


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        ("- Bread", "- "),
        ("  * Bread", "  * "),
        ("12. Bread", "12. "),
        ("• Bread", "• "),
        ("## Bread", "## "),
        ("> > Bread", "> > "),
        ("> - Bread", "> - "),
        ("\tBread", "\t"),
        ("一、面包", "一、"),
        ("（二）面包", "（二）"),
        ("3、面包", "3、"),
    ],
)
def test_marks_are_kept(line, mark):
    assert split(line, "en") == [Segment(mark, False), Segment(line[len(mark) :], True)]


@pytest.mark.parametrize("text", ["", "\n", "123 – 45,6 %", "🦊🦊", "---\r\n***", "…"])
def test_nothing_to_translate_without_letters(text):
    assert sentences(text, "en") == []


def test_tags_around_a_sentence_stay_outside():
    text = '<font color="red">Hi there. <b>Bye.</b></font> {\\an8}'
    assert sentences(text, "en") == ["Hi there.", "Bye."]
    segments = split(text, "en")
    assert join(segments, ["Hallo.", "Tschüs."], "en", "de") == text.replace("Hi there", "Hallo").replace(
        "Bye", "Tschüs"
    )
    assert sentences("A <b>red</b> bike.", "en") == ["A <b>red</b> bike."]


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_code_between_fences_stays_as_it_is(fence):
    text = f"Run this:\n\n{fence}python\nprint('a word')\n``\n{fence}\nThen that.\n"
    assert sentences(text, "en") == ["Run this:", "Then that."]
    assert sentences(f"{fence}\nnever closed\n", "en") == []
    assert sentences("``` is a fence, ```so``` is none.\nHello.", "en")[-1] == "Hello."


def test_no_mark_is_seen_within_words():
    assert [sentences(text, "en") for text in ("-minded", "3.5mm", "#tag")] == [["-minded"], ["3.5mm"], ["#tag"]]


def test_a_long_sentence_is_cut_after_a_clause_else_at_a_space_else_anywhere():
    assert sentences("one two, three four five six", "en", limit=16) == ["one two,", "three four five", "six"]
    assert sentences("红的，绿的，蓝的和黄的", "zh", limit=7) == ["红的，绿的，", "蓝的和黄的"]
    assert sentences("a 3,5 b", "en", limit=5) == ["a 3,5", "b"]
    assert sentences("abcdefgh", "en", limit=3) == ["abc", "def", "gh"]


@given(
    st.lists(st.sampled_from(["e\u0301", "a", "👩\u200d🚀", "👍🏽", "n\u0303\u0323"]), min_size=1).map("".join),
    st.integers(6, 9),
)
def test_what_belongs_to_a_character_stays_with_it(text, limit):
    for part in split(text, "en", limit):
        assert len(part.text) <= limit
        assert not unicodedata.combining(part.text[0])
        assert part.text[0] not in "\u200d🏽" and part.text[-1] != "\u200d"


def test_long_texts_are_split_in_time_that_grows_with_them():
    assert len(sentences("a" * 1_000_000, "en")) == 2_500
    assert len(sentences("你好，" * 100_000, "zh")) > 700


def test_spaces_follow_the_target():
    segments = split("Hi there.  How are you?\n- Fine. Bye.", "en")
    assert join(segments, ["你好。", "你好吗？", "好。", "再见。"], "en", "zh") == "你好。你好吗？\n- 好。再见。"
    assert (
        join(segments, ["Hallo.", "Wie geht's?", "Gut.", "Tschüs."], "en", "de") == "Hallo. Wie geht's?\n- Gut. Tschüs."
    )
    segments = split("你好。你来吗？\r\n　　一、好。再见。\r\n", "zh")
    assert (
        join(segments, ["Hello.", "Coming?", "Yes.", "Bye."], "zh", "en") == "Hello. Coming?\r\n　　一、Yes. Bye.\r\n"
    )
    assert (
        join(segments, ["你好。", "来乎？", "可。", "别矣。"], "zh", "lzh") == "你好。来乎？\r\n　　一、可。别矣。\r\n"
    )


def test_a_cut_word_is_not_set_apart():
    segments = split("abcdefgh", "en", limit=4)
    assert join(segments, ["ABCD", "EFGH"], "en", "de") == "ABCDEFGH"


def test_as_many_translations_as_sentences():
    with pytest.raises(ValueError, match="1 translations for 2 sentences"):
        join(split("One. Two.", "en"), ["Eins."], "en", "de")
