"""One training loop for every task, with its data sources, optimisers and tokenizers."""
