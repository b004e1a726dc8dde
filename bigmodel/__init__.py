"""BigModel: train transformers, look inside them, export them, serve them, share them."""

__version__ = "0.1.0"
