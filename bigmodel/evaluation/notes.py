"""The words that every model card uses, and how figures are written in it."""

import json
import re

from bigmodel.evaluation.results import SPLITS

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

BRACKETS = (
    "In brackets: until every text has its first token, and the share of what the memory's measured bandwidth allows."
)

# corpus -> whom its licence or its authors ask to be named
ATTRIBUTIONS = {
    "emoji64": "Pictures by [Google (Noto Emoji)](https://github.com/googlefonts/noto-emoji), [Microsoft (Fluent "
    "Emoji)](https://github.com/microsoft/fluentui-emoji), [Twitter, Inc and other contributors "
    "(Twemoji)](https://github.com/jdecked/twemoji), [EmojiOne and contributors "
    "(EmojiTwo)](https://github.com/EmojiTwo/emojitwo) and [the Mozilla Foundation "
    "(FxEmoji)](https://github.com/mozilla/fxemoji), the last three under [CC BY "
    "4.0](https://creativecommons.org/licenses/by/4.0/), all made smaller and set on white.",
    "cifar10_jpeg": "Photographs of [CIFAR-10, by Alex "
    "Krizhevsky](https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf).",
    "en-zh.tatoeba": "Sentences by the contributors of [Tatoeba](https://tatoeba.org), under [CC BY 2.0 "
    "FR](https://creativecommons.org/licenses/by/2.0/fr/), filtered.",
    "en-zh.docs": "Documentation of [GNOME](https://help.gnome.org), under [CC BY "
    "3.0](https://creativecommons.org/licenses/by/3.0/), of [Python](https://docs.python.org), "
    "[Django](https://docs.djangoproject.com) and [TensorFlow](https://www.tensorflow.org), cut into sentences.",
}


def attributions(rows):
    """Return those to be named for rows of metrics.json's "data", each once."""
    named = (ATTRIBUTIONS.get(corpus(row)) for row in rows)
    return list(dict.fromkeys(text for text in named if text))


def corpus(row):
    """Return the name of a row's corpus, whatever part of it is meant."""
    name, _, ending = row["name"].rpartition(".")
    return name if ending in SPLITS else row["name"]


def engine_name(engine):
    """Return an engine in words."""
    return ENGINES.get(engine, engine)


def engine_order(engine):
    """Sort what is served first."""
    return (list(ENGINES).index(engine) if engine in ENGINES else len(ENGINES)), engine


def grouped(entries):
    """Return (data set, figure) -> engine -> entry: the rows of a table, in order."""
    rows = {}
    for e in entries:
        rows.setdefault((e["dataset"], e["name"]), {})[e["engine"]] = e
    return rows


def counted(cells, engines):
    """Return of how many things a row's entries are, each number once."""
    return " / ".join(dict.fromkeys(f"{cells[e]['count']:,}" for e in engines if e in cells))


def table(entries, engines, named, written):
    """Return a row for each data set and figure, a column for each engine.

    Args:
        entries: of evaluation.results.
        engines: their names, in the order of the columns.
        named: function of a figure's name, which returns it in words.
        written: function of an entry, which returns its value as it is shown.
    """
    lines = ["| on | of | figure | " + " | ".join(map(engine_name, engines)) + " |"]
    lines.append("|" + " --- |" * (3 + len(engines)))
    for (dataset, name), cells in grouped(entries).items():
        values = " | ".join(written(cells[e]) if e in cells else "" for e in engines)
        lines.append(f"| {dataset} | {counted(cells, engines)} | {named(name)} | {values} |")
    return lines


def earlier(facts):
    """Return the trainings whose weights a training began with, of metrics.json's "training", the latest first."""
    found = []
    while (facts := facts.get("init_from")) and "minutes" in facts:
        found.append(facts)
    return found


def origins(row):
    """Return links to where a corpus is from, of a row of metrics.json's "data"; "" where that is not known."""
    links = (f"[{o['repo']}](https://github.com/{o['repo']}/tree/{o['commit']})" for o in row.get("origin", ()))
    return ", ".join(links)


def millions(number):
    """Return a count in words: 5,432,100 as "5.4 M"."""
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number:,}"


def plain(note):
    """Return a note with tabs, asterisks and angle brackets that Markdown shows as they are."""
    return note.replace("\\t", ", ").replace("**", r"\*\*").replace("<", "&lt;").replace(">", "&gt;").rstrip(".")


def listed(settings):
    """Return settings as "temperature 0.8, top_k 40"."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def quoted(text):
    """Return a text as Python spells it."""
    return json.dumps(text, ensure_ascii=False)


def cell(text):
    """Return a text that Markdown shows as it is, within a table."""
    return re.sub(r"([\\`*_|<>\[\]~$])", r"\\\1", " ".join(text.split()))
