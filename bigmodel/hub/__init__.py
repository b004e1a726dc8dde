"""Publish on the Hugging Face Hub: a model folder (``push``), and this repository as a Space (``deploy``)."""
