"""Torch's side of a comparison on a provider: the device that matches it, and what has to be told of both."""

import platform
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from bigmodel.errors import ProviderError, first_line

PACKAGES = ("torch", "onnxruntime-gpu", "onnxruntime", "transformers")
_COPIES = 5
_COPIED = {"cuda": 2**30, "cpu": 2**27}  # bytes, far more than any cache holds


def matching_device(provider):
    """Return the torch.device of a provider: the GPU of "cuda" and "tensorrt", or the CPU.

    Raises:
        ProviderError: torch sees no GPU.
    """
    if provider == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ProviderError(f"{provider}: this build of torch sees no GPU, so there is nothing to compare with")
    return torch.device("cuda")


def weights_type(device):
    """Return the type of a peer's weights: that of our graphs for a GPU, float32 on the CPU."""
    return torch.float16 if device.type == "cuda" else torch.float32


def precision(dtype):
    """Return a float type's name as tables have it: "fp32", "fp16", "bf16"."""
    return {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}[dtype]


def compiled_generation():
    """Return the options of transformers' ``generate`` for a static cache and a compiled forward, on any device."""
    from transformers import CompileConfig

    config = CompileConfig()
    config._compile_all_devices = True  # by itself it leaves the CPU out
    return {"cache_implementation": "static", "compile_config": config}


def compiled(module, device):
    """Return a module under torch.compile: kernels for each shape, and on a GPU recorded runs."""
    return torch.compile(module, dynamic=False, mode="reduce-overhead" if device.type == "cuda" else None)


def reason(error):
    """Return the first line of what an exception says."""
    return first_line(error)[:200]


def wait_for(device):
    """Return when a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device):
    """Return the bytes a second that a device's memory reads and writes, by the fastest copy of a large buffer."""
    source = torch.ones(_COPIED[device.type] // 4, device=device)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(_COPIES):
        wait_for(device)
        started = time.perf_counter()
        target.copy_(source)
        wait_for(device)
        best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best


def surroundings(device):
    """Return the device's name, its driver's version (None for the CPU), and those of the packages."""
    found = {name: _version(name) for name in PACKAGES}
    versions = {name: number for name, number in found.items() if number}
    if device.type == "cpu":
        return {"device": _processor(), "driver": None, "versions": versions}
    versions["cuda"] = torch.version.cuda
    return {"device": torch.cuda.get_device_name(device), "driver": _driver(), "versions": versions}


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor():
    """Return the processor's name."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _driver():
    """Return the version of NVIDIA's driver, or None where it does not say."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.split("\n")[0].strip() or None
