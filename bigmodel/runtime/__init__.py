"""Running exported models with ONNX Runtime. Imports nothing of the project but config and errors, and never torch."""
