"""The libraries of a GPU: found in any folder of packages, and the loader's own words where they are not."""

import sys

import onnxruntime as ort
import pytest

from bigmodel.runtime import cuda, session


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder of packages before all others; what was found before is forgotten."""
    for name in ("nvidia", "tensorrt_libs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for found in (cuda.preload, cuda.fault, cuda.tensorrt_fault):
        found.cache_clear()
    yield tmp_path
    for found in (cuda.preload, cuda.fault, cuda.tensorrt_fault):
        found.cache_clear()


def test_libraries_are_sought_in_every_folder_of_packages(packages, monkeypatch):
    for part in ("cudnn", "cu13"):
        (packages / "nvidia" / part / "lib").mkdir(parents=True)
    asked = []

    def preload_dlls(directory=None):
        asked.append(directory)
        print("Failed to load libcublas.so.13: libcublas.so.13: cannot open it" if directory is None else "Failed to …")

    monkeypatch.setattr(ort, "preload_dlls", preload_dlls, raising=False)
    assert cuda.preload() == "libcublas.so.13: cannot open it" == cuda.preload()
    nvidia = [str(packages / "nvidia" / part / "lib") for part in ("cu13", "cudnn")]
    assert [folder for folder in asked if folder in nvidia] == nvidia  # cuDNN needs the others
    assert asked[-1] is None and asked.count(None) == 1


def test_what_is_missing_is_said_in_the_loaders_words(packages, capfd):
    fault = cuda.preload()
    if not hasattr(ort, "preload_dlls") or not fault:
        pytest.skip("CUDA's libraries are here, or not asked for")
    assert "cannot open shared object file" in fault and ".so" in fault
    assert capfd.readouterr().out == ""


def test_without_cudnn_there_is_no_cuda(packages, monkeypatch):
    monkeypatch.setattr(cuda, "CUDNN", "libcudnn_of_no_machine.so.9")
    assert "libcudnn_of_no_machine.so.9: cannot open shared object file" in cuda.fault()
    monkeypatch.setattr(session, "_has_gpu", lambda: True)
    monkeypatch.setattr(ort, "get_available_providers", lambda: list(session.PROVIDERS.values()))
    for provider in ("cuda", "tensorrt"):
        assert "libcudnn_of_no_machine.so.9" in session.unavailable(provider)


def test_a_tensorrt_that_cannot_be_loaded_is_none(packages):
    (packages / "tensorrt_libs").mkdir()
    (packages / "tensorrt_libs/__init__.py").touch()
    library = packages / "tensorrt_libs" / cuda.TENSORRT[0]
    library.write_bytes(b"no library")
    fault = cuda.tensorrt_fault()
    assert str(library) in fault and ("too short" in fault or "ELF" in fault)


def test_engines_are_kept_by_what_the_graph_is_made_of(tiny_stories, tmp_path, monkeypatch):
    monkeypatch.setattr(cuda, "ENGINES", tmp_path / "engines")
    for name in ("model_fp16.onnx", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_stories / name).read_bytes())
    options = cuda.tensorrt_options(tiny_stories / "model_fp16.onnx")
    assert options["trt_engine_cache_enable"] == "True" and "trt_fp16_enable" not in options
    assert options == cuda.tensorrt_options(tmp_path / "model_fp16.onnx")
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    other = cuda.tensorrt_options(tmp_path / "model_fp16.onnx")["trt_engine_cache_path"]
    assert other != options["trt_engine_cache_path"]
    assert {path.name for path in (tmp_path / "engines").iterdir()} == {
        path.rpartition("/")[2] for path in (other, options["trt_engine_cache_path"])
    }
