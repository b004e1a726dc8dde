"""Evaluation of a tiny random model on made-up texts, by torch and by its ONNX export."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bigmodel.cli import main  # noqa: E402
from bigmodel.config import TransformerConfig, read_json, write_json  # noqa: E402
from bigmodel.evaluation.results import read_metrics  # noqa: E402
from bigmodel.nn.checkpoint import from_pretrained, save_pretrained  # noqa: E402
from bigmodel.nn.transformer import CausalLM  # noqa: E402
from bigmodel.text_generation import copies, verses  # noqa: E402
from bigmodel.text_generation import evaluate as evaluation  # noqa: E402
from bigmodel.text_generation.data import valid_poems  # noqa: E402
from bigmodel.text_generation.engines import TorchEngine  # noqa: E402
from bigmodel.text_generation.model import total_loss  # noqa: E402
from bigmodel.text_generation.poetry import REGULATED, SPECIAL_TOKENS, form_of  # noqa: E402
from bigmodel.training.tokenizer import save_tokenizer, train_bpe, train_characters  # noqa: E402

TEXT = "<book> A Tale\nOnce upon a time a fox sat by the river.\nIt was not hungry — it was tired.\n" * 12
CHARACTERS = "春眠不觉晓处闻啼鸟夜来风雨声花落知多少白日依山尽黄河入海流"


def made_up_poems(count):
    """Rows of kind, author, title, text in the regulated forms, of random characters."""
    rng = np.random.default_rng(0)
    shapes = {"五绝": (4, 5), "七绝": (4, 7), "五律": (8, 5), "七律": (8, 7)}
    rows = []
    for i in range(count):
        lines, width = shapes[REGULATED[i % 4]]
        texts = ["".join(rng.choice(list(CHARACTERS), width)) for _ in range(lines)]
        rows.append(("唐诗", "李白", CHARACTERS[i % 9], "".join(t + "，。"[j % 2] for j, t in enumerate(texts))))
    return rows


def save_tiny(folder, tokenizer, **card):
    torch.manual_seed(0)
    vocab_size = -(-tokenizer.get_vocab_size() // 64) * 64
    shape = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 64}
    config = TransformerConfig(vocab_size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, **shape)
    save_pretrained(CausalLM(config), folder, extra={"bigmodel": {"task": "text_generation", **card}})
    save_tokenizer(tokenizer, folder)
    sampling = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "max_new_tokens": 12}
    write_json(folder / "generation_config.json", {"eos_token_id": 0, **sampling})
    return folder


@pytest.fixture
def plain_model(tmp_path):
    """A checkpoint folder of a model over bytes, and a text."""
    (tmp_path / "tale.valid.txt").write_text(TEXT, encoding="utf-8")
    tokenizer = train_bpe([TEXT], vocab_size=300)
    return save_tiny(tmp_path / "model", tokenizer, name="mine", languages=["en"], format="plain")


@pytest.fixture
def poem_model(tmp_path):
    """A checkpoint folder of a model over characters, and files of poems."""
    rows = made_up_poems(40)
    for name, part in (("train", rows[:20] + rows[30:]), ("valid", rows[20:])):
        text = "".join("\t".join(row) + "\n" for row in part)
        (tmp_path / f"verses.{name}.tsv").write_text(text, encoding="utf-8")
    tokenizer = train_characters(["李白，。" + CHARACTERS], vocab_size=128, special_tokens=SPECIAL_TOKENS)
    return save_tiny(tmp_path / "model", tokenizer, name="mine", languages=["zh"], format="poetry")


def evaluate(model, data, *options):
    return main(["evaluate", "text_generation", "--model", str(model), "--data", str(data), *map(str, options)])


def figures(folder, engine):
    return {e["name"]: e for e in read_metrics(folder)["results"] if e["engine"] == engine}


def test_bits_per_byte_of_a_random_model(plain_model, tmp_path, capsys):
    assert evaluate(plain_model, tmp_path / "tale.valid.txt", "--engine", "torch") == 0
    found = figures(plain_model, "torch")["bits_per_byte"]
    assert found["count"] == len(TEXT.encode()) and found["split"] == "valid" and found["dataset"] == "tale.valid"
    tokens = sum(len(TorchEngine(plain_model).tokenizer.encode(line)) for line in TEXT.splitlines(keepends=True))
    expected = tokens * math.log2(320) / len(TEXT.encode())  # random weights know nothing
    assert found["value"] == pytest.approx(expected, rel=0.1)
    assert str(tmp_path) not in found["command"]
    sample = read_metrics(plain_model)["samples"][0]
    assert sample["prompt"] == "Once upon a time" and sample["engine"] == "torch"


def test_onnx_and_torch_agree(plain_model, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out = tmp_path / "exported"
    assert evaluate(plain_model, tmp_path / "tale.valid.txt", "--engine", "onnx") == 2
    assert "export it first" in capsys.readouterr().err
    assert main(["export", "text_generation", "--model", str(plain_model), "--out", str(out)]) == 0
    for engine in ("torch", "onnx", "onnx"):  # the second finds the folder unaltered
        assert evaluate(out, tmp_path / "tale.valid.txt", "--engine", engine) == 0
    values = [figures(out, engine)["bits_per_byte"]["value"] for engine in ("torch", "onnx-cpu")]
    assert values[1] == pytest.approx(values[0], rel=0.01)
    assert main(["report", "--model", str(out)]) == 0
    assert evaluate(out, tmp_path / "tale.valid.txt", "--engine", "onnx") == 0


def test_poems_are_scored_as_in_training(poem_model, tmp_path, capsys):
    valid = tmp_path / "verses.valid.tsv"
    assert evaluate(poem_model, valid, "--engine", "torch", "--samples", 0) == 0
    engine = TorchEngine(poem_model)
    documents, characters = valid_poems(valid, engine.tokenizer.raw)
    nats = total_loss(from_pretrained(poem_model), documents, context=64, stride=32)
    found = figures(poem_model, "torch")
    assert found["nats_per_character"]["value"] == pytest.approx(nats / characters, rel=1e-4)
    assert found["nats_per_character"]["count"] == characters == sum(len(row[3]) for row in made_up_poems(40)[20:])
    assert found["unknown_characters"]["value"] == 0
    assert not read_metrics(poem_model)["samples"]


def test_poems_are_sampled_and_compared(poem_model, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pypinyin")
    monkeypatch.setattr(evaluation, "SAMPLES", 8)
    options = ("--train", tmp_path / "verses.train.tsv", "--engine", "torch", "--samples", 8)
    assert evaluate(poem_model, tmp_path / "verses.valid.tsv", *options) == 0
    found = figures(poem_model, "torch")
    assert found["form_share"]["count"] == 8 and found["form_share"]["value"] < 0.5  # a random model has no form
    # half of the validation poems stand in the training file too
    assert found["lines_of_real_poems_in_training_set"]["value"] == pytest.approx(0.5, abs=0.1)
    assert found["lines_in_training_set"]["value"] < 0.1
    samples = read_metrics(poem_model)["samples"]
    assert len(samples) == 4 and len({s["seed"] for s in samples}) == 4
    engine = TorchEngine(poem_model)
    again = engine.generate([samples[1]["prompt"]], [samples[1]["seed"]], **samples[1]["settings"])
    assert again == [samples[1]["text"]]  # the seed on the card gives the text on the card
    before = read_json(poem_model / "metrics.json")
    assert evaluate(poem_model, tmp_path / "verses.valid.tsv", *options, "--compare") == 0
    assert "temperature" in capsys.readouterr().out and read_json(poem_model / "metrics.json") == before


def test_prompts_are_even_over_forms_and_repeatable():
    groups = verses.by_form(made_up_poems(40))
    pairs = verses.draw_prompts(groups, 10, seed=3)
    assert [sum(form == f for f, _ in pairs) for form in REGULATED] == [3, 3, 2, 2]
    assert pairs == verses.draw_prompts(groups, 10, seed=3) != verses.draw_prompts(groups, 10, seed=4)
    assert all(f"<|{form}|>" in prompt for form, prompt in pairs)
    unknown = {form: [("明诗", *row[1:]) for row in rows] for form, rows in groups.items()}
    assert len(verses.draw_prompts(unknown, 10, seed=3)) == 10


def test_lines_are_found_and_repetitions_counted():
    body = "春眠不觉晓，处处闻啼鸟。春眠不觉晓，花落知多少。"
    known = verses.known_lines([body], ["夜来风雨声，花落知多少。"])
    assert known == {"花落知多少"} and verses.share_of_lines([body], known) == 0.25
    assert verses.repeated_share([body]) == 0.25 and form_of(body) == "五绝"
    assert verses.form_share([("五绝", body), ("七绝", body)]) == 0.5


def test_copied_runs_are_found(plain_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "SAMPLES", 10)
    mine = "one two three four five six seven eight nine\nshort line"
    theirs = ["zero one two three four five six seven eight", "nine"]
    (share, count), (none, _) = copies.copied_share([mine], theirs, ["a b c d e f g h"])
    assert (share, count, none) == (0.5, 2, 0.0)
    data = tmp_path / "tale.valid.txt"
    assert evaluate(plain_model, data, "--engine", "torch", "--train", data, "--samples", 10) == 0
    assert "copied_runs" not in figures(plain_model, "torch")  # it writes no eight words

    class Parrot(SimpleNamespace):
        def add(self, name, value, unit, count, sampled):
            found[name] = value, count > 0

    engine = SimpleNamespace(generate=lambda openings, *_, **__: [*openings[:-1], "words that no one has said as yet"])
    found, known = {}, {"source": data, "engine": engine, "seed": 0, "seeds": range, "sampling": {}}
    evaluation.find_copies(Parrot(**known), [data], 10)
    assert found["copied_runs_of_held_out_text"] == (1.0, True)
    assert found["copied_runs"][1] and 0.5 < found["copied_runs"][0] < 1  # all but the last


def test_what_is_measured_otherwise_is_not_kept(plain_model, tmp_path, capsys):
    data = tmp_path / "tale.valid.txt"
    own = ("--temperature", 0.8, "--top-k", 40, "--samples", 0)
    assert evaluate(plain_model, data, "--engine", "torch", *own) == 0
    before = read_metrics(plain_model)
    assert before["results"] and "kept in" in capsys.readouterr().out
    for words in ("--temperature 0.5", "--top-k 3", "--top-p 1", "--samples 4"):
        assert evaluate(plain_model, data, "--engine", "torch", *own, *words.split()) == 0
        printed = capsys.readouterr().out
        assert "bits_per_byte" in printed and f"metrics.json, since measured with {words}\n" in printed
    assert read_metrics(plain_model) == before


def test_missing_corpora_are_named(plain_model, tmp_path, capsys):
    assert evaluate(plain_model, tmp_path, "--engine", "torch") == 2
    assert "give a file by --data FILE" in capsys.readouterr().err
    assert evaluate(plain_model, tmp_path / "absent.txt", "--engine", "torch") == 2
    assert "absent.txt is missing" in capsys.readouterr().err
