"""A stand-in for ZeroGPU's package ``spaces``, which does as its documentation and its version 0.51 do, without a GPU.

A decorated function runs in a process that is forked at its first call and kept for the next ones. Arguments and pieces
are pickled. A visitor who leaves closes the generator, which ends the work after the piece. A loan is refused by
gr.Error; an exception and a loan that is overrun cost the process.

Environment:
    SPACES_ZERO_GPU: as on a ZeroGPU Space; elsewhere the decorator has no effect.
    SPACES_STAND_IN: a folder. Its file "refuse" holds why loans are refused; "abort" after how many pieces a loan is
        overrun; "loans" gets the seconds that each loan is asked for.
    SPACES_STAND_IN_INSIDE: set in a process that has a GPU.
"""

import functools
import inspect
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

if "gradio" in sys.modules and not hasattr(sys.modules["gradio"], "Blocks"):
    raise ImportError("gradio asks for spaces while it is being imported; it is to do without")

import gradio as gr

_fork = multiprocessing.get_context("fork")
_idle = []


def GPU(task=None, *, duration=60, size=None):
    if task is None:
        return functools.partial(GPU, duration=duration, size=size)
    if os.environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return task
    if not inspect.isgeneratorfunction(task):
        raise NotImplementedError("this stand-in lends to generators alone")

    @functools.wraps(task)
    def lent(*arguments, **options):
        seconds = duration(*arguments, **options) if callable(duration) else duration
        with (_folder() / "loans").open("a") as file:
            file.write(f"{seconds}\n")
        if refusal := _told("refuse"):
            raise gr.Error(refusal, title="ZeroGPU quota exceeded", print_exception=False)
        worker = _idle.pop() if _idle else _Worker(task)
        worker.calls.send((arguments, options))
        try:
            while (answer := worker.answer()) != ("end", None):
                kind, value = answer
                if kind == "error":
                    worker.end()
                    raise gr.Error(value, title="ZeroGPU worker error")
                yield value
        except GeneratorExit:
            worker.stop.set()
            while worker.answer()[0] == "piece":
                pass
            raise
        finally:
            if worker.process.is_alive():
                _idle.append(worker)

    return lent


def end_workers():
    """End the processes that wait for their next call."""
    while _idle:
        _idle.pop().end()


class _Worker:
    def __init__(self, task):
        self.calls, calls = _fork.Pipe()
        self.stop = _fork.Event()
        self.process = _fork.Process(target=_work, args=(task, calls, self.stop), daemon=True)
        self.process.start()

    def answer(self):
        """Return ("piece", value), ("end", None), or ("error", why)."""
        with suppress(EOFError):
            if self.calls in wait([self.calls, self.process.sentinel]):
                return self.calls.recv()
        return "error", "GPU task aborted"

    def end(self):
        self.process.kill()
        self.process.join()


def _work(task, calls, stop):
    os.environ["SPACES_STAND_IN_INSIDE"] = "1"
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the server's own waits for its visitors
    while True:
        arguments, options = calls.recv()
        stop.clear()
        sent, overrun = 0, int(_told("abort") or 0)
        pieces = task(*arguments, **options)
        try:
            for piece in pieces:
                if stop.is_set():
                    pieces.close()
                    break
                calls.send(("piece", piece))
                sent += 1
                if sent == overrun:
                    os._exit(1)
        except Exception as error:
            calls.send(("error", type(error).__name__))
        else:
            calls.send(("end", None))


def _folder():
    return Path(os.environ["SPACES_STAND_IN"])


def _told(name):
    file = _folder() / name
    return file.read_text() if file.exists() else ""
