"""The Generate part of the Image tab: pictures of a prompt as they sharpen, again and varied; /generate_image."""

import gradio as gr
from PIL import Image

from bigmodel.errors import BigModelError
from bigmodel.limits import LIMITS
from bigmodel.text_to_image import png, serve
from bigmodel.text_to_image.events import DrawEvents
from bigmodel.text_to_image.request import CHECKS, MAX_GUIDANCE, NUM_IMAGES, STRENGTH, TASK, Request
from bigmodel.text_to_image.sampler import SAMPLERS
from bigmodel.ui.endpoints import validator
from bigmodel.ui.programs import for_programs
from bigmodel.ui.sharing import Sharing
from bigmodel.ui.texts import t
from bigmodel.ui.widgets import html_block, no_models_block, switches, told

EXAMPLES = (
    "a cat face, noto style",
    "a cat face left of a pizza, noto style, on blue",
    "a rocket above a star, fluent style, on black",
    "a snail, a mushroom and a rose on green, twemoji",
    "🐧🎸",
    "蘑菇，firefox风格，黄色背景",
)
TEXTS = ("prompt", "model", "sampler")  # fields of the endpoint; the others are numbers
STEPS, GUIDANCE = 20, 3.0  # before a model has said its own


def load(folder):
    """Open a model folder of this task; ONNX Runtime is imported by the first call."""
    from bigmodel.text_to_image.runtime import ImageGenerator

    return ImageGenerator.from_pretrained(folder)


def build(models):
    """Return the tab as ``gr.Blocks``, which also launches alone.

    Args:
        models: the Models of the page.
    """
    known = models.names(TASK)
    with gr.Blocks() as tab:
        empty, sharing = no_models_block(not known), Sharing("generate")
        with gr.Row(elem_classes="bench", elem_id="generate"):
            with gr.Column(elem_classes="compose", min_width=280):
                form = _compose(models, known)
            with gr.Column(elem_classes="result", min_width=280):
                result = _result(sharing)
            with gr.Column(elem_classes="options", min_width=280):
                form |= _options()
        _listen(models, form | {"empty": empty}, result, sharing)
        _endpoint(models)
        for_programs({"generate_image": {name: form[name] for name in CHECKS}}, numbers=("seed", "variation_of"))
    return tab


def _compose(models, known):
    titled, first = models.titled(known), known[0] if known else None
    form = {"model": gr.Radio(titled, value=first, label=t("model"), elem_classes="segmented", visible=bool(known))}
    hint = t("what_to_draw_hint")
    form["prompt"] = gr.Textbox(label=t("what_to_draw"), placeholder=hint, lines=2, max_lines=5, elem_id="what-to-draw")
    hidden = [gr.Textbox(visible=False)]
    options = {"label": t("style"), "elem_classes": "examples", "visible": False}
    # an index, since the samples come later, and live in a visit alone, which may be evicted
    form["styles"] = gr.Dataset(components=hidden, samples=[], type="index", **options)
    form["num_images"] = gr.Slider(1, LIMITS.drawings, NUM_IMAGES, step=1, label=t("num_images"), buttons=[])
    with gr.Row(elem_classes="actions"):
        form["draw"] = gr.Button(t("draw"), variant="primary", scale=3, min_width=120, elem_id="draw-button")
        form["stop"] = gr.Button(t("stop"), variant="stop", scale=1, min_width=90, interactive=False)
    return form


def _options():
    hidden, samples = [gr.Textbox(visible=False)], [[text] for text in EXAMPLES]
    form = {"examples": gr.Dataset(components=hidden, samples=samples, label=t("examples"), elem_classes="examples")}
    with gr.Accordion(t("sampling"), open=False, elem_classes="panel"):
        form |= _sampling()
    place = {"file_types": [".png"], "height": 140, "interactive": True, "elem_id": "drop-drawing"}
    form["file"] = gr.File(label=t("drop_drawing"), **place)
    form["said"] = html_block(elem_id="restored")
    return form


def _sampling():
    def slider(name, low, high, value, step):
        return gr.Slider(low, high, value, step=step, label=t(name), info=t(f"{name}_hint"), buttons=[])

    samplers = [(name.capitalize(), name) for name in SAMPLERS]
    # a gr.Number shows an empty value as 0
    return {
        "steps": slider("steps", 1, LIMITS.drawing_steps, min(STEPS, LIMITS.drawing_steps), 1),
        "guidance": slider("guidance", 0, MAX_GUIDANCE, GUIDANCE, 0.1),
        "sampler": gr.Radio(samplers, value=SAMPLERS[0], label=t("sampler"), info=t("sampler_hint")),
        "seed": gr.Textbox(label=t("seed"), placeholder=t("seed_hint"), max_lines=1, elem_id="drawing-seed"),
        "variation_of": gr.Textbox(label=t("variation_of"), placeholder=t("variation_of_hint"), max_lines=1),
        "strength": slider("strength", 0, 1, STRENGTH, 0.05),
    }


def _result(sharing):
    drawing = {"html_template": "${bigmodel.drawing(value)}", "js_on_load": "bigmodel.usable(element, props, trigger)"}
    result = {"drawing": gr.HTML({}, **drawing, elem_id="drawing")}
    with gr.Row(elem_classes="footnote"):
        result["facts"] = html_block(elem_id="drawing-facts", elem_classes="facts")
        sharing.button()
    sharing.panel()
    return result


def _listen(models, form, result, sharing):
    events, fields = DrawEvents(models), {name: form[name] for name in CHECKS}
    quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": LIMITS.requests_in_turn}
    drawing, stop = result["drawing"], form["stop"]
    pressed = [form["draw"].click, form["prompt"].submit, drawing.select]
    # at once and in the browser: who waits for a turn can stop, too
    gr.on(pressed, None, None, stop, js=switches("true"), api_visibility="private")
    working = gr.on(
        pressed,
        events.draw,
        list(fields.values()),
        [drawing, result["facts"]],
        concurrency_id=TASK,
        show_progress_on=result["facts"],  # its place in the queue, too
        **{**quiet, "show_progress": "minimal"},
    )
    working.then(None, None, stop, js=switches("false"), api_visibility="private")
    # first cancel, then settle: a piece that is on its way must not come last; until then nothing new begins
    settle = f"(drawing) => [{{ ...drawing, busy: false }}, ...({switches('true')})()]"
    stop.click(None, None, [stop, form["draw"]], js=switches("false", "false"), api_visibility="private")
    stopped = stop.click(None, cancels=[working], api_visibility="private")
    stopped = stopped.then(lambda: None, **quiet)  # by way of the server
    stopped.then(None, drawing, [drawing, form["draw"]], js=settle, api_visibility="private")

    others = [field for name, field in fields.items() if name != "model"]
    form["model"].input(events.arrange, form["model"], [*others, form["styles"]], **quiet)
    form["styles"].click(events.choose_style, [form["styles"], form["prompt"], form["model"]], form["prompt"], **quiet)
    form["examples"].click(lambda sample: sample[0], form["examples"], form["prompt"], **quiet)
    # a file is ours to open
    restored = [*fields.values(), form["styles"], form["said"], form["file"]]
    form["file"].upload(events.restore, form["file"], restored, preprocess=False, **quiet)
    sharing.receive(events.welcome, [*fields.values(), form["styles"], form["empty"]], fields, "#draw-button")
    sharing.listen(fields, [working], result=drawing)


def _endpoint(models):
    """Offer /generate_image: pictures go out by a component, which alone makes files of them."""

    def generate_image(
        prompt,
        model=None,
        num_images=None,
        steps=None,
        guidance=None,
        seed=None,
        sampler=None,
        variation_of=None,
        strength=None,
    ):
        """Draw pictures of a prompt; equal arguments with a seed give equal pictures.

        Args:
            prompt: what to draw, such as "a cat face, noto style"; "" leaves it to the model.
            model: a name from /health; by default the first that draws.
            num_images: 1 to 8; 4 by default.
            steps: of the sampling, 1 to 100; this, guidance and sampler are the model's own by default.
            guidance: how closely the words are followed, 0 to 20.
            seed: of the first picture, the others have the next ones; by default a new one.
            sampler: "euler" or "heun".
            variation_of: seed of a picture to begin with.
            strength: how far a variation leads away from it, 0 to 1; 0.5 by default.

        Returns:
            The pictures so far, again and again while they sharpen; and {"step", "steps", "finished", "seeds",
            "prompt": as it was read, "unconditional": whether nothing was asked for, "ignored": words that no caption
            of the training had, "cut": words beyond those that the model reads, "settings": what gives the same again}.
        """
        arguments = locals()
        try:
            request = Request.check(models, **{name: arguments[name] for name in CHECKS})
            generator = models.get(request.model, TASK)
            for drawn in serve.draw(generator, request):
                yield _gallery(generator, request, drawn), _about(generator, request, drawn)
        except BigModelError as error:
            raise told(error) from None

    def check(**values):
        Request.check(models, **values)

    hidden = {"visible": False}
    numbers = {name: gr.Number(None, label=name, **hidden) for name in CHECKS if name not in TEXTS}
    inputs = {name: gr.Textbox(None, label=name, **hidden) for name in TEXTS} | numbers
    gr.Button(**hidden).click(
        generate_image,
        [inputs[name] for name in CHECKS],
        [gr.Gallery(label="pictures", format="png", **hidden), gr.JSON(label="about", **hidden)],
        api_name="generate_image",
        preprocess=False,
        validator=validator(generate_image, check),
        concurrency_limit=LIMITS.requests_in_turn,
        concurrency_id=TASK,
    )


def _gallery(generator, request, drawn):
    """Return pictures with captions as a gr.Gallery takes them; finished ones know their settings."""
    settings, pictures = request.settings(generator, drawn.progress), []
    for pixels, seed in zip(drawn.progress.images, drawn.progress.seeds, strict=True):
        picture = Image.fromarray(pixels)
        if drawn.finished:  # Gradio writes these as text chunks
            picture.info |= png.texts({**settings, "seed": seed})
        pictures.append((picture, f"seed {seed}"))
    return pictures


def _about(generator, request, drawn):
    progress = drawn.progress
    return {
        "step": progress.step,
        "steps": progress.steps,
        "finished": drawn.finished,
        "seeds": list(progress.seeds),
        "prompt": progress.reading.text,
        "unconditional": not progress.reading.text.strip(),
        "ignored": list(progress.reading.unknown),
        "cut": list(progress.reading.cut),
        "settings": request.settings(generator, progress),
    }
