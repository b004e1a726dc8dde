"""Small widgets that the tabs share."""

from html import escape

import gradio as gr

from bigmodel.ui.language import translated, visitor_language
from bigmodel.ui.texts import words


def html_block(value="", **options):
    """Return a ``gr.HTML`` whose value may name interface texts, any number of them, by ``texts.words``.

    Gradio's own placeholders are translated once a string only.
    """
    return gr.HTML(value, html_template="${bigmodel.html(value)}", apply_default_css=False, **options)


def no_models_block(visible):
    """Return what a tab says where this host has no model for it."""
    return html_block(f'<p class="empty">{words("no_models")}</p>', visible=visible)


def told(error, labels=None):
    """Return a user's error as Gradio shows it: in the visitor's language, escaped, without a traceback.

    ``labels``: see language.translated.
    """
    return gr.Error(escape(translated(str(error), visitor_language(), labels), quote=False), print_exception=False)


def provider_name(provider):
    """Return the name of an execution provider as people write it, such as "CPU" of "cpu"."""
    return {"tensorrt": "TensorRT"}.get(provider, provider.upper())
