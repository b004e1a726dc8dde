r"""How fast pictures are drawn, beside torch on the same weights, in turn.

    python -m bigmodel benchmark text_to_image --model export/artifacts/emoji

Ours are the graphs that the page serves; torch runs the float32 denoiser as it stands and compiled by torch.compile.
All draw the same prompt from the same noise, in the model's own number of steps unless --steps says another. Printed
are pictures per second, a visitor's wait for four pictures, and how far the engines' pictures are from each other.
With ``--provider cuda`` ours are that provider's graphs, and torch has a GPU and float16 weights.
"""

import numpy as np
import torch

from bigmodel.errors import ConfigError
from bigmodel.evaluation import speed
from bigmodel.text_to_image.engines import TorchModel
from bigmodel.text_to_image.model import load_model
from bigmodel.text_to_image.runtime import ImageGenerator
from bigmodel.training import peers

BATCHES = (1, 4, 8)
PROMPT = "a cat face left of a pizza, noto style, on blue"


def add_arguments(parser):
    """Declare the options of ``benchmark text_to_image``."""
    speed.add_arguments(parser, BATCHES)
    parser.add_argument("--steps", type=int, help="of each picture; default: the model's own")


def run(arguments):
    """Run the comparison, print its table, write its JSON, and return 0."""
    if arguments.steps is not None and arguments.steps < 1:
        raise ConfigError(f"steps {arguments.steps}: give 1 or more")
    torch.set_num_threads(arguments.threads)
    provider = arguments.provider or "cpu"
    ours = ImageGenerator.from_pretrained(arguments.model, providers=[provider], threads=arguments.threads)
    device = peers.matching_device(provider)
    model = load_model(arguments.model).to(device, peers.weights_type(device))
    forwards = {"torch": model, "torch compiled": peers.compiled(model, device)}
    others = {
        name: ImageGenerator(ours.folder, TorchModel(model, forward, device), provider="torch")
        for name, forward in forwards.items()
    }
    engines = {
        name: lambda count, g=generator: g.draw([PROMPT] * count, range(count), steps=arguments.steps, together=count)
        for name, generator in {speed.OURS: ours, **others}.items()
    }
    steps = arguments.steps or ours.defaults["steps"]
    about = {"steps": steps, **peers.surroundings(device)}
    seconds = speed.compare(engines, {count: count for count in arguments.batch}, arguments, **about)
    first, second = (engines[name](max(arguments.batch)).astype(np.float32) for name in (speed.OURS, "torch"))
    if 4 in seconds:
        print(f"four pictures in {steps} steps: {seconds[4][speed.OURS]:.2f} s")
    print(f"mean difference of our pictures from torch's: {np.abs(first - second).mean():.2f} of 255")
    return 0
