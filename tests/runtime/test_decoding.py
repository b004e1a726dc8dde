"""The cache: rows join, leave and sit out without a trace in each other's logits."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bigmodel.config import read_json
from bigmodel.errors import ModelFolderError
from bigmodel.runtime.buffers import Buffer
from bigmodel.runtime.decoding import Decoder
from bigmodel.runtime.session import create_session

# the host's memory, a device's beside it (it is the host's, too), and one that records runs
WAYS = {"host": {}, "staged": {"staged": True}, "recorded": {"staged": True, "cuda_graph": True}}


def decoder_maker(folder, **way):
    session = replace(create_session(folder / "onnx/model_quantized.onnx", providers="cpu", threads=1), **way)
    return lambda slots: Decoder(session, read_json(folder / "config.json"), slots)


@pytest.fixture(scope="module", params=WAYS)
def make_decoder(tiny_stories, request):
    return decoder_maker(tiny_stories, **WAYS[request.param])


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [rng.integers(1, 300, 40).tolist() for _ in range(5)]


@pytest.fixture(scope="module")
def alone(tiny_stories, texts):
    """Logits of each text's steps, from prompts of 3, 5, 7 … tokens, each text alone on the host."""
    return [steps(decoder_maker(tiny_stories)(1), ids, 3 + 2 * r) for r, ids in enumerate(texts)]


def steps(decoder, ids, prompt):
    rows = [decoder.prefill(0, ids[:prompt])[0]]
    return np.array(rows + [decoder.step([0], [token])[0].copy() for token in ids[prompt:]])


def test_an_older_export_is_named(tiny_stories):
    make = decoder_maker(tiny_stories, ort=SimpleNamespace(get_inputs=list))
    with pytest.raises(ModelFolderError, match="model_quantized.onnx is an older export; export the model again"):
        make(1)


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


class Watched:
    """An InferenceSession that notes the number of each recording, and may refuse to record."""

    def __init__(self, session, refuse=False):
        self._session, self.refuse, self.numbers = session, refuse, []

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run_with_iobinding(self, binding, options):
        number = int(options.get_run_config_entry("gpu_graph_id"))
        if self.refuse and number >= 0:
            raise RuntimeError("a node cannot be captured")
        self.numbers.append(number)
        self._session.run_with_iobinding(binding, options)


@pytest.mark.parametrize("refuse", [False, True])
def test_what_is_recorded(tiny_stories, texts, alone, refuse):
    session = create_session(tiny_stories / "onnx/model_quantized.onnx", providers="cpu", threads=1)
    watched = Watched(session.ort, refuse)
    session = replace(session, ort=watched, staged=True, cuda_graph=True)
    decoder = Decoder(session, read_json(tiny_stories / "config.json"), 6)
    for slot in (0, 2, 4):
        decoder.prefill(slot, texts[0][:3])
    for slots in ([0], [0, 2], [2], [2, 4], [0]):
        decoder.lengths[slots] = 3
        logits = decoder.step(slots, [texts[0][3]] * len(slots))
        assert all(np.array_equal(row, alone[0][1]) for row in logits)
    # prompts never; steps by the first 1, 2, 4 … slots
    assert decoder.not_recorded == ("a node cannot be captured" if refuse else "")
    assert watched.numbers == [-1] * 8 if refuse else watched.numbers == [-1] * 3 + [1, 4, 4, 6, 1]


def test_all_logits_leave_the_device_only_when_asked_for(tiny_stories, texts, monkeypatch):
    decoder = decoder_maker(tiny_stories, staged=True)(4)
    pulled, pull = [], Buffer.pull
    monkeypatch.setattr(Buffer, "pull", lambda self: pulled.append(self.shape[-1]) or pull(self))
    assert decoder.prefill(0, texts[0][:3], logits=False) is None
    assert decoder.step([0], [texts[0][3]], logits=False) is None
    assert pulled == [64, 64] and decoder.candidates[1][0, 0] == decoder.logits[0].argmax()
    assert pulled[-1] == decoder.vocab_size
