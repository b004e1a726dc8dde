"""What the Detect tab does when it is used, and how it shows what was found.

What is shown has a ``shown`` beside it, the value of the tab's ``Sharing`` result: {"link": {"example": seed} or
{"picture": data URL of what the model saw}, with the model, "uploaded": whether it is of a file of the visitor's,
"label": what was found, as HTML}.
"""

import base64
import re
import secrets
from dataclasses import replace
from html import escape
from pathlib import Path

import gradio as gr

from bigmodel.errors import BigModelError, InputError
from bigmodel.limits import LIMITS
from bigmodel.object_detection import tables
from bigmodel.object_detection.detections import THRESHOLDS
from bigmodel.object_detection.drawing import data_uri, figure, palette
from bigmodel.object_detection.examples import example
from bigmodel.object_detection.request import TASK, Request
from bigmodel.ui.language import translated, visitor_language, word
from bigmodel.ui.pictures import linkable, shown_again, sketched, uploaded
from bigmodel.ui.texts import words
from bigmodel.ui.validation import check_number
from bigmodel.ui.widgets import announced, fault_html, label_words, picked, told

MAX_SEED = 999_999  # of an example
PLACEHOLDER = f'{announced()}<p class="placeholder">{words("detect_placeholder")}</p>'
CAUTIONS = {"blood-cells": "not_medical"}  # name in a model's card -> what is said under its findings


class DetectEvents:
    """The event handlers of one page; they keep no state but what the visitor's own session holds.

    Args:
        models: the Models of the page.
    """

    def __init__(self, models):
        self.models = models

    def detect(self, event: gr.EventData, picture, model, threshold, shown):
        """Search a picture: one that has just come, or after another choice of the model what is shown, again.

        Returns:
            what the session keeps of it, the answer as HTML, and its ``shown``.
        """
        link = shown_again(event, "detect", picture, shown)
        if isinstance(event.target, gr.Radio):  # another model has a threshold of its own
            threshold = None
        if link:
            return self._answer(lambda: self._linked(link, model), model, threshold, link)
        if not uploaded(picture):
            return None, PLACEHOLDER, {}
        return self._answer(lambda: uploaded(picture), model, threshold, name=_name(picture))

    def detect_example(self, model, threshold):
        """Search a picture that is drawn for the model, another one each time; returns what ``detect`` does."""
        link = {"example": secrets.randbelow(MAX_SEED + 1)}
        return self._answer(lambda: self._linked(link, model), model, threshold, link)

    def _answer(self, image, model, threshold, link=None, name="picture"):
        """Return what ``detect`` does; what cannot be answered is said in its place.

        Args:
            image: function that returns it.
            model, threshold: fields.
            link: {name: value} that gives the image again; None where it is a file of the visitor's.
            name: of the picture in the downloads.
        """
        try:
            request = Request.check(self.models, image(), model, THRESHOLDS[0])
            found = request.answer(self.models)
        except BigModelError as error:
            return None, fault_html(error), {"link": link} if link else {}
        detector = self.models.get(request.model, TASK)
        threshold = threshold if _is_share(threshold) else detector.threshold
        kept = {"found": replace(found, pixels=None), "model": request.model, "address": data_uri(found.pixels)}
        kept["name"] = name
        gives = link or {"picture": linkable(as_seen(detector, found.pixels))}
        shown = {"link": {**gives, "model": request.model}, "uploaded": not link}  # another may be chosen meanwhile
        label = spoken(found.above(threshold), detector.labels)
        return kept, self.redraw(kept, threshold), {**shown, "label": label}

    def _linked(self, link, model):
        """Return the image of a link: an example by its seed, or what a model saw.

        Raises:
            InputError: it holds neither, or the model knows nothing that can be drawn.
        """
        if "example" not in link:
            return sketched(link.get("picture"))
        seed = check_number("example", link["example"], 0, MAX_SEED, whole=True, optional=False)
        drawn = example(self.models.get(model, TASK).labels, seed)
        if drawn is None:
            raise InputError("model", "knows nothing that can be drawn here; give a picture")
        return drawn

    def welcome(self, values):
        """Fill the form from what the page was opened with; what is out of its limits is left out.

        Returns:
            model, with those that have come from the Hub by now, threshold, ``shown``, and what is said where there
            is none.
        """
        values = values if isinstance(values, dict) else {}
        titled = self.models.titled(self.models.names(TASK, wait=True))
        model = picked(titled, values.get("model"))
        try:
            threshold = check_number("threshold", float(values["threshold"]), *THRESHOLDS)
        except (InputError, KeyError, TypeError, ValueError):
            threshold = self.usual_threshold(model["value"])
        seed = re.fullmatch("[0-9]{1,6}", str(values.get("example")))
        link = {"example": int(seed[0])} if seed else {"picture": values.get("picture")}
        try:
            shown = {"link": link} if seed or sketched(link["picture"]) else gr.skip()
        except InputError:
            shown = gr.skip()
        return model, threshold, shown, gr.update(visible=not titled)

    def redraw(self, kept, threshold):
        """Return the answer as HTML for another threshold; the model is not asked again."""
        if not kept or not _is_share(threshold):  # as while a number is typed
            return gr.skip()
        labels = self.models.get(kept["model"], TASK).labels
        found, card = kept["found"].above(threshold), self.models.entries[kept["model"]].card
        caution = CAUTIONS.get(card.get("name"))
        return answer(found, labels, kept["address"], kept["name"], caution)

    def usual_threshold(self, model):
        """Return the slider at the model's own threshold, once that model is open."""
        try:
            return self.models.get(model, TASK).threshold
        except InputError:
            return gr.skip()

    def detect_several(self, files, model, threshold, progress=gr.Progress()):  # noqa: B008, Gradio's way
        """Search several pictures, and return their counts and what can be downloaded as HTML."""
        try:
            if not files:
                raise InputError("images", "are missing; choose some")
            if len(files) > LIMITS.pictures:
                raise InputError("images", f"{len(files)} pictures; at most {LIMITS.pictures} at once")
            pictures, refused = {}, {}
            for i, file in enumerate(files):
                path, name = file["path"], _name(file)
                while name in {**pictures, **refused}:
                    name = f"{i + 1} {name}"
                try:
                    found = Request.check(self.models, path, model, threshold).answer(self.models)
                    pictures[name] = replace(found, pixels=None)  # fifty large ones would be half a gigabyte
                except InputError as error:
                    refused[name] = translated(str(error), visitor_language())
                progress((i + 1, len(files)), unit=word("pictures"))
                yield gr.skip()
            yield overview(pictures, refused, self.models.get(model, TASK).labels)
        except BigModelError as error:
            raise told(error) from None


def _name(file):
    """Return the name of an uploaded file, a dict of Gradio's, as the visitor knows it."""
    return file.get("orig_name") or Path(file["path"]).name


def as_seen(detector, pixels):
    """Return the part of what a model sees that is the picture (height, width, 3); the ground around it is not."""
    seen, placement = detector.preparation.see(pixels, "pad")
    left, top, right, bottom = placement.at
    return seen.transpose(1, 2, 0)[top:bottom, left:right]


def answer(found, labels, address, name, caution=None):
    """Return a runtime.Detections as HTML: picture, counts, table, downloads.

    Args:
        found: Detections, from the threshold on.
        labels: names of all classes.
        address: of the picture; see drawing.data_uri.
        name: of the picture in the downloads.
        caution: key of a text; None for none.
    """
    colours = palette(found, labels)
    counts = found.counts(list(colours))
    said = spoken(found, labels)
    swatches = "".join(
        f'<li style="--colour:{colours[label]}"><span class="swatch" aria-hidden="true"></span>'
        f"<b>{count}</b> {label_words(label)}</li>"
        for label, count in counts.items()
    )
    counted = f'<ul class="counts">{swatches}</ul>' if swatches else f"<p>{words('nothing_found')}</p>"
    notes = "".join(f"<li>{words(f'note_{note}')}</li>" for note in found.notes)
    warned = f'<p class="unlike">{words(caution)}</p>' if caution else ""
    named = {header: words(f"found_{header}") for header in ("label", "score")}
    head = "".join(f'<th scope="col">{named.get(header, header)}</th>' for header in tables.HEADERS)
    body = "".join(
        f"<tr><td>{label_words(label)}</td>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for label, *values in tables.rows(found)
    )
    listed = f"<details><summary>{words('detections_table')}</summary>"
    listed += f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
    listed += f"<tbody>{body}</tbody></table></div></details>"
    return (
        f'{announced(said)}<section class="answer found">{figure(found, labels, address, said)}{counted}{warned}'
        f"{f'<ul class=notes>{notes}</ul>' if notes else ''}{listed}{downloads({name: found}, labels)}</section>"
    )


def spoken(found, labels):
    """Return in words, as HTML, how many of each of the labels were found."""
    counts = found.counts(labels).items()
    return words("comma").join(f"{count} {label_words(label)}" for label, count in counts if count) or "0"


def overview(pictures, refused, labels):
    """Return the counts of several pictures as HTML, what was refused, and downloads.

    Args:
        pictures: file name -> Detections.
        refused: file name -> why.
        labels: names of all classes.
    """
    seen = [name for name in labels if any(name in found.labels for found in pictures.values())]
    head = "".join(f'<th scope="col">{label_words(name)}</th>' for name in seen)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        f"{''.join(f'<td>{count}</td>' for count in found.counts(seen).values())}</tr>"
        for name, found in pictures.items()
    )
    table = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    table = f'<div class="scroll" tabindex="0">{table}</div>'
    faults = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in refused.items())
    faults = f'<ul class="skipped">{faults}</ul>' if faults else ""
    return f'<section class="answer found" role="status">{table}{faults}{downloads(pictures, labels)}</section>'


def _is_share(value):
    return isinstance(value, int | float) and 0 <= value <= 1


def downloads(pictures, labels):
    """Return links to what was found as CSV and as COCO's JSON; both are within the links, nothing stays on the host.

    Args:
        pictures: file name -> Detections.
        labels: names of all classes.
    """
    files = {
        "detections.csv": ("text/csv", tables.to_csv(pictures)),
        "detections.coco.json": ("application/json", tables.to_coco(pictures, labels)),
    }
    links = (
        f'<a download="{name}" href="data:{kind};base64,{base64.b64encode(text.encode()).decode()}">{name}</a>'
        for name, (kind, text) in files.items()
    )
    return f'<p class="hint">{words("save_as")} {" · ".join(links)}</p>'
