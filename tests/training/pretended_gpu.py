"""A second device in name: its tensors' values lie on the CPU, but no CPU tensor may meet them there.

What fails on a GPU for a tensor in the wrong place (an operation on both devices, ``.numpy()``) fails on it, too. It
goes by the name of "meta", the one device that every build of torch knows and whose kernels are never asked.
"""

import contextlib
import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_map_only

from bigmodel.training import loop

GPU, CPU = torch.device("meta"), torch.device("cpu")
aten = torch.ops.aten
COPIES = (aten.copy_.default, aten._to_copy.default)
INDEXING = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)


class GPUTensor(torch.Tensor):
    """A tensor whose values are those of ``inner``."""

    @staticmethod
    def __new__(cls, inner):
        place = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "device": GPU}
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, **place)

    def __init__(self, inner):
        self.inner = inner

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self):
        return f"GPUTensor({self.inner})"

    def __reduce_ex__(self, protocol):
        return self.inner.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Makes what is asked for on that device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


def dispatch(func, args, kwargs):
    """Run an operation on the inner values; refuse one that sees both devices."""
    met = []
    tree_map_only(torch.Tensor, met.append, (args, kwargs))
    there = any(isinstance(x, GPUTensor) for x in met)
    devices = []
    tree_map_only(torch.device, devices.append, (args, kwargs))  # as an argument or, within inference_mode, among them
    wanted = devices[0] if devices else None
    if there and wanted is None and func not in COPIES:
        strangers = [x for x in met if not isinstance(x, GPUTensor) and x.dim()]
        if func in INDEXING:  # indices may be on the CPU
            strangers = [x for x in strangers if x.is_floating_point()]
        if strangers:
            raise RuntimeError(f"{func}: tensors on the GPU and on the CPU")
    inner = tree_map_only(GPUTensor, lambda x: x.inner, (args, kwargs))
    inner_args, inner_kwargs = tree_map_only(torch.device, lambda _: CPU, inner)
    result = func(*inner_args, **inner_kwargs)
    if func is aten.copy_.default:
        return args[0]
    stays = there if wanted is None else wanted == GPU
    if not stays or func is aten._local_scalar_dense.default:
        return result
    result = tree_map_only(torch.Tensor, GPUTensor, result)
    if not there:
        return result
    return return_and_correct_aliasing(func, args, kwargs, result)


@contextlib.contextmanager
def pretended_gpu(monkeypatch):
    """Let trainings take that device."""
    monkeypatch.setattr(loop, "find_device", lambda: GPU)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # whose tensors no wrapper can hold
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    optimizer = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["cpu", "meta"])
    with _Factories():
        yield
