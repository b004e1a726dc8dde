"""From a checked request to a translation as it comes: what the page and the endpoints share."""

import secrets
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bigmodel.errors import InputError
from bigmodel.limits import LIMITS
from bigmodel.translation import files
from bigmodel.translation.placeholders import without
from bigmodel.translation.request import CODES, TASK, Request, detect, directions
from bigmodel.ui.turns import Turns

SAMPLE = 2000  # characters of a file by which its language is found
TURNS = Turns(LIMITS.translations_at_once)


@dataclass(frozen=True)
class Progress:
    """A translation on its way.

    Attributes:
        done, total: sentences.
        translation: runtime.Translation so far.
        seconds: since the request.
        note: "" or the key of a text that says why it ended early.
    """

    done: int
    total: int
    translation: object
    seconds: float
    note: str = ""


def translate(models, request):
    """Yield the Progress of a request, after each batch of sentences; closing this generator stops the work."""
    translator, started = models.get(request.model, TASK), time.monotonic()
    stream = translator.stream(
        [request.text],
        source=request.source,
        target=request.target,
        num_beams=_beams(translator, request),
        num_alternatives=request.num_alternatives,
    )
    with closing(TURNS.share(stream)) as shared:
        for worked, (done, total, (translation,)) in shared:
            late = worked > LIMITS.translation_seconds and done < total
            yield Progress(done, total, translation, time.monotonic() - started, "time_limit" if late else "")
            if late:
                return


def open_file(models, path, source, target, column):
    """Return a file's content and the Request for its texts.

    Args:
        models: the Models of the page.
        path: of the uploaded file, or None.
        source, target, column: fields of the request.

    Raises:
        InputError: names the field that is wrong.
    """
    if not path:
        raise InputError("file", "is missing; choose a txt, csv, tsv or srt file")
    content = files.read(path, column)
    full = [unit for unit in content.units if unit.strip()]
    if not full:
        raise InputError("file", "holds no text to translate")
    worded = islice((unit for unit in full if any(map(str.isalpha, without(unit)))), SAMPLE)
    sample = ("\n".join(worded) or full[0])[: min(SAMPLE, LIMITS.text_characters)]
    return content, Request.check(models, text=sample, source=source, target=target)


def translate_file(models, content, request):
    """Yield (sentences done, sentences in all, {index of a unit: Translation}) after each batch.

    A text of another language than the request's, such as a line in the target's, has no translation. Closing this
    generator stops the work.

    Raises:
        InputError: the file takes too long.
    """
    translator, known = models.get(request.model, TASK), directions(models)
    wanted = [i for i, unit in enumerate(content.units) if _fits(unit, request, known)]
    texts = [content.units[i] for i in wanted]
    options = {"source": request.source, "target": request.target, "num_beams": _beams(translator, request)}
    with closing(TURNS.share(translator.stream(texts, **options))) as shared:
        for worked, (done, total, translations) in shared:
            if worked > LIMITS.file_seconds:
                raise InputError("file", f"took longer than {-(-LIMITS.file_seconds // 60)} minutes; divide it")
            yield done, total, dict(zip(wanted, translations, strict=True))


def _beams(translator, request):
    return min(request.num_beams or translator.defaults["num_beams"], LIMITS.beams)


def _fits(unit, request, known):
    """Whether a text of a file is in the request's source, as far as a text so short can tell.

    Where the source was named, and not detected, it is believed of what is not in the target's language.
    """
    if request.source not in CODES:  # of a model trained elsewhere; nothing here can tell
        return True
    unit = without(unit).strip()
    if len(unit) < 20 or not any(map(str.isalpha, unit)):
        return True
    try:
        code = detect(unit, known, request.target)
    except InputError:
        return not request.detected
    return code == request.source if request.detected else code != request.target


def save(content, found, path, target, folder):
    """Write a translated file and return its path.

    Args:
        content: files.FileContent.
        found: index of a unit -> its Translation.
        path: of the original.
        target: code.
        folder: gets a folder of its own for the file.
    """
    place = Path(folder) / secrets.token_hex(16)
    place.mkdir(parents=True)
    result = place / files.output_name(path, target)
    texts = [found[i].text if i in found else None for i in range(len(content.units))]
    result.write_text(content.render(texts), encoding=content.encoding, newline="")
    return str(result)
