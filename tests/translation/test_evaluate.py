"""Evaluation of a tiny random translator on made-up test files, by torch and on its graphs."""

import argparse
import re
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
sacrebleu = pytest.importorskip("sacrebleu")

from bigmodel.cli import main  # noqa: E402
from bigmodel.config import read_json, write_json  # noqa: E402
from bigmodel.errors import BigModelError  # noqa: E402
from bigmodel.evaluation.results import read_metrics, renew_checksum  # noqa: E402
from bigmodel.translation import evaluate  # noqa: E402
from bigmodel.translation.engines import open_engine  # noqa: E402

PAIRS = [
    ("A man rides a red bike in the snow.", "Ein Mann fährt auf einem roten Fahrrad im Schnee."),
    ("She bought 12 apples at www.shop.de!", "Sie kaufte 12 Äpfel bei www.shop.de!"),
    ("Two dogs play.", "Zwei Hunde spielen."),
    ("1 2 3", "1 2 3"),
    ("Mr. Smith is here. He plays.", "Herr Smith ist da. Er spielt."),
]
FILES = [file for file, languages in evaluate.TEST_FILES.items() if languages == ("en", "de")]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(exact_folder, tmp_path):
    """A copy of an exported translator with two beams, whose figures are this test's alone."""
    return copied(exact_folder, tmp_path / "exported")


def copied(source, folder):
    shutil.copytree(source, folder)
    write_json(folder / "generation_config.json", {**read_json(folder / "generation_config.json"), "num_beams": 2})
    renew_checksum(folder, "generation_config.json")
    return folder


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of test files; their real names end in .xz."""
    names = {file.removesuffix(".xz"): ("en", "de") for file in FILES}
    monkeypatch.setattr(evaluate, "TEST_FILES", {**names, "en-zh.tests.tsv": ("en", "zh")})
    (tmp_path / "data").mkdir()
    for name, rows in zip(names, (PAIRS, PAIRS[:2]), strict=True):
        text = "".join("\t".join(row) + "\n" for row in rows)
        (tmp_path / "data" / name).write_text(text, encoding="utf-8")
    return tmp_path / "data"


def run(folder, data, engine, **options):
    words = ["--model", folder, "--data", data, "--engine", engine]
    words += [word for name, value in options.items() for word in (f"--{name}", value)]
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    assert evaluate.run(parser.parse_args([str(word) for word in words])) == 0
    results = [e for e in read_metrics(folder)["results"] if e["engine"].startswith(engine)]
    return {(e["dataset"], e["name"]): e for e in results}


def test_every_line_is_a_sentence_and_scored_as_sacrebleu_does(folder, data, capsys):
    found = run(folder, data, "onnx", beams=2)
    translator, _ = open_engine("onnx", folder)
    for source, target in (("en", "de"), ("de", "en")):
        pairs = PAIRS if source == "en" else [pair[::-1] for pair in PAIRS]
        sources, references = map(list, zip(*pairs, strict=True))
        texts = [a[0].text for a in translator.translate_sentences(sources, (source, target), num_beams=2)]
        dataset = f"{source}→{target} en-de.multi30k.test_2016_flickr"
        for ending, hypotheses in (("", texts), ("_of_copy", sources)):
            wanted = {
                "bleu": sacrebleu.corpus_bleu(hypotheses, [references]).score,
                "bleu_lowercased": sacrebleu.corpus_bleu(hypotheses, [references], lowercase=True).score,
                "chrf": sacrebleu.corpus_chrf(hypotheses, [references]).score,
            }
            for name, value in wanted.items():
                assert found[dataset, name + ending]["value"] == pytest.approx(value, abs=1e-6)
                assert found[dataset, name + ending]["count"] == len(PAIRS)
    assert len(found) == 2 * 2 * 6 and "a second" in capsys.readouterr().out
    kept = found["en→de en-de.multi30k.test_2016_flickr", "bleu"]
    assert kept["unit"] == "BLEU" and kept["settings"]["num_beams"] == 2
    assert kept["settings"]["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a") and kept["seed"] is None
    assert str(data.parent) not in kept["command"]
    assert found["en→de en-de.multi30k.test_2016_flickr", "chrf_of_copy"]["value"] > 10  # names and numbers


def test_the_first_three_are_the_samples(folder, data, capsys):
    run(folder, data, "torch")
    samples = read_metrics(folder)["samples"]
    assert [s["direction"] for s in samples] == ["en-de"] * 3 + ["de-en"] * 3
    assert [(s["source"], s["reference"]) for s in samples] == PAIRS[:3] + [pair[::-1] for pair in PAIRS[:3]]
    assert all(s["translation"] and s["dataset"] == "en-de.multi30k.test_2016_flickr" for s in samples)
    assert "12" in samples[1]["translation"] and "www.shop.de" in samples[1]["translation"]


@pytest.mark.parametrize("beams", [1, 4])
def test_torch_and_onnx_agree(folder, beams):
    sentences = [source for source, _ in PAIRS] + ["snow", "鑫" * 90]  # too long at once, without a stop
    texts, scores = [], []
    for engine in ("torch", "onnx"):
        translator, name = open_engine(engine, folder)
        found = translator.translate_sentences(sentences, ("en", "de"), num_beams=beams)
        texts.append([[a.text for a in alternatives] for alternatives in found])
        scores.append([a.log_prob for alternatives in found for a in alternatives])
        assert name.startswith(engine) and found[3][0].text == "1 2 3"
    assert texts[0] == texts[1] and scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_a_training_s_folder_is_scored_by_torch_alone(folder, data, tmp_path, capsys):
    checkpoint = folder.parent / "checkpoint"
    checkpoint.mkdir()
    for name in ("config.json", "generation_config.json", "tokenizer.json", "model.safetensors"):
        shutil.copyfile(folder / name, checkpoint / name)
    found, exported = run(checkpoint, data, "torch"), run(folder, data, "torch")
    assert found
    assert {key: e["value"] for key, e in found.items()} == {key: e["value"] for key, e in exported.items()}
    with pytest.raises(BigModelError, match="export it first"):
        open_engine("onnx", checkpoint)


def test_what_is_measured_otherwise_is_not_kept(folder, data, capsys):
    run(folder, data, "onnx")
    before = read_metrics(folder)
    assert read_json(folder / "manifest.json")["files"]["metrics.json"] and "kept in" in capsys.readouterr().out
    for options in ({"limit": 1}, {"beams": 1}, {"limit": 1, "beams": 3}):
        run(folder, data, "onnx", **options)
        printed, words = capsys.readouterr().out, " ".join(f"--{name} {value}" for name, value in options.items())
        assert ("(1, en→de en-de.multi30k.test_2016_flickr, onnx-cpu)" in printed) == ("limit" in options)
        assert f"metrics.json, since measured with {words}\n" in printed
    assert read_metrics(folder) == before
    with pytest.raises(BigModelError, match="limit 0"):
        run(folder, data, "onnx", limit=0)
    with pytest.raises(BigModelError, match="beams 0"):
        run(folder, data, "onnx", beams=0)


def test_one_file_is_scored_in_the_first_direction_s_languages(folder, data, capsys):
    (data / "mine.tsv").write_text("Two dogs.\tZwei Hunde.\n", encoding="utf-8")
    found = run(folder, data / "mine.tsv", "torch")
    assert {dataset for dataset, _ in found} == {"en→de mine", "de→en mine"}


def test_what_is_missing_is_named(folder, data, capsys):
    (data / "en-de.multi30k.test_2017_flickr.tsv").unlink()
    with pytest.raises(BigModelError, match=r"test_2017_flickr\.tsv is missing"):
        run(folder, data, "onnx")
    with pytest.raises(BigModelError, match="give one of pairs fr-it"):
        evaluate.find_tests(data, (("fr", "it"),))
    with pytest.raises(BigModelError, match="num_beams"):
        run(folder, data / "en-de.multi30k.test_2016_flickr.tsv", "onnx", beams=99)


def test_the_card_shows_the_figures_and_its_code_runs(exact_folder, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = copied(exact_folder, Path("export/artifacts/tiny"))
    figures = [run(folder, data, engine) for engine in ("onnx", "torch")]
    assert main(["report", "--model", str(folder)]) == 0
    card = (tmp_path / folder / "README.md").read_text(encoding="utf-8")
    key = ("en→de en-de.multi30k.test_2016_flickr", "chrf")
    floor = figures[0][key[0], "chrf_of_copy"]["value"]
    values = [floor, *(found[key]["value"] for found in figures)]
    row = f"| {key[0].replace(' ', ' | ')} | {len(PAIRS)} | chrF | {' | '.join(f'{value:.1f}' for value in values)} |"
    assert row in card and "Herr Smith" not in card and PAIRS[1][1] in card
    capsys.readouterr()
    ours, theirs = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    exec(ours, {})
    assert capsys.readouterr().out.strip() == _translated(folder)
    exec(theirs, {})
    assert capsys.readouterr().out.strip()


def _translated(folder):
    translator, _ = open_engine("onnx", folder)
    return translator.translate(PAIRS[0][0], source="en").text


def test_chinese_is_scored_by_characters():
    found = {name: (str(metric), unit) for name, (metric, unit) in evaluate.metrics("zh").items()}
    assert list(found) == ["bleu", "chrf"]
    about = {"dataset": "en→zh d", "engine": "torch", "command": "c"}
    (bleu, _, *_) = evaluate.score(["今天下雨。"], ["rain"], ["今天下雪。"], "zh", {"num_beams": 1}, **about)
    assert bleu["value"] == pytest.approx(sacrebleu.corpus_bleu(["今天下雨。"], [["今天下雪。"]], tokenize="zh").score)
    assert "tok:zh" in bleu["settings"]["signature"]
    assert [evaluate.metrics(code)["bleu"][0].tokenizer.signature() for code in ("ja", "de")] == ["char", "13a"]
