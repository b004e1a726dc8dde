"""What the Text tab does when it is used: each method answers one event of the page."""

import random
from html import escape

import gradio as gr

from bigmodel.config import read_json
from bigmodel.errors import BigModelError, InputError
from bigmodel.limits import LIMITS
from bigmodel.runtime.sampling import DEFAULTS
from bigmodel.text_generation import serve
from bigmodel.text_generation.request import CHECKS, TASK, Request, unknown_characters
from bigmodel.ui.language import visitor_language
from bigmodel.ui.texts import words
from bigmodel.ui.validation import check_number, check_text
from bigmodel.ui.widgets import provider_name, told

ALTERNATIVES = 10
# the fields that a text was written from, kept with it so that it can be continued
SOURCE = ("model", "kind", "form", "author", "title", "acrostic")
PASSAGE = ("format", "language", "title", "author", "prompt", "pieces", "kept", "busy", "selected")
PASSAGE += ("seed", "source", "link")
FORESEEN = ("prompt", *SOURCE)
# what a link carries: /?tab=text&model=…&prompt=…&seed=…
LINKED = ("model", "prompt", "kind", "form", "author", "title", "acrostic", "seed", *DEFAULTS)


class TextEvents:
    """The event handlers of one page; they keep no state, since a passage travels with its request.

    A passage is a dict: format, language (None where the model has several), title, author, prompt, pieces (list of
    str), kept (how many of them it went on from), busy, selected (index of a piece), seed, source (the fields that it
    was written from), link (what gives the same text). ``page.js`` draws it.

    Args:
        models: the Models of the page.
    """

    def __init__(self, models):
        self.models = models

    def write(self, event: gr.EventData, passage, alternatives, *values):
        """Stream a text: a new one, the last one again, or one that goes on from a chosen token."""
        how, passage, alternatives = getattr(event.target, "elem_id", None), _dict(passage), _dict(alternatives)
        values = dict(zip((name for name in CHECKS if name != "k"), values, strict=True))
        try:
            kept = []
            if how == "again" and passage.get("link"):
                values.update(_again(passage))
                kept = _pieces(passage, passage.get("kept"))
            else:
                values["seed"] = _seed(how, values["seed"])
            if how == "alternatives":
                kept = self._kept(event, passage, alternatives, values)
            request = Request.check(self.models, **values)
            generator = self.models.get(request.model, TASK)
            writing = serve.write(generator, request, _body(request, kept))
        except BigModelError as error:
            raise told(error) from None
        passage = self._passage(request, kept)
        # no update: where a page is slow, Gradio shows the first one as the later ones have left it
        pinned = "" if how == "surprise" else gr.skip()
        yield passage, gr.skip(), gr.skip(), pinned
        shown = passage
        left_out = skipped(generator, request)
        try:
            for progress in writing:
                so_far = {**passage["link"], "max_new_tokens": max(progress.tokens, 1)}  # what a Stop leaves
                shown = {**passage, "pieces": kept + progress.pieces, "link": so_far}
                yield shown, facts(generator, request, progress) + left_out, gr.skip(), gr.skip()
        except BigModelError as error:
            yield {**shown, "busy": False}, "", {}, gr.skip()
            raise told(error) from None
        except Exception:
            yield {**shown, "busy": False}, "", {}, gr.skip()
            raise
        passage = {**shown, "busy": False} | ({} if progress.note else {"link": passage["link"]})
        yield passage, facts(generator, request, progress) + left_out, self._alternatives(passage), gr.skip()

    def _kept(self, event, passage, alternatives, values):
        """Return the pieces to go on from, and put the fields of their passage in ``values``."""
        token, place = check_text("token", event.token, limit=200), alternatives.get("place")
        if place is None:
            return [token]
        source = _dict(passage.get("source"))
        values.update({name: source.get(name) for name in SOURCE}, prompt=passage.get("prompt"))
        return [*_pieces(passage, place), token]

    def _passage(self, request, kept):
        source = {name: getattr(request, name) for name in SOURCE}
        card = self.models.entries[request.model].card
        language, *more = card.get("languages") or [None]
        passage = {"format": card.get("format", "plain"), "language": None if more else language}
        passage |= {"prompt": request.prompt, "pieces": kept, "busy": True, "selected": None}
        named = {"title": request.title, "author": request.author, "seed": request.seed, "source": source}
        named["kept"] = len(kept)
        link = {name: getattr(request, name) for name in LINKED} | {"prompt": _body(request, kept)}
        return {**passage, **named, "link": link}

    def _alternatives(self, passage, place=None):
        """Return the likeliest tokens at a place of a passage, at its end by default; nothing where that fails."""
        pieces = passage.get("pieces") or []
        place = len(pieces) if place is None else place
        try:
            source = _dict(passage.get("source"))
            request = Request.check(self.models, prompt=passage.get("prompt"), **{n: source.get(n) for n in SOURCE})
            rows = self._rows(request, _body(request, _pieces(passage, place)))
        except BigModelError:
            return {}
        return {"rows": rows, "place": place, "instead": pieces[place] if place < len(pieces) else ""}

    def _rows(self, request, body):
        generator = self.models.get(request.model, TASK)
        rows = serve.next_tokens(generator, request, body, ALTERNATIVES)
        return [[token, probability, token.startswith("<|")] for token, probability in rows]

    def stop(self, passage):
        """Settle the page after the work was cancelled."""
        passage = _passage(passage)
        if not passage.get("source"):
            return gr.skip(), gr.skip()
        passage = {**passage, "busy": False}
        if len(passage.get("pieces") or []) == passage.get("kept"):
            passage.pop("link", None)  # nothing was made
        return passage, self._alternatives(passage)

    def look_inside(self, event: gr.EventData, passage):
        """Show what else could have stood at the chosen token."""
        passage = _passage(passage)
        if passage.get("busy") or not passage.get("source"):
            return gr.skip(), gr.skip()
        try:
            last = len(passage.get("pieces") or []) - 1
            place = check_number("index", event.index, 0, last, whole=True, optional=False)
        except InputError as error:
            raise told(error) from None
        return {**passage, "selected": place}, self._alternatives(passage, place)

    def foresee(self, *values):
        """Show what would come after the prompt as it is being written."""
        try:
            request = Request.check(self.models, **dict(zip(FORESEEN, values, strict=True)))
            return {"rows": self._rows(request, request.prompt), "place": None, "instead": ""}
        except BigModelError:
            return {}

    def welcome(self, values, request: gr.Request):
        """Return the model to begin with, and {field: value} of what the page was opened with.

        Without a link it is the first model that writes the visitor's language.
        """
        given = linked(_dict(values))
        known = self.models.names(TASK, wait=True)
        language = visitor_language(request)
        fitting = [name for name in known if language in self.models.entries[name].card.get("languages", ())]
        wanted = given.pop("model", None)
        return wanted if wanted in known else next(iter(fitting or known), None), given

    def sampling(self, model):
        """Return a model's own sampling settings: values of DEFAULTS' keys."""
        entry = self.models.entries.get(model)
        try:
            own = read_json(entry.path / "generation_config.json") if entry else {}
        except BigModelError:
            own = {}
        found = {name: own.get(name, value) for name, value in DEFAULTS.items()}
        return {**found, "max_new_tokens": min(found["max_new_tokens"], LIMITS.new_tokens)}


def _body(request, pieces):
    """Return what is gone on from: all that stands before, or its end, which is what a link can hold."""
    return (request.prompt + "".join(pieces))[-LIMITS.prompt_characters :]


def facts(generator, request, progress):
    """Return the line under a text: speed, provider and seed."""
    parts = [
        f"<b>{progress.tokens_per_second:,.0f}</b> {words('tokens_per_second')}",
        f"{progress.tokens} {words('tokens')}",
        escape(provider_name(generator.provider)),
        f"{words('seed_is')} <b>{request.seed}</b>",
    ]
    if progress.note:
        parts.append(words(progress.note))
    return f"<p>{' · '.join(parts)}</p>"


def skipped(generator, request):
    """Return what a model leaves out of a request as HTML, or ""."""
    signs = [c for c in unknown_characters(generator, request.prompt + request.author + request.title) if c.strip()]
    return f'<p class="skipped">{words("skipped")} {escape(" ".join(signs))}</p>' if signs else ""


def linked(values):
    """Return the fields that a link holds, each as its component takes it; what is out of its limits is left out."""
    fields = {}
    for name in LINKED:
        value = values.get(name)
        if value is None:
            continue
        try:
            if name in DEFAULTS or name == "seed":
                value = float(value)
            value = CHECKS[name](value)
            fields[name] = str(value) if name == "seed" else value
        except (InputError, TypeError, ValueError):
            continue
    return fields


def _again(passage):
    """Return the fields that a passage was written from."""
    link = _dict(passage.get("link"))
    return {name: link.get(name) for name in LINKED} | {"prompt": passage.get("prompt")}


def _seed(how, text):
    """Return the seed to use: the one that stands in the field, or a new one."""
    if how == "surprise" or not str(text or "").strip():
        return random.randrange(1_000_000)
    try:
        return int(text)
    except ValueError:
        return text  # refused, with its limits, by the check of the field


def _passage(value):
    """Return the parts of a passage that came back from the browser, and no others; {} for anything else."""
    return {name: value[name] for name in PASSAGE if name in _dict(value)}


def _dict(value):
    """Return what the browser sent back for a dict; {} for anything else."""
    return value if isinstance(value, dict) else {}


def _pieces(passage, place):
    """Return a passage's pieces before ``place``; they come back from the browser and are checked like a prompt."""
    pieces = passage.get("pieces")
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        raise InputError("passage", "must be a list of texts")
    place = check_number("place", place, 0, len(pieces), whole=True, optional=False)
    check_text("passage", "".join(pieces[:place]), limit=LIMITS.passage_characters)
    return pieces[:place]
