"""Pictures to labels, trained here."""
