"""What every tab has for those who write programs: commands that ask its endpoints for what stands in the fields now.

The commands are made in the browser by ``programs.js``; the host is asked for nothing.
"""

import json

import gradio as gr

from bigmodel.ui.texts import t
from bigmodel.ui.widgets import html_block


def for_programs(endpoints, *, numbers=()):
    """Place a closed panel of commands for a POSIX shell and for Python, which follow the fields.

    Args:
        endpoints: name -> {argument: component}, the required argument first; others are left out where they are
            empty. A gr.Image or a gr.File stands for a file of the reader's own.
        numbers: arguments whose components are text fields, though they are numbers.
    """
    components = list(dict.fromkeys(field for fields in endpoints.values() for field in fields.values()))
    places = {component: place for place, component in enumerate(components)}
    described = {
        name: [[argument, places[field], _kind(field, argument in numbers)] for argument, field in fields.items()]
        for name, fields in endpoints.items()
    }
    with gr.Accordion(t("for_programs"), open=False, elem_classes=["panel", "programs"]):
        gr.Markdown(t("for_programs_hint"))
        shown = gr.HTML(
            [],
            html_template="${bigmodel.programs(value)}",
            js_on_load="bigmodel.copyable(element)",
            apply_default_css=False,
        )
        html_block('<p role="status"></p>', elem_classes="said")
    script = f"(...values) => [bigmodel.calls({json.dumps(described)}, values)]"
    gr.on(None, None, components, shown, js=script, api_visibility="private")


def _kind(component, number):
    """Return how a component's value is written: "file", "number", or "" for as it is."""
    return "file" if isinstance(component, gr.Image | gr.File) else "number" if number else ""
