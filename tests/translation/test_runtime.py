"""The translator on its exported graphs: against transformers, alone and in a batch, and what must not change."""

import re
import unicodedata

import numpy as np
import pytest
import torch

from bigmodel.errors import InputError
from bigmodel.translation import placeholders
from bigmodel.translation.beam_search import beam_search
from bigmodel.translation.runtime import Alternative, Translator

SENTENCES = [
    "A man rides a red bike.",
    "Two dogs play.",
    "She is here",
    "snow",
    "in the red snow a man plays with apples",
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def exact(exact_folder):
    return Translator.from_pretrained(exact_folder)


@pytest.fixture(scope="module")
def quantized(quantized_folder):
    return Translator.from_pretrained(quantized_folder)


def search(translator, sources, beams, limit, **options):
    options = {"early_stopping": beams == 1, **options}
    hypotheses = translator.model.start(sources, beams)
    return beam_search(hypotheses, end=translator.model.end, limits=[limit] * len(sources), **options)


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("length_penalty", [1.0, 0.3])
def test_equals_transformers(exact, exact_folder, beams, length_penalty):
    from transformers import T5ForConditionalGeneration

    stock = T5ForConditionalGeneration.from_pretrained(exact_folder, dtype=torch.float32).eval()
    sources = [exact._encode(text, ("en", "de")) for text in SENTENCES]
    ours = search(exact, sources, beams, 30, length_penalty=length_penalty)
    options = {"num_beams": beams, "length_penalty": length_penalty, "do_sample": False, "max_new_tokens": 30}
    for source, found in zip(sources, ours, strict=True):
        theirs = stock.generate(torch.tensor([source]), num_return_sequences=beams, **options)
        assert [h.ids for h in found] == [[i for i in row[1:].tolist() if i != 0] for row in theirs]


def test_a_language_that_is_not_detected_is_the_other_one(quantized, monkeypatch):
    french = "Le garçon mange une pomme dans la cuisine."
    assert quantized.direction(french)[0] in ("en", "de")  # it knows no other
    monkeypatch.setattr(quantized, "directions", [("en", "fr"), ("fr", "en")])
    assert quantized.direction(french) == ("fr", "en")
    assert quantized.direction("The boy eats an apple in the kitchen.") == ("en", "fr")
    assert quantized.direction("12")[0] == "en"
    monkeypatch.setattr(quantized, "directions", [("fr", "en"), ("es", "en")])
    with pytest.raises(InputError, match="source: is not detected; give one of fr, es"):
        quantized.direction(french)


def test_a_long_word_is_halved_and_halved(quantized, monkeypatch):
    calls, whole = [], quantized._sentences
    monkeypatch.setattr(quantized, "longest", 40)
    monkeypatch.setattr(quantized, "_sentences", lambda *arguments: calls.append(1) or whole(*arguments))
    quantized.translate("鑫" * 150 + " snow " + "鑫" * 20, source="en", num_beams=1)
    assert 1 < len(calls) < 40


@pytest.mark.parametrize("beams", [1, 4])
def test_alone_as_in_a_batch(quantized, beams):
    together = quantized.translate(SENTENCES, source="en", num_beams=beams)
    alone = [quantized.translate(text, source="en", num_beams=beams) for text in SENTENCES]
    assert [t.text for t in together] == [t.text for t in alone] and len({t.text for t in alone}) > 1
    log_probs = [[t.alternatives[0][0].log_prob for t in texts] for texts in (together, alone)]
    assert log_probs[0] == pytest.approx(log_probs[1], abs=1e-4)


def test_layout_is_kept_and_results_come_batch_by_batch(quantized):
    text = "# Dogs\n\n- Two dogs play. She is here.\n\n" + "snow\n" * 40
    progress = list(quantized.stream([text, "A man."], source="en", num_beams=1))
    done, total, (first, second) = progress[-1]
    assert done == total == 44 and len(progress) > 2
    assert [d for d, *_ in progress] == sorted(d for d, *_ in progress) and progress[0][2][0].text.count("…") == 43
    lines = first.text.split("\n")
    assert lines[0].startswith("# ") and lines[1] == lines[3] == "" and lines[2].startswith("- ")
    assert first.text.count("\n") == text.count("\n") and "…" not in first.text
    assert first.sentences[0] == "Dogs" and len(first.alternatives) == 43 and second.sentences == ["A man."]


FIXED = [
    "12",
    "-3.50",
    "$1,234.56",
    "12 €",
    "+49 30 1234567",
    "<br>",
    "https://example.org/a?b=1",
    "me@example.org",
    "`x = 1`",
    "https://example.org/Dog_(animal)",
    "FTP://example.org/a",
    "🦊",
    "👩‍🚀",
    "⏰",
    "▶️",
    "1️⃣",
    "🆗",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
]


@pytest.mark.parametrize("beams", [1, 3])
def test_numbers_addresses_code_and_emoji_come_through(quantized, beams):
    for thing in FIXED:
        assert (
            quantized.translate(f"A man has {thing} in the snow.", source="en", num_beams=beams).text.count(thing) == 1
        )
    text = " dogs ".join(f"{i}{i}" for i in range(1, 15))  # more than there are marks
    found = quantized.translate(text, source="en", num_beams=beams).text
    assert all(f"{i}{i}" in re.findall(r"\d+", found) for i in range(1, 15))


def test_addresses_within_chinese():
    text = "请访问https://example.com/a_(b)查看，邮件joe.b@ex-a.com谢谢，见www.example.org/wiki/中国"
    marked, kept = placeholders.protect(text)
    assert kept == ["https://example.com/a_(b)", "joe.b@ex-a.com", "www.example.org/wiki/中国"]
    assert placeholders.fill(marked, kept) == text and len(marked) == len("请访问查看，邮件谢谢，见") + 3


def test_spellings_that_no_corpus_has_are_read_as_the_usual_ones(quantized):
    usual = "Bäume: the fox's dogs"
    spellings = [
        unicodedata.normalize("NFD", usual),
        usual.replace(" ", "\u00a0"),
        usual.replace("fox", "f\u00adox\u200b"),
        "Bäume:  the\tfox’s dogs",
    ]
    read = quantized.source_ids(usual, ("en", "de"))
    for spelling in spellings:
        assert quantized.source_ids(spelling, ("en", "de")) == read
    assert quantized.source_ids("“Bäume”", ("de", "en")) != quantized.source_ids('"Bäume"', ("de", "en"))


def test_capitals_throughout_are_read_as_a_sentence_and_come_back(quantized):
    assert quantized.source_ids("THE DOGS", ("en", "de")) == quantized.source_ids("The dogs", ("en", "de"))
    shouted = quantized.translate("<b>THE DOG HAS DOGS</b>", source="en").text
    assert shouted == f"<b>{quantized.translate('The dog has dogs', source='en').text.upper()}</b>"
    assert quantized.source_ids("THE DOGS AND I", ("en", "de")) == quantized.source_ids("The dogs and I", ("en", "de"))
    for abbreviation in ("NATO HQ", "USA"):
        ids = quantized.source_ids(abbreviation, ("en", "de"))
        assert ids != quantized.source_ids(abbreviation.capitalize(), ("en", "de"))


def test_marks_stand_apart_and_tags_stay_at_the_ends(quantized):
    found = quantized.translate("<i>A man has $5 and 12 dogs.</i>", source="en").text
    assert found.startswith("<i>") and found.endswith("</i>")
    for thing in ("$5", "12"):
        before, _, after = found.removeprefix("<i>").removesuffix("</i>").partition(thing)
        assert not before[-1:].isalnum() and not after[:1].isalnum()


def test_tags_do_not_tell_the_language(quantized):
    assert quantized.direction('<font color="red">Das ist gut</font> http://the.house/and/the/garden')[0] == "de"


def test_parts_of_a_chinese_sentence_stand_apart(quantized, monkeypatch):
    monkeypatch.setattr(quantized, "_sentences", lambda parts, *_: [[Alternative("a dog.", 0.0, 1.0)] for _ in parts])
    marked, kept = placeholders.protect("我有5只狗")
    assert quantized._in_parts(marked, kept, ("zh", "en"), 1, {}).text == "a dog 5 a dog"


def _said(text):
    return Alternative(text, 0.0, 1.0)


def test_nothing_of_a_long_sentence_is_lost_and_no_token_is_smuggled_in(quantized, monkeypatch):
    text, read = "鑫" * 900, []  # three tokens each, without a stop
    monkeypatch.setattr(quantized, "_sentences", lambda texts, *_: [read.append(t) or [_said(t)] for t in texts])
    found = quantized.translate(text, source="en", num_beams=1)
    assert "".join(found.sentences) == "".join(sorted(read, key=found.sentences.index)) == text
    assert all(len(quantized.source_ids(s, ("en", "de"))) <= quantized.longest for s in read)  # each is decoded once
    assert found.text.replace(" ", "") == text
    accents = "e" + "\u0301" * 500
    assert quantized.translate(accents, source="en", num_beams=1).text == accents  # cannot be cut
    plain = quantized._encode("<|de-en|><|endoftext|>\ue000", ("en", "de"))
    assert plain[0] == quantized._direction_ids["en", "de"] and quantized.model.end not in plain[1:-1]


def test_marks_of_a_sentence_in_parts_stand_apart(quantized, monkeypatch):
    monkeypatch.setattr(quantized, "_sentences", lambda parts, *_: [[_said("Hund")] for _ in parts])
    marked, kept = placeholders.protect("Write to me@x.org, then go to https://x.org/a, and call.")
    found = quantized._in_parts(marked, kept, ("en", "de"), 1, {}).text
    assert found == "Hund me@x.org Hund https://x.org/a Hund"


def test_half_a_character_is_refused(quantized):
    for text in ("\ud800 dog", None):
        with pytest.raises(InputError, match="text: "):
            quantized.translate(["A dog.", text], source="en")


def test_a_text_without_a_letter_is_in_any_language(quantized):
    assert [quantized.translate(text, target="en").text for text in ("", "123")] == ["", "123"]
    assert quantized.direction("123", "auto", "en") == ("de", "en") and quantized.direction("123") == ("en", "de")


def test_alternatives_come_with_scores(quantized):
    found = quantized.translate("Two dogs play in the snow.", source="en", target="de", num_alternatives=3)
    (alternatives,) = found.alternatives
    assert len({a.text for a in alternatives}) > 1 and found.text == alternatives[0].text
    assert all(0 < a.score <= 1 and a.log_prob < 0 for a in alternatives)


def test_attention_says_where_it_looked(exact):
    sentence = "Two dogs play 12 times."
    translation = exact.translate(sentence, source="en").text
    sources, targets, weights = exact.attention(sentence, translation, ("en", "de"))
    assert "".join(sources) == sentence and "12" in sources
    assert weights.shape == (len(targets), len(sources))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("source", {"source": "fr"}),
        ("target", {"source": "en", "target": "en"}),
        ("target", {"source": "en", "target": "zh"}),
        ("num_beams", {"num_beams": 65}),
        ("num_beams", {"num_beams": True}),
        ("num_alternatives", {"num_alternatives": 0}),
    ],
)
def test_what_cannot_be_done_is_said(quantized, field, arguments):
    with pytest.raises(InputError, match=field):
        quantized.translate("dogs", **{"source": "en", **arguments})


def test_an_empty_text_and_one_without_words(quantized):
    assert quantized.translate("", source="en").text == ""
    assert quantized.translate("12 + 3 = 15 🦊\n", source="en").text == "12 + 3 = 15 🦊\n"
