"""Small widgets that the tabs share."""

import re
from html import escape

import gradio as gr

from bigmodel.ui.language import translated, visitor_language
from bigmodel.ui.texts import ENGLISH, TITLES, words


def html_block(value="", **options):
    """Return a ``gr.HTML`` whose value may name interface texts, any number of them, by ``texts.words``.

    Gradio's own placeholders are translated once a string only.
    """
    return gr.HTML(value, html_template="${bigmodel.html(value)}", apply_default_css=False, **options)


def cancellable(start, cancel, function, inputs, output, **options):
    """Connect a button with its work, and another that ends the work and can be pressed while it goes on.

    Args:
        start, cancel: gr.Button; cancel is not interactive at first.
        function, inputs, output, options: as of ``start.click``.
    """
    # in the browser and in this order: what the host answers may come after the work's end
    quiet = {"api_visibility": "private"}
    pressed = start.click(None, None, cancel, js=switches("true"), **quiet)
    working = pressed.then(function, inputs, output, **options)
    working.then(None, None, cancel, js=switches("false"), **quiet)
    cancel.click(None, cancels=[working], **quiet)
    cancel.click(None, None, cancel, js=switches("false"), **quiet)


def switches(*conditions):
    """Return a browser's function that makes buttons usable, or not.

    Args:
        conditions: for each button, in JavaScript; they may use ``value``, the first input.
    """
    updates = ", ".join(f"{{ __type__: 'update', interactive: {condition} }}" for condition in conditions)
    return f"(value) => [{updates}]"


def no_models_block(visible):
    """Return what a tab says where this host has no model for it."""
    return html_block(f'<p class="empty">{words("no_models")}</p>', visible=visible)


def picked(titled, asked):
    """Return the update of a picker of models: all that are here, and the one that is asked for, or the first.

    Args:
        titled: list of (title, name); see Models.titled.
        asked: a name, or anything else.
    """
    known = [name for _, name in titled]
    return gr.update(choices=titled, value=asked if asked in known else next(iter(known), None), visible=bool(known))


def told(error, labels=None):
    """Return a user's error as Gradio shows it: in the visitor's language, escaped, without a traceback.

    ``labels``: see language.translated.
    """
    return gr.Error(escape(translated(str(error), visitor_language(), labels), quote=False), print_exception=False)


def announced(text=""):
    """Return what a screen reader is to say, and nobody sees, as HTML.

    It comes first in its block, empty until the work is done: readers tell of what changes, not of what is new.
    """
    return f'<p class="announced" role="status">{text}</p>'


def fault_html(error):
    """Return a user's error as HTML, in the visitor's language, to stand where the answer would."""
    return f'<p class="skipped" role="alert">{escape(translated(str(error), visitor_language()))}</p>'


def label_words(name):
    """Return a label of a model as HTML: its name in the visitor's language, or as it is where that is not known."""
    key = "label_" + re.sub(r"\W", "_", name.lower())
    return words(key) if key in ENGLISH else escape(name)


def title_words(title):
    """Return a model's title as HTML, likewise."""
    return words(title) if title in TITLES else escape(title)


def provider_name(provider):
    """Return the name of an execution provider as people write it, such as "CPU" of "cpu"."""
    return {"tensorrt": "TensorRT"}.get(provider, provider.upper())
