"""The 16-bit graph on a provider beside the weights: here on the CPU, and on a device that is the host's memory."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bigmodel import cli  # noqa: E402
from bigmodel.config import read_json  # noqa: E402
from bigmodel.runtime.decoding import Decoder  # noqa: E402
from bigmodel.runtime.session import create_session  # noqa: E402
from export import parity_provider  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tiny_stories, tmp_path):
    return shutil.copytree(tiny_stories, tmp_path / "model")


def parity(folder, *words):
    return cli.main(["parity", "text_generation", "--model", str(folder), "--provider", "cpu", "--new", "12", *words])


def test_prompts_of_the_model_and_of_its_validation_text(folder, tiny_poetry, tmp_path, capsys):
    assert parity(folder, "--prompts", "20") == 0
    assert "of 20" in capsys.readouterr().out
    found = read_json(folder / "metrics.json")["parity"]["cpu"]
    assert found["equal"] >= 19 and found["steps"]["unit"] == "nats" and 0 < found["prefill"]["largest"] < 0.5
    (tmp_path / "text.txt").write_text("The fox met a crow in the wood, and the crow said nothing at all.\n" * 3)
    assert parity(folder, "--prompts", "3", "--data", str(tmp_path / "text.txt")) == 0
    assert read_json(folder / "metrics.json")["parity"]["cpu"]["data"]

    poems = shutil.copytree(tiny_poetry, tmp_path / "poetry")
    (tmp_path / "poems.tsv").write_text(
        "诗\t李白\t静夜思\t床前明月光，疑是地上霜。\n诗\t孟浩然\t春晓\t春眠不觉晓，处处闻啼鸟。\n"
    )
    assert parity(poems, "--data", str(tmp_path / "poems.tsv")) == 0
    assert "of 2\n" in capsys.readouterr().out
    assert parity(folder, "--prompts", "0") == 2


@pytest.mark.parametrize("way", [{}, {"staged": True}, {"staged": True, "cuda_graph": True}])
def test_a_text_of_another_token_is_not_equal(tiny_exact, way):
    from bigmodel.nn.checkpoint import from_pretrained

    session = replace(create_session(tiny_exact / parity_provider.CUDA_GRAPH, ["cpu"], 1), **way)
    decoder, model = Decoder(session, read_json(tiny_exact / "config.json"), 4), from_pretrained(tiny_exact)
    prompts = parity_provider.own_prompts(model, 6)  # a full batch, and a rest
    report, equal = parity_provider.measure(decoder, model, prompts, 8, 0)
    assert equal == 6 and report["steps"].expected < 1e-2
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.neg_()
    report, equal = parity_provider.measure(decoder, model, prompts, 8, 0)
    assert equal < 6 and report["steps"].largest > 0.5


def test_it_fails_where_the_provider_says_something_else(folder, monkeypatch, capsys):
    real = parity_provider.from_pretrained

    def other(path):
        model = real(path)
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight.neg_()
        return model

    monkeypatch.setattr(parity_provider, "from_pretrained", other)
    assert parity(folder, "--prompts", "2") == 2
    assert "on cpu, prefill, differs from its model" in capsys.readouterr().err


def test_the_first_of_texts_that_end_at_once(tiny_exact):
    from bigmodel.nn.checkpoint import from_pretrained

    model = from_pretrained(tiny_exact)
    ids, rows = parity_provider.greedy(model, [0, 5, 6], 5, end=-1)
    ended, fewer = parity_provider.greedy(model, [0, 5, 6], 5, end=ids[0])
    assert len(ids) == 5 and rows.shape[0] == 5 and ended == ids[:1]
    assert np.array_equal(fewer, rows[:1])
