"""Build the page and serve it: ``python app.py``, and what a Hugging Face Space runs."""

from bigmodel.ui.app import build_app, launch

demo = build_app()

if __name__ == "__main__":
    launch(demo)
