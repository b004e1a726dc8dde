"""The cache: rows join, leave and sit out without a trace in each other's logits."""

import numpy as np
import pytest

from bigmodel.config import read_json
from bigmodel.runtime.decoding import Decoder
from bigmodel.runtime.session import create_session


def decoder_maker(folder):
    session = create_session(folder / "onnx/model_quantized.onnx", providers="cpu", threads=1)
    return lambda slots: Decoder(session, read_json(folder / "config.json"), slots)


@pytest.fixture(scope="module")
def make_decoder(tiny_stories):
    return decoder_maker(tiny_stories)


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [rng.integers(1, 300, 40).tolist() for _ in range(5)]


@pytest.fixture(scope="module")
def alone(make_decoder, texts):
    """Logits of each text's steps, from prompts of 3, 5, 7 … tokens, each text alone."""
    return [steps(make_decoder(1), ids, 3 + 2 * r) for r, ids in enumerate(texts)]


def steps(decoder, ids, prompt):
    rows = [decoder.prefill(0, ids[:prompt])[0]]
    return np.array(rows + [decoder.step([0], [token])[0].copy() for token in ids[prompt:]])


def test_steps_equal_prefill(tiny_exact, texts):
    make = decoder_maker(tiny_exact)  # rounding to 8 bits would make a last digit of a long product's sum visible
    for r, ids in enumerate(texts):
        whole = make(1).prefill(0, ids, len(ids))
        np.testing.assert_allclose(steps(make(1), ids, 3 + 2 * r), whole[2 + 2 * r :], atol=2e-3)


def test_together_equals_alone(make_decoder, texts, alone):
    decoder = make_decoder(5)
    for r, ids in enumerate(texts):
        decoder.prefill(r, ids[: 3 + 2 * r])
    for step in range(20):
        logits = decoder.step([0, 1, 2, 3, 4], [ids[3 + 2 * r + step] for r, ids in enumerate(texts)])
        for r in range(5):
            assert np.array_equal(logits[r], alone[r][1 + step])


def test_rows_join_leave_and_sit_out(make_decoder, texts, alone):
    decoder, rng = make_decoder(6), np.random.default_rng(1)
    slot_of, fed = {}, {}
    for _ in range(150):
        if len(slot_of) < 5 and rng.random() < 0.4:
            text = rng.choice([r for r in range(5) if r not in slot_of])
            slot = rng.choice([s for s in range(6) if s not in slot_of.values()])
            slot_of[text], fed[text] = slot, 0
            logits = decoder.prefill(slot, texts[text][: 3 + 2 * text])
            assert np.array_equal(logits[0], alone[text][0])
        awake = sorted((slot, text) for text, slot in slot_of.items() if rng.random() < 0.7)
        if awake:
            tokens = [texts[text][3 + 2 * text + fed[text]] for _, text in awake]
            logits = decoder.step([slot for slot, _ in awake], tokens)
            for (_, text), row in zip(awake, logits, strict=True):
                fed[text] += 1
                assert np.array_equal(row, alone[text][fed[text]])
        for text in list(slot_of):
            if fed[text] == 40 - 3 - 2 * text or rng.random() < 0.05:
                decoder.lengths[slot_of.pop(text)] = 0


def test_a_full_row_does_not_disturb(make_decoder, texts, alone):
    decoder = make_decoder(3)
    decoder.prefill(1, [5] * decoder.max_length)
    decoder.prefill(0, texts[0][:3])
    decoder.prefill(2, texts[1][:5])
    logits = decoder.step([0, 2], [texts[0][3], texts[1][5]])
    assert np.array_equal(logits[0], alone[0][1])
    assert np.array_equal(logits[1], alone[1][1])
