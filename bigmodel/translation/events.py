"""What the Translate tab does when it is used: each method answers one event of the page."""

import time
from html import escape

import gradio as gr
from gradio.utils import get_upload_folder

from bigmodel.errors import BigModelError, InputError
from bigmodel.translation import serve
from bigmodel.translation.request import AUTO, CHECKS, CODES, TASK, Request, directions
from bigmodel.ui.texts import words
from bigmodel.ui.widgets import provider_name, told

PAUSE_S = 0.4  # a visitor who types on is not answered yet
LINKED = tuple(CHECKS)  # what a link carries: /?tab=translate&text=…&source=…&target=…


class TranslateEvents:
    """The event handlers of one page; they keep no state.

    Args:
        models: the Models of the page.
    """

    def __init__(self, models):
        self.models = models

    def translate_typed(self, *values):
        """Translate what is being typed, after a pause; say nothing of what is not a text yet."""
        if not str(values[0] or "").strip():
            yield "", "", "", ""
            return
        time.sleep(PAUSE_S)
        try:
            yield from self.translate_now(*values)
        except gr.Error as error:
            yield "", f'<p class="skipped">{error.message}</p>', "", ""

    def translate_now(self, *values):
        """Stream a translation, the facts about it, its alternatives and where the model looked."""
        try:
            request = Request.check(self.models, **dict(zip(CHECKS, values, strict=True)))
            for progress in serve.translate(self.models, request):
                yield progress.translation.text, facts(self.models, request, progress), gr.skip(), gr.skip()
            yield gr.skip(), gr.skip(), alternatives(progress.translation), self._looked(request, progress.translation)
        except BigModelError as error:
            raise told(error) from None

    def _looked(self, request, translation):
        """Return the attention of the first sentence as HTML; nothing where there is none."""
        if not translation.sentences or not translation.alternatives[0]:
            return ""
        translator = self.models.get(request.model, TASK)
        sentence, best = translation.sentences[0], translation.alternatives[0][0].text
        return attention(*translator.attention(sentence, best, (request.source, request.target)))

    def swap(self, source, target, text, translation):
        """Return the languages and the texts with their places changed."""
        known = directions(self.models)
        if source == AUTO:
            source = next((s for s, t in known if t == target), target)
        if (target, source) not in known:
            return [gr.skip()] * 4
        return target, source, translation or text, ""

    def targets(self, source, target):
        """Return the target picker for a source: what can be chosen, and what is chosen."""
        known = directions(self.models)
        possible = list(dict.fromkeys(t for s, t in known if source in (AUTO, None, s)))
        return gr.update(value=target if target in possible else next(iter(possible), None))

    def welcome(self, values):
        """Fill the form from what the page was opened with; what is out of its limits is left as it is."""
        values = values if isinstance(values, dict) else {}
        known = [code for direction in directions(self.models, wait=True) for code in direction]
        filled = []
        for name in LINKED:
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
                progress((done, total), unit="sentences")
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
    parts = [
        f"{words('detected')} <b>{source}</b>" if request.detected else f"{source} → {target}",
        f"{progress.done}/{progress.total} {words('sentences')}",
        f"<b>{progress.seconds:.2f}</b> {words('seconds')}",
        escape(provider_name(translator.provider)),
    ]
    if progress.note:
        parts.append(words(progress.note))
    return f"<p>{' · '.join(parts)}</p>"


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
