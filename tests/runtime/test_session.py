"""Providers and threads: what is asked for, what is there, and what is said."""

from pathlib import Path

import onnxruntime as ort
import pytest

from bigmodel.errors import ModelFolderError, ProviderError
from bigmodel.runtime import session as sessions
from bigmodel.runtime.artifacts import ModelFolder
from bigmodel.runtime.session import create_session, provider_order, thread_count

GRAPH = "onnx/model_quantized.onnx"


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine without a GPU."""
    monkeypatch.setattr(
        sessions, "unavailable", lambda provider: "" if provider == "cpu" else "this machine has no NVIDIA GPU"
    )


def test_falls_back_and_says_why(tiny_stories, no_gpu):
    session = create_session(tiny_stories / GRAPH, threads=1)
    assert (session.provider, session.device, session.threads) == ("cpu", "cpu", 1)
    assert session.skipped == (
        "tensorrt: this machine has no NVIDIA GPU",
        "cuda: this machine has no NVIDIA GPU",
    )
    assert session.ort.get_providers() == ["CPUExecutionProvider"]


def test_a_provider_asked_for_alone_must_be_there(tiny_stories, no_gpu):
    with pytest.raises(ProviderError, match="cuda: this machine has no NVIDIA GPU"):
        create_session(tiny_stories / GRAPH, providers="cuda")


def test_a_provider_without_a_graph_is_skipped(tiny_stories):
    session = create_session({"cpu": tiny_stories / GRAPH}, providers=["cuda", "cpu"])
    assert session.skipped == ("cuda: there is no graph for it",)


def test_a_silent_fallback_is_noticed(tiny_stories, monkeypatch):
    monkeypatch.setattr(sessions, "unavailable", lambda provider: "")
    real = ort.InferenceSession
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(
        ort, "InferenceSession", lambda path, options, providers, **_: real(path, options, ["CPUExecutionProvider"])
    )
    monkeypatch.setattr(sessions.cuda, "preload", lambda: "")
    session = create_session(tiny_stories / GRAPH, providers="cuda,cpu", threads=1)
    assert session.provider == "cpu" and "libraries" in session.skipped[0]
    monkeypatch.setattr(sessions.cuda, "preload", lambda: "libcudnn.so.9: cannot open shared object file")
    session = create_session(tiny_stories / GRAPH, providers="cuda,cpu", threads=1)
    assert session.skipped == ("cuda: libcudnn.so.9: cannot open shared object file",)


def test_a_provider_that_fails_leaves_the_next_one_its_turn(tiny_stories, monkeypatch):
    monkeypatch.setattr(sessions, "unavailable", lambda provider: "")
    real = ort.InferenceSession

    def open_session(path, options, providers, **others):
        if providers != ["CPUExecutionProvider"]:
            raise RuntimeError("/src/cuda_call.cc:154 void " + "T, " * 200 + "CUDA failure 2: out of memory\nand more")
        return real(path, options, providers, **others)

    monkeypatch.setattr(ort, "InferenceSession", open_session)
    session = create_session(tiny_stories / GRAPH, providers="cuda,cpu", threads=1, cuda_graph=True)
    assert (session.provider, session.cuda_graph, session.staged) == ("cpu", False, False)
    assert session.skipped == ("cuda: CUDA failure 2: out of memory",)
    with pytest.raises(ProviderError, match="cuda: CUDA failure 2: out of memory"):
        create_session(tiny_stories / GRAPH, providers="cuda")


def test_graphs_that_work_together_have_one_provider(exact_folder, monkeypatch):
    graphs = [ModelFolder.open(exact_folder).graphs(f"{stack}_model") for stack in ("encoder", "decoder")]
    monkeypatch.setattr(sessions, "unavailable", lambda provider: "")
    real, opened = ort.InferenceSession, []

    def open_session(path, options, providers, **others):  # CUDA takes the encoder alone
        providers = [provider if isinstance(provider, str) else provider[0] for provider in providers]
        opened.append((Path(path).name, providers[0]))
        if "decoder" in path and len(providers) > 1:
            raise RuntimeError("no kernel")
        session = real(path, options, ["CPUExecutionProvider"], **others)
        monkeypatch.setattr(session, "get_providers", lambda: providers)
        return session

    monkeypatch.setattr(ort, "InferenceSession", open_session)
    found = sessions.create_sessions(graphs, providers="cuda,cpu", threads=1)
    assert [session.provider for session in found] == ["cpu", "cpu"]
    assert {session.skipped for session in found} == {("cuda: no kernel",)}
    assert opened[0] == ("encoder_model_fp16.onnx", "CUDAExecutionProvider")


def test_provider_order(monkeypatch):
    assert provider_order() == ["tensorrt", "cuda", "cpu"]
    assert provider_order(["CUDAExecutionProvider", "CPU"]) == ["cuda", "cpu"]
    monkeypatch.setenv("BIGMODEL_PROVIDERS", "cpu")
    assert provider_order() == ["cpu"]
    for wrong in ("npu", "", []):
        with pytest.raises(ProviderError):
            provider_order(wrong)


def test_tensorrt_has_to_be_asked_for(tiny_stories, monkeypatch):
    monkeypatch.setattr(sessions, "unavailable", lambda provider: "no GPU" if provider == "cuda" else "")
    monkeypatch.setattr(sessions.cuda, "tensorrt_options", lambda path: {})
    monkeypatch.setattr(sessions.cuda, "preload", lambda: "no library")
    paths = {"cpu": tiny_stories / GRAPH, "cuda": tiny_stories / GRAPH}
    assert create_session(paths, threads=1).skipped == (f"tensorrt: {sessions.UNASKED}", "cuda: no GPU")
    monkeypatch.setenv("BIGMODEL_PROVIDERS", "tensorrt,cuda,cpu")
    assert create_session(paths, threads=1).skipped[0].split(": ")[1] not in sessions.UNASKED


def test_thread_count(monkeypatch):
    assert thread_count(3) == 3
    monkeypatch.setenv("BIGMODEL_THREADS", "2")
    assert thread_count() == 2
    monkeypatch.delenv("BIGMODEL_THREADS")
    assert 1 <= thread_count() <= sessions.MAX_THREADS
    for wrong in (0, -1, "many", 1000):
        with pytest.raises(ProviderError, match="threads"):
            thread_count(wrong)


def test_unreadable_graphs_are_named(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    for name in ("broken.onnx", "absent.onnx"):
        with pytest.raises(ModelFolderError, match=name):
            create_session(tmp_path / name, providers="cpu")
