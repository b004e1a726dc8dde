"""Where visitors' files lie: in a folder of this process alone, so that what a killed server leaves can be swept."""

import atexit
import functools
import os
import secrets
import shutil
from pathlib import Path

from gradio.utils import get_upload_folder

from bigmodel.errors import ServerError

try:
    import fcntl
except ImportError:  # Windows: nothing is swept there
    fcntl = None
LOCK = ".in-use"


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
            claim.lock = (folder / LOCK).open("w")  # kept open
            fcntl.flock(claim.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # a read-only or full disk
        told = f"{root}: no file can be written there ({error.strerror}); name another folder in GRADIO_TEMP_DIR"
        raise ServerError(told) from error
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def sweep(root):
    """Delete the folders under ``root`` whose server has ended."""
    for lock in root.glob(f"server-*/{LOCK}"):
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # in use
                continue
            shutil.rmtree(lock.parent, ignore_errors=True)
