"""The models that a page serves: found at once, opened in the background, and why some cannot be."""

import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from bigmodel.config import read_json
from bigmodel.errors import BigModelError, InputError


@dataclass
class Entry:
    """One model folder.

    Attributes:
        name: what the picker and the endpoints call it.
        path: the folder.
        card: the "bigmodel" part of its config.json: task, format, title, languages, description.
        model: the opened runtime object, or None until it is.
        fault: why it cannot be served, or "".
    """

    name: str
    path: Path
    card: dict = field(default_factory=dict)
    model: object = None
    fault: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def state(self):
        """One of "ready", "loading", "broken"."""
        return "broken" if self.fault else "ready" if self.model else "loading"


class Models:
    """Every model folder under some roots.

    Args:
        roots: paths, each a model folder or a folder of model folders.
        loaders: task id -> function that opens a folder of that task.
    """

    def __init__(self, roots, loaders):
        self.loaders = loaders
        self.entries = {}
        for folder in _folders(roots):
            entry = self._describe(folder)
            self.entries[entry.name] = entry

    def _describe(self, folder):
        try:
            card = read_json(folder / "config.json").get("bigmodel") or {}
            name = card.get("name", folder.name)
            if name in self.entries:
                return Entry(str(folder), folder, fault=f"{folder.name}: another folder is named {name} already")
            if card.get("task") not in self.loaders:
                return Entry(name, folder, fault=f"{folder.name}/config.json: bigmodel.task is {card.get('task')!r}")
            return Entry(name, folder, card)
        except BigModelError as error:
            return Entry(folder.name, folder, fault=_public(error, folder))

    def open_all(self):
        """Open every model in a background thread, and return the thread."""
        thread = threading.Thread(target=self.wait, name="open-models", daemon=True)
        thread.start()
        return thread

    def wait(self):
        """Open every model that is not open yet; faults are kept, not raised."""
        for entry in list(self.entries.values()):
            self._open(entry)

    def _open(self, entry):
        with entry.lock:
            if entry.model is None and not entry.fault:
                try:
                    entry.model = self.loaders[entry.card["task"]](entry.path)
                except BigModelError as error:
                    entry.fault = _public(error, entry.path)
                except Exception as error:  # a fault of one model must not take the page down
                    entry.fault = _public(f"{entry.path}: {type(error).__name__}: {error}", entry.path)
                if entry.fault:
                    print(f"not served: {entry.fault}", file=sys.stderr)
        return entry.model

    def of_task(self, task):
        """Return the entries of a task that are not known to be broken."""
        return [entry for entry in self.entries.values() if entry.card.get("task") == task and not entry.fault]

    def faults(self):
        """Return what is wrong, one line for each model that is not served."""
        return [entry.fault for entry in self.entries.values() if entry.fault]

    def get(self, name, task):
        """Return the opened model of that name, opening it now if need be.

        Raises:
            InputError: there is no such model, or it cannot be opened.
        """
        entry = self.entries.get(name)
        if entry is None or (not entry.fault and entry.card.get("task") != task):
            known = ", ".join(e.name for e in self.of_task(task)) or "none is here"
            raise InputError("model", f"{str(name)[:60]!r} is unknown; choose one of {known}")
        model = self._open(entry)
        if model is None:
            raise InputError("model", f"{name} is not served: {entry.fault}")
        return model


def _public(error, folder):
    """Return the first line of an error without the host's own path before the folder's name."""
    return str(error).splitlines()[0].replace(f"{folder.parent}/", "")


def _folders(roots):
    for root in map(Path, roots):
        children = [child for child in root.glob("*/") if not child.name.startswith(".")]
        if (root / "config.json").exists() or not children:
            yield root
        else:
            yield from sorted(children)
