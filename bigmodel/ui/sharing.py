"""What every tab has to share a result: a link, a file where the link grows too long, and the history of this visit.

All of it is done in the browser by ``sharing.js``; the host keeps nothing.
"""

import json

import gradio as gr

from bigmodel.ui.texts import t
from bigmodel.ui.widgets import html_block


class Sharing:
    """The widgets of one tab, placed by ``button`` and ``panel`` and connected by ``listen``.

    Args:
        tab: its name in a link, such as "text" of /?tab=text&prompt=…
    """

    def __init__(self, tab):
        self.tab = tab
        self.incoming = gr.JSON(visible=False)

    def button(self):
        """Place "Copy link"."""
        self.copy = gr.Button(t("copy_link"), size="sm", min_width=100, scale=0, elem_classes="copy-link")

    def panel(self):
        """Place the history, and what opens a saved result."""
        html_block(f'<p role="status" id="said-{self.tab}"></p>', elem_classes="said")
        with gr.Accordion(t("history"), open=False, elem_classes=["panel", "history"]):
            self.list = gr.HTML(
                [], html_template="${bigmodel.history(value)}", js_on_load="bigmodel.historyLinks(element, props)"
            )
            with gr.Row():
                self.open = gr.Button(t("open_saved"), size="sm", scale=0, min_width=160)
                self.clear = gr.Button(t("clear_history"), size="sm", scale=0, min_width=160)

    def listen(self, fields, done, *, typed=(), result=None):
        """Connect the widgets.

        Args:
            fields: name in a link -> component.
            done: events after which the result belongs to the history.
            typed: the same, while a text is typed: it replaces its own beginning.
            result: component whose value has "link", the dict of what the shown result was made of, and may have
                "label", what the history calls it, as HTML; where it is None, the fields say both.
        """
        quiet = {"api_visibility": "private"}
        names = json.dumps(list(fields))
        inputs = [gr.State() if result is None else result, *fields.values()]
        self.copy.click(None, inputs, None, js=self._call("copyLink", f"{names}, values"), **quiet)
        for events, growing in ((done, "false"), (typed, "true")):
            script = self._call("remember", f"{names}, values, {growing}")
            for event in events:
                event.then(None, inputs, self.list, js=script, **quiet)
        self.open.click(None, None, None, js=self._call("openSaved"), **quiet)
        self.clear.click(None, None, self.list, js=self._call("forget"), **quiet)
        # wrapped: Gradio takes an array for the values of several outputs
        gr.on(None, None, None, self.list, js=f"() => [bigmodel.entriesOf({json.dumps(self.tab)})]", **quiet)

    def receive(self, fill, outputs, fields=None, button=None):
        """Fill the tab with what the page was opened with, and run it where the link says so.

        Args:
            fill: function of {name: value} and the gr.Request to the outputs' values.
            outputs: components.
            fields: name in a link -> component, one of these; where one does not show what the link holds, that is
                said, and nothing is run.
            button: CSS selector of what begins the work; None, and no fields, where filling begins it.
        """
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        filled = gr.on(None, fill, self.incoming, outputs, js=self._call("incoming"), concurrency_limit=None, **quiet)
        if button:
            script = self._call("runIncoming", f"{json.dumps(button)}, {json.dumps(list(fields))}, values")
            filled.then(None, list(fields.values()), None, js=script, **quiet)

    def _call(self, function, arguments=None):
        arguments = f", {arguments}" if arguments else ""
        return f"(...values) => bigmodel.{function}({json.dumps(self.tab)}{arguments})"
