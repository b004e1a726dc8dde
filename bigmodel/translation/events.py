"""What the Translate tab does when it is used: each method answers one event of the page."""

import time
from html import escape

import gradio as gr
from gradio.utils import get_upload_folder

from bigmodel.errors import BigModelError, InputError
from bigmodel.translation import serve
from bigmodel.translation.request import ALIKE, AUTO, CHECKS, CODES, TASK, Request, check_direction, detect, directions
from bigmodel.ui.language import word
from bigmodel.ui.texts import words
from bigmodel.ui.widgets import announced, provider_name, told

PAUSE_S = 0.4  # a visitor who types on is not answered yet
SPOKEN = 300  # characters of a translation that a screen reader says
LINKED = tuple(CHECKS)  # what a link carries: /?tab=translate&text=…&source=…&target=…
FILLED = (*(name for name in LINKED if name != "text"), "text")  # its change begins the work: the others come before


class TranslateEvents:
    """The event handlers of one page; they keep no state.

    Args:
        models: the Models of the page.
    """

    def __init__(self, models):
        self.models = models

    def translate_typed(self, event: gr.EventData, *values):
        """Translate what is being typed, after a pause; say nothing of what is not a text yet."""
        if not str(values[0] or "").strip():
            yield "", announced(), "", "", gr.skip()
            return
        time.sleep(PAUSE_S)
        try:
            yield from self.translate_now(event, *values)
        except gr.Error as error:
            yield "", f'<p class="skipped" role="status">{error.message}</p>', "", "", gr.skip()

    def translate_now(self, event: gr.EventData, *values):
        """Stream a translation, the facts about it, its alternatives, where the model looked, and its target."""
        values = dict(zip(CHECKS, values, strict=True))
        chosen = values["target"]
        try:
            # who has just chosen a target is told where it cannot be
            if values["source"] == AUTO and getattr(event.target, "elem_id", None) != "translate-target":
                values["target"] = self._possible(values["text"], chosen)
            request = Request.check(self.models, **values)
            moved = gr.skip() if request.target == chosen else request.target
            for progress in serve.translate(self.models, request):
                said = facts(self.models, request, progress)
                yield progress.translation.text, said, gr.skip(), gr.skip(), moved
                moved = gr.skip()  # once: the visitor may choose another one meanwhile
            looked = self._looked(request, progress.translation)
            yield gr.skip(), gr.skip(), alternatives(progress.translation), looked, gr.skip()
        except BigModelError as error:
            raise told(error) from None

    def _possible(self, text, target):
        """Return the target of a text in whatever language: the chosen one, or, where that cannot be, the first."""
        known = directions(self.models, wait=True)
        if not known or not isinstance(text, str):
            return target
        try:
            source = detect(text, known, target)
        except InputError:
            return target
        possible = [t for s, t in known if s == source]
        return target if target in possible else next(iter(possible), target)

    def _looked(self, request, translation):
        """Return the attention of the first sentence as HTML; nothing where there is none."""
        if not translation.sentences or not translation.alternatives[0]:
            return ""
        translator = self.models.get(request.model, TASK)
        sentence, best = translation.sentences[0], translation.alternatives[0][0].text
        return attention(*translator.attention(sentence, best, (request.source, request.target)))

    def swap(self, source, target, text, translation):
        """Return the languages and the texts with their places changed; say where no model translates back."""
        try:
            known = directions(self.models)
            if source == AUTO:
                written = str(text or "").strip()
                source = detect(text, known, target) if written else next((s for s, t in known if t == target), target)
            check_direction(target, source, known)
        except InputError as error:
            raise told(error) from None
        translated_so_far = (translation or "").strip("…\n")  # marks of what is still to come are no text
        return target, source, translation if translated_so_far else text, ""

    def correct(self, event: gr.EventData, source, target):
        """Return the languages after a visitor has said which one the text is in."""
        said = getattr(event, "token", None)
        source = said if said in ALIKE else source
        return source, self.targets(source, target)

    def targets(self, source, target):
        """Return the target picker for a source: what can be chosen, and what is chosen."""
        known = directions(self.models)
        possible = list(dict.fromkeys(t for s, t in known if source in (AUTO, None, s)))
        return gr.update(value=target if target in possible else next(iter(possible), None))

    def welcome(self, values):
        """Return the fields of FILLED from what the page was opened with; what is out of its limits stays as it is."""
        values = values if isinstance(values, dict) else {}
        known = [code for direction in directions(self.models, wait=True) for code in direction]
        filled = []
        for name in FILLED:
            value = values.get(name)
            try:
                value = float(value) if name.startswith("num_") else value
                filled.append(CHECKS[name](value, known) if value else gr.skip())
            except (InputError, TypeError, ValueError):
                filled.append(gr.skip())
        return filled

    def translate_file(self, file, source, target, column, progress=gr.Progress()):  # noqa: B008, Gradio's way
        """Translate a file: txt, csv, tsv or srt, up to 5 MB.

        Args:
            file: the file.
            source: "auto" or the code of its language.
            target: a code.
            column: of a table, its name or number; by default the one with the most text.
            progress: Gradio's.

        Returns:
            The file, with its translations in their places.
        """
        try:
            content, request = serve.open_file(self.models, file, source, target, column)
            found = {}
            for done, total, found in serve.translate_file(self.models, content, request):  # noqa: B007, the last one
                progress((done, total), unit=word("sentences"))
                yield gr.skip()
            # of this folder Gradio serves, and deletes what is old
            yield serve.save(content, found, file, request.target, get_upload_folder())
        except BigModelError as error:
            raise told(error) from None


def facts(models, request, progress):
    """Return the line under a translation: languages, speed and provider."""
    translator = models.get(request.model, TASK)
    codes = request.source, request.target
    source, target = (words(f"language_{code}") if code in CODES else escape(code) for code in codes)
    found = f"{words('detected')} <b>{source}</b>{_rather(models, request)}"
    parts = [
        found if request.detected and progress.total else f"{source} → {target}",
        f"{progress.done}/{progress.total} {words('sentences')}",
        f"<b>{progress.seconds:.2f}</b> {words('seconds')}",
        escape(provider_name(translator.provider)),
    ]
    if progress.note:
        parts.append(words(progress.note))
    done = progress.note or progress.done == progress.total
    text = f'<span lang="{escape(request.target)}">{escape(progress.translation.text[:SPOKEN])}</span>'
    spoken = f"{words('translation')}: {text}" if done else ""
    return f"{announced(spoken)}<p>{' · '.join(parts)}</p>"


def _rather(models, request):
    """Return the button that corrects a detected language as HTML, where another one looks like it."""
    other = ALIKE.get(request.source)
    if not any(source == other for source, _ in directions(models)):
        return ""
    return f' <button type="button" data-token="{other}">{words("rather")} {words(f"language_{other}")}</button>'


def alternatives(translation):
    """Return other translations of each sentence as HTML; nothing where there are none."""
    blocks = []
    for sentence, found in zip(translation.sentences, translation.alternatives, strict=True):
        if len(found) < 2:
            continue
        rows = "".join(
            f'<li lang="{escape(translation.target)}" style="--share:{a.score:.3f}"><span>{escape(a.text)}</span>'
            f'<span class="track" aria-hidden="true"><span class="fill"></span></span>'
            f'<span class="share">{a.score:.0%}</span></li>'
            for a in found
        )
        title = f'<p class="sentence">{escape(sentence)}</p>' if len(translation.sentences) > 1 else ""
        blocks.append(f"{title}<ol>{rows}</ol>")
    if not blocks:
        return ""
    return f"<section><h3>{words('other_ways')}</h3><p>{words('other_ways_hint')}</p>{''.join(blocks)}</section>"


def attention(source, target, weights):
    """Return where each target token looked as a table of shades, and in words.

    Args:
        source, target: lists of tokens.
        weights: (target, source), rows sum to 1.
    """
    show = lambda token: escape(token.strip() or "␣")  # noqa: E731
    head = "".join(f'<th scope="col"><span>{show(token)}</span></th>' for token in source)
    body = "".join(
        f'<tr><th scope="row">{show(token)}</th>'
        + "".join(f'<td style="--weight:{w:.2f}" title="{show(source[i])} {w:.0%}"></td>' for i, w in enumerate(row))
        + "</tr>"
        for token, row in zip(target, weights.tolist(), strict=True)
    )
    spoken = "".join(
        f"<li><b>{show(token)}</b> {words('looks_at')} "
        + ", ".join(f"{show(source[i])} {row[i]:.0%}" for i in row.argsort()[::-1][:2])
        + "</li>"
        for token, row in zip(target, weights, strict=True)
    )
    shades = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
    shades = f'<div class="scroll" aria-hidden="true">{shades}</div>'
    told_in_words = f"<details><summary>{words('looked_words')}</summary><ul>{spoken}</ul></details>"
    return f"<section><h3>{words('looked')}</h3><p>{words('looked_hint')}</p>{shades}{told_in_words}</section>"


def table(translation):
    """Return the alternatives as the endpoint gives them: rows of sentence, translation, score."""
    rows = [
        [sentence, a.text, round(a.score, 4)]
        for sentence, found in zip(translation.sentences, translation.alternatives, strict=True)
        for a in found
    ]
    return {"headers": ["sentence", "translation", "score"], "data": rows}
