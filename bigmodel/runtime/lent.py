"""Whether this process may use the machine's GPU: a ZeroGPU Space lends one to a process of its own, for single calls.

Environment:
    SPACES_ZERO_GPU: set by ZeroGPU, there alone.
"""

import os
from contextlib import contextmanager

borrowed = False  # sessions on a GPU may be opened, on ZeroGPU too


def on_zero_gpu():
    """Whether this is a ZeroGPU Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


@contextmanager
def borrowed_gpu():
    """Let sessions on a GPU be opened; for a process to which ZeroGPU has lent one."""
    global borrowed
    borrowed = True
    try:
        yield
    finally:
        borrowed = False
