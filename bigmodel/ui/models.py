"""The models that a page serves: found at once, fetched and opened in the background, and why some cannot be."""

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from bigmodel.config import read_config
from bigmodel.errors import BigModelError, InputError, ModelFolderError, first_line
from bigmodel.runtime.artifacts import fetch, is_hub_id
from bigmodel.ui import logs, zero_gpu
from bigmodel.ui.texts import titled

CLOSE_S = 10  # for the model that is being opened when the page closes


@dataclass
class Entry:
    """One model folder.

    Attributes:
        name: what the picker and the endpoints call it; of a Hub model the repository's name.
        path: the folder; of a Hub model its id as a string, until it is fetched.
        card: the "bigmodel" part of its config.json: task, format, title, languages, description; {} until it is read.
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
    def title(self):
        """What visitors call it."""
        return self.card.get("title", self.name)

    @property
    def state(self):
        """One of "ready", "loading", "broken"."""
        return "broken" if self.fault else "ready" if self.model else "loading"

    @property
    def skipped(self):
        """Why the providers before the model's own are not used: a list of "cuda: this machine has no NVIDIA GPU"."""
        return [_public(reason, self.path) for reason in getattr(self.model, "skipped", ())]


class Models:
    """Every model folder under some roots, and models of the Hub.

    Args:
        roots: paths, each a model folder or a folder of model folders; or ids of the Hub, "user/name@commit".
        loaders: task id -> function that opens a folder of that task.

    Attributes:
        watch: function of a function and its name, that returns it with its calls logged and counted.
    """

    def __init__(self, roots, loaders):
        self.loaders, self.loans, self.watch = loaders, zero_gpu.Loans(), lambda function, name: function
        self.entries, self._opener, self._closing = {}, None, False
        for found in _found(roots):
            entry = self._named(found) if isinstance(found, str) else self._describe(found)
            self.entries[entry.name] = entry

    def _named(self, hub_id):
        """Return the entry of a Hub model, which nothing is known of yet but its name."""
        name = hub_id.partition("@")[0].partition("/")[2]
        fault = f"{hub_id}: another model is named {name} already" if name in self.entries else ""
        return Entry(hub_id if fault else name, hub_id, fault=fault)

    def _describe(self, folder):
        try:
            card = read_config(folder).get("bigmodel", {})
            name = card.get("name", folder.name)
            if name in self.entries:
                return Entry(str(folder), folder, fault=f"{folder.name}: another folder is named {name} already")
            if card.get("task") not in self.loaders:
                return Entry(name, folder, fault=f"{folder.name}/config.json: bigmodel.task is {card.get('task')!r}")
            return Entry(name, folder, card)
        except BigModelError as error:
            name = str(folder) if folder.name in self.entries else folder.name
            return Entry(name, folder, fault=_public(error, folder))

    def open_all(self):
        """Open every model in a background thread, and return the thread."""
        self._opener = threading.Thread(target=self.wait, name="open-models", daemon=True)
        self._opener.start()
        return self._opener

    def wait(self):
        """Open every model that is not open yet; faults are kept, not raised."""
        for entry in list(self.entries.values()):
            if self._closing:
                return
            self._open(entry)

    def close(self):
        """Open no further model, and wait a while for the one in hand: a process that ends within it aborts."""
        self._closing = True
        if self._opener:
            self._opener.join(CLOSE_S)

    def _open(self, entry):
        with entry.lock:
            if entry.model is None and not entry.fault:
                try:
                    if isinstance(entry.path, str):
                        self._fetch(entry)
                    task = entry.card["task"]
                    entry.model = self.loans.arrange(self.loaders[task](entry.path), task)
                except BigModelError as error:
                    entry.fault = _public(error, entry.path)
                except Exception as error:  # a fault of one model must not take the page down
                    entry.fault = _public(f"{entry.path}: {type(error).__name__}: {error}", entry.path)
                if entry.fault:
                    logs.log("model_refused", level=logging.ERROR, model=entry.name, fault=entry.fault)
                else:
                    found = {"provider": getattr(entry.model, "provider", None), "skipped": entry.skipped}
                    logs.log("model_opened", model=entry.name, **found)
        return entry.model

    def _fetch(self, entry):
        folder = fetch(entry.path)
        card = read_config(folder).get("bigmodel", {})
        if card.get("task") not in self.loaders:
            raise ModelFolderError(f"{entry.path}: bigmodel.task of its config.json is {card.get('task')!r}")
        entry.path, entry.card = folder, card

    def of_task(self, task, *, wait=False):
        """Return the entries of a task that are not known to be broken.

        ``wait``: where there is none, for the models that are still being fetched.
        """
        found = [entry for entry in self.entries.values() if entry.card.get("task") == task and not entry.fault]
        if not found and wait and any(isinstance(entry.path, str) for entry in self.entries.values()):
            self.wait()
            return self.of_task(task)
        return found

    def names(self, task, *, wait=False):
        """Return the names of ``of_task``."""
        return [entry.name for entry in self.of_task(task, wait=wait)]

    def titled(self, names):
        """Return (title, name) of each of some models, as a picker takes them."""
        return [(titled(self.entries[name].title), name) for name in names]

    def faults(self):
        """Return what is wrong, one line for each model that is not served."""
        return [entry.fault for entry in self.entries.values() if entry.fault]

    def get(self, name, task):
        """Return the opened model of that name, opening it now if need be.

        Raises:
            InputError: there is no such model, or it cannot be opened.
        """
        entry = self.entries.get(name)
        if entry is not None and not entry.card:  # its task is known when it has been fetched
            self._open(entry)
        if entry is None or (not entry.fault and entry.card.get("task") != task):
            known = ", ".join(e.name for e in self.of_task(task)) or "none is here"
            raise InputError("model", f"{str(name)[:60]!r} is unknown; choose one of {known}")
        model = self._open(entry)
        if model is None:
            raise InputError("model", f"{name} is not served: {entry.fault}")
        return model


def _public(error, folder):
    """Return the first line of an error without the host's own path before the folder's name."""
    line = first_line(error)
    return line.replace(f"{folder.parent}/", "") if isinstance(folder, Path) else line


def _found(roots):
    """Yield each model's folder as a Path, or its Hub id as a string."""
    for name in roots:
        if is_hub_id(name):
            yield str(name)
            continue
        root = Path(name)
        children = [child for child in root.glob("*/") if not child.name.startswith(".")]
        if (root / "config.json").exists() or not children:
            yield root
        else:
            yield from sorted(children)
