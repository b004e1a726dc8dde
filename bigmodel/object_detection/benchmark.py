r"""How fast pictures are searched, beside torch on the same weights, in turn.

    python -m bigmodel benchmark object_detection --model export/artifacts/blood-cells

Ours is the graph that the page serves; torch runs the float32 model as it stands and compiled by torch.compile. All get
the same prepared pictures, one at a time and 32 together, and give scores and boxes.
"""

import numpy as np
import torch

from bigmodel.evaluation.speed import BATCHES, OURS, add_arguments, compare  # noqa: F401, the command's
from bigmodel.object_detection.engines import torch_model
from bigmodel.object_detection.model import load_model
from bigmodel.object_detection.runtime import BATCH, ObjectDetector


def run(arguments):
    """Run the comparison, print its table, write its JSON, and return 0."""
    torch.set_num_threads(arguments.threads)
    detector = ObjectDetector.from_pretrained(arguments.model, providers=["cpu"], threads=arguments.threads)
    model = load_model(arguments.model)
    served = lambda x: [detector.model(x[i : i + BATCH]) for i in range(0, len(x), BATCH)]  # noqa: E731, as detect does
    engines = {OURS: served, "torch": torch_model(model), "torch compiled": torch_model(torch.compile(model))}
    rng, size = np.random.default_rng(0), detector.preparation.size
    inputs = {count: rng.normal(size=(count, 3, *size)).astype(np.float32) for count in BATCHES}
    compare(engines, inputs, arguments)
    return 0
