"""Where visitors' files lie: in a folder of this process alone, so that what a killed server leaves can be swept."""

import atexit
import functools
import math
import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from tempfile import NamedTemporaryFile

from gradio import mcp, processing_utils, route_utils
from gradio.utils import get_upload_folder

from bigmodel.errors import InputError, ServerError
from bigmodel.limits import LIMITS
from bigmodel.ui.widgets import told

try:
    import fcntl
except ImportError:  # Windows: nothing is swept there
    fcntl = None
LOCK = ".in-use"
BLOCK = 4096  # bytes that a disk takes for the smallest file or folder
SWEEP_S = 60
KEPT_S = 3 * 3600  # longer than Gradio keeps a file
_unfinished = ContextVar("unfinished")  # files that the request has begun


@functools.cache
def claim():
    """Make the folder, let Gradio use it, delete those of servers that are no more, and return it.

    A server's lock on its folder ends with its process, however that ends.

    Raises:
        ServerError: no file can be written there.
    """
    root = Path(get_upload_folder())
    folder = root / f"server-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True)
        if fcntl:
            sweep(root)
            claim.lock = (folder / f"{LOCK}.new").open("w")  # kept open
            fcntl.flock(claim.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / f"{LOCK}.new").rename(folder / LOCK)  # a sweep of another server finds it locked
    except OSError as error:  # a read-only or full disk
        said = f"{root}: no file can be written there ({error.strerror}); name another folder in GRADIO_TEMP_DIR"
        raise ServerError(said) from error
    os.environ["GRADIO_TEMP_DIR"] = mcp.DEFAULT_TEMP_DIR = str(folder)
    route_utils.NamedTemporaryFile = _begin  # by which Gradio makes a file of each upload
    processing_utils.async_ssrf_protected_download = _fetch  # of any size, before any of our limits
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def sweep(root):
    """Delete the folders under ``root`` whose server has ended."""
    for lock in root.glob(f"server-*/{LOCK}"):
        try:
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # in use, or another server has swept it
            continue


def _begin(*arguments, **options):
    file = NamedTemporaryFile(*arguments, **options)  # noqa: SIM115, Gradio closes it
    _unfinished.get([]).append(file)
    return file


async def _fetch(url, cache_dir):
    raise told(InputError("file", "a file at another address is not fetched; upload it"))


@contextmanager
def finishing():
    """Delete the files that an upload has begun, except those that come whole in the meantime: these get other names.

    Gradio forgets those of a visitor who leaves, and of a disk that is full.
    """
    token = _unfinished.set(files := [])
    try:
        yield
    finally:
        _unfinished.reset(token)
        for file in files:
            with suppress(OSError):  # of a full disk, once more
                file.close()
            Path(file.name).unlink(missing_ok=True)


class Store:
    """A server's folder of files: how full it is, and the end of what nobody asks for any more.

    Gradio deletes a file that it has registered after an hour or two; it forgets one that came beside a refused one,
    and every folder.

    Args:
        folder: Path, see ``claim``.
        limits: limits.Limits.

    Attributes:
        bytes: of all files and folders, as last counted, and what has come since.
        files: how many, as last counted.
    """

    def __init__(self, folder, limits=LIMITS):
        self.folder, self.limits, self.bytes, self.files = folder, limits, 0, 0
        self._last, self._changed = -math.inf, True

    def is_full(self, length):
        """Whether a file of so many bytes has no room."""
        return self.bytes + length > self.limits.upload_folder_bytes

    def add(self, length):
        """Count bytes that have come."""
        self.bytes += length
        self._changed |= length > 0

    def tend(self, lasting=(), noted=()):
        """Delete what is left over, and count the rest, where something has come or a minute has passed.

        Args:
            lasting: paths of files that belong to the page.
            noted: sets of paths in which Gradio notes its files; it does not forget those that are gone.
        """
        if not self._changed and time.monotonic() - self._last < SWEEP_S:
            return
        self._changed, self._last = False, time.monotonic()
        now, total, files = time.time(), 0, 0
        for parent, folders, names in os.walk(self.folder, topdown=False):
            for path in (os.path.join(parent, name) for name in names if name != LOCK):
                with suppress(FileNotFoundError):  # it has got another name
                    entry = os.stat(path)
                    if entry.st_ctime < now - KEPT_S and path not in lasting:
                        os.unlink(path)
                    else:
                        total, files = total + max(entry.st_size, BLOCK), files + 1
            total += BLOCK
            with suppress(OSError):
                if not names and not folders and os.stat(parent).st_mtime < now - SWEEP_S:
                    os.rmdir(parent)
        self.bytes, self.files = total, files
        for paths in noted:
            paths.difference_update([path for path in list(paths) if not os.path.exists(path)])
