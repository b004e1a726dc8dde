"""The Classify part of the Image tab: a picture or a sketch, five names for it, and why; /classify_image."""

import gradio as gr

from bigmodel.errors import BigModelError
from bigmodel.image_classification.drawings import SHAPES
from bigmodel.image_classification.events import PLACEHOLDER, ClassifyEvents
from bigmodel.image_classification.request import TASK, Request, names
from bigmodel.limits import LIMITS
from bigmodel.runtime.pictures import FITS
from bigmodel.ui.endpoints import validator
from bigmodel.ui.pictures import limit_decoding, uploaded
from bigmodel.ui.programs import for_programs
from bigmodel.ui.sharing import Sharing
from bigmodel.ui.texts import t, words
from bigmodel.ui.widgets import html_block, no_models_block, told


def load(folder):
    """Open a model folder of this task; ONNX Runtime is imported by the first call."""
    from bigmodel.image_classification.runtime import ImageClassifier

    return ImageClassifier.from_pretrained(folder)


def build(models):
    """Return the tab as ``gr.Blocks``, which also launches alone.

    Args:
        models: the Models of the page.
    """
    limit_decoding()
    with gr.Blocks() as tab:
        sharing = Sharing("classify")
        empty = no_models_block(not models.of_task(TASK))
        with gr.Row(elem_classes="image-bench", elem_id="classify"):
            with gr.Column(min_width=280):
                form = {"empty": empty, **_inputs(models)}
            with gr.Column(min_width=280):
                form["answer"] = html_block(PLACEHOLDER, elem_id="classify-answer", elem_classes="answers")
                form["shown"] = gr.JSON({}, visible=False)
                with gr.Row(elem_classes="footnote"):
                    html_block(f"<p>{words('classify_link')}</p>", elem_classes="facts")
                    sharing.button()
                sharing.panel()
        _listen(models, form, sharing)
        _endpoint(models)
        for_programs({"classify_image": {"image": form["picture"], "model": form["model"], "fit": form["fit"]}})
    return tab


def _inputs(models):
    titled = models.titled(names(models))
    first = titled[0][1] if titled else None
    form = {"model": gr.Radio(titled, value=first, label=t("model"), elem_classes="segmented", visible=bool(titled))}
    form["picture"] = gr.Image(
        label=t("picture"), placeholder=t("picture_hint"), height=300, buttons=[], elem_id="classify-picture"
    )
    fits = list(zip((t("fit_cut"), t("fit_whole")), FITS, strict=True))
    form["fit"] = gr.Radio(fits, value=FITS[0], label=t("fit"))
    form["classify"] = gr.Button(t("classify"), variant="primary", elem_id="classify-button")
    shown = {"elem_classes": "panel", "elem_id": "sketch-panel", "visible": first in _drawable(models)}
    with gr.Accordion(t("sketch"), open=False, **shown) as form["panel"]:
        gr.Markdown(t("sketch_hint"))
        drawing = {"html_template": "${bigmodel.pad()}", "js_on_load": "bigmodel.drawable(element, trigger)"}
        form["sketch"] = gr.HTML("", elem_id="sketch", **drawing)
        form["drawings"] = gr.Dataset(
            components=[gr.Textbox(visible=False)],
            samples=[[label] for label in SHAPES],
            label=t("drawings"),
            elem_classes="examples",
        )
    return form


def _drawable(models):
    """Return the names of the models that can read a sketch."""
    return {entry.name for entry in models.of_task(TASK) if entry.card.get("drawable")}


def _listen(models, form, sharing):
    events, fields = ClassifyEvents(models), [form[name] for name in ("model", "fit")]
    results = [form["answer"], form["shown"]]
    quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": LIMITS.pictures_at_once}
    # a visitor's input, since a link fills these fields, too
    pressed = [form["picture"].change, form["model"].input, form["fit"].input, form["classify"].click]
    latest, given = {**quiet, "trigger_mode": "always_last"}, [*fields, form["shown"]]
    done = [
        # pictures are ours to open
        gr.on(pressed, events.classify, [form["picture"], *given], results, preprocess=False, **latest),
        form["sketch"].select(events.classify_sketch, given, results, **latest),
        form["drawings"].click(events.classify_drawing, [form["drawings"], *fields], results, **quiet),
    ]
    show_pad = lambda name: gr.update(visible=name in _drawable(models))  # noqa: E731
    form["model"].change(show_pad, form["model"], form["panel"], **quiet)
    linked = {name: form[name] for name in ("model", "fit")}
    sharing.receive(events.welcome, [*fields, form["shown"], form["empty"]], linked, "#classify-button")
    sharing.listen(linked, done, result=form["shown"])


def _endpoint(models):
    """Offer /classify_image: a picture comes in by a component, which alone keeps foreign paths out."""

    def classify_image(image, model=None, fit=None, top_k=None, details=False):
        """Say what a picture shows.

        Args:
            image: JPEG, PNG, WebP, GIF or BMP, up to 16 MB.
            model: its name; by default the one for photographs.
            fit: "crop" looks at the middle, "pad" at all of it.
            top_k: labels to name, 1 to 100; 5 by default.
            details: also say whether the picture is unlike the training's.

        Returns:
            label -> calibrated probability, the likeliest first; with details {"labels": these, "unfamiliar": whether
            they mean little, "distance": from the training's pictures, where about 1 is usual, "notes": what was done}.
        """
        try:
            found = Request.check(models, uploaded(image), model, fit, top_k).answer(models)
        except BigModelError as error:
            raise told(error) from None
        labels = dict(found.labels)
        about = {"unfamiliar": found.unfamiliar, "distance": found.distance, "notes": list(found.notes)}
        return {"labels": labels, **about} if details else labels

    def check(image, model, fit, top_k, details):
        Request.check(models, uploaded(image), model, fit, top_k)

    hidden = {"visible": False}
    gr.Button(**hidden).click(
        classify_image,
        [
            gr.Image(label="image", **hidden),
            gr.Textbox(None, label="model", **hidden),
            gr.Textbox(None, label="fit", **hidden),
            gr.Number(None, label="top_k", **hidden),
            gr.Checkbox(False, label="details", **hidden),
        ],
        gr.JSON(label="labels", **hidden),
        api_name="classify_image",
        preprocess=False,
        validator=validator(classify_image, check),
        concurrency_limit=LIMITS.pictures_at_once,
        concurrency_id=TASK,
    )
