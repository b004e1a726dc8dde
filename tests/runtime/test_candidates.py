"""Choosing among the graph's likeliest tokens gives the token that a search of all of them would."""

import numpy as np
import pytest

from bigmodel.config import read_json
from bigmodel.runtime.decoding import Decoder
from bigmodel.runtime.sampling import Sampler, among_rows
from bigmodel.runtime.session import create_session


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(0.8, 40, 1.0), (1.3, 64, 0.9), (0.5, 1, 0.5), (0, 40, 0.9)]
)
def test_among_equals_a_search(temperature, top_k, top_p):
    rng = np.random.default_rng(0)
    few, all_ = (Sampler(temperature, top_k, top_p, seed=3) for _ in range(2))
    for step in range(300):
        logits = (rng.standard_normal(8192) * 3).astype(np.float32)
        if step % 3 == 0:
            logits = logits.round()  # ties
        order = np.argsort(-logits, kind="stable")[:64]
        assert few.among(logits[order], order) == all_(logits)


def test_decoder_gives_them_for_each_row(tiny_stories):
    session = create_session(tiny_stories / "onnx/model_quantized.onnx", providers="cpu", threads=1)
    decoder = Decoder(session, read_json(tiny_stories / "config.json"), slots=4)
    for slot in (0, 1, 3):
        logits = decoder.prefill(slot, [5 + slot, 6, 7])
        top_logits, top_ids = decoder.candidates
        assert np.array_equal(top_ids[0], np.argsort(-logits[0], kind="stable")[:64])
    for slots in ([0, 1], [0, 3]):
        logits = decoder.step(slots, [9] * len(slots))
        top_logits, top_ids = decoder.candidates
        for row, values, ids in zip(logits, top_logits, top_ids, strict=True):
            assert np.array_equal(values, row[ids]) and ids[0] == row.argmax()


def test_rows_together_equal_each_alone():
    rng = np.random.default_rng(0)
    settings = [
        (0.8, 40, 1.0),
        (1.3, 64, 0.9),
        (0.5, 1, 0.5),
        (0, 40, 0.9),
        (1.0, 3, 1e-6),
        (0.01, 64, 0.99),  # most weights are 0
    ]
    chosen = [settings[i % len(settings)] for i in range(50)]
    alone, together = ([Sampler(*one, seed=i) for i, one in enumerate(chosen)] for _ in range(2))
    for step in range(100):
        logits = (rng.standard_normal((50, 64)) * 4).astype(np.float32)
        if step % 3 == 0:
            logits = logits.round()  # ties
        logits = -np.sort(-logits)
        ids = rng.permuted(np.tile(np.arange(5000), (50, 1)), axis=1)[:, :64]
        assert among_rows(together, logits, ids) == [s.among(*few) for s, *few in zip(alone, logits, ids, strict=True)]


@pytest.mark.parametrize("uniform", [0.0, 1.0])  # 1 does not come, but a product may round up to it
def test_rows_together_at_the_ends_of_chance(uniform):
    rng = np.random.default_rng(1)
    logits = -np.sort(-rng.standard_normal((9, 64)).astype(np.float32))
    ids = rng.permuted(np.tile(np.arange(64), (9, 1)), axis=1)
    samplers = [Sampler(1.0, 5 + i, 0.9) for i in range(9)]
    for sampler in samplers:
        sampler._uniform = lambda: uniform
    assert among_rows(samplers, logits, ids) == [s.among(*few) for s, *few in zip(samplers, logits, ids, strict=True)]
