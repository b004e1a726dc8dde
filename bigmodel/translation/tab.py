"""The Translate tab: two panes, other ways to say it, where the model looked, files; /translate and /translate_file."""

from collections.abc import Iterator

import gradio as gr
from gradio_client.utils import is_valid_file

from bigmodel.errors import BigModelError, InputError
from bigmodel.limits import LIMITS
from bigmodel.translation import serve
from bigmodel.translation.events import FILLED, LINKED, TranslateEvents, table
from bigmodel.translation.files import FORMATS
from bigmodel.translation.request import AUTO, CHECKS, NUM_ALTERNATIVES, TASK, Request, directions
from bigmodel.ui.endpoints import add_endpoint
from bigmodel.ui.programs import for_programs
from bigmodel.ui.sharing import Sharing
from bigmodel.ui.texts import t, words
from bigmodel.ui.widgets import announced, cancellable, html_block, no_models_block, told

# as their speakers call them
OWN_NAMES = {AUTO: "Auto 自动", "en": "English", "de": "Deutsch", "zh": "中文", "lzh": "文言文"}
# direction -> what to try
EXAMPLES = {
    ("en", "de"): ("Two dogs are playing in the snow.", "A woman in a red coat is waiting for the bus."),
    ("de", "en"): ("Ein kleiner Junge springt ins Wasser.", "Drei Männer sitzen auf einer Bank und lesen."),
    ("en", "zh"): ("I would like a cup of tea.", "A dog is running on the beach."),
    ("zh", "en"): ("你今天去哪里？", "一个女孩在公园里放风筝。"),
    ("lzh", "zh"): ("学而时习之，不亦说乎？", "有朋自远方来，不亦乐乎？"),
}


def load(folder):
    """Open a model folder of this task; ONNX Runtime is imported by the first call."""
    from bigmodel.translation.runtime import Translator

    return Translator.from_pretrained(folder)


def build(models):
    """Return the tab as ``gr.Blocks``, which also launches alone.

    Args:
        models: the Models of the page.
    """
    known = directions(models)
    with gr.Blocks() as tab:
        empty, sharing = no_models_block(not known), Sharing("translate")
        form = _panes(known, sharing) | {"empty": empty}
        with gr.Row(elem_id="translate-more"):
            with gr.Column(min_width=280):
                form["alternatives"] = html_block(elem_id="other-ways")
                form["attention"] = html_block(elem_id="attention")
                sharing.panel()
            with gr.Column(min_width=280):
                form |= _options(known)
        _listen(models, form, sharing)
        _endpoints(models)
        asked = {"translate": CHECKS, "translate_file": ("file", "source", "target", "column")}
        for_programs({name: {argument: form[argument] for argument in asked[name]} for name in asked})
    return tab


def _choices(known):
    """Return the choices of the source and of the target."""
    sources, targets = [AUTO, *dict.fromkeys(s for s, _ in known)], list(dict.fromkeys(t for _, t in known))
    return [[(OWN_NAMES.get(code, code), code) for code in codes] for codes in (sources, targets)]


def _samples(known):
    """Return the examples' fields, and what they are called."""
    samples = [[text, *direction] for direction, texts in EXAMPLES.items() if direction in known for text in texts]
    return {"samples": samples, "sample_labels": [text for text, *_ in samples], "visible": bool(samples)}


def _panes(known, sharing):
    sources, targets = _choices(known)
    with gr.Row(elem_id="languages"):
        source = gr.Dropdown(sources, value=AUTO, label=t("source_language"), min_width=120)
        swap = gr.Button(t("swap"), elem_id="swap", scale=0, min_width=52, elem_classes="icon")
        first = next((target for _, target in known), None)
        name = t("target_language")
        target = gr.Dropdown(targets, value=first, label=name, min_width=120, elem_id="translate-target")
    with gr.Row(elem_id="panes"):
        hint = t("source_text_hint")
        text = gr.Textbox(label=t("source_text"), placeholder=hint, lines=7, max_lines=14, elem_id="source-text")
        translation = gr.Textbox(
            label=t("translation"), lines=7, max_lines=14, interactive=False, buttons=["copy"], elem_id="translation"
        )
    with gr.Row(elem_id="translate-foot"):
        said = announced() + f"<p>{words('only_knows')}</p>" * bool(known)
        facts = html_block(said, elem_id="translate-facts", js_on_load="bigmodel.pressable(element, trigger)")
        sharing.button()
        button = gr.Button(t("translate"), variant="primary", scale=0, min_width=140, elem_id="translate-button")
    names = ("source", "swap", "target", "text", "translation", "facts", "translate")
    return dict(zip(names, (source, swap, target, text, translation, facts, button), strict=True))


def _options(known):
    hidden = [gr.Textbox(visible=False) for _ in range(3)]
    form = {"examples": gr.Dataset(components=hidden, **_samples(known), label=t("examples"), elem_classes="examples")}
    with gr.Accordion(t("search"), open=False, elem_classes="panel"):
        form["num_beams"] = gr.Slider(
            1, LIMITS.beams, min(5, LIMITS.beams), step=1, label=t("num_beams"), info=t("num_beams_hint"), buttons=[]
        )
        hint = t("num_alternatives_hint")
        form["num_alternatives"] = gr.Slider(
            1, LIMITS.beams, NUM_ALTERNATIVES, step=1, label=t("num_alternatives"), info=hint, buttons=[]
        )
    with gr.Accordion(t("translate_file"), open=False, elem_classes="panel", elem_id="file-panel"):
        form["file"] = _file_field(label=t("file_hint"), file_types=list(FORMATS), height=120)
        form["column"] = gr.Textbox("", label=t("column"), info=t("column_hint"), max_lines=1)
        with gr.Row(elem_classes="actions"):
            form["start"] = gr.Button(t("start_file"), variant="primary", scale=2, min_width=120)
            form["cancel"] = gr.Button(t("cancel"), variant="stop", scale=1, min_width=90, interactive=False)
        form["download"] = gr.File(label=t("download"), interactive=False, height=80)
    return form


def _file_field(**options):
    """Return a ``gr.File`` that hands a function a path; Gradio leaves an empty file behind each time."""

    def path_of(file):
        if not is_valid_file(file.path, field.file_types):
            raise told(InputError("file", f"is of a type that is not taken; give {', '.join(field.file_types)}"))
        return file.path

    field = gr.File(**options)
    field._process_single_file = path_of
    return field


def _listen(models, form, sharing):
    events = TranslateEvents(models)
    fields = [form[name] for name in CHECKS]
    results = [form[name] for name in ("translation", "facts", "alternatives", "attention", "target")]
    quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": LIMITS.requests_in_turn}
    work = {**quiet, "concurrency_id": TASK}
    pair = [form[name] for name in ("source", "target")]
    # a change, since input tells of keys alone: pasted texts, examples, links and swaps are changes, too
    changes = [form["text"].change, *(form[n].input for n in ("source", "target", "num_beams", "num_alternatives"))]
    form["source"].input(events.targets, pair, form["target"], **quiet)
    typed = gr.on(changes, events.translate_typed, fields, results, trigger_mode="always_last", **work)
    shown = {**work, "show_progress": "minimal", "show_progress_on": form["facts"]}
    pressed = form["translate"].click(events.translate_now, fields, results, cancels=[typed], **shown)
    corrected = form["facts"].select(events.correct, pair, pair, **quiet)
    corrected = corrected.then(events.translate_now, fields, results, **shown)
    linked = {name: form[name] for name in LINKED}
    sharing.receive(events.welcome, [form[name] for name in FILLED])  # a changed text is translated by itself
    sharing.listen(linked, [pressed, corrected], typed=[typed])
    places = [form[name] for name in ("source", "target", "text", "translation")]
    form["swap"].click(events.swap, places, places, **quiet)
    chosen = [form[name] for name in ("source", "target", "text")]
    form["examples"].click(lambda sample: [*sample[1:], sample[0]], form["examples"], chosen, **quiet)
    known = directions(models)

    def offer():
        """Offer the languages of the models that could be fetched and opened."""
        models.wait()
        now = directions(models)
        if now == known:
            return gr.skip()
        (sources, targets), first = _choices(now), next((target for _, target in now), None)
        target = {} if known else {"value": first}
        offered = gr.update(choices=sources), gr.update(choices=targets, **target), gr.update(**_samples(now))
        return *offered, gr.update(visible=not now)

    gr.on(None, offer, None, [form[name] for name in ("source", "target", "examples", "empty")], **quiet)
    inputs = [form[name] for name in ("file", "source", "target", "column")]
    cancellable(
        form["start"],
        form["cancel"],
        events.translate_file,
        inputs,
        form["download"],
        api_name="translate_file",  # a file comes in and goes out by a component, so that this event is the endpoint
        concurrency_limit=LIMITS.requests_in_turn,
        concurrency_id="translation_file",
    )


def _endpoints(models):
    def translate(
        text: str,
        source: str = AUTO,
        target: str | None = None,
        num_beams: int | None = None,
        num_alternatives: int = NUM_ALTERNATIVES,
    ) -> Iterator[tuple[str, str, dict]]:
        """Translate a text.

        Args:
            text: up to 5,000 characters; paragraphs, lists and blank lines are kept.
            source: "auto", or the code of its language, such as "en"; /health lists the models and their directions.
            target: a code; by default the first that fits the source.
            num_beams: hypotheses of the search, 1 to 10, at least num_alternatives; 1 is greedy. By default the
                model's own.
            num_alternatives: translations of each sentence, 1 to 10.

        Returns:
            The translation so far, again and again while it grows; the code of the source's language; and a table
            {"headers": ["sentence", "translation", "score"], "data": rows, "finished": bool}, the likeliest first.
        """
        arguments = locals()
        try:
            request = Request.check(models, **{name: arguments[name] for name in CHECKS})
            for progress in serve.translate(models, request):
                finished = {"finished": progress.done == progress.total}
                yield progress.translation.text, request.source, table(progress.translation) | finished
        except BigModelError as error:
            raise gr.Error(str(error), print_exception=False) from None

    limits = {"concurrency_limit": LIMITS.requests_in_turn, "concurrency_id": TASK}
    add_endpoint(translate, lambda **values: Request.check(models, **values), **limits)
