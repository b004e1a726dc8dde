"""Figures: how well a model predicts a text, where figures are kept, and the model card made of them."""
