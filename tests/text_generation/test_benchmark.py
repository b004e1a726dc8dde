"""The comparison with other engines: what it counts, and that ours and the stock engine really run in it."""

import json
import sys
from argparse import ArgumentParser

import pytest

from bigmodel.config import TransformerConfig
from bigmodel.errors import ConfigError
from bigmodel.text_generation import benchmark, contenders

TINY = TransformerConfig(300, 64, 96, 2, 4, 2, 32, 48)


def parse(*words):
    parser = ArgumentParser()
    benchmark.add_arguments(parser)
    return parser.parse_args(list(words))


def row(engine, precision, rate):
    return {
        "engine": engine,
        "precision": precision,
        "class": benchmark.CLASSES[precision],
        "tokens_per_second": rate,
        "tokens_per_cpu_second": 2 * rate,
        "first_token_ms": 1.0,
        "memory_mb": 50,
        "bytes": 1e6,
        "bandwidth_share": 0.5,
    }


def test_ratios_are_within_a_precision_class():
    rows = [
        row("bigmodel", "int8", 300),
        row("llama.cpp", "q8_0", 200),
        row("ctranslate2", "int8", 150),
        row("llama.cpp", "q4_0", 900),
        row("transformers", "fp32", 20),
    ]
    found = benchmark.ratios(rows)
    assert set(found) == {"8 bit", "all"}
    assert found["8 bit"]["best_peer"] == "llama.cpp q8_0" and found["8 bit"]["ratio"] == 1.5
    assert found["all"]["best_peer"] == "transformers fp32" and found["all"]["cpu_ratio"] == 15


def test_every_precision_has_a_class():
    assert {p for kind in contenders.ENGINES.values() for p in kind.precisions} <= set(benchmark.CLASSES)
    assert set(contenders.NEEDS) == set(contenders.ENGINES)


def test_ours_beside_transformers(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(benchmark.SHAPES, "qwen3-33m", TINY)
    monkeypatch.setattr(contenders.Ours, "precisions", ("int8",))
    monkeypatch.setattr(contenders.Transformers, "precisions", ("fp32",))
    words = ["--shape", "qwen3-33m", "--cache", str(tmp_path), "--prompt", "4", "--new", "6", "--rounds", "2"]
    words += ["--engines", "bigmodel", "transformers", "--out", str(tmp_path / "figures.json")]
    assert benchmark.run(parse(*words)) == 0
    printed, figures = capsys.readouterr().out, json.loads((tmp_path / "figures.json").read_text())
    assert {(r["engine"], r["precision"]) for r in figures["engines"]} == {
        ("bigmodel", "int8"),
        ("transformers", "fp32"),
    }
    assert all(r["tokens_per_second"] > 0 and r["memory_mb"] > 10 and r["bytes"] > 0 for r in figures["engines"])
    assert " times transformers fp32; by CPU time" in printed and "tokens/s" in printed


def test_an_engine_that_is_absent(tmp_path):
    arguments = parse("--shape", "qwen3-33m", "--engines", "llama.cpp", "--peer-python", sys.executable)
    contenders_needs = {**contenders.NEEDS}
    try:
        contenders.NEEDS["llama.cpp"] = "no_such_module"
        assert benchmark.start(arguments, tmp_path, tmp_path) == ([], {"llama.cpp": "not installed"})
    finally:
        contenders.NEEDS.update(contenders_needs)


def test_bad_options(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.safetensors is missing"):
        benchmark.prepare(parse("--model", str(tmp_path)))
    with pytest.raises(SystemExit):
        parse("--shape", "unheard-of")
