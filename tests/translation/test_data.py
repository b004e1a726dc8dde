"""Sentence pairs: marks for what must not change, ids, batches that depend on their step alone, validation loss."""

import dataclasses
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bigmodel import cli
from bigmodel.config import read_json
from bigmodel.errors import ConfigError, DataError
from bigmodel.nn.loss import IGNORE
from bigmodel.translation import config as presets
from bigmodel.translation import placeholders
from bigmodel.translation.data import PairBatches, Pairs, load_pairs, load_tokenizer, make_batch
from bigmodel.translation.model import make_model, mean_loss
from bigmodel.translation.segmentation import split

MARKS = placeholders.MARKS


@given(st.text() | st.text([*MARKS, "7", " ", "a", "`"]))
def test_protected_texts_come_back(text):
    marked, kept = placeholders.protect(text)
    found = placeholders.restore(marked, kept)
    assert placeholders.fill("".join(placeholders.parts(marked)), kept) == found
    if len(kept) == placeholders.COUNT:  # then a private-use character that follows cannot be told from a mark
        found, text = ("".join(c for c in each if c not in MARKS) for each in (found, text))
    assert found == text


def test_what_is_protected():
    text = "Mail a.b@c.org or see https://x.y/z?q=1, run `f(2)`: 3.5 % of 1,200 👍🏽 🇩🇪!"
    kept = ["a.b@c.org", "https://x.y/z?q=1", "`f(2)`", "3.5", "1,200", "👍🏽", "🇩🇪"]
    assert placeholders.protect(text)[1] == kept
    assert placeholders.restore(MARKS[0] * 2, ["7"]) is None and placeholders.restore("", ["7"]) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Call +49 30 1234567 or +1 (555) 123-4567 now.", ["+49 30 1234567", "+1 (555) 123-4567"]),
        ("It costs $1,234.56, US$5, -$5, 12 €, ¥5 or 30 US$.", ["$1,234.56", "US$5", "-$5", "12 €", "¥5", "30 US$"]),
        ("花了￥25，气温-5度", ["￥25", "-5"]),
        ("-5 °C, (−3), ±2, +7%, 5 $10 notes", ["-5", "−3", "±2", "+7%", "5", "$10"]),
        ("10-12, Covid-19, C++17, 5+3", ["10-12", "19", "17", "5", "3"]),
        ('{\\an8}<b>A</b> <font color="red">dog<br/>', ["{\\an8}", "<b>", "</b>", '<font color="red">', "<br/>"]),
        ("a < b > c, i <3 u, <y and z>", ["3"]),
    ],
)
def test_signs_currencies_telephones_and_tags_are_protected(text, kept):
    assert placeholders.protect(text)[1] == kept


@pytest.mark.parametrize(
    "text", ["<a b='" * 800, "<a b=c/>" * 100 + "x", "<a b=c d=e " * 400, "+1" * 2500, "a.b@" * 1200]
)
def test_protection_takes_no_long_time(text):
    start = time.perf_counter()
    placeholders.protect(text)
    split(text, "en")
    assert time.perf_counter() - start < 5


def test_a_mark_stands_apart_as_in_the_source():
    a, b = MARKS[:2]
    assert placeholders.set_apart(f"Kall.{a}{b}Uhr.", f"Call {a} {b}.") == f"Kall. {a} {b} Uhr."
    assert placeholders.set_apart(f"Ein {a}-jähriger", f"A {a} year old") == f"Ein {a}-jähriger"
    for text, source in ((f"{a}km", f"{a}km"), (f"the {a}th", f"第{a}次"), (f"({a}), {b}.", f"{a} or {b}")):
        assert placeholders.set_apart(text, source) == text


def test_a_pair_shares_the_marks_of_what_stands_in_both():
    source, target = placeholders.protect_pair("In 1999, 3 dogs, 45 cats", "1999: drei Hunde, 45 Katzen")
    assert source == f"In {MARKS[0]}, 3 dogs, {MARKS[1]} cats"
    assert target == f"{MARKS[0]}: drei Hunde, {MARKS[1]} Katzen"


def test_words_that_stand_in_both_become_marks():
    a, b, c = MARKS[:3]
    found = placeholders.mark_words("Two men play Frisbee in the park.", "Zwei Männer spielen im Park Frisbee.")
    assert found == [f"{a} men play {b} in the {c}.", f"{a} Männer spielen im {c} {b}."]
    for pair in (["His name is Tim", "Er heißt Tim"], ["Ball, ball", "Ball"], [f"{a} ball", f"{a} Kugel"], ["", ""]):
        assert placeholders.mark_words(*pair) == pair  # short, not alone, translated
    many = " ".join(f"word{chr(97 + i)}" for i in range(12))
    assert sum(mark in placeholders.mark_words(f"{a} {many}", f"{a} {many}")[0] for mark in MARKS) == len(MARKS)


def pairs(count=60, weight=1.0, token=3):
    rng = np.random.default_rng(0)
    draw = lambda: [rng.integers(5, 40, rng.integers(1, 12)) for _ in range(count)]  # noqa: E731
    return Pairs(("en", "de"), token, draw(), draw(), weight)


def batches(data, **changes):
    return PairBatches(data, **{"batch_tokens": 120, "max_length": 12, "end": 0, "seed": 1, **changes})


def test_an_epoch_reads_every_pair_as_often_as_its_weight_says():
    data = batches([pairs(), pairs(weight=2.5, token=4)])
    drawn = data._draw(np.random.default_rng(0))
    rows = np.concatenate(drawn)
    counts = [np.bincount(rows[rows[:, 0] == p, 1], minlength=60)[data.short[p]] for p in range(2)]
    assert set(counts[0]) == {1} and set(counts[1]) == {2, 3} and counts[1].sum() == round(2.5 * len(data.short[1]))
    lengths = [data.lengths[p][i] for p, i in rows]
    assert np.max(lengths) <= 12
    for batch in drawn:
        widths = np.max([data.lengths[p][i] for p, i in batch], axis=0)
        assert widths.sum() * len(batch) <= 120 or len(batch) == 1


def test_a_batch_depends_on_its_step_alone():
    first, again = batches([pairs()]), batches([pairs()])
    steps = [first.batch(step) for step in range(40)]  # more than an epoch
    for step in (39, 3, 17):
        for a, b in zip(steps[step], again.batch(step), strict=True):
            assert torch.equal(a, b)
    halves = [first.batch(5, rank, 2)[0] for rank in range(2)]
    assert sum(map(len, halves)) == len(steps[5][0])


def test_what_the_model_reads():
    data = Pairs(("en", "de"), 3, [np.array([7, 8]), np.array([9])], [np.array([5]), np.array([6, 7, 8])], 1.0)
    source, mask, target, labels = make_batch([data], np.array([[0, 0], [0, 1]]), 0)
    assert source.tolist() == [[3, 7, 8, 0], [3, 9, 0, 0]] and mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert target.tolist() == [[0, 5, 0, 0], [0, 6, 7, 8]]
    assert labels.tolist() == [[5, 0, IGNORE, IGNORE], [6, 7, 8, 0]]


def test_pairs_that_are_all_too_long_are_refused():
    with pytest.raises(DataError, match="at most 2 tokens"):
        batches([pairs()], max_length=2)


@pytest.fixture
def tiny_preset(monkeypatch, tmp_path, one_thread):
    """Shrink the preset that the tests train, and leave everything else of it."""
    whole = presets.en_de()
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 320}
    tiny = dataclasses.replace(
        whole, transformer=dataclasses.replace(whole.transformer, **shape, **heads), decoder_layers=1, batch_tokens=256
    )
    monkeypatch.setitem(presets.PRESETS, "en-de", lambda: tiny)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.tsv").write_text("".join(f"{i} red dogs <|0|>\t{i} rote Hunde <|0|>\n" for i in range(80)))
    return tiny


def train(*options):
    return cli.main(["train", "translation", "--no-compile", *options])


def test_own_pairs_become_a_model_folder_and_a_new_beginning(tiny_preset, tmp_path, capsys):
    own = ["--train", "pairs.tsv", "--valid", "pairs.tsv", "--languages", "en-fr", "--name", "mine"]
    assert train(*own, "--steps", "4") == 0
    said = capsys.readouterr()
    assert "en-fr" in said.out and "left out" not in said.err
    folder = tmp_path / "runs" / "mine" / "model"
    config = read_json(folder / "config.json")
    assert config["architectures"] == ["T5ForConditionalGeneration"] and config["decoder_start_token_id"] == 0
    assert config["bigmodel"]["directions"] == ["en-fr", "fr-en"] and config["bigmodel"]["languages"] == ["en", "fr"]
    facts = read_json(folder / "metrics.json")
    assert facts["training"]["steps"] == 4 and facts["data"][0]["name"] == "pairs"
    assert train(*own, "--steps", "6", "--init-from", str(folder), "--out", "runs/more") == 0
    assert read_json(tmp_path / "runs/more/model/metrics.json")["training"]["init_from"]["steps"] == 4
    (tmp_path / "long.tsv").write_text("two dogs\tdeux chiens\n" * 50 + "a " * 9999 + "\tun\n", encoding="utf-8")
    assert train("--train", "long.tsv", *own[2:], "--steps", "1", "--init-from", str(folder), "--out", "runs/long") == 0
    assert "2 pairs are longer than" in capsys.readouterr().err  # one in each direction
    assert train(*own[:-4], "--steps", "2") == 2  # no --languages
    assert "needs --valid, and --languages" in capsys.readouterr().err
    assert train(*own[:-4], "--languages", "en-it", "--steps", "2", "--init-from", str(folder), "--out", "runs/a") == 2
    assert f"--init-from {folder} translates en-fr, fr-en alone\n" in capsys.readouterr().err
    assert not (tmp_path / "runs/a").exists()
    assert train(*own[:-4], "--languages", "en-en", "--steps", "2") == 2
    assert "--languages such as en-fr" in capsys.readouterr().err
    assert train(*own[:-4], "--languages", "en-it", "--name", "mine", "--steps", "2") == 2
    said = "runs/mine/tokens/tokenizer.json does not know en-it; choose another --name or --out\n"
    assert said in capsys.readouterr().err
    assert train(*own[:-2], "--steps", "2") == 2  # no --name
    assert "give the model a --name" in capsys.readouterr().err


def test_a_model_of_one_direction_is_trained_further_in_it(tiny_preset, tmp_path, monkeypatch):
    corpora = (presets.PairCorpus("pairs.tsv", ("en", "de")),)
    one = dataclasses.replace(tiny_preset, directions=(("en", "de"),), train=corpora, valid=corpora)
    monkeypatch.setitem(presets.PRESETS, "en-de", lambda: one)
    own = ["--train", "pairs.tsv", "--valid", "pairs.tsv", "--languages", "en-de"]
    assert train("--data", ".", "--steps", "2", "--out", "one") == 0
    assert train(*own, "--steps", "2", "--init-from", "one/model", "--out", "further") == 0
    assert read_json(tmp_path / "further/model/config.json")["bigmodel"]["directions"] == ["en-de"]


def test_corpora_of_one_name_are_two(tiny_preset, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pairs.tsv").write_text(f"dogs {name}\tHunde {name}\n" * 9)
    corpora = [presets.PairCorpus(f"{name}/pairs.tsv", ("en", "de")) for name in ("a", "b")]
    tokenizer = load_tokenizer(dataclasses.replace(tiny_preset, train=tuple(corpora)), tmp_path, tmp_path)
    first, _, second, _ = load_pairs(tiny_preset, corpora, tokenizer, tmp_path, tmp_path, training=False)
    assert first.source[0].tolist() != second.source[0].tolist()


def test_a_corpus_of_other_languages_is_refused(tiny_preset, tmp_path):
    corpus = presets.PairCorpus("pairs.tsv", ("en", "zh"))
    tokenizer_folder = tmp_path / "t"
    config = dataclasses.replace(tiny_preset, train=(dataclasses.replace(corpus, languages=("en", "de")),))
    tokenizer = load_tokenizer(config, tmp_path, tokenizer_folder)
    with pytest.raises(ConfigError, match="fits no direction"):
        load_pairs(config, [corpus], tokenizer, tmp_path, tokenizer_folder, training=False)


def test_the_tokenizer_reads_of_each_corpus_what_its_weight_says(tiny_preset, tmp_path, monkeypatch):
    (tmp_path / "whole.tsv").write_text("mmmmmmmm\tmmmmmmmm\n" * 20, encoding="utf-8")
    letters = "abcdefghijklmnopqrst"
    (tmp_path / "part.tsv").write_text("\n".join(f"n{c * 8}\tn{c * 8}" for c in letters), encoding="utf-8")
    corpora = presets.PairCorpus("whole.tsv", ("en", "de"), 3), presets.PairCorpus("part.tsv", ("en", "de"), 0.25)
    monkeypatch.setattr("bigmodel.translation.data._TOKENIZER_PAIRS", 20)
    tokenizer = load_tokenizer(dataclasses.replace(tiny_preset, train=corpora), tmp_path, tmp_path / "t")
    known = [c for c in letters if len(tokenizer.encode(f"n{c * 8}").ids) == 1]
    assert known == list("abcde")  # a quarter of twenty
    assert len(tokenizer.encode("m" * 8).ids) == 1


def test_mean_loss_is_that_of_single_pairs(tiny_preset):
    model = make_model(tiny_preset, 320).eval()
    data = pairs(count=9)
    total, count = 0.0, 0
    for i in range(9):
        batch = make_batch([data], np.array([[0, i]]), 0)
        logits = model(batch[0], batch[2], source_mask=batch[1])
        total += torch.nn.functional.cross_entropy(logits[0], batch[3][0], reduction="sum").item()
        count += len(batch[3][0])
    with torch.inference_mode():
        assert mean_loss(model, data, 0, rows=4) == pytest.approx(total / count, rel=1e-5)
