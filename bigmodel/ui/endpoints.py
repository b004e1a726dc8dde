"""Named endpoints with typed arguments, refused with HTTP 422 when an argument is out of its limits."""

import inspect

import gradio as gr
from gradio.context import get_blocks_context

from bigmodel.errors import InputError


def add_endpoint(function, check=None, **options):
    """Offer a function as the endpoint of its name to gradio_client, curl and MCP.

    Args:
        function: fully annotated; every argument but the first has a default.
        check: called with the arguments by name before the queue is entered; raises InputError.
        options: passed to ``gr.api``, such as concurrency_limit.
    """
    dependency = gr.api(function, api_name=function.__name__, **options)
    if check is not None:
        # gr.api has no validator argument, the event that it makes has
        get_blocks_context().fns[dependency["id"]].validator = validator(function, check)


def validator(function, check):
    """Return what refuses arguments of an event's function, as Gradio wants it; see add_endpoint for ``check``."""
    names = list(inspect.signature(function).parameters)

    def validate(*values):
        try:
            check(**dict(zip(names, values, strict=True)))
        except InputError as error:
            position = names.index(error.field) if error.field in names else 0
            return [gr.validate(i != position, str(error) if i == position else "") for i in range(len(names))]
        return [gr.validate(True, "")] * len(names)

    return validate
