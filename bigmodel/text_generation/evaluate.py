"""``python -m bigmodel evaluate text_generation``: every figure of a language model, into its metrics.json.

    python -m bigmodel evaluate text_generation --model export/artifacts/poetry --data DATA --engine onnx

A model of plain text is scored on its validation text in bits per byte. A model of poems is scored on the bodies of its
validation poems in nats a character; then it writes poems in the regulated forms, which are compared with real ones.
``--data`` is the folder of the corpora, or one file to score instead.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from bigmodel.config import read_config
from bigmodel.errors import DataError
from bigmodel.evaluation.likelihood import bits_per_byte, negative_log_likelihood
from bigmodel.evaluation.results import conclude, entry, shown_path
from bigmodel.runtime import engines
from bigmodel.runtime.sampling import DEFAULTS
from bigmodel.text_generation import copies, verses
from bigmodel.text_generation.config import PRESETS
from bigmodel.text_generation.data import POEM_COLUMNS, read_plain, unknown_share, valid_plain, valid_poems
from bigmodel.text_generation.engines import open_engine
from bigmodel.text_generation.model import document_windows
from bigmodel.training.sources import corpus_name, read_rows

SAMPLES = 200
POEM_TOKENS = 128  # the longest regulated form has 64 characters and 8 marks
OPENINGS = {"en": "Once upon a time"}
SETTINGS = ("temperature", "top_k", "top_p")
# of SETTINGS, what --compare tries
CANDIDATES = ((1.0, 0, 1.0), (1.0, 0, 0.9), (0.9, 0, 0.9), (0.8, 40, 0.95), (0.8, 0, 0.9), (0.7, 0, 0.9), (0.6, 0, 0.9))


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``evaluate text_generation``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder, or checkpoint folder for torch")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora, or a file to score")
    parser.add_argument(
        "--train", type=Path, help="what the model was trained on, to find copies; default: the preset's"
    )
    engines.add_arguments(parser)
    samples = f"poems to write, or five times the plain texts; from 1 to {SAMPLES - 1}: printed, not kept"
    parser.add_argument("--samples", type=int, default=SAMPLES, help=samples)
    parser.add_argument("--seed", type=int, default=1, help="of the samples and of their titles")
    own = "default: generation_config.json's, as the next two; figures of others are printed, not kept"
    parser.add_argument("--temperature", type=float, help=own)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--compare", action="store_true", help="try several samplings of poems; writes nothing")


def run(arguments):
    """Measure and print every figure, keep them where they are the card's, and return 0."""
    engines.check_least(arguments, samples=0)
    card = read_config(arguments.model).get("bigmodel", {})
    source, train = find_corpora(arguments, card)
    engine = open_engine(arguments.engine, arguments.model, arguments.provider)
    asked = {name: getattr(arguments, name, None) for name in DEFAULTS}
    sampling = {name: engine.defaults[name] if value is None else value for name, value in asked.items()}
    evaluation = Evaluation(engine, source, arguments.seed, command_of(arguments, engine.name), sampling)
    if card.get("format") == "poetry":
        if arguments.compare:
            compare(evaluation, train, arguments.samples)
            return 0
        score_poems(evaluation)
        if arguments.samples:
            write_poems(evaluation, train, arguments.samples)
    else:
        score_plain(evaluation)
        write_plain(evaluation, OPENINGS.get((card.get("languages") or [""])[0], ""))
        if arguments.samples >= 5 and train:
            find_copies(evaluation, train, arguments.samples // 5)
    changed = engines.changed(arguments, **{name: engine.defaults.get(name) for name in SETTINGS})
    if 0 < arguments.samples < SAMPLES:  # 0 adds none to those that are kept
        changed.append(f"--samples {arguments.samples}")
    conclude(arguments.model, evaluation.entries, evaluation.samples, changed=changed)
    return 0


def find_corpora(arguments, card):
    """Return the file to score, and a list of what the model was trained on; empty where that is not known.

    Raises:
        DataError: there is no such file, or the model's name says nothing of its corpora.
    """
    train, source = [arguments.train] if arguments.train else [], arguments.data
    if source.is_dir():
        preset = PRESETS[card["name"]]() if card.get("name") in PRESETS else None
        if preset is None or preset.valid is None:
            raise DataError(f"{arguments.model} names no validation text; give a file by --data FILE")
        train = train or [source / name for name, _ in preset.train]
        source = source / preset.valid
    for path in (source, *train):
        if not path.exists():
            raise DataError(f"{path} is missing")
    return source, train


def command_of(arguments, engine):
    """Return the command that measures the same again."""
    words = ["python -m bigmodel evaluate text_generation"]
    for name in ("model", "data", "train"):
        if (value := getattr(arguments, name)) is not None:
            words.append(f"--{name} {shown_path(value)}")
    words += engines.words(arguments, engine)
    return " ".join([*words, f"--samples {arguments.samples}", f"--seed {arguments.seed}"])


class Evaluation:
    """An engine, a corpus, and what was found.

    Args:
        engine: see engines.
        source: Path of the text to score.
        seed: of samples.
        command: see command_of.
        sampling: dict of temperature, top_k, top_p, max_new_tokens.

    Attributes:
        dataset: the corpus's name, see training.sources.corpus_name.
        entries, samples: see evaluation.results.
    """

    def __init__(self, engine, source, seed, command, sampling):
        self.engine, self.source, self.seed = engine, Path(source), seed
        self.command, self.sampling = command, sampling
        self.dataset = corpus_name(self.source.name)
        self.entries, self.samples = [], []

    def add(self, name, value, unit, count, *, sampled=False):
        """Keep and print a figure."""
        drawn = {"seed": self.seed, "settings": self.sampling} if sampled else {}
        kept = entry(
            name, value, unit, dataset=self.dataset, engine=self.engine.name, command=self.command, count=count, **drawn
        )
        self.entries.append(kept)
        print(f"{name:34} {kept['value']:10.4f} {unit} ({count:,}, {self.dataset}, {self.engine.name})", flush=True)

    def nats(self, documents):
        """Return the negative log-likelihood of documents, each token with at least half of the context before it."""
        context = self.engine.context
        pieces = list(document_windows(documents, context, context // 2))
        return negative_log_likelihood(self.engine.predict, _progress(pieces))

    def keep_samples(self, prompts, seeds, texts):
        """Keep texts for the card, as they came."""
        about = {"settings": self.sampling, "engine": self.engine.name}
        for prompt, seed, text in zip(prompts, seeds, texts, strict=True):
            self.samples.append({"prompt": prompt, "text": text, "seed": seed, **about})

    def seeds(self, count):
        """Return a seed for each of ``count`` samples."""
        return [1000 * self.seed + i for i in range(count)]


def score_plain(evaluation):
    """Add bits per byte, and nats a character where tokens are characters."""
    tokenizer = evaluation.engine.tokenizer.raw
    documents, size = valid_plain(evaluation.source, tokenizer)
    nats = evaluation.nats(documents)
    evaluation.add("bits_per_byte", bits_per_byte(nats, size), "bits per byte", size)
    if evaluation.engine.tokenizer.unknown_id is not None:
        characters = sum(len(ids) - first for ids, first in documents)
        evaluation.add("nats_per_character", nats / characters, "nats a character", characters)
        evaluation.add("unknown_characters", unknown_share(tokenizer, documents), "share", characters)


def write_plain(evaluation, opening):
    """Write a text for the card."""
    texts = evaluation.engine.generate([opening], evaluation.seeds(1), **evaluation.sampling)
    evaluation.keep_samples([opening], evaluation.seeds(1), texts)


def find_copies(evaluation, train, samples):
    """Go on from openings of the validation text, and add how much of that stands in the training text.

    The validation text itself, as much of it, is the measure: phrases return in any book.
    """
    rng = np.random.default_rng(evaluation.seed)
    lines = [line for text in read_plain(evaluation.source) for line in text.splitlines()]
    lines = [line for line in lines if len(line.split()) > 4 * copies.RUN] or lines
    drawn = [lines[i] for i in rng.integers(0, len(lines), samples)]
    openings = [" ".join(line.split()[: copies.RUN]) for line in drawn]
    texts = evaluation.engine.generate(openings, evaluation.seeds(samples), **evaluation.sampling)
    training = (line for path in train for text in read_plain(path) for line in text.splitlines())
    (share, runs), (real, real_runs) = copies.copied_share(texts, training, drawn)
    if runs and real_runs:  # not where words are written without spaces
        evaluation.add("copied_runs", share, "share", runs, sampled=True)
        evaluation.add("copied_runs_of_held_out_text", real, "share", real_runs, sampled=True)


def score_poems(evaluation):
    """Add nats a character of the bodies, given kind, form, author and title."""
    tokenizer = evaluation.engine.tokenizer.raw
    documents, characters = valid_poems(evaluation.source, tokenizer)
    evaluation.add("nats_per_character", evaluation.nats(documents) / characters, "nats a character", characters)
    evaluation.add("unknown_characters", unknown_share(tokenizer, documents), "share", characters)


def draw_poems(evaluation, groups, samples, **sampling):
    """Return the prompts' (form, prompt) pairs and the poems' (form, body) pairs."""
    prompts = verses.draw_prompts(groups, samples, evaluation.seed)
    sampling = {**evaluation.sampling, "max_new_tokens": POEM_TOKENS, **sampling}
    texts = evaluation.engine.generate([p for _, p in prompts], evaluation.seeds(len(prompts)), **sampling)
    return prompts, [(form, text) for (form, _), text in zip(prompts, texts, strict=True)]


def write_poems(evaluation, train, samples):
    """Write poems in the regulated forms and add what they are like beside the validation poems of these forms."""
    evaluation.sampling = {**evaluation.sampling, "max_new_tokens": POEM_TOKENS}
    groups = _groups(evaluation)
    real = [(form, row[3]) for form, rows in groups.items() for row in rows]
    prompts, poems = draw_poems(evaluation, groups, samples)
    bodies, count, lines = [body for _, body in poems], len(poems), verses.line_count([body for _, body in poems])
    rate, reference = verses.rhyme_rate(poems), verses.rhyme_rate(real)
    evaluation.add("form_share", verses.form_share(poems), "share", count, sampled=True)
    evaluation.add("rhyme_rate", rate, "share", count, sampled=True)
    evaluation.add("rhyme_rate_of_real_poems", reference, "share", len(real))
    evaluation.add("rhyme_rate_by_chance", verses.chance_rhyme_rate(real, evaluation.seed), "share", len(real))
    evaluation.add("rhyme_ratio", rate / max(reference, 1e-9), "ratio", count, sampled=True)
    evaluation.add("repeated_lines", verses.repeated_share(bodies), "share", lines, sampled=True)
    if train:
        originals = [body for _, body in real]
        known = verses.known_lines(bodies + originals, _bodies(train))
        evaluation.add("lines_in_training_set", verses.share_of_lines(bodies, known), "share", lines, sampled=True)
        share = verses.share_of_lines(originals, known)
        evaluation.add("lines_of_real_poems_in_training_set", share, "share", verses.line_count(originals))
    first = {form: i for i, (form, _) in reversed(list(enumerate(prompts)))}
    for i in sorted(first.values()):  # one of each form
        evaluation.keep_samples([prompts[i][1]], [evaluation.seeds(count)[i]], [bodies[i]])


def compare(evaluation, train, samples):
    """Print form, rhyme and copied lines of several samplings, to choose the defaults by."""
    groups = _groups(evaluation)
    reference = verses.rhyme_rate([(form, row[3]) for form, rows in groups.items() for row in rows])
    drawn = {}
    for temperature, top_k, top_p in CANDIDATES:
        key = temperature, top_k, top_p
        drawn[key] = draw_poems(evaluation, groups, samples, temperature=temperature, top_k=top_k, top_p=top_p)[1]
    everything = [body for poems in drawn.values() for _, body in poems]
    known = verses.known_lines(everything, _bodies(train)) if train else set()
    print("temperature  top_k  top_p    form   rhyme  ratio  repeated  in training set  characters")
    for (temperature, top_k, top_p), poems in drawn.items():
        bodies, rate = [body for _, body in poems], verses.rhyme_rate(poems)
        print(
            f"{temperature:11.2f} {top_k:6} {top_p:6.2f} {verses.form_share(poems):7.3f} {rate:7.3f}"
            f" {rate / max(reference, 1e-9):6.3f} {verses.repeated_share(bodies):9.4f}"
            f" {verses.share_of_lines(bodies, known):16.4f} {len(set(''.join(bodies))):11,}"
        )


def _groups(evaluation):
    """Return the validation poems of the regulated forms.

    Raises:
        DataError: there is none.
    """
    groups = verses.by_form(read_rows(evaluation.source, POEM_COLUMNS))
    if not groups:
        raise DataError(f"{evaluation.source}: no poem in a regulated form to compare with")
    return groups


def _bodies(train):
    return (text for path in train for *_, text in read_rows(path, POEM_COLUMNS))


def _progress(pieces):
    """Pass pieces on, and show how far they are in a terminal."""
    for i, piece in enumerate(pieces):
        if sys.stderr.isatty() and i % 20 == 0:
            print(f"\r{i / len(pieces):6.1%}", end="", file=sys.stderr)
        yield piece
    if sys.stderr.isatty():
        print("\r      \r", end="", file=sys.stderr)
