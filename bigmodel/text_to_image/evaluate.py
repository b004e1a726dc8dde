"""``python -m bigmodel evaluate text_to_image``: whether drawings show what was asked for, into its metrics.json.

    python -m bigmodel evaluate text_to_image --model export/artifacts/emoji --data DATA --engine onnx

Captions are drawn with fixed seeds, the i-th of each set with the seed ``--seed`` + i, and judged by networks that are
trained here on real pictures (see judges; minutes, once, kept in the folder ``--judges``). Beside each figure stands
what the same judge says of real pictures that it has not seen, and the first as a share of the second. The sets:

    train        captions of pictures of the training; real ones are those that were kept from training and judges
    test_style   things that the training has not shown in this style
    test_tone    things that the training has not shown in this skin tone
    test_name    things that the training has not shown at all: it cannot know them, and here one sees it
    scenes       two things in a relation, as the training may compose them, and as it never does (held out)

The figures:

    style_right, thing_right      the classifier sees the style, the thing that was asked for; and both
    retrieved_first               of 100 captions of the set the matcher likes the picture's own best; by chance 1 %;
                                  captions of the training fill up a set that has fewer
    tone_right                    of the captions with each of the six skin tones, it likes the right one best
    things_and_relation_right     the judge of scenes sees both things, each where it was asked for
    copies                        the nearest picture of the training is as near as for one of twenty real ones
    frechet_distance              of the classifier's features, to all pictures of the training
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from bigmodel.config import read_json
from bigmodel.errors import DataError
from bigmodel.evaluation.notes import engine_order
from bigmodel.evaluation.results import conclude, entry, read_metrics, renew_checksum, shown_path
from bigmodel.runtime import engines
from bigmodel.text_to_image.compositions import Composer
from bigmodel.text_to_image.config import PRESETS
from bigmodel.text_to_image.data import read_pictures
from bigmodel.text_to_image.engines import open_engine
from bigmodel.text_to_image.judges import Judges, numbers, placed, stacked
from bigmodel.text_to_image.metrics import comes_first, frechet_distance, nearest
from bigmodel.training.command import corpus_of

# captions that are drawn of each set
COUNTS = {"train": 200, "test_style": 100, "test_tone": 50, "as trained": 60, "held out": 100, "test_name": 50}
CANDIDATES = 100
REAL_SCENES = 400
COPIES = 0.05  # share of real pictures as near to the training as a copy; the nearest hundredth are one drawing twice
AT_ONCE = 16  # pictures between two looks at the progress
GRID = "samples.png"
ROWS = {"train": 2, "test_style": 1, "test_tone": 0, "as trained": 1, "held out": 2, "test_name": 2}  # of the grid
COLUMNS = 6  # of the grid, a seed each
CELL, GAP, GROUND = 96, 6, (226, 226, 230)  # of the grid: pixels, pixels, RGB


@dataclass(frozen=True)
class Asked:
    """A set of captions, and what is to be seen on the pictures of them.

    Attributes:
        dataset: its name among the figures.
        shown: list of data.Picture or compositions.Scene, whose captions are drawn.
        real: list of the same that the judges have not seen.
        images: of ``real``, (count, size, size, 3) uint8.
        pools: the captions among which those of ``shown`` are to be found, and those of ``real``; None for scenes.
    """

    dataset: str
    shown: list
    real: list
    images: np.ndarray
    pools: tuple[list[str], list[str]] | None = None


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``evaluate text_to_image``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder, or checkpoint folder for torch")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora, or your own corpus")
    engines.add_arguments(parser)
    parser.add_argument("--limit", type=int, help="draw so many pictures of each set, at most: printed, not kept")
    own = "default: the model's own; figures of another number are printed, not kept"
    parser.add_argument("--steps", type=int, help=f"of the sampling; {own}")
    parser.add_argument("--guidance", type=float, help=f"how closely captions are followed; {own}")
    parser.add_argument("--judges", type=Path, help="folder of the judges; default: runs/judges/<size>")
    parser.add_argument("--seed", type=int, default=0, help="of the captions and the pictures")


def run(arguments):
    """Measure and print every figure, keep them and the samples where they are the card's, and return 0."""
    engines.check_least(arguments, limit=1, seed=0)
    generator, engine = open_engine(arguments.engine, arguments.model, arguments.provider)
    config = read_json(arguments.model / "config.json")
    path, size = find_corpus(arguments.data, generator.folder.name), config["sample_size"]
    pictures = read_pictures(path, "train", size)
    composer = Composer(pictures, config["bigmodel"]["things"], size)
    judges = Judges(arguments.judges or Path("runs/judges") / str(size), pictures, composer)
    options = {"steps": arguments.steps, "guidance": arguments.guidance}
    settings = generator.defaults | {name: value for name, value in options.items() if value is not None}
    draw = lambda captions, seeds: drawn(generator, captions, seeds, options)  # noqa: E731
    about = {"engine": engine, "command": command_of(arguments, engine), "seed": arguments.seed, "settings": settings}
    sets, entries = find_sets(path, judges, arguments.seed), []
    threshold = float(np.quantile(nearest(sets["train"].images, judges.images), COPIES))
    for name, asked in sets.items():
        count = min(COUNTS[name], arguments.limit or COUNTS[name], len(asked.shown))
        seeds = range(arguments.seed, arguments.seed + count)
        print(f"{count} captions of {asked.dataset}, seeds {seeds[0]} to {seeds[-1]}", flush=True)
        images = draw([one.caption for one in asked.shown[:count]], seeds)
        for e in score(judges, asked, images, threshold, dataset=asked.dataset, **about):
            print(f"{e['name']:41} {e['value']:8.4f} {e['unit']} ({e['count']:,}, {asked.dataset}, {engine})")
            entries.append(e)
    own = {name: generator.defaults[name] for name in options}
    changed, samples = engines.changed(arguments, limit=None, **own), []
    sampled = {sample["engine"] for sample in read_metrics(arguments.model)["samples"]}
    if not changed and engine == min({*sampled, engine}, key=engine_order):
        rows = [(asked.dataset, one.caption) for name, asked in sets.items() for one in asked.shown[: ROWS[name]]]
        seeds = range(arguments.seed, arguments.seed + COLUMNS)
        draw_grid(draw, [caption for _, caption in rows], seeds, arguments.model / GRID)
        samples = [{"file": GRID, "rows": rows, "seeds": list(seeds), "engine": engine, "settings": settings}]
        renew_checksum(arguments.model, GRID)
    conclude(arguments.model, entries, samples, changed=changed)
    return 0


def find_corpus(data, name):
    """Return the parquet file that a generator was trained on.

    Args:
        data: folder of the corpora, or the file.
        name: of the model; that of a preset names its corpus.

    Raises:
        DataError: it is not there.
    """
    corpus = corpus_of(PRESETS, name)
    path = data / corpus if corpus and data.is_dir() else data
    if not path.is_file():
        raise DataError(f"{path} is missing" if corpus else f"{path} is no file; give the corpus of {name} by --data")
    return path


def command_of(arguments, engine):
    """Return the command that measures the same again."""
    words = ["python -m bigmodel evaluate text_to_image", f"--model {shown_path(arguments.model)}"]
    words += [f"--data {shown_path(arguments.data)}", *engines.words(arguments, engine)]
    words += [f"--judges {shown_path(arguments.judges)}"] if arguments.judges else []
    return " ".join([*words, f"--seed {arguments.seed}"])


def find_sets(path, judges, seed):
    """Return name -> Asked of every set that a corpus has, in the order of COUNTS.

    Args:
        path: of the corpus.
        judges: Judges of it.
        seed: of the captions that are chosen.

    Raises:
        DataError: no picture of a thing of the training was kept from it.
    """
    rng = np.random.default_rng(seed)
    # a few things have one picture
    valid = [p for p in read_pictures(path, "valid", judges.size) if p.subject.name in judges.names]
    if not valid:
        raise DataError(f"{path}: no picture of a thing of the training was kept from it; give things more pictures")
    chosen = [judges.pictures[i] for i in rng.permutation(len(judges.pictures))[: COUNTS["train"]]]
    filling = [picture.caption for picture in chosen]
    pools = filling, _filled([picture.caption for picture in valid], filling)
    sets = {"train": Asked(f"{path.stem}.train", chosen, valid, stacked(valid, judges.size), pools)}
    for name in ("test_style", "test_tone", "test_name"):
        try:
            pictures = read_pictures(path, name, judges.size)
        except DataError:  # one's own corpus need not have it
            continue
        shown = [pictures[i] for i in rng.permutation(len(pictures))]
        pool = _filled([picture.caption for picture in shown], filling)
        sets[name] = Asked(f"{path.stem}.{name}", shown, pictures, stacked(pictures, judges.size), (pool, pool))
    for name, kept in (("as trained", False), ("held out", True)):
        scenes = [judges.composer.draw(rng, count=2, held_out=kept) for _ in range(REAL_SCENES)]
        images = np.stack([judges.composer.compose(scene, rng) for scene in scenes])
        sets[name] = Asked(f"{path.stem} scenes {name}", scenes, scenes, images)
    return {name: sets[name] for name in COUNTS if name in sets}


def _filled(captions, others):
    """Return captions, each once, and of others as many as make CANDIDATES of them."""
    return list(dict.fromkeys([*captions, *others]))[: max(CANDIDATES, len(set(captions)))]


def drawn(generator, captions, seeds, options):
    """Return pictures of captions, (captions, size, size, 3) uint8, different captions in one batch.

    Args:
        generator: runtime.ImageGenerator, or another with its ``draw``.
        captions: list of str.
        seeds: of each.
        options: steps and guidance.
    """
    images = []
    for i in tqdm(range(0, len(captions), AT_ONCE), unit="batch", leave=False, mininterval=1):
        part = slice(i, i + AT_ONCE)
        images.append(generator.draw(captions[part], seeds[part], **options))
    return np.concatenate(images)


def score(judges, asked, images, threshold, **about):
    """Return the entries of a set: of drawings, of real pictures, and the share that the former reach of the latter.

    Args:
        judges: Judges.
        asked: Asked.
        images: drawings of the first captions, (count, size, size, 3) uint8.
        threshold: see ``look``.
        about: dataset, engine, command, seed and settings of evaluation.results.entry.
    """
    shown, settings, rng = asked.shown[: len(images)], about.pop("settings"), np.random.default_rng(about["seed"])
    if asked.pools is None:
        found, real = look_at_scenes(judges, images, shown), look_at_scenes(judges, asked.images, asked.real)
    else:
        found = look(judges, images, shown, asked.pools[0], threshold, rng)
        real = look(judges, asked.images, asked.real, asked.pools[1], threshold, rng)
    more = {"retrieved_first": {"candidates": CANDIDATES}, "copies": {"threshold": round(threshold, 2)}}
    entries = []
    for name in (name for name in found if name in real):  # of one's own corpus some things may be unknown
        right = found[name]
        value, reference = right.mean(), real[name].mean()
        said = {**about, "settings": {**settings, **more.get(name, {})}}
        entries.append(entry(name, value, "share", count=len(right), **said))
        entries.append(entry(f"{name}_of_real", reference, "share", count=len(real[name]), **said))
        if name != "copies" and reference:
            entries.append(entry(f"{name}_share_of_real", value / reference, "share", count=len(right), **said))
    if about["dataset"].endswith(".train"):
        count = min(len(images), len(asked.images))  # few pictures seem farther than many
        features = judges.classify(judges.images)[2]
        some = asked.images[rng.permutation(len(asked.images))[:count]]  # they stand there style by style
        both = ("frechet_distance", images[:count]), ("frechet_distance_of_real", some)
        for name, pictures in both if count > 1 else ():  # one has no covariance
            value = frechet_distance(judges.classify(pictures)[2], features)
            entries.append(entry(name, value, "squared distance", count=count, settings=settings, **about))
    return entries


def look(judges, images, pictures, pool, threshold, rng):
    """Judge pictures of one thing.

    Args:
        judges: Judges.
        images: (count, size, size, 3) uint8.
        pictures: list of data.Picture that they ought to be.
        pool: captions among which theirs are to be found.
        threshold: grey levels; a copy is no farther from a picture of the training.
        rng: np.random.Generator, of the other captions.

    Returns:
        dict: figure -> (count,) bool; none of names that the classifier does not know, nor of tones where none is.
    """
    styles, names, _ = judges.classify(images)
    found = {"style_right": np.array([s == p.style for s, p in zip(styles, pictures, strict=True)])}
    if all(picture.subject.name in judges.names for picture in pictures):
        found["thing_right"] = np.array([n == p.subject.name for n, p in zip(names, pictures, strict=True)])
        found["thing_and_style_right"] = found["thing_right"] & found["style_right"]
    found["copies"] = nearest(images, judges.images) <= threshold
    captions = [picture.caption for picture in pictures]
    texts = list(dict.fromkeys([*captions, *pool]))
    own, others = numbers(captions, texts), np.unique(numbers(pool, texts))
    found["retrieved_first"] = comes_first(judges.see(images), judges.read(texts), own, others, CANDIDATES, rng)
    if all(picture.subject.tone for picture in pictures):
        tones = judges.tone_of(images, pictures)
        found["tone_right"] = np.array([t == p.subject.tone for t, p in zip(tones, pictures, strict=True)])
    return found


def look_at_scenes(judges, images, scenes):
    """Judge compositions (count, size, size, 3) uint8 of two; ``scenes`` are the Scenes that they ought to be."""
    seen, right = judges.place(images), [placed(scene) for scene in scenes]
    pairs = list(zip(seen, right, strict=True))
    return {
        "things_and_relation_right": np.array([a == b for a, b in pairs]),
        "things_right": np.array([set(a[1:]) == set(b[1:]) for a, b in pairs]),
    }


def draw_grid(draw, captions, seeds, path):
    """Write a PNG file of drawings, enlarged without smoothing: a row for each caption, a column for each seed.

    Args:
        draw: function of captions and seeds, which returns pictures.
        captions: list of str.
        seeds: list of int.
        path: of the file.
    """
    both = [(caption, seed) for caption in captions for seed in seeds]
    images = draw(*zip(*both, strict=True))
    scale = max(1, round(CELL / images.shape[1]))
    step = scale * images.shape[1] + GAP
    grid = Image.new("RGB", (len(seeds) * step + GAP, len(captions) * step + GAP), GROUND)
    for i, image in enumerate(images):
        row, column = divmod(i, len(seeds))
        enlarged = Image.fromarray(image.repeat(scale, 0).repeat(scale, 1))
        grid.paste(enlarged, (GAP + column * step, GAP + row * step))
    grid.save(path, optimize=True)
