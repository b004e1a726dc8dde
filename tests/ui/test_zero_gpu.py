"""Calls on a GPU that is lent, with a stand-in for ZeroGPU's package, and for CUDA a session of the CPU."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client

from bigmodel.errors import ConfigError, InputError, ProviderError
from bigmodel.runtime import lent
from bigmodel.runtime import session as sessions
from bigmodel.text_to_image import runtime as drawing
from bigmodel.text_to_image.runtime import Graphs, ImageGenerator
from bigmodel.translation import runtime as translating
from bigmodel.translation.runtime import Translator
from bigmodel.ui import about, zero_gpu
from bigmodel.ui.models import Models

STAND_IN = Path(__file__).parent / "zero_gpu"
LOADERS = {"text_to_image": ImageGenerator.from_pretrained, "translation": Translator.from_pretrained}
ASKED = {"num_images": 2, "seed": 3, "steps": 4}
TEXTS = ["A man rides a red bike. Two dogs play in the snow.", "", "She bought 12 apples.", "The fox is brown."]
EN_DE = {"source": "en", "target": "de"}


@pytest.fixture
def space(tmp_path, monkeypatch):
    """A folder by which the stand-in is told what to do; the tests run as on a ZeroGPU Space."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setenv("SPACES_STAND_IN", str(tmp_path))
    monkeypatch.setattr(zero_gpu, "STEPS", 2)
    monkeypatch.syspath_prepend(STAND_IN)
    yield tmp_path
    if "spaces" in sys.modules:
        sys.modules.pop("spaces").end_workers()


@pytest.fixture
def cuda(space, monkeypatch):
    """Sessions on CUDA are the CPU's, and "sessions" of the folder gets a line of JSON for each that is opened."""

    def opened(paths, providers=None, threads=None):
        on_cuda = "cuda" in sessions.provider_order(providers) and not refused("cuda")
        line = {"cuda": on_cuda, "inside": "SPACES_STAND_IN_INSIDE" in os.environ, "pid": os.getpid()}
        with (space / "sessions").open("a") as file:
            file.write((json.dumps(line) + "\n") * len(paths))
        found = sessions.create_sessions(paths, "cpu", 1)
        return [replace(session, provider="cuda") for session in found] if on_cuda else found

    real = sessions.unavailable

    def refused(provider):
        return "" if (reason := real(provider)) == "this machine has no NVIDIA GPU" else reason

    monkeypatch.setattr(sessions.ort, "get_available_providers", lambda: list(sessions.PROVIDERS.values()))
    monkeypatch.setattr(drawing, "create_sessions", opened)
    monkeypatch.setattr(translating, "create_sessions", opened)


@pytest.fixture
def slow(space, monkeypatch):
    """A run of a generator's graph takes a twentieth of a second, and adds a byte to "runs" of the folder."""
    at_full_speed = Graphs.denoise

    def denoise(*arguments):
        with (space / "runs").open("a") as file:
            file.write(".")
        time.sleep(0.05)
        return at_full_speed(*arguments)

    monkeypatch.setattr(Graphs, "denoise", denoise)


def served(folder, task="text_to_image"):
    """A page's Models of one folder, and its model as the page has it."""
    models = Models([folder], LOADERS)
    (entry,) = models.entries.values()
    return models, models.get(entry.name, task)


def opened_sessions(space):
    return [json.loads(line) for line in (space / "sessions").read_text().splitlines()]


def loans(space):
    return [int(line) for line in (space / "loans").read_text().split()] if (space / "loans").exists() else []


def steps(progresses):
    return [progress.step for progress in progresses]


def same(progress, expected):
    np.testing.assert_array_equal(progress.images, expected.images)
    assert progress.seeds == expected.seeds and progress.reading == expected.reading


def test_elsewhere_nothing_is_lent(tiny_emoji, monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    models, generator = served(tiny_emoji)
    assert type(generator) is ImageGenerator and "spaces" not in sys.modules
    assert "zero_gpu" not in about.health(models)


def test_the_server_opens_no_session_on_a_gpu(cuda, tiny_emoji, monkeypatch):
    for variable in ("tensorrt,cuda,cpu", "cuda"):
        monkeypatch.setenv("BIGMODEL_PROVIDERS", variable)
        assert "ZeroGPU lends a GPU for single calls alone" in sessions.unavailable("cuda")
    with pytest.raises(ProviderError, match="cuda: ZeroGPU lends"):
        sessions.create_session(next(tiny_emoji.glob("*_fp16.onnx")))
    with lent.borrowed_gpu():
        assert "ZeroGPU" not in sessions.unavailable("cuda")
    assert "ZeroGPU" in sessions.unavailable("tensorrt")


def test_pictures_are_drawn_on_a_borrowed_gpu(cuda, space, tiny_emoji):
    models, generator = served(tiny_emoji)
    assert generator.size == (32, 32) and generator.read("a cat face").text == "a cat face"
    expected = list(ImageGenerator.stream(generator._model, "a cat face", **ASKED))
    found = list(generator.stream("a cat face", **ASKED))
    assert steps(found) == [1, 2, 3, 4]
    for progress, other in zip(found, expected, strict=True):
        same(progress, other)
    assert {p.provider for p in found} == {"cuda"} and {p.provider for p in expected} == {"cpu"}
    assert generator.provider == "cpu" and loans(space) == [zero_gpu.DRAWING_S]

    list(generator.stream("a rose", **ASKED))  # the process and its sessions are kept
    server, worker = opened_sessions(space)[:2], opened_sessions(space)[2:]
    assert [(s["cuda"], s["inside"], s["pid"] == os.getpid()) for s in server] == [(False, False, True)] * 2
    assert [(s["cuda"], s["inside"], s["pid"] == os.getpid()) for s in worker] == [(True, True, False)] * 2
    report = about.health(models)["zero_gpu"]
    assert report == {"tasks": ["text_to_image", "translation"], "calls_on_gpu": 2, "calls_on_cpu": 0, "fault": ""}


def test_pieces_come_as_they_are_made_and_a_visitor_who_leaves_ends_the_work(cuda, slow, space, tiny_emoji):
    _, generator = served(tiny_emoji)
    stream = generator.stream("a cat face", num_images=1, seed=3, steps=100, sampler="euler", guidance=1)
    assert steps([next(stream), next(stream)]) == [1, 2]
    assert 2 <= len((space / "runs").read_text()) < 50
    started = time.monotonic()
    stream.close()
    assert time.monotonic() - started < 1
    made = len((space / "runs").read_text())
    time.sleep(0.3)
    assert len((space / "runs").read_text()) == made < 60
    assert steps(generator.stream("a rose", num_images=1, seed=3, steps=2)) == [1, 2] and len(loans(space)) == 2


def test_a_short_drawing_borrows_nothing(cuda, space, tiny_emoji):
    _, generator = served(tiny_emoji)
    for count in (1, 4):  # a picture is the same whatever its company
        assert [p.provider for p in generator.stream("a cat face", num_images=count, steps=1)] == ["cpu"]
    assert loans(space) == []


def test_a_refused_loan_is_made_on_the_cpu(cuda, space, tiny_emoji, caplog):
    models, generator = served(tiny_emoji)
    *_, expected = ImageGenerator.stream(generator._model, "a cat face", **ASKED)
    (space / "refuse").write_text("You have exceeded your GPU quota.\nSign up")
    *_, found = generator.stream("a cat face", **ASKED)
    same(found, expected)
    assert found.provider == "cpu"
    why = "ZeroGPU quota exceeded: You have exceeded your GPU quota."
    health = about.health(models)
    assert health["zero_gpu"]["fault"] == why and health["zero_gpu"]["calls_on_cpu"] == 1 and health["status"] == "ok"
    (record,) = [r for r in caplog.records if r.getMessage() == "no_gpu"]
    assert record.fields == {"reason": why, "pieces": 0}

    (space / "refuse").unlink()  # the next visitor has minutes left
    *_, found = generator.stream("a cat face", **ASKED)
    assert found.provider == "cuda"


def test_a_loan_that_is_overrun_is_begun_again_on_the_cpu(cuda, space, tiny_emoji):
    models, generator = served(tiny_emoji)
    (space / "abort").write_text("2")
    found = list(generator.stream("a cat face", **ASKED))
    assert steps(found) == [1, 2, 1, 2, 3, 4] and [p.provider for p in found] == ["cuda"] * 2 + ["cpu"] * 4
    assert models.loans.report()["fault"] == "ZeroGPU worker error: GPU task aborted"
    (space / "abort").unlink()
    assert {p.provider for p in generator.stream("a cat face", **ASKED)} == {"cuda"}  # by another process


def test_without_cuda_no_more_loans_are_asked_for(space, tiny_emoji, monkeypatch):
    monkeypatch.setattr(sessions, "unavailable", lambda provider: "" if provider == "cpu" else "no libraries")
    models, generator = served(tiny_emoji)
    for _ in range(2):
        *_, found = generator.stream("a cat face", **ASKED)
        assert found.provider == "cpu" and found.step == 4
    assert len(loans(space)) == 1 and "cuda: no libraries" in models.loans.report()["fault"]
    assert models.loans.report()["calls_on_cpu"] == 2


def test_a_wrong_request_is_told_as_elsewhere(cuda, tiny_emoji):
    _, generator = served(tiny_emoji)
    with pytest.raises(InputError, match="steps: '0'"):
        list(generator.stream("a cat face", steps=0))


def test_a_file_is_translated_part_by_part(cuda, space, quantized_folder, monkeypatch):
    models, translator = served(quantized_folder, "translation")
    *_, (_, total, expected) = Translator.stream(translator._model, TEXTS, **EN_DE)
    assert [(n, t) for n, t, _ in translator.stream(TEXTS, **EN_DE)][-1] == (total, total) and loans(space) == []
    monkeypatch.setattr(zero_gpu, "CHARACTERS", 1)
    monkeypatch.setattr(zero_gpu, "PART", 60)
    found = list(translator.stream(TEXTS, **EN_DE))
    assert loans(space) == [zero_gpu.PART_S] * 2
    assert found[0][0] == 0 and found[0][2][0].text.startswith("…") and found[-1][:2] == (total, total)
    assert [n for n, _, _ in found] == sorted(n for n, _, _ in found) and {t for _, t, _ in found} == {total}
    assert found[-1][2] == expected
    assert models.loans.report()["calls_on_gpu"] == 2

    list(translator.stream([" ".join(TEXTS)], **EN_DE))  # what a visitor types is answered at once
    assert len(loans(space)) == 2
    with pytest.raises(InputError, match="source"):
        list(translator.stream(TEXTS, source="xx"))

    (space / "abort").write_text("1")  # the rest, too, is then the CPU's
    assert list(translator.stream(TEXTS, **EN_DE))[-1][2] == expected and len(loans(space)) == 3


def test_a_host_says_which_tasks_borrow(cuda, space, tiny_emoji, monkeypatch):
    monkeypatch.setenv("BIGMODEL_ZERO_GPU", "translation")
    models, generator = served(tiny_emoji)
    assert type(generator) is ImageGenerator and models.loans.report()["tasks"] == ["translation"]
    monkeypatch.setenv("BIGMODEL_ZERO_GPU", "none")
    assert zero_gpu.Loans().tasks == ()
    monkeypatch.setenv("BIGMODEL_ZERO_GPU", "")
    assert zero_gpu.Loans().tasks == ("text_to_image", "translation")
    with monkeypatch.context() as patch:
        patch.setenv("BIGMODEL_PROVIDERS", "cpu")
        assert zero_gpu.Loans().tasks == ()
    monkeypatch.setenv("BIGMODEL_ZERO_GPU", "text")
    with pytest.raises(ConfigError, match="BIGMODEL_ZERO_GPU: 'text'; give some of text_to_image, translation"):
        zero_gpu.Loans()


def test_parts_of_a_file():
    assert zero_gpu._parts(["a" * zero_gpu.PART] * 2) == [slice(0, 1), slice(1, 2)]
    assert zero_gpu._parts(["a" * 2 * zero_gpu.PART, "b", "c"]) == [slice(0, 1), slice(1, 3)]


def test_the_page_on_a_space(space, serve):
    """Where the process with the GPU has none, the page draws on the CPU and says so."""
    path = os.pathsep.join([str(STAND_IN), os.environ.get("PYTHONPATH", "")])
    address, _ = serve(SPACES_ZERO_GPU="true", SPACES_STAND_IN=str(space), PYTHONPATH=path)
    client = Client(address, verbose=False)
    result = client.predict("a cat face", num_images=2, seed=3, steps=25, api_name="/generate_image")
    report = httpx.get(f"{address}health").json()["zero_gpu"]
    assert result and loans(space) == [zero_gpu.DRAWING_S]
    assert report["calls_on_gpu"] or (
        report["calls_on_cpu"] == 1 and "no provider can be had (cuda: " in report["fault"]
    )
