"""What the Classify tab does when it is used, and how it shows an answer.

What is shown has a ``shown`` beside it, the value of the tab's ``Sharing`` result: {"link": {"drawing": its name} or
{"picture": data URL of what the model saw}, with the model and the fit, "uploaded": whether it is of a file of the
visitor's, "sketch": which sketch it is of, if any, "label": its best name, as HTML}.
"""

import gradio as gr

from bigmodel.errors import BigModelError, InputError
from bigmodel.image_classification.drawings import SHAPES, draw
from bigmodel.image_classification.request import Request, names
from bigmodel.runtime.pictures import FITS, open_picture
from bigmodel.ui.pictures import PICTURE_LIMITS, cut, glow, linkable, picture_html, shown_again, sketched, uploaded
from bigmodel.ui.texts import words
from bigmodel.ui.widgets import announced, fault_html, label_words, picked

PLACEHOLDER = f'{announced()}<p class="placeholder">{words("classify_placeholder")}</p>'
REGIONS = ("top", "middle", "bottom"), ("left", "centre", "right")


class ClassifyEvents:
    """The event handlers of one page; they keep no state.

    Args:
        models: the Models of the page.
    """

    def __init__(self, models):
        self.models = models

    def classify(self, event: gr.EventData, picture, model, fit, shown):
        """Return the answer to a picture as HTML, and its ``shown``.

        A picture that has just come is answered; after another choice of model or fit what is shown is, again.
        """
        link = shown_again(event, "classify", picture, shown)
        if link:
            return self._answer(lambda: linked(link), model, fit, link)
        if not uploaded(picture):  # it comes without Gradio's preprocessing
            return PLACEHOLDER, {}
        return self._answer(lambda: uploaded(picture), model, fit, of_file=True)

    def classify_sketch(self, event: gr.EventData, model, fit, shown):
        """Return the answer to what is on the pad as HTML, and its ``shown``; the placeholder once it is cleared."""
        if picture := getattr(event, "picture", None):
            found, shown = self._answer(lambda: sketched(picture), model, fit)
            return found, {**shown, "sketch": str(getattr(event, "sketch", ""))[:40]}
        return (PLACEHOLDER, {}) if (shown or {}).get("sketch") else (gr.skip(), gr.skip())

    def classify_drawing(self, sample, model, fit):
        """Return the answer to one of the drawings as HTML, and its ``shown``."""
        return self._answer(lambda: draw(sample[0]), model, fit, {"drawing": sample[0]})

    def welcome(self, values):
        """Fill the form from what the page was opened with; what is out of its limits is left out.

        Returns:
            model, with those that have come from the Hub by now, fit, ``shown``, and what is said where there is none.
        """
        values = values if isinstance(values, dict) else {}
        fit, titled = values.get("fit"), self.models.titled(names(self.models, wait=True))
        link = {name: values[name] for name in ("drawing", "picture") if isinstance(values.get(name), str)}
        try:  # it is opened when it is classified
            shown = {"link": link} if link.get("drawing") in SHAPES or sketched(link.get("picture")) else gr.skip()
        except InputError:
            shown = gr.skip()
        model = picked(titled, values.get("model"))
        return model, fit if fit in FITS else gr.skip(), shown, gr.update(visible=not titled)

    def _answer(self, image, model, fit, link=None, *, of_file=False):
        """Return an answer as HTML and its ``shown``; what cannot be answered is said in its place.

        Args:
            image: function that returns it.
            model, fit: fields.
            link: {name: value} that gives the image again; None makes it of what the model saw.
            of_file: whether the image is a file of the visitor's.
        """
        try:
            request = Request.check(self.models, image(), model, fit)
            found = request.answer(self.models)
        except BigModelError as error:
            return fault_html(error), {"link": link} if link else {}
        name, probability = found.labels[0]
        gives = link or {"picture": linkable(found.seen)}
        made = {"model": request.model, "fit": request.fit}  # others may be chosen meanwhile
        shown = {"link": {**gives, **made}, "uploaded": of_file}
        return answer(found), {**shown, "label": f"{label_words(name)} {probability:.0%}"}


def linked(link):
    """Return the image of a link: one of the drawings by its name, or what a model saw, which is taken as it is.

    Raises:
        InputError: it holds neither.
    """
    if link.get("drawing") in SHAPES:
        return draw(link["drawing"])
    return open_picture(sketched(link.get("picture")), limits=PICTURE_LIMITS)


def answer(found):
    """Return a runtime.Classification as HTML."""
    rows = "".join(
        f'<li style="--share:{probability:.3f}"><span class="name">{label_words(name)}</span>'
        f'<span class="track" aria-hidden="true"><span class="fill"></span></span>'
        f'<span class="share">{probability:.1%}</span></li>'
        for name, probability in found.labels
    )
    verdict = f'<p class="unlike">{words("unlike_training")}</p>' if found.unfamiliar else ""
    name, probability = found.labels[0]
    spoken = f"{words('unlike_training') * found.unfamiliar} {label_words(name)} {probability:.0%}"
    notes = "".join(f"<li>{words(f'note_{note}')}</li>" for note in found.notes)
    notes = f'<ul class="notes">{notes}</ul>' if notes else ""
    return (
        f'{announced(spoken)}<section class="answer" data-unfamiliar="{str(found.unfamiliar).lower()}">'
        f"{verdict}<ol>{rows}</ol>"
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
        f"<figure>{looked}<figcaption>{words('classify_looked')}{words('colon')}{spoken(found.looked)}</figcaption></figure>"
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
    named = (f"{words(f'{REGIONS[0][r]}_{REGIONS[1][c]}')} {ninths[r, c]:.0%}" for r, c in best)
    return words("comma").join(named)
