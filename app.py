"""Build the page and serve it: ``python app.py``, and what a Hugging Face Space runs."""

import sys

from bigmodel.errors import BigModelError

try:
    from bigmodel.ui.app import build_app, launch
    from bigmodel.ui.options import launch_options

    demo = build_app()
    if __name__ == "__main__":
        launch(demo, **launch_options())
except BigModelError as error:  # a limit or a provider that cannot be, a port that is taken
    sys.exit(f"error: {error}")
