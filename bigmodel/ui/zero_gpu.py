"""Calls that a ZeroGPU Space makes on a GPU: it lends one for the time of a call, to a process forked of the server.

The server itself opens every model on the CPU, for all that is quickly answered and for calls for which no GPU can be
had: the visitor's minutes are used up, every GPU is busy, or CUDA's libraries are missing. The forked process opens a
model's folder again, on CUDA, and keeps it open for the next call. ZeroGPU's own package, ``spaces``, is imported there
alone; it imports torch.

A loan takes about a second, and three or four where its process is new; a visitor has some minutes of them a day. The
small models of this page write a text, translate a page and look at a picture in less, on the CPU; four drawings of ten
steps take it five to ten seconds. What gains by a loan are drawings, and files.

Environment:
    BIGMODEL_ZERO_GPU: tasks that borrow a GPU, of text_to_image and translation, which both do by default; or "none".
"""

import logging
import os
from contextlib import closing

from bigmodel.errors import ConfigError, ProviderError
from bigmodel.runtime import lent
from bigmodel.ui import logs

STEPS = 10  # of pictures, from which a loan gains; however many they are, since a GPU's look a little different
DRAWING_S = 15  # of a loan: opening the model takes most of it
CHARACTERS = 20_000  # of a file from which a loan gains: a core translates 4,000 a second
PART = 30_000  # characters of a file for one loan: what is lost where it is overrun
PART_S = 30

_opened = {}  # (class, folder) -> model on CUDA, of a process with a GPU


class NoGPU(Exception):
    """A call could not be made on a GPU, or not to its end."""


class Loans:
    """The GPU loans of one server.

    Attributes:
        possible: this is a ZeroGPU Space.
        tasks: that borrow.

    Raises:
        ConfigError: BIGMODEL_ZERO_GPU names something else.
    """

    def __init__(self):
        self.possible, self.tasks = lent.on_zero_gpu(), ()
        self._on_gpu, self._on_cpu, self._fault = 0, 0, ""
        self._without = {}  # folder -> why its model cannot run on CUDA: an attempt costs a visitor's seconds
        if self.possible:
            import spaces

            from bigmodel.runtime.session import provider_order

            # ZeroGPU wants to find one such function, whether it is called or not
            self._lend = spaces.GPU(_stream, duration=lambda seconds, *_: seconds)
            self.tasks = _chosen_tasks() if "cuda" in provider_order() else ()

    def arrange(self, model, task):
        """Return a model whose ``stream`` borrows a GPU; the model itself where that gains nothing."""
        return BORROWERS[task](model, self) if task in self.tasks else model

    def report(self):
        """Return what /health says: the tasks that borrow, calls on either, and why the last on the CPU was there."""
        counts = {"calls_on_gpu": self._on_gpu, "calls_on_cpu": self._on_cpu}
        return {"tasks": list(self.tasks), **counts, "fault": self._fault}

    def borrow(self, model, seconds, argument, options):
        """Yield what ``model.stream(argument, **options)`` does, from a GPU; closing it ends the work after the piece.

        Args:
            model: opened on the CPU.
            seconds: to ask for; what takes longer is ended by ZeroGPU.
            argument, options: can be pickled.

        Raises:
            NoGPU: none can be had, or the call went wrong there.
        """
        pieces, folder = 0, str(model.folder.path)
        try:
            if folder in self._without:
                raise NoGPU(self._without[folder])
            with closing(self._lend(seconds, type(model), folder, argument, options)) as answers:
                for piece, fault in answers:
                    if fault:
                        self._without[folder] = fault
                        raise NoGPU(fault)
                    pieces += 1
                    self._on_gpu += pieces == 1
                    yield piece
        except Exception as error:  # ZeroGPU refuses by gr.Error, and fails by RuntimeError and httpx's errors
            self._on_cpu += 1
            self._fault = _first_line(error)
            logs.log("no_gpu", level=logging.WARNING, reason=self._fault, pieces=pieces)
            raise NoGPU(self._fault) from error


def _stream(seconds, kind, folder, argument, options):
    """Yield (piece, "") of a model's stream on CUDA, or once (None, why) where it cannot be opened there.

    Args:
        seconds: of the loan.
        kind: the model's class.
        folder, argument, options: of its from_pretrained and its stream.
    """
    try:
        if (kind, folder) not in _opened:
            with lent.borrowed_gpu():
                _opened[kind, folder] = kind.from_pretrained(folder, providers=["cuda"])
    except ProviderError as error:
        yield None, str(error)
        return
    with closing(_opened[kind, folder].stream(argument, **options)) as pieces:
        for piece in pieces:
            yield piece, ""


class Borrower:
    """A model of the CPU; ``stream`` borrows a GPU, all else is the model's own.

    Args:
        model: opened on the CPU, with ``folder`` and ``stream``.
        loans: Loans.
    """

    def __init__(self, model, loans):
        self._model, self._loans = model, loans

    def __getattr__(self, name):
        return getattr(self._model, name)

    def _streams(self, parts, seconds, options):
        """Yield (index of a part, piece of the model's stream of it): from a GPU, and from the CPU once that fails.

        The part in which it fails begins again.
        """
        borrowing = True
        for index, part in enumerate(parts):
            if borrowing:
                try:
                    with closing(self._loans.borrow(self._model, seconds, part, options)) as pieces:
                        for piece in pieces:
                            yield index, piece
                    continue
                except NoGPU:
                    borrowing = False
            with closing(self._model.stream(part, **options)) as pieces:
                for piece in pieces:
                    yield index, piece


class Drawing(Borrower):
    """An ImageGenerator."""

    def stream(self, prompt, **options):
        """Yield as ``ImageGenerator.stream``: a long drawing from a GPU."""
        steps = options.get("steps") or self.defaults["steps"]
        if steps < STEPS:
            with closing(self._model.stream(prompt, **options)) as found:
                yield from found
            return
        with closing(self._streams([prompt], DRAWING_S, options)) as found:
            for _, progress in found:
                yield progress


class Translating(Borrower):
    """A Translator."""

    def stream(self, texts, **options):
        """Yield as ``Translator.stream``: many texts together, such as a file's, from a GPU."""
        if len(texts) < 2 or sum(map(len, texts)) < CHARACTERS:
            with closing(self._model.stream(texts, **options)) as found:
                yield from found
            return
        with closing(self._model.stream(texts, **options)) as begun:
            _, total, results = next(begun)  # before the first batch
        yield 0, total, list(results)
        parts = _parts(texts)
        done = [0] * len(parts)
        with closing(self._streams([texts[part] for part in parts], PART_S, options)) as found:
            for index, (sentences, _, translations) in found:
                done[index], results[parts[index]] = sentences, translations
                yield sum(done), total, list(results)


BORROWERS = {"text_to_image": Drawing, "translation": Translating}


def _parts(texts):
    """Return slices of texts, each of at most PART characters or of one text."""
    parts, first, characters = [], 0, 0
    for i, text in enumerate(texts):
        if characters + len(text) > PART and i > first:
            parts.append(slice(first, i))
            first, characters = i, 0
        characters += len(text)
    return [*parts, slice(first, len(texts))]


def _chosen_tasks():
    value = os.environ.get("BIGMODEL_ZERO_GPU", "").strip() or ",".join(BORROWERS)
    tasks = tuple(task.strip() for task in value.split(",")) if value != "none" else ()
    if wrong := [task for task in tasks if task not in BORROWERS]:
        raise ConfigError(f"BIGMODEL_ZERO_GPU: {wrong[0][:40]!r}; give some of {', '.join(BORROWERS)}, or none")
    return tasks


def _first_line(error):
    """Return an error's kind and the first line of what it says; a gr.Error has a title and a message."""
    said = (str(getattr(error, "message", error)).splitlines() or [""])[0][:200]
    return said if isinstance(error, NoGPU) else f"{getattr(error, 'title', type(error).__name__)}: {said}"
