"""ONNX Runtime sessions: which provider, how many threads, and what the session really has.

Environment:
    BIGMODEL_PROVIDERS: providers to try in this order, such as "cuda,cpu"; TensorRT only where it is named.
    BIGMODEL_THREADS: threads of a CPU session.
    BIGMODEL_SPINNING: 1 lets idle threads spin: faster on an idle machine, slower on a busy one.
    BIGMODEL_CUDA_GRAPH: 1 lets CUDA record runs and replay them whole; what that gains was not measured yet.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from bigmodel.errors import ModelFolderError, ProviderError, first_line
from bigmodel.runtime import cuda, lent

# our name -> ONNX Runtime's, in the order of preference
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
MAX_THREADS = 8  # of small models' products more threads only wait for each other
UNASKED = "it builds engines within requests, minutes for new shapes; BIGMODEL_PROVIDERS=tensorrt,cuda,cpu asks for it"

# by itself cuDNN times every kernel of a convolution for each new number of pictures, within a request
_ON_CUDA = {"cudnn_conv_algo_search": "HEURISTIC"}


@dataclass(frozen=True)
class Session:
    """An opened graph.

    Attributes:
        ort: onnxruntime.InferenceSession.
        provider: what it really runs on: "tensorrt", "cuda" or "cpu".
        device: where its buffers lie: "cuda" or "cpu".
        path: the graph.
        threads: of the CPU; 0 elsewhere.
        skipped: a sentence for each provider that was tried before and cannot be had.
        staged: its buffers are not the host's memory: what goes in and out is copied.
        cuda_graph: runs of fixed buffers can be recorded and replayed.
    """

    ort: ort.InferenceSession
    provider: str
    device: str
    path: Path
    threads: int
    skipped: tuple
    staged: bool = False
    cuda_graph: bool = False


def create_session(path, providers=None, threads=None, *, cuda_graph=False):
    """Open one graph; see ``create_sessions``."""
    return create_sessions([path], providers, threads, cuda_graph=cuda_graph)[0]


def create_sessions(paths, providers=None, threads=None, *, cuda_graph=False):
    """Open graphs that work together on the first provider that this machine really offers to all of them.

    Args:
        paths: of each, the .onnx file, or a dict of provider -> file where providers need graphs of their own;
            "tensorrt" falls back on the file of "cuda".
        providers: names of PROVIDERS in order; None takes BIGMODEL_PROVIDERS, or all of them.
        threads: of a CPU session; None takes BIGMODEL_THREADS, or all cores that this process may use but one, 8 at
            most.
        cuda_graph: runs are to be recorded on CUDA where it can, see Session; every run has to name its recording.

    Returns:
        list of Session.

    Raises:
        ProviderError: an unknown name, or none of the providers can be had; says why for each.
        ModelFolderError: a file is missing, or the CPU cannot read it.
    """
    skipped, asked = [], providers or os.environ.get("BIGMODEL_PROVIDERS")
    for provider in provider_order(providers):
        sessions, reason = _try(provider, paths, threads, cuda_graph, tuple(skipped), asked)
        if not reason:
            return sessions
        skipped.append(f"{provider}: {reason}")
    raise ProviderError(f"no provider can be had ({'; '.join(skipped)})")


def _try(provider, paths, threads, cuda_graph, skipped, asked):
    """Return the graphs' Sessions on a provider, and why there are none, or ""."""
    files = [_graph_for(provider, path) for path in paths]
    reason = "there is no graph for it" if None in files else unavailable(provider)
    if provider == "tensorrt" and not reason and not asked:
        reason = UNASKED
    if reason:
        return [], reason
    count, staged, sessions = thread_count(threads) if provider == "cpu" else 0, provider != "cpu", []
    for file in map(Path, files):
        if not file.is_file():
            raise ModelFolderError(f"{file} is missing")
        try:
            session, recorded = _open(file, provider, count, cuda_graph)
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            said = first_line(error)
            if provider == "cpu":
                raise ModelFolderError(f"{file} cannot be read: {said}") from error
            # the graph may be whole: let another provider say; CUDA's own words stand after ONNX Runtime's places
            return [], said[max(said.find("CUDA failure"), 0) :][:300]
        if session.get_providers()[0] != PROVIDERS[provider]:
            return [], cuda.preload() or "ONNX Runtime cannot load its libraries"
        device = "cuda" if staged else "cpu"
        sessions.append(Session(session, provider, device, file, count, skipped, staged, recorded))
    return sessions, ""


def _graph_for(provider, path):
    if not isinstance(path, dict):
        return path
    return path.get(provider) or (path.get("cuda") if provider == "tensorrt" else None)


def provider_order(providers=None):
    """Return the providers to try, in order.

    Raises:
        ProviderError: an unknown name, or none.
    """
    if providers is None:
        providers = os.environ.get("BIGMODEL_PROVIDERS") or ",".join(PROVIDERS)
    if isinstance(providers, str):
        providers = providers.split(",")
    names = [name.strip().lower().removesuffix("executionprovider") for name in providers]
    unknown = [name for name in names if name not in PROVIDERS]
    if unknown or not names:
        raise ProviderError(f"unknown provider {', '.join(unknown)!r}; choose of {', '.join(PROVIDERS)}")
    return names


def unavailable(provider):
    """Return why a provider cannot be had here, or "" where it is worth trying.

    ONNX Runtime lists CUDA where there is no GPU, and falls back to the CPU with a page of warnings: ask first.
    """
    if provider == "cpu":
        return ""
    if PROVIDERS[provider] not in ort.get_available_providers():
        return "this build of ONNX Runtime is without it"
    if lent.on_zero_gpu() and not lent.borrowed:
        return "ZeroGPU lends a GPU for single calls alone"
    if not _has_gpu():
        return "this machine has no NVIDIA GPU"
    return cuda.fault() or (cuda.tensorrt_fault() if provider == "tensorrt" else "")


def _has_gpu():
    return os.name == "nt" or any(map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg")))


def thread_count(threads=None):
    """Return the threads of a CPU session: as asked, BIGMODEL_THREADS, or the cores of this process but one, 8 at most.

    The one is for who asks, such as a page with many visitors; a thread without a core holds up all others.

    Raises:
        ProviderError: not a number from 1 to 256.
    """
    value = threads if threads is not None else os.environ.get("BIGMODEL_THREADS") or _usable_cores()
    if not str(value).isdecimal() or not 1 <= int(value) <= 256:
        raise ProviderError(f"threads: {value!r}; give a whole number from 1 to 256")
    return int(value)


def _usable_cores():
    """Cores of this process: a container may be allowed fewer than it sees."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return max(1, min(cores - 1, MAX_THREADS))


def _open(path, provider, threads, cuda_graph):
    """Return an InferenceSession, and whether its runs can be recorded."""
    options = cpu_options(threads) if provider == "cpu" else ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if provider == "cpu":
        return _session(path, options, []), False
    cuda.preload()
    # cuDNN's attention makes a plan for each length of a text, and does not fall back on another kernel where it fails
    os.environ.setdefault("ORT_ENABLE_CUDNN_FLASH_ATTENTION", "0")
    others = [(PROVIDERS["tensorrt"], cuda.tensorrt_options(path))] if provider == "tensorrt" else []
    if cuda_graph and provider == "cuda" and os.environ.get("BIGMODEL_CUDA_GRAPH") == "1":
        try:
            return _session(path, options, [(PROVIDERS["cuda"], {**_ON_CUDA, "enable_cuda_graph": "1"})]), True
        except Exception:  # not every graph can be recorded; without that it may run
            pass
    return _session(path, options, [*others, (PROVIDERS["cuda"], _ON_CUDA)]), False


def cpu_options(threads):
    """Return the SessionOptions of a number of threads, and choose the CPU's kernels."""
    # on the CPU "flash attention" decodes with scalar loops: up to 1.8 times slower than its matrix products
    os.environ.setdefault("ORT_GQA_DISABLE_FLASH_ATTENTION", "1")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", os.environ.get("BIGMODEL_SPINNING", "0"))
    return options


def _session(path, options, providers):
    # without its fallback, which prints a page and hides the reason
    return ort.InferenceSession(str(path), options, providers=[*providers, PROVIDERS["cpu"]], enable_fallback=0)
