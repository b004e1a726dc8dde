"""The Text tab: write with a model, watch it choose, choose for it; and /generate_text and /next_tokens."""

from collections.abc import Iterator

import gradio as gr

from bigmodel.errors import BigModelError
from bigmodel.limits import LIMITS
from bigmodel.runtime.sampling import DEFAULTS
from bigmodel.text_generation import serve
from bigmodel.text_generation.events import FORESEEN, LINKED, TextEvents
from bigmodel.text_generation.poetry import FORMS, KINDS
from bigmodel.text_generation.request import CHECKS, TASK, Request
from bigmodel.ui.endpoints import add_endpoint
from bigmodel.ui.programs import for_programs
from bigmodel.ui.sharing import Sharing
from bigmodel.ui.texts import t
from bigmodel.ui.widgets import html_block, no_models_block, switches

PLAIN_EXAMPLES = (
    "Once upon a time there was a little",
    "The quick brown fox jumps over the lazy",
    "“Come with me,” said the old sailor, “and I will show you",
    "It was late in the evening when Alice opened the door, and",
)
# label -> prompt, kind, form, author, title, acrostic
POETRY_EXAMPLES = {
    "秋夜 · 五律": ("", "唐诗", "五律", "", "秋夜", ""),
    "仿李白 · 七绝": ("", "唐诗", "七绝", "李白", "山中", ""),
    "明月照…": ("明月照", "唐诗", "五绝", "", "", ""),
    "藏头 · 春夏秋冬": ("", "", "七绝", "", "", "春夏秋冬"),
    "仿苏轼 · 词": ("", "宋词", "", "苏轼", "西江月", ""),
}


def load(folder):
    """Open a model folder of this task; ONNX Runtime is imported by the first call."""
    from bigmodel.text_generation.runtime import TextGenerator

    return TextGenerator.from_pretrained(folder, slots=LIMITS.texts_at_once)


def routes(models):
    """Return the paths beside Gradio's endpoints, an APIRouter."""
    from bigmodel.text_generation import completions

    return completions.routes(models)


def build(models):
    """Return the tab as ``gr.Blocks``, which also launches alone.

    Args:
        models: the Models of the page.
    """
    with gr.Blocks() as tab:
        empty, sharing = no_models_block(not models.of_task(TASK)), Sharing("text")
        with gr.Row(elem_id="workbench"):
            with gr.Column(elem_id="compose", min_width=280):
                form = _compose(models)
            with gr.Column(elem_id="result", min_width=280):
                result = _result(sharing)
            with gr.Column(elem_id="options", min_width=280):
                form |= _options()
        _listen(models, form | {"empty": empty}, result, sharing)
        _endpoints(models)
        asked = {name: form[name] for name in CHECKS if name in form}
        foreseen = {name: form[name] for name in FORESEEN if name != "acrostic"}
        for_programs({"generate_text": asked, "next_tokens": foreseen}, numbers=("seed",))
    return tab


def _compose(models):
    choices = models.titled(models.names(TASK))
    form = {
        # chosen when the page is opened, by the visitor's language or the link
        "model": gr.Radio(choices, value=None, label=t("model"), elem_classes="segmented", visible=bool(choices)),
        "prompt": gr.Textbox(label=t("prompt"), placeholder=t("prompt_hint"), lines=3, max_lines=8, elem_id="prompt"),
    }
    with gr.Column(visible=False, elem_id="poem") as form["fields"]:
        with gr.Row():
            form["kind"] = gr.Dropdown([(t("any"), ""), *KINDS], value="", label=t("kind"), min_width=100)
            form["form"] = gr.Dropdown([(t("any"), ""), *FORMS], value="", label=t("form"), min_width=100)
        with gr.Row():
            form["author"] = gr.Textbox(label=t("author"), placeholder=t("author_hint"), max_lines=1, min_width=100)
            form["title"] = gr.Textbox(label=t("title"), placeholder=t("title_hint"), max_lines=1, min_width=100)
        form["acrostic"] = gr.Textbox(label=t("acrostic"), placeholder=t("acrostic_hint"), max_lines=1)
    with gr.Row(elem_classes="actions"):
        form["generate"] = gr.Button(t("generate"), variant="primary", scale=3, min_width=120, elem_id="write")
        form["stop"] = gr.Button(t("stop"), variant="stop", scale=1, min_width=90, interactive=False)
    return form


def _options():
    form = {
        "plain_examples": gr.Dataset(
            components=[gr.Textbox(visible=False)],
            samples=[[text] for text in PLAIN_EXAMPLES],
            label=t("examples"),
            visible=False,
            elem_classes="examples",
        ),
        "poetry_examples": gr.Dataset(
            components=[gr.Textbox(visible=False) for _ in range(6)],
            samples=[list(sample) for sample in POETRY_EXAMPLES.values()],
            sample_labels=list(POETRY_EXAMPLES),
            label=t("examples"),
            visible=False,
            elem_classes="examples",
        ),
    }
    with gr.Accordion(t("sampling"), open=False, elem_id="sampling"):
        form["max_new_tokens"] = _slider("max_new_tokens", 1, LIMITS.new_tokens, 1)
        form["temperature"] = _slider("temperature", 0, 2, 0.05)
        form["top_k"] = _slider("top_k", 0, 1000, 1)
        form["top_p"] = _slider("top_p", 0.01, 1, 0.01)
        # a gr.Number shows an empty value as 0
        form["seed"] = gr.Textbox(label=t("seed"), placeholder=t("seed_hint"), max_lines=1, elem_id="seed")
    return form


def _slider(name, low, high, step):
    return gr.Slider(low, high, min(DEFAULTS[name], high), step=step, label=t(name), info=t(f"{name}_hint"), buttons=[])


def _result(sharing):
    result = {
        "passage": gr.HTML(
            {},
            html_template="${bigmodel.passage(value)}",
            js_on_load="bigmodel.choosable(element, props, trigger)",
            elem_id="passage",
            autoscroll=True,
        )
    }
    with gr.Row(elem_id="footnote"):
        result["facts"] = html_block(elem_id="facts")
        result["again"] = gr.Button(t("again"), size="sm", min_width=80, scale=0, interactive=False, elem_id="again")
        result["surprise"] = gr.Button(t("surprise"), size="sm", min_width=110, scale=0, elem_id="surprise")
        sharing.button()
    result["alternatives"] = gr.HTML(
        {},
        html_template="${bigmodel.alternatives(value)}",
        js_on_load="bigmodel.pressable(element, trigger)",
        elem_id="alternatives",
    )
    result["foresee"] = gr.Button(visible="hidden", elem_id="foresee")
    sharing.panel()
    return result


def _listen(models, form, result, sharing):
    events = TextEvents(models)
    passage, alternatives, stop, again = result["passage"], result["alternatives"], form["stop"], result["again"]
    settings = [form[name] for name in CHECKS if name in form]
    foreseen = [form[name] for name in FORESEEN]
    quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": LIMITS.texts_at_once}
    buttons = form["generate"], again, result["surprise"]
    pressed = [*(button.click for button in buttons), form["prompt"].submit, alternatives.select]
    # at once and in the browser: who waits for a turn can stop, too
    gr.on(pressed, None, None, [stop, again], js=switches("true", "false"), api_visibility="private")
    writing = gr.on(
        pressed,
        events.write,
        [passage, alternatives, *settings],
        [passage, result["facts"], alternatives, form["seed"]],
        concurrency_id=TASK,
        show_progress_on=result["facts"],  # its place in the queue, too
        **{**quiet, "show_progress": "minimal"},
    )
    idle = {"js": switches("false", "Boolean(value && value.seed !== undefined)"), "api_visibility": "private"}
    writing.then(None, passage, [stop, again], **idle)
    # first cancel, then settle: a piece that is on its way must not come last; until then nothing new begins
    stop.click(None, None, [stop, form["generate"]], js=switches("false", "false"), api_visibility="private")
    stopped = stop.click(None, cancels=[writing], api_visibility="private")
    stopped = stopped.then(events.stop, passage, [passage, alternatives], **quiet)
    stopped.then(None, None, form["generate"], js=switches("true"), api_visibility="private")
    stopped.then(None, passage, [stop, again], **idle)
    latest = {**quiet, "concurrency_id": "look_inside", "trigger_mode": "always_last"}
    passage.select(events.look_inside, passage, [passage, alternatives], **latest)
    # once for all of them: a link fills several fields in one moment
    changes = [field.change for field in foreseen]
    gr.on(changes, None, js="() => bigmodel.soon('#foresee')", api_visibility="private")
    result["foresee"].click(events.foresee, foreseen, alternatives, **latest)
    _follow_model(models, events, form, sharing, quiet)
    sharing.listen({name: form[name] for name in LINKED}, [writing], result=passage)
    form["plain_examples"].click(lambda sample: sample[0], form["plain_examples"], form["prompt"], **quiet)
    verse = [form[name] for name in ("prompt", "kind", "form", "author", "title", "acrostic")]
    form["poetry_examples"].click(lambda sample: sample, form["poetry_examples"], verse, **quiet)


def _follow_model(models, events, form, sharing, quiet):
    """Connect what arranges the form for a model: the one chosen, or the one that the page is opened with."""
    layout = [form[name] for name in ("prompt", "fields", "plain_examples", "poetry_examples", *DEFAULTS)]
    linked = {name: form[name] for name in LINKED}
    arranged = gr.State()  # the model that the fields were last arranged for

    def arrange(model, prompt):
        """Return component -> update: the fields, examples and sampling settings of a model."""
        entry = models.entries.get(model)
        poem = bool(entry) and entry.card.get("format") == "poetry"
        if poem:
            words = {"label": t("first_words"), "placeholder": t("first_words_hint")}
            words |= {"value": ""} if prompt in PLAIN_EXAMPLES else {}
        else:
            words = {"label": t("prompt"), "placeholder": t("prompt_hint")}
            words |= {} if prompt else {"value": PLAIN_EXAMPLES[0]}
        visible = [gr.update(visible=bool(entry) and shown) for shown in (poem, not poem, poem)]
        updates = [gr.update(**words), *visible, *events.sampling(model).values(), model]
        return dict(zip([*layout, arranged], updates, strict=True))

    def choose_model(model, prompt, last):
        """Arrange the fields for a model, where it is another one than before."""
        return gr.skip() if model == last else arrange(model, prompt)  # new choices count as a new value

    def welcome(values, request: gr.Request):
        """Fill the form from the link that opened the page."""
        model, given = events.welcome(values, request)
        updates = arrange(model, given.get("prompt", "")) | {form["model"]: model}
        if "prompt" in given:
            updates[form["prompt"]]["value"] = given.pop("prompt")
        return updates | {form[name]: value for name, value in given.items()}

    def only_sound():
        """Show the models that could be fetched and opened."""
        models.wait()
        choices = models.titled(models.names(TASK))
        return gr.update(choices=choices, visible=bool(choices)), gr.update(visible=not choices)

    form["model"].change(choose_model, [form["model"], form["prompt"], arranged], [*layout, arranged], **quiet)
    sharing.receive(welcome, list(dict.fromkeys([*linked.values(), *layout, arranged])), linked, "#write")
    gr.on(None, only_sound, None, [form["model"], form["empty"]], **quiet)


def _endpoints(models):
    def generate_text(
        prompt: str,
        model: str | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        kind: str | None = None,
        form: str | None = None,
        author: str = "",
        title: str = "",
        acrostic: str = "",
    ) -> Iterator[str]:
        """Go on from a prompt; equal arguments give equal text.

        Args:
            prompt: the beginning; for a poem its first words, or "".
            model: a name from /health; by default the first that writes the prompt's script.
            max_new_tokens: 1 to 1024; this and the next three are the model's own by default.
            temperature: 0 to 2; 0 always takes the likeliest token.
            top_k: choose among this many tokens; 0 is all.
            top_p: choose among the likeliest tokens that reach this share.
            seed: 0 to 4294967295.
            kind: of a poem: 唐诗, 宋诗, 宋词 or 元曲.
            form: of a poem: 五绝, 七绝, 五律, 七律, 五言, 七言 or 杂言.
            author: of a poem, such as 李白.
            title: of a poem.
            acrostic: characters with which a poem's lines begin.

        Returns:
            The text so far, prompt included, again and again while it grows.
        """
        arguments = locals()
        values = {name: arguments[name] for name in CHECKS if name in arguments}
        try:
            request = Request.check(models, **values)
            for progress in serve.write(models.get(request.model, TASK), request, request.prompt):
                yield request.prompt + "".join(progress.pieces)
        except BigModelError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def next_tokens(
        prompt: str,
        model: str | None = None,
        k: int = 10,
        kind: str | None = None,
        form: str | None = None,
        author: str = "",
        title: str = "",
    ) -> dict:
        """Say which tokens may come after a prompt.

        Args:
            prompt: the text so far.
            model: a name from /health; by default the first that writes the prompt's script.
            k: how many tokens, 1 to 50.
            kind, form, author, title: of a poem, as in /generate_text.

        Returns:
            A table {"headers": ["token", "probability"], "data": rows}, the likeliest first.
        """
        arguments = locals()
        values = {name: arguments[name] for name in CHECKS if name in arguments}
        try:
            request = Request.check(models, **values)
            rows = serve.next_tokens(models.get(request.model, TASK), request, request.prompt, CHECKS["k"](values["k"]))
        except BigModelError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return {"headers": ["token", "probability"], "data": rows}

    limits = {"concurrency_limit": LIMITS.texts_at_once}
    add_endpoint(generate_text, lambda **values: Request.check(models, **values), concurrency_id=TASK, **limits)
    add_endpoint(next_tokens, lambda **values: Request.check(models, **values), concurrency_id="look_inside", **limits)
