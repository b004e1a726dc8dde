"""Captions to pictures, trained here."""
