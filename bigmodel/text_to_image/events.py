"""What the Generate tab does when it is used: each method answers one event of the page."""

import base64
import random
from html import escape
from pathlib import Path

import gradio as gr

from bigmodel.errors import BigModelError, InputError
from bigmodel.limits import LIMITS
from bigmodel.text_to_image import png, serve
from bigmodel.text_to_image.request import CHECKS, NUM_IMAGES, TASK, Request, given, with_style
from bigmodel.ui.language import translated, visitor_language
from bigmodel.ui.pictures import uploaded
from bigmodel.ui.texts import words
from bigmodel.ui.validation import check_number
from bigmodel.ui.widgets import announced, picked, provider_name, told

LABELS = {"prompt": "what_to_draw"}  # of fields that the tab calls otherwise than others do
WRITTEN = ("seed", "variation_of")  # numbers in text fields, since a gr.Number shows an empty value as 0


class DrawEvents:
    """The event handlers of one page; they keep no state.

    A drawing is a dict: busy, step, steps, count, size (width, height), prompt, pictures (list of {"src", "seed",
    "name"}), finished, link (what gives the same pictures). ``drawing.js`` shows it.

    Args:
        models: the Models of the page.
    """

    def __init__(self, models):
        self.models = models

    def draw(self, event: gr.EventData, *values):
        """Stream pictures: of the fields, or by a picture's buttons the same one again or variations of it.

        Yields:
            the drawing, and the facts under it.
        """
        values = dict(zip(CHECKS, values, strict=True))
        values |= {name: _number(values[name]) for name in WRITTEN}
        if getattr(event.target, "elem_id", None) == "drawing":
            values |= chosen(getattr(event, "action", None), getattr(event, "picture", None), values)
        if values["seed"] is None:
            values["seed"] = random.randrange(1_000_000)
        try:
            request = Request.check(self.models, **values)
            generator = self.models.get(request.model, TASK)
        except BigModelError as error:
            raise told(error, LABELS) from None
        drawing = {"busy": True, "finished": False, "pictures": [], "prompt": request.prompt}
        drawing |= {"step": 0, "steps": request.steps_of(generator), "count": request.num_images}
        drawing["size"] = list(generator.size[::-1])
        yield drawing, announced()
        try:
            for drawn in serve.draw(generator, request):
                drawing = {**drawing, **shown(generator, request, drawn)}
                yield drawing, facts(generator, request, drawn)
        except BigModelError as error:
            yield {**drawing, "busy": False}, ""
            raise told(error, LABELS) from None
        except Exception:
            yield {**drawing, "busy": False}, ""
            raise
        yield {**drawing, "busy": False}, gr.skip()

    def welcome(self, values):
        """Fill the form from what the page was opened with, and with the model's own settings.

        Returns:
            each field of CHECKS, the styles, and what is said where there is no model.
        """
        known = self.models.names(TASK, wait=True)
        found, _ = given(values if isinstance(values, dict) else {})
        picker = picked(self.models.titled(known), found.pop("model", None))
        model = picker["value"]
        fields = {"model": picker, **self._defaults(model)}
        fields |= {name: _shown(name, value) for name, value in found.items()}
        return *(fields.get(name, gr.skip()) for name in CHECKS), self._styles(model), gr.update(visible=not known)

    def arrange(self, model):
        """Return what a model's choice changes: the fields of CHECKS but its own, and the styles."""
        fields = self._defaults(model)
        return *(fields.get(name, gr.skip()) for name in CHECKS if name != "model"), self._styles(model)

    def choose_style(self, index, prompt, model):
        """Return the prompt in the model's style of an index."""
        styles = self._model(model, "styles", ())
        try:
            prompt = CHECKS["prompt"](prompt)
            index = check_number("style", index, 0, len(styles) - 1, whole=True, optional=False)
        except InputError as error:
            raise told(error, LABELS) from None
        return with_style(prompt, styles[index], styles)

    def restore(self, file):
        """Return the settings of a PNG file that was made here.

        Returns:
            each field of CHECKS, the styles, what is said of it as HTML, and None, which empties the place to drop it.
        """
        if not uploaded(file):
            return [gr.skip()] * (len(CHECKS) + 3)
        try:
            try:
                texts = png.read(Path(uploaded(file)).read_bytes())
            except OSError as error:  # swept away meanwhile
                raise InputError("picture", "is gone; drop it again") from error
        except InputError as error:
            said = escape(translated(str(error), visitor_language()))
            return *[gr.skip()] * (len(CHECKS) + 1), f'<p class="skipped" role="alert">{said}</p>', None
        found, refused = given(texts)
        said = []
        if "model" in found and found["model"] not in self.models.names(TASK):
            said.append(f'<p class="skipped">{words("model_elsewhere")} {escape(found.pop("model"))}</p>')
        if refused:
            listed = ", ".join(words(LABELS.get(name, name)) for name in refused)
            said.append(f'<p class="skipped">{words("settings_refused")} {listed}</p>')
        if not said:
            said.append(f"<p>{words('settings_restored' if 'seed' in found else 'settings_without_seed')}</p>")
        fields = {"num_images": 1, "variation_of": None, **found}
        filled = [_shown(name, fields[name]) if name in fields else gr.skip() for name in CHECKS]
        styles = self._styles(found["model"]) if "model" in found else gr.skip()
        return *filled, styles, f'<div role="status">{"".join(said)}</div>', None

    def _defaults(self, model):
        defaults = self._model(model, "defaults", {})
        defaults = defaults and {**defaults, "steps": min(defaults["steps"], LIMITS.drawing_steps)}
        return {name: defaults[name] for name in ("steps", "guidance", "sampler") if name in defaults}

    def _styles(self, model):
        styles = self._model(model, "styles", ())
        return gr.update(samples=[[style] for style in styles], visible=bool(styles))

    def _model(self, model, attribute, otherwise):
        """Return an attribute of a model, opened now if need be; ``otherwise`` where it cannot be."""
        try:
            return getattr(self.models.get(model, TASK), attribute)
        except BigModelError:
            return otherwise


def chosen(action, picture, values):
    """Return the fields that a picture's button changes.

    Args:
        action: "again" or "variations".
        picture: dict of the fields that the picture was made of; it comes back from the browser.
        values: field -> value of the form.
    """
    picture = picture if isinstance(picture, dict) else {}
    fields = {name: picture.get(name) for name in CHECKS}
    fields["prompt"] = fields["prompt"] or ""
    if action != "variations":
        return {**fields, "num_images": 1}
    several = values["num_images"] if values["num_images"] != 1 else NUM_IMAGES
    # of a variation's noise no seed alone tells: more of the same picture's
    of = fields["seed"] if fields["variation_of"] is None else fields["variation_of"]
    seed = random.randrange(1_000_000)
    return {**fields, "num_images": several, "variation_of": of, "seed": seed, "strength": values["strength"]}


def shown(generator, request, drawn):
    """Return the parts of a drawing that a serve.Drawn changes."""
    progress = drawn.progress
    settings = request.settings(generator, progress)
    pictures = []
    for pixels, seed in zip(progress.images, progress.seeds, strict=True):
        # a preview is no result: its file says nothing
        data = png.encode(pixels, {**settings, "seed": seed} if drawn.finished else {})
        address = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        pictures.append({"src": address, "seed": seed, "name": png.file_name(request.prompt, seed)})
    steps = {"step": progress.step, "steps": progress.steps}
    return {**steps, "pictures": pictures, "link": settings, "finished": drawn.finished}


def facts(generator, request, drawn):
    """Return what is said under pictures as HTML: how the prompt was read, and how and how fast they were drawn."""
    reading, (height, width) = drawn.progress.reading, generator.size
    said = []
    if not reading.text.strip():
        said.append(f"<p>{words('unasked')}</p>")
    elif reading.text.strip() != request.prompt:
        said.append(f"<p>{words('read_as')} <q>{escape(reading.text)}</q></p>")
    if reading.unknown:
        said.append(f'<p class="skipped">{words("words_ignored")} {escape(", ".join(reading.unknown))}</p>')
    if reading.cut:
        rest = " ".join(reading.cut)
        said.append(f'<p class="skipped">{words("words_cut")} {escape(rest[:100])}{"…" * (len(rest) > 100)}</p>')
    parts = [f"{width} × {height} {words('pixels_enlarged')}"]
    if drawn.finished or drawn.note:
        provider = escape(provider_name(drawn.progress.provider))
        parts = [f"<b>{drawn.seconds:.1f}</b> {words('seconds')}", provider, *parts]
    if drawn.note:
        parts.append(words(drawn.note))
    done, count = drawn.finished or drawn.note, len(drawn.progress.images)
    spoken = f"{count} {words('one_picture' if count == 1 else 'pictures')}: {escape(reading.text)}" if done else ""
    return f"{announced(spoken)}{''.join(said)}<p>{' · '.join(parts)}</p>"


def _number(text):
    """Return the number that stands in a text field, None for nothing; other words are left to the field's check."""
    text = str(text if text is not None else "").strip()
    try:
        return int(text) if text else None
    except ValueError:
        return text


def _shown(name, value):
    """Return a field's value as its component takes it."""
    return ("" if value is None else str(value)) if name in WRITTEN else gr.skip() if value is None else value
