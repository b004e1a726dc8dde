"""Pictures on their way to the page: previews, the end, the time limit, a visitor who leaves."""

import base64
import time
from dataclasses import replace

import numpy as np
import pytest

from bigmodel.errors import InputError
from bigmodel.limits import LIMITS
from bigmodel.text_to_image import png, serve
from bigmodel.text_to_image.events import facts, shown
from bigmodel.text_to_image.request import Request
from bigmodel.text_to_image.runtime import ImageGenerator


@pytest.fixture(scope="module")
def generator(tiny_emoji):
    return ImageGenerator.from_pretrained(tiny_emoji)


@pytest.fixture
def slow(generator, monkeypatch):
    """The same, with a hundredth of a second more for each run of its graph."""
    at_full_speed = generator.model.denoise

    def denoise(*arguments):
        time.sleep(0.01)
        return at_full_speed(*arguments)

    monkeypatch.setattr(generator.model, "denoise", denoise)
    return generator


def ask(prompt="a cat face", **values):
    return Request(prompt, "tiny-emoji", **{"num_images": 2, "seed": 3, "sampler": "euler", **values})


def test_the_first_and_the_last_are_always_sent(generator):
    drawn = list(serve.draw(generator, ask(steps=5)))
    assert drawn[0].progress.step == 1 and drawn[-1].progress.step == 5
    assert [d.finished for d in drawn] == [False] * (len(drawn) - 1) + [True] and drawn[-1].note == ""
    expected = generator.generate("a cat face", num_images=2, seed=3, steps=5, sampler="euler")
    for pixels, picture in zip(drawn[-1].progress.images, expected, strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(picture))


def test_previews_come_about_four_times_a_second(slow, monkeypatch):
    monkeypatch.setattr(serve, "INTERVAL_S", 0.2)
    drawn = list(serve.draw(slow, ask(steps=50)))
    seconds = np.diff([d.seconds for d in drawn[:-1]])
    assert len(drawn) < 20 and (seconds >= 0.2).all()


def test_the_time_is_up(slow, monkeypatch):
    monkeypatch.setattr(serve, "LIMITS", replace(LIMITS, drawing_seconds=0.2))
    *_, last = serve.draw(slow, ask(steps=100))
    assert not last.finished and last.note == "time_limit" and 0 < last.progress.step < 100
    assert "⟦time_limit⟧" in facts(slow, ask(), last)


def test_one_who_leaves_ends_the_work(slow):
    runs = []
    stream = serve.draw(slow, ask(steps=100))
    next(stream)
    at_full_speed = slow.model.denoise
    slow.model.denoise = lambda *a: runs.append(1) or at_full_speed(*a)
    stream.close()
    assert runs == []


def test_what_is_said_of_a_prompt(generator):
    def said(prompt):
        *_, last = serve.draw(generator, ask(prompt, steps=1))
        return facts(generator, ask(prompt), last)

    assert "⟦unasked⟧" in said("") and "⟦unasked⟧" in said("xyzzyx")
    assert "⟦read_as⟧ <q>cat face</q>" in said("🐱") and "⟦unasked⟧" not in said("🐱")
    assert "⟦words_ignored⟧ xyzzyx, b" in said("xyzzyx <b> rose")
    assert "⟦words_cut⟧ rose" in said("the " * 15 + "rose") and "32 × 32" in said("a rose")
    assert "⟦words_" not in said("a rose") and "⟦read_as⟧" not in said("a rose")


def test_a_preview_says_nothing_and_a_picture_everything(generator):
    def files(drawn):
        return [base64.b64decode(p["src"].partition(",")[2]) for p in shown(generator, ask(), drawn)["pictures"]]

    first, *_, last = serve.draw(generator, ask(steps=2))
    with pytest.raises(InputError):
        png.read(files(first)[0])
    assert [png.read(data)["seed"] for data in files(last)] == ["3", "4"]
    assert png.read(files(last)[0])["guidance"] == "3.0"
