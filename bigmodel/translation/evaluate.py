"""``python -m bigmodel evaluate translation``: BLEU and chrF of a translator, into its metrics.json.

    python -m bigmodel evaluate translation --model export/artifacts/en-de --data DATA --engine onnx

Every test file that fits the model's directions is translated, line by line, and scored by sacreBLEU; beside each score
stands its floor, that of the source copied. ``--data`` is the folder of the test files, or one file to score instead:
one of these, or pairs in the languages of the model's first direction.

Source: Post 2018, arXiv:1804.08771 (sacreBLEU).
"""

import argparse
import time
from itertools import islice
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

from bigmodel.errors import DataError
from bigmodel.evaluation.results import conclude, entry, shown_path
from bigmodel.runtime import engines
from bigmodel.training.sources import corpus_name, read_rows
from bigmodel.translation.data import COLUMNS
from bigmodel.translation.engines import open_engine

# of sacreBLEU, for languages without spaces between words; else its own, 13a
TOKENIZERS = {"zh": "zh", "lzh": "zh", **dict.fromkeys(("ja", "th", "lo", "km", "my"), "char")}
# file -> languages of its columns; newstest2017 and flores101 are unlike anything that the models have read
TEST_FILES = {
    "en-de.multi30k.test_2016_flickr.tsv.xz": ("en", "de"),
    "en-de.multi30k.test_2017_flickr.tsv.xz": ("en", "de"),
    "en-zh.3am.val.tsv.xz": ("en", "zh"),
    "en-zh.tatoeba-v2021-08-07.test.tsv.xz": ("en", "zh"),
    "en-zh.flores101.devtest.tsv.xz": ("en", "zh"),
    "en-zh.newstest2017.tsv.xz": ("en", "zh"),
    "lzh-zh.classical-modern.test.tsv.xz": ("lzh", "zh"),
}
SAMPLES = 3  # of each direction


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``evaluate translation``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder, or checkpoint folder for torch")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the test files, or a file to score")
    engines.add_arguments(parser)
    own = "default: generation_config.json's; figures of another number are printed, not kept"
    parser.add_argument("--beams", type=int, help=f"hypotheses a sentence; {own}")
    parser.add_argument("--limit", type=int, help="score the first sentences of each file, so many: printed, not kept")


def run(arguments):
    """Measure and print every figure, keep them where they are the card's, and return 0."""
    engines.check_least(arguments, limit=1, beams=1)
    translator, engine = open_engine(arguments.engine, arguments.model, arguments.provider)
    own = translator.defaults
    search = {"num_beams": arguments.beams or own["num_beams"], "length_penalty": own["length_penalty"]}
    about = {"engine": engine, "command": command_of(arguments, engine)}
    entries, samples = [], {}
    for name, direction, sources, references in read_tests(arguments.data, translator.directions, arguments.limit):
        dataset = f"{'→'.join(direction)} {name}"
        translations = translate(translator, sources, direction, search, dataset)
        found = score(translations, sources, references, direction[1], search, dataset=dataset, **about)
        for e in found:
            print(f"{e['name']:24} {e['value']:8.2f} ({e['count']:,}, {dataset}, {engine})", flush=True)
        entries += found
        shared = {"direction": "-".join(direction), "dataset": name, "settings": search, "engine": engine}
        first = islice(zip(sources, translations, references, strict=True), SAMPLES)
        kept = [{**shared, "source": s, "translation": t, "reference": r} for s, t, r in first]
        samples.setdefault(direction, kept)  # of the first file alone
    changed = engines.changed(arguments, limit=None, beams=own["num_beams"])
    conclude(arguments.model, entries, sum(samples.values(), []), changed=changed)
    return 0


def read_tests(data, directions, limit=None):
    """Yield the name, direction, sources and references of each test, in every direction that fits it.

    Args:
        data, directions: see find_tests.
        limit: so many sentences of each; None for all.
    """
    for path, languages in find_tests(data, directions):
        pairs = islice(read_rows(path, COLUMNS), limit)
        columns = dict(zip(languages, zip(*(map(str.strip, pair) for pair in pairs), strict=True), strict=True))
        for direction in directions:
            if set(direction) == set(languages):
                yield corpus_name(path.name), direction, *(list(columns[code]) for code in direction)


def find_tests(data, directions):
    """Return (path, languages of its columns) of each test file that fits one of the directions.

    Args:
        data: folder of TEST_FILES, or a file: one of these, or in the languages of the first direction.
        directions: (source, target) codes.

    Raises:
        DataError: a file is missing, or none fits.
    """
    fitting = [(data / file, codes) for file, codes in TEST_FILES.items() if {codes, codes[::-1]} & set(directions)]
    if not data.is_dir():
        fitting = [(data, TEST_FILES.get(data.name, directions[0]))]
    if not fitting:
        raise DataError(
            f"no test file is in the model's languages; give one of pairs {'-'.join(directions[0])} by --data"
        )
    for path, _ in fitting:
        if not path.exists():
            raise DataError(f"{path} is missing")
    return fitting


def command_of(arguments, engine):
    """Return the command that measures the same again."""
    words = ["python -m bigmodel evaluate translation", f"--model {shown_path(arguments.model)}"]
    return " ".join([*words, f"--data {shown_path(arguments.data)}", *engines.words(arguments, engine)])


def translate(translator, sources, direction, search, dataset):
    """Return the best translation of each source, and print how fast they came."""
    start = time.perf_counter()
    found = translator.translate_sentences(sources, direction, **search)
    seconds = time.perf_counter() - start
    print(f"{dataset}: {len(sources):,} sentences, {len(sources) / seconds:.1f} a second", flush=True)
    return [best.text for best, *_ in found]


def score(translations, sources, references, target, search, **about):
    """Return the entries of a direction: each score, and then that of the sources themselves.

    Args:
        translations, sources, references: lists of texts.
        target: code of the references' language.
        search: dict of num_beams and length_penalty.
        about: dataset, engine and command of evaluation.results.entry.
    """
    entries = []
    for name, (metric, unit) in metrics(target).items():
        for kind, texts, settings in ((name, translations, search), (f"{name}_of_copy", sources, {})):
            value = metric.corpus_score(texts, [references]).score
            settings = {**settings, "signature": str(metric.get_signature())}
            entries.append(entry(kind, value, unit, count=len(texts), settings=settings, **about))
    return entries


def metrics(target):
    """Return name -> (metric of sacreBLEU, unit) for translations into a language."""
    if target in TOKENIZERS:
        return {"bleu": (BLEU(tokenize=TOKENIZERS[target]), "BLEU"), "chrf": (CHRF(), "chrF")}
    cased, lower = BLEU(), BLEU(lowercase=True)
    return {"bleu": (cased, "BLEU"), "bleu_lowercased": (lower, "BLEU"), "chrf": (CHRF(), "chrF")}
