r"""How fast pictures are searched, beside torch on the same weights, in turn.

    python -m bigmodel benchmark object_detection --model export/artifacts/blood-cells

Ours is the graph that the page serves; torch runs the float32 model as it stands and compiled by torch.compile. All get
the same prepared pictures, one at a time and 32 together, and give scores and boxes. With ``--provider cuda`` ours is
that provider's graph, and torch has a GPU and float16 weights.
"""

import numpy as np
import torch

from bigmodel.evaluation.speed import OURS, add_arguments, compare  # noqa: F401, the command's
from bigmodel.object_detection.engines import torch_model
from bigmodel.object_detection.model import load_model
from bigmodel.object_detection.runtime import BATCH, ObjectDetector
from bigmodel.training import peers


def run(arguments):
    """Run the comparison, print its table, write its JSON, and return 0."""
    torch.set_num_threads(arguments.threads)
    provider = arguments.provider or "cpu"
    detector = ObjectDetector.from_pretrained(arguments.model, providers=[provider], threads=arguments.threads)
    device = peers.matching_device(provider)
    model = load_model(arguments.model).to(device, peers.weights_type(device))
    served = lambda x: [detector.model(x[i : i + BATCH]) for i in range(0, len(x), BATCH)]  # noqa: E731, as detect does
    compiled = torch_model(peers.compiled(model, device), device)
    engines = {OURS: served, "torch": torch_model(model, device), "torch compiled": compiled}
    rng, size = np.random.default_rng(0), detector.preparation.size
    inputs = {count: rng.normal(size=(count, 3, *size)).astype(np.float32) for count in arguments.batch}
    compare(engines, inputs, arguments, **peers.surroundings(device))
    return 0
