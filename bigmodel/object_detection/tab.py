"""The Detect part of the Image tab: a picture with boxes, counts, tables, several pictures at once; /detect_objects."""

import gradio as gr

from bigmodel.errors import BigModelError
from bigmodel.limits import LIMITS
from bigmodel.object_detection import tables
from bigmodel.object_detection.detections import THRESHOLDS
from bigmodel.object_detection.drawing import draw
from bigmodel.object_detection.events import PLACEHOLDER, DetectEvents
from bigmodel.object_detection.request import TASK, Request
from bigmodel.ui.endpoints import validator
from bigmodel.ui.pictures import limit_decoding, uploaded
from bigmodel.ui.programs import for_programs
from bigmodel.ui.sharing import Sharing
from bigmodel.ui.texts import t, words
from bigmodel.ui.widgets import cancellable, html_block, no_models_block, told

USUAL = 0.5  # threshold, before a model has said its own


def load(folder):
    """Open a model folder of this task; ONNX Runtime is imported by the first call."""
    from bigmodel.object_detection.runtime import ObjectDetector

    return ObjectDetector.from_pretrained(folder)


def build(models):
    """Return the tab as ``gr.Blocks``, which also launches alone.

    Args:
        models: the Models of the page.
    """
    limit_decoding()
    with gr.Blocks() as tab:
        sharing = Sharing("detect")
        empty = no_models_block(not models.of_task(TASK))
        with gr.Row(elem_classes="image-bench", elem_id="detect"):
            with gr.Column(min_width=280):
                form = {"empty": empty, **_inputs(models)}
            with gr.Column(min_width=280):
                form["answer"] = html_block(PLACEHOLDER, elem_id="detect-answer", elem_classes="answers")
                form["shown"] = gr.JSON({}, visible=False)
                with gr.Row(elem_classes="footnote"):
                    html_block(f"<p>{words('detect_link')}</p>", elem_classes="facts")
                    sharing.button()
                sharing.panel()
        _listen(models, form, sharing)
        _endpoint(models)
        arguments = {"image": form["picture"], "model": form["model"], "threshold": form["threshold"]}
        for_programs({"detect_objects": arguments})
    return tab


def _inputs(models):
    titled = models.titled(models.names(TASK))
    first = titled[0][1] if titled else None
    usual = models.entries[first].card.get("threshold", USUAL) if first else USUAL
    form = {"model": gr.Radio(titled, value=first, label=t("model"), elem_classes="segmented", visible=bool(titled))}
    form["picture"] = gr.Image(
        label=t("picture"), placeholder=t("picture_hint"), height=300, buttons=[], elem_id="detect-picture"
    )
    form["threshold"] = gr.Slider(
        *THRESHOLDS, usual, step=0.01, label=t("threshold"), info=t("threshold_hint"), buttons=[], elem_id="threshold"
    )
    with gr.Row(elem_classes="actions"):
        form["detect"] = gr.Button(t("detect"), variant="primary", scale=1, min_width=120, elem_id="detect-button")
        form["example"] = gr.Button(t("draw_example"), scale=1, min_width=120)
    with gr.Accordion(t("several_pictures"), open=False, elem_classes="panel", elem_id="several-panel"):
        form["files"] = gr.File(label=t("several_hint"), file_count="multiple", file_types=["image"], height=140)
        with gr.Row(elem_classes="actions"):
            form["start"] = gr.Button(t("start_pictures"), variant="primary", scale=2, min_width=120)
            form["cancel"] = gr.Button(t("cancel"), variant="stop", scale=1, min_width=90, interactive=False)
        form["overview"] = html_block(elem_id="overview")
    form["kept"] = gr.State(None, time_to_live=3600)
    return form


def _listen(models, form, sharing):
    events = DetectEvents(models)
    quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": LIMITS.pictures_at_once}
    raw = {**quiet, "preprocess": False}  # pictures are ours to open
    fields = [form[name] for name in ("picture", "model", "threshold", "shown")]
    results = [form[name] for name in ("kept", "answer", "shown")]
    # a visitor's input, since a link fills these fields, too
    form["model"].input(events.usual_threshold, form["model"], form["threshold"], **quiet)
    pressed = [form["picture"].change, form["model"].input, form["detect"].click]
    done = [
        gr.on(pressed, events.detect, fields, results, trigger_mode="always_last", **raw),
        form["example"].click(events.detect_example, fields[1:3], results, **quiet),
    ]
    linked = {name: form[name] for name in ("model", "threshold")}
    sharing.receive(events.welcome, [*fields[1:], form["empty"]], linked, "#detect-button")
    sharing.listen(linked, done, result=form["shown"])
    redrawn = [form["kept"], form["threshold"]]
    form["threshold"].change(events.redraw, redrawn, form["answer"], trigger_mode="always_last", **raw)
    several = [form[name] for name in ("files", "model", "threshold")]
    cancellable(
        form["start"],
        form["cancel"],
        events.detect_several,
        several,
        form["overview"],
        **{**raw, "show_progress": "full"},
        concurrency_id=f"{TASK}_several",  # a single picture does not wait for it
    )


def _endpoint(models):
    """Offer /detect_objects: a picture comes in by a component, which alone keeps foreign paths out."""

    def detect_objects(image, model=None, threshold=None):
        """Find objects in a picture, such as blood cells under a microscope.

        Args:
            image: JPEG, PNG, WebP, GIF or BMP, up to 16 MB.
            model: its name; by default the first that is here.
            threshold: least score, 0 to 1; by default the model's own.

        Returns:
            The picture with its boxes, and a table {"headers": ["label", "score", "x0", "y0", "x1", "y1"], "data":
            rows}, boxes in the picture's pixels, the surest first.
        """
        try:
            request = Request.check(models, uploaded(image), model, threshold)
            found = request.answer(models)
        except BigModelError as error:
            raise told(error) from None
        drawn = draw(found, models.get(request.model, TASK).labels)
        return drawn, {"headers": list(tables.HEADERS), "data": tables.rows(found)}

    def check(image, model, threshold):
        Request.check(models, uploaded(image), model, threshold)

    hidden = {"visible": False}
    gr.Button(**hidden).click(
        detect_objects,
        [
            gr.Image(label="image", **hidden),
            gr.Textbox(None, label="model", **hidden),
            gr.Number(None, label="threshold", **hidden),
        ],
        [gr.Image(label="picture", **hidden), gr.JSON(label="table", **hidden)],
        api_name="detect_objects",
        preprocess=False,
        validator=validator(detect_objects, check),
        concurrency_limit=LIMITS.pictures_at_once,
        concurrency_id=TASK,
    )
