"""A training run's checkpoint: written whole or not at all."""

import contextlib
import os
from pathlib import Path

import torch

from bigmodel.errors import TrainingError


@contextlib.contextmanager
def replacing(path):
    """Give a path to write to, which takes the name ``path`` at the end; after an error nothing has changed.

    Several processes of a run may write the same file at once: the last one's stays, whole.
    """
    path = Path(path)
    part = path.with_name(f".{os.environ.get('RANK', 0)}.{path.name}")  # numpy and matplotlib look at the ending
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def save_state(path, state):
    """Write a dict of tensors and numbers; a crash or a full disk leaves the file that was there before.

    Raises:
        TrainingError: the disk refused it.
    """
    try:
        with replacing(path) as part, open(part, "wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:  # torch reports a short write as RuntimeError
        raise TrainingError(f"{path} could not be written, the file before it is kept: {error}") from error


def load_state(path):
    """Read what save_state wrote, or None where there is nothing; no code in the file is run.

    Raises:
        TrainingError: the file is no checkpoint.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"{path} is not a checkpoint: {error}") from error
