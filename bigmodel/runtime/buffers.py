"""Memory that graphs read and write at addresses that stay, on the host or on a device."""

import numpy as np
import onnxruntime as ort


class Buffer:
    """An array for a graph. On the host the graph has the array itself, elsewhere a copy on its device.

    Args:
        session: session.Session of the graph.
        shape, dtype: of the array, which begins with zeros: NaN in unused memory would spread.
        mirrored: the host has its own array on a device, too.

    Attributes:
        array: the host's; None where it is not mirrored.
    """

    def __init__(self, session, shape, dtype, *, mirrored=True):
        self.shape, self.dtype, self.device, self._value = tuple(shape), np.dtype(dtype), session.device, None
        self._row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        self.array = np.zeros(self.shape, self.dtype)  # untouched pages of it cost no memory
        if session.staged:
            self._value = ort.OrtValue.ortvalue_from_shape_and_type(self.shape, self.dtype, self.device, 0)
            self.push()
            self.address = self._value.data_ptr()
            self.array = self.array if mirrored else None
        else:
            self.address = self.array.ctypes.data

    def bind(self, bind, name, first=0, count=None):
        """Bind rows of it; ``bind`` is bind_input or bind_output of an IOBinding."""
        shape = self.shape if count is None else (count, *self.shape[1:])
        bind(name, self.device, 0, self.dtype, shape, self.address + first * self._row)

    def push(self):
        """Give the graph what the host has written into the array."""
        if self._value is not None:
            self._value.update_inplace(self.array)

    def pull(self):
        """Return what the graph has written; on the host this is the array itself."""
        return self.array if self._value is None else self._value.numpy()
