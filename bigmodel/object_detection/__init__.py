"""Pictures to labelled boxes, trained here."""
