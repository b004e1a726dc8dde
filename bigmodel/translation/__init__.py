"""Translation between pairs of languages: an encoder-decoder, top to bottom."""
