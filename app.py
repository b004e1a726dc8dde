"""Build the page and serve it: ``python app.py``, and what a Hugging Face Space runs."""

import sys

from bigmodel.errors import BigModelError
from bigmodel.ui.options import launch_options

options = launch_options() if __name__ == "__main__" else {}  # before Gradio, which stumbles over a wrong variable

try:
    from bigmodel.ui.app import build_app, launch

    demo = build_app()
    if __name__ == "__main__":
        launch(demo, **options)
except BigModelError as error:  # a limit that cannot be, a port that is taken
    sys.exit(f"error: {error}")
