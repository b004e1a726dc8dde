"""The benchmark's engines translate alike, and its table says who is faster."""

import json
import shutil

import torch

from bigmodel import cli
from bigmodel.config import read_json
from bigmodel.training import peers
from bigmodel.translation import benchmark


def test_ours_beside_transformers(exact_folder, tmp_path, capsys, one_thread):
    (tmp_path / "pairs.tsv").write_text("Two dogs play.\tx\nA man rides a red bike.\tx\nsnow\tx\n")
    command = ["benchmark", "translation", "--model", str(exact_folder), "--file", str(tmp_path / "pairs.tsv")]
    assert cli.main([*command, "--rounds", "1", "--out", str(tmp_path / "out.json")]) == 0
    text, result = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
    assert result["sentences"] == 3 and set(result["equal_to_transformers"].values()) == {3}
    rates = {(r["engine"], r["batch"], r["beams"]): r["sentences_per_cpu_second"] for r in result["rows"]}
    assert len(rates) >= 12 and all(rate > 0 for rate in rates.values())
    assert "int8 / transformers" in text and "batch 16, beam 5" in text
    assert cli.main([*command, "--direction", "en-fr"]) == 2


def test_on_a_provider(quantized_folder, tmp_path, capsys, monkeypatch, one_thread, without_compiling):
    folder = shutil.copytree(quantized_folder, tmp_path / "model")
    (tmp_path / "pairs.tsv").write_text("Two dogs play.\tx\nA man rides a red bike.\tx\nsnow\tx\n")
    command = ["benchmark", "translation", "--model", str(folder), "--file", str(tmp_path / "pairs.tsv")]
    monkeypatch.setattr(peers, "weights_type", lambda _: torch.float16)  # as on a GPU
    assert cli.main([*command, "--provider", "cpu", "--batch", "2", "--rounds", "1"]) == 0
    figures = read_json(folder / "metrics.json")["speed"]["cpu"]
    assert {r["case"] for r in figures["rows"]} == {"batch 2, greedy", "batch 2, beam 5"} == set(figures["ratios"])
    engines = {r["engine"] for r in figures["rows"]}
    assert {"bigmodel int8", "transformers fp16", "transformers compiled fp16"} <= engines
    assert "int8 / transformers compiled" in capsys.readouterr().out and figures["unit"] == "sentences"
    assert cli.main([*command, "--provider", "vulkan"]) == 2


def test_what_is_compiled_meets_few_shapes(exact_folder, one_thread):
    config, shapes = read_json(exact_folder / "config.json"), []
    engine = benchmark.Transformers(exact_folder, config, 1, torch.device("cpu"), compiled=True)

    def generate(ids, *, attention_mask, max_new_tokens, **options):
        shapes.append((*ids.shape, max_new_tokens))
        assert attention_mask.sum(1).tolist() == [len(source) for source in sources]
        return torch.tensor([[0, 5, engine.end]] * len(ids))

    engine.model.generate = generate
    for sources in ([[4] * 3, [4] * 9], [[4] * 32, [4]], [[4] * 33, [4]]):
        assert engine.translate(sources, 1) == [[5], [5]]
    assert shapes == [(2, 32, 74), (2, 32, 74), (2, 64, 138)]


def test_a_peer_that_fails_in_one_case_is_absent_there(tmp_path, exact_folder, capsys, monkeypatch, one_thread):
    ours = benchmark.Transformers.translate

    def translate(self, sources, num_beams):
        if len(sources) > 1:
            raise MemoryError("too much\nof it")
        return ours(self, sources, num_beams)

    monkeypatch.setattr(benchmark.Transformers, "translate", translate)
    (tmp_path / "pairs.tsv").write_text("Two dogs play.\tx\nsnow\tx\n")
    command = ["benchmark", "translation", "--model", str(exact_folder), "--file", str(tmp_path / "pairs.tsv")]
    assert cli.main([*command, "--rounds", "1", "--out", str(tmp_path / "out.json")]) == 0
    absent = read_json(tmp_path / "out.json")["absent"]
    faults = {name: reason for name, reason in absent.items() if "batch 16" in name}
    assert faults and all("too much" in reason for reason in faults.values())
    assert "nan" in capsys.readouterr().out
