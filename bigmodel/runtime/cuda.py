"""What CUDA and TensorRT need before a session can use them: their libraries, wherever pip put them, and a cache."""

import ctypes
import hashlib
import io
import os
from contextlib import redirect_stdout
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import onnxruntime as ort

from bigmodel.runtime.onnx_files import external_data

ENGINES = "~/.cache/bigmodel/tensorrt"
CUDNN = "cudnn64_9.dll" if os.name == "nt" else "libcudnn.so.9"
# what ONNX Runtime's TensorRT provider is linked with
TENSORRT = [f"{name}_10.dll" if os.name == "nt" else f"lib{name}.so.10" for name in ("nvinfer", "nvonnxparser")]


@cache
def preload():
    """Load the libraries of CUDA and cuDNN, and return what the loader says of the first that is missing, or "".

    ONNX Runtime itself looks for nvidia's packages beside its own alone; torch may have brought them elsewhere.
    """
    if not hasattr(ort, "preload_dlls"):
        return ""
    said = io.StringIO()
    with redirect_stdout(said):  # it prints, and raises nothing
        for folder in library_folders():
            ort.preload_dlls(directory=str(folder))
        said.truncate(said.seek(0))
        ort.preload_dlls()
    failed = (line.partition(": ") for line in said.getvalue().splitlines())
    return next((reason for what, _, reason in failed if what.startswith("Failed to load")), "")


@cache
def fault():
    """Load CUDA's libraries, and return what the loader says where cuDNN is missing, or "".

    ONNX Runtime opens a graph without cuDNN, and fails when it is run.
    """
    preload()
    return _load(CUDNN)


def library_folders():
    """Return the folders of libraries in nvidia's and torch's packages; cuDNN's last, since it needs the others."""
    found = []
    for package, pattern in (("nvidia", "*/lib"), ("torch", "lib")):
        spec = find_spec(package)
        for place in spec.submodule_search_locations or () if spec else ():
            found += sorted(Path(place).glob(pattern))
    return sorted(found, key=lambda folder: folder.parent.name == "cudnn")


@cache
def tensorrt_fault():
    """Load TensorRT's libraries, and return what the loader says where it cannot, or ""."""
    preload()
    spec = find_spec("tensorrt_libs")
    folders = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    for name in TENSORRT:
        path = next((folder / name for folder in folders if (folder / name).exists()), name)
        if reason := _load(path):
            return reason
    return ""


def _load(path):
    """Load a library, by its path or its name, and return what the loader says where it cannot, or ""."""
    try:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return str(error)
    return ""


def tensorrt_options(path):
    """Return the provider's options for a graph: engines are kept by the sha256 of graph and weights.

    The types are the graph's own: with ``trt_fp16_enable`` its 32-bit logits would become 16-bit ones.
    To build an engine takes minutes; TensorRT itself adds its version and the GPU to the file's name.
    """
    digest = hashlib.sha256()
    weights = {path.parent / location for location, _ in external_data(path) if location}
    for file in (path, *sorted(weights)):
        with open(file, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    folder = Path(ENGINES).expanduser() / digest.hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
    }
