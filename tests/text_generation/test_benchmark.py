"""The comparison with other engines: what it counts, and that ours and the stock engine really run in it."""

import json
import shutil
import sys
from argparse import ArgumentParser
from dataclasses import replace

import pytest
import torch

from bigmodel.config import TransformerConfig, read_json
from bigmodel.errors import ConfigError, ProviderError
from bigmodel.runtime.artifacts import ModelFolder
from bigmodel.text_generation import benchmark, benchmark_provider, contenders
from bigmodel.training import peers

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


@pytest.fixture
def stories_copy(tiny_stories, tmp_path, without_compiling):
    """A folder to keep figures in."""
    return shutil.copytree(tiny_stories, tmp_path / "model")


def provider_words(folder, *more):
    return parse("--model", str(folder), "--prompt", "4", "--new", "6", "--rounds", "1", "--batch", "1,3", *more)


def test_on_a_provider_beside_transformers(stories_copy, capsys, monkeypatch, one_thread):
    assert benchmark.run(provider_words(stories_copy, "--provider", "cpu")) == 0
    figures = read_json(stories_copy / "metrics.json")["speed"]["cpu"]
    engines = {"bigmodel quantized", "transformers static cache", "transformers compiled"}
    assert figures["absent"] == {} and {(r["case"], r["engine"]) for r in figures["rows"]} == {
        (case, engine) for case in ("batch 1", "batch 3") for engine in engines
    }
    assert all(r["per_second"] > 0 and r["first_token_ms"] > 0 and r["bandwidth_share"] > 0 for r in figures["rows"])
    assert set(figures["ratios"]) == {"batch 1", "batch 3"} and figures["bandwidth_bytes_per_second"] > 1e8
    assert figures["device"] and {"torch", "transformers"} <= set(figures["versions"])
    assert "batch 3: ours is" in capsys.readouterr().out
    ModelFolder.open(stories_copy)  # its manifest knows the figures

    # a device in name: the host's memory beside the host's, whose runs are recorded
    real = benchmark_provider.create_session

    def staged(graphs, providers, threads, *, cuda_graph=False):
        assert graphs["cuda"].name == "model_fp16.onnx" and providers == ["cuda"]
        return replace(real(graphs, ["cpu"], threads), provider="cuda", staged=True, cuda_graph=cuda_graph)

    monkeypatch.setattr(benchmark_provider, "create_session", staged)
    monkeypatch.setattr(peers, "matching_device", lambda _: torch.device("cpu"))
    assert benchmark.run(provider_words(stories_copy, "--provider", "cuda")) == 0
    speed = read_json(stories_copy / "metrics.json")["speed"]
    ours = [row["engine"] for row in speed["cuda"]["rows"] if row["engine"].startswith("bigmodel")]
    assert speed["cpu"] == figures and ours == ["bigmodel fp16", "bigmodel fp16, not recorded"] * 2
    assert speed["cuda"]["cuda_graph"]


def test_a_peer_that_fails_is_absent(stories_copy, monkeypatch, one_thread):
    def fail(self, *_):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(benchmark_provider.Transformers, "write", fail)
    assert benchmark.run(provider_words(stories_copy, "--provider", "cpu")) == 0
    figures = read_json(stories_copy / "metrics.json")["speed"]["cpu"]
    assert figures["absent"]["transformers compiled, 3 together"] == "no compiler" and figures["ratios"] == {}
    assert [r["case"] for r in figures["rows"]] == ["batch 1", "batch 3"]


def test_a_step_reads_weights_once_and_the_cache_of_each_text():
    class Engine:
        weight_bytes, element_bytes = 1000, 2

    config = {"num_hidden_layers": 2, "num_key_value_heads": 3, "head_dim": 4}
    found = benchmark_provider.step_bytes(Engine, config, 5, provider_words("x"))
    assert found == 1000 + 5 * (4 + 3) * (2 * 2 * 3 * 4) * 2
    row = benchmark_provider.row("bigmodel", 5, 11, [(1.0, 2.0), (1.0, 2.0)], 20)
    assert (row["per_second"], row["first_token_ms"], row["bandwidth_share"]) == (50, 1000, 0.5)


def test_a_provider_that_cannot_be_had(tiny_stories):
    with pytest.raises(ProviderError):
        benchmark.run(provider_words(tiny_stories, "--provider", "vulkan"))
    if not torch.cuda.is_available():
        with pytest.raises(ProviderError, match="sees no GPU"):
            peers.matching_device("cuda")
    with pytest.raises(SystemExit):
        parse("--model", "x", "--batch", "1,0")
