"""From a checkpoint folder to a model folder: graphs, quantisation and the parity that both must pass."""
