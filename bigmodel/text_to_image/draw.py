"""``python -m bigmodel draw --model export/artifacts/emoji "a cat face, noto style"``: PNG files of a prompt."""

import argparse
import sys
import time
from itertools import count
from pathlib import Path

from bigmodel.errors import ConfigError
from bigmodel.text_to_image import png
from bigmodel.text_to_image.runtime import ImageGenerator
from bigmodel.text_to_image.sampler import SAMPLERS


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``draw``."""
    parser.add_argument("prompt", nargs="?", default="", help="what to draw; without it, whatever the model likes")
    parser.add_argument("--model", required=True, help="model folder, a shipped model's name, or an id of the Hub")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the files (default: this one)")
    parser.add_argument("--num-images", type=int, default=4, help="pictures (default 4)")
    parser.add_argument("--seed", type=int, help="of the first, the others have the next ones; default: drawn")
    parser.add_argument("--steps", type=int, help="default: the model's own")
    parser.add_argument("--guidance", type=float, help="how closely the words are followed")
    parser.add_argument("--sampler", choices=SAMPLERS)
    parser.add_argument("--variation-of", type=int, metavar="SEED", help="begin with the noise of this picture")
    parser.add_argument("--strength", type=float, default=0.5, help="how far a variation leads away, 0 to 1")
    parser.add_argument("--providers", help="to try in this order, such as cuda,cpu")
    parser.add_argument("--threads", type=int)


def run(arguments):
    """Draw, write the files, print their paths, and return 0; what was ignored and the speed go to stderr.

    A file that is there is left alone: the new one's name goes on with -2, -3, ….

    Raises:
        ConfigError: the folder cannot be made, or a file not written.
    """
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {arguments.out} cannot be made a folder: {error.strerror}") from error
    generator = ImageGenerator.from_pretrained(
        arguments.model, providers=arguments.providers, threads=arguments.threads
    )
    names = ("num_images", "seed", "steps", "guidance", "sampler", "variation_of", "strength")
    settings = {name: getattr(arguments, name) for name in names}
    start, progress = time.perf_counter(), None
    for progress in generator.stream(arguments.prompt, **settings):  # noqa: B007, the last one
        pass
    seconds = time.perf_counter() - start
    if progress.reading.unknown:
        print(f"ignored, in no caption of the training: {', '.join(progress.reading.unknown)}", file=sys.stderr)
    if progress.reading.cut:
        print(f"ignored, too long: {' '.join(progress.reading.cut)}", file=sys.stderr)
    if not progress.reading.text:
        print("nothing is asked for: the model draws whatever it likes", file=sys.stderr)
    said = {**settings, "prompt": arguments.prompt, "model": generator.folder.name, "steps": progress.steps}
    for name in ("guidance", "sampler"):
        said[name] = generator.defaults[name] if said[name] is None else said[name]
    if arguments.variation_of is None:
        said["strength"] = None
    for pixels, seed in zip(progress.images, progress.seeds, strict=True):
        data = png.encode(pixels, {**said, "seed": seed})
        print(_write(arguments.out / png.file_name(arguments.prompt, seed), data), flush=True)
    print(f"{len(progress.seeds)} pictures, {seconds:.1f} s, on {generator.provider}", file=sys.stderr)
    return 0


def _write(path, data):
    """Write a new file at a path, or beside what is there, and return where."""
    for number in count(1):
        free = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            with open(free, "xb") as file:
                file.write(data)
            return free
        except FileExistsError:
            continue
        except OSError as error:
            raise ConfigError(f"{free} cannot be written: {error.strerror}") from error
