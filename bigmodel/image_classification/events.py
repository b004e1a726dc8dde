"""What the Classify tab does when it is used, and how it shows an answer."""

import re
from html import escape

import gradio as gr

from bigmodel.errors import BigModelError
from bigmodel.image_classification.drawings import draw
from bigmodel.image_classification.request import Request
from bigmodel.ui.pictures import cut, glow, picture_html, sketched, uploaded
from bigmodel.ui.texts import ENGLISH, words

REGIONS = (("top", "middle", "bottom"), ("left", "centre", "right"))


class ClassifyEvents:
    """The event handlers of one page; they keep no state.

    Args:
        models: the Models of the page.
    """

    def __init__(self, models):
        self.models = models

    def classify(self, picture, model, fit):
        """Return the answer to a picture, which comes without Gradio's preprocessing, as HTML."""
        if not uploaded(picture):
            return f'<p class="placeholder">{words("classify_placeholder")}</p>'
        return self._answer(uploaded(picture), model, fit)

    def classify_sketch(self, event: gr.EventData, model, fit):
        """Return the answer to what is on the pad as HTML."""
        try:
            return self._answer(sketched(getattr(event, "picture", None)), model, fit)
        except BigModelError as error:
            return fault(error)

    def classify_drawing(self, sample, model, fit):
        """Return the answer to one of the drawings as HTML."""
        return self._answer(draw(sample[0]), model, fit)

    def _answer(self, image, model, fit):
        """Return an answer as HTML; what cannot be answered is said in its place."""
        try:
            return answer(Request.check(self.models, image, model, fit).answer(self.models))
        except BigModelError as error:
            return fault(error)


def fault(error):
    """Return a user's error as HTML."""
    return f'<p class="skipped" role="alert">{escape(str(error))}</p>'


def answer(found):
    """Return a runtime.Classification as HTML."""
    rows = "".join(
        f'<li style="--share:{probability:.3f}"><span class="name">{label_words(name)}</span>'
        f'<span class="track" aria-hidden="true"><span class="fill"></span></span>'
        f'<span class="share">{probability:.1%}</span></li>'
        for name, probability in found.labels
    )
    verdict = f'<p class="unlike" role="status">{words("unlike_training")}</p>' if found.unfamiliar else ""
    notes = "".join(f"<li>{words(f'note_{note}')}</li>" for note in found.notes)
    notes = f'<ul class="notes">{notes}</ul>' if notes else ""
    return (
        f'<section class="answer" data-unfamiliar="{str(found.unfamiliar).lower()}">{verdict}<ol>{rows}</ol>'
        f'<p class="hint">{words("calibrated_hint")}</p>{notes}<div class="views">{_views(found)}</div></section>'
    )


def _views(found):
    """Return what the model saw and where it looked, each with words for those who do not see them."""
    height, width = found.seen.shape[:2]
    seen = picture_html(found.seen, words("as_seen"), pixelated=True)
    left, top, right, bottom = found.placement.at
    (rows, columns), up = found.looked.shape, lambda edge, count, side: -(-edge * count // side)
    part = found.looked[
        top * rows // height : up(bottom, rows, height), left * columns // width : up(right, columns, width)
    ]
    looked = picture_html(glow(cut(found.pixels, found.placement.box), part), spoken(found.looked))
    return (
        f"<figure>{seen}<figcaption>{words('as_seen')} · {width} × {height}</figcaption></figure>"
        f"<figure>{looked}<figcaption>{words('classify_looked')}: {spoken(found.looked)}</figcaption></figure>"
    )


def spoken(weights):
    """Return in words which ninths of a picture got most of the attention (rows, columns)."""
    rows, columns = weights.shape
    ninths = {}
    for row in range(rows):
        for column in range(columns):
            key = 3 * row // rows, 3 * column // columns
            ninths[key] = ninths.get(key, 0) + float(weights[row, column])
    best = sorted(ninths, key=ninths.get, reverse=True)[:3]
    named = (f"{words(REGIONS[0][r])} {words(REGIONS[1][c])} {ninths[r, c]:.0%}" for r, c in best)
    return ", ".join(named)


def label_words(name):
    """Return a label's name in the visitor's language, or as it is where it is not known."""
    key = "label_" + re.sub(r"\W", "_", name.lower())
    return words(key) if key in ENGLISH else escape(name)
