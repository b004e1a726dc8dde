"""A picture of a run's losses."""

import json
from pathlib import Path


def plot_log(log, picture):
    """Draw the training and validation losses (nats) of a log.jsonl over its steps into a PNG, given matplotlib."""
    try:
        import matplotlib
    except ModuleNotFoundError:  # the log says it all
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [json.loads(line) for line in Path(log).read_text(encoding="utf-8").splitlines()]
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for key, label in (("loss", "training"), ("valid_loss", "validation")):
        points = [(row["step"], row[key]) for row in rows if key in row]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if key == "valid_loss" else None)
    axes.set(xlabel="step", ylabel="loss, nats")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=120)
    plt.close(figure)
