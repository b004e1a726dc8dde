"""The words that every model card uses, and how figures are written in it."""

# in the order of the table's columns
ENGINES = {
    "onnx-cpu": "ONNX Runtime, CPU, quantised",
    "onnx-cuda": "ONNX Runtime, CUDA, fp16",
    "onnx-tensorrt": "ONNX Runtime, TensorRT, fp16",
    "torch": "PyTorch, fp32",
}

UNKNOWN_CORPUS = (
    "Nothing is known here of the training text but its name. What it holds of private or protected text, the "
    "model may repeat: share the model as you would share the text."
)


def engine_name(engine):
    """Return an engine in words."""
    return ENGINES.get(engine, engine)


def engine_order(engine):
    """Sort what is served first."""
    return (list(ENGINES).index(engine) if engine in ENGINES else len(ENGINES)), engine


def millions(number):
    """Return a count in words: 5,432,100 as "5.4 M"."""
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number:,}"


def plain(note):
    """Return a note with tabs and angle brackets that Markdown shows as they are."""
    return note.replace("\\t", ", ").replace("<", "&lt;").replace(">", "&gt;").rstrip(".")


def listed(settings):
    """Return settings as "temperature 0.8, top_k 40"."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())
