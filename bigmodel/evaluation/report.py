"""``python -m bigmodel report --model <folder>``: config.json + metrics.json -> README.md, the model card.

README.zh.md is the same card in Chinese, which the page shows to those who read that.

No figure is typed here: every one comes from metrics.json, config.json or a file's size. What a task says of its models
stands in ``cards``.
"""

import argparse
import json
from pathlib import Path

from bigmodel.config import read_config
from bigmodel.errors import ConfigError
from bigmodel.evaluation import notes
from bigmodel.evaluation.cards import (
    image_classification,
    object_detection,
    text_generation,
    text_to_image,
    translation,
)
from bigmodel.evaluation.chinese import translated
from bigmodel.evaluation.results import read_metrics, renew_checksum, write_metrics

CARD, CHINESE_CARD = "README.md", "README.zh.md"
TASKS = {
    "text_generation": text_generation,
    "translation": translation,
    "text_to_image": text_to_image,
    "image_classification": image_classification,
    "object_detection": object_detection,
}


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``report``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument(
        "--license", help="of the weights, as the Hugging Face Hub spells it (mit, …); kept in metrics.json"
    )


def run(arguments):
    """Write the card in both languages and return 0."""
    if arguments.license:
        write_metrics(arguments.model, {**read_metrics(arguments.model), "license": arguments.license})
    card = render(arguments.model)
    for name, text in ((CARD, card), (CHINESE_CARD, translated(card))):
        (arguments.model / name).write_text(text, encoding="utf-8")
        renew_checksum(arguments.model, name)
        print(f"wrote {arguments.model / name}")
    return 0


def render(folder):
    """Return a model folder's card as Markdown with the Hub's front matter.

    Raises:
        ConfigError: config.json is missing, a file is not JSON, or no card is known for the model's task.
    """
    folder = Path(folder)
    config, metrics = read_config(folder), read_metrics(folder)
    named = {"name": folder.name, "title": folder.name, "languages": []}
    card = {"task": "text_generation", "format": "plain", **named, **config.get("bigmodel", {})}
    if card["task"] not in TASKS:
        raise ConfigError(f"{folder}: no card is known for {card['task']!r}; there are {', '.join(TASKS)}")
    task = TASKS[card["task"]]
    sections = (
        front_matter(task, card, metrics),
        about(task, card, config, metrics),
        samples(task, metrics),
        results(task, metrics),
        speeds(metrics),
        training(task, metrics),
        corpora(metrics),
        limits(task, card, config, metrics),
        usage(task, card, folder, metrics),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def front_matter(task, card, metrics):
    """Return the YAML that the Hub reads."""
    lines = ["---"]
    if card["languages"]:
        lines.append(f"language: {json.dumps(card['languages'])}")  # in quotes: no is a truth value
    if metrics.get("license"):
        lines.append(f"license: {metrics['license']}")
    lines += [
        f"library_name: {task.LIBRARY}",
        f"pipeline_tag: {card['task'].replace('_', '-')}",
        f"tags: [bigmodel, onnx, from-scratch, {card['name']}]",
        "---",
    ]
    return "\n".join(lines)


def about(task, card, config, metrics):
    """Return title, description and shape."""
    facts = metrics.get("training", {})
    size = f"{notes.millions(facts['parameters'])} parameters, " if "parameters" in facts else ""
    shape = task.shape(config, size)
    return "\n\n".join(part for part in (f"# {card['title']}", card.get("description", ""), shape) if part)


def samples(task, metrics):
    """Return the samples of the engine that is served, as they came."""
    engines = sorted({s["engine"] for s in metrics["samples"]}, key=notes.engine_order)
    shown = [s for s in metrics["samples"] if s["engine"] == engines[0]] if engines else []
    if not shown:
        return ""
    settings = notes.listed(shown[0]["settings"])
    parts = ["## Samples", f"Not chosen and not mended; {notes.engine_name(engines[0])}, {settings}."]
    return "\n\n".join([*parts, *task.samples(shown)])


def results(task, metrics):
    """Return a table of every figure, a column for each engine, and the commands that measure them."""
    entries = metrics["results"]
    if not entries:
        return ""
    engines = sorted({e["engine"] for e in entries}, key=notes.engine_order)
    measured, seeds = {}, {}
    for e in entries:
        if e["seed"] is not None or e["command"] not in measured:
            measured[e["command"]] = e
        seeds.setdefault(e["command"], {})[e["seed"]] = None
    commands = [
        f"- {', '.join(_measurement(e, [seed for seed in seeds[command] if seed is not None]))}: `{command}`"
        for command, e in sorted(measured.items(), key=lambda item: notes.engine_order(item[1]["engine"]))
    ]
    explained = (f"\n{text}" for text in task.explanations(entries))
    lines = ["## Results", "", *task.table(entries, engines), "", "Measured by:", "", *commands, *explained]
    return "\n".join(lines)


def _measurement(values, seeds):
    """Yield what is to be said of a figure's command: engine, date, seeds and settings."""
    yield notes.engine_name(values["engine"])
    yield values["date"]
    yield from (f"seed {seed}" for seed in seeds)
    settings = {name: value for name, value in (values.get("settings") or {}).items() if name != "signature"}
    if settings:
        yield notes.listed(settings)


def speeds(metrics):
    """Return a table for each provider on which the model was compared with other engines."""
    parts = ["## Speed"]
    for provider, found in metrics.get("speed", {}).items():
        driver = f", driver {found['driver']}" if found.get("driver") else ""
        versions = ", ".join(f"{package} {number}" for package, number in found["versions"].items())
        parts.append(
            f"{notes.engine_name(f'onnx-{provider}')}, beside others on the same weights and device, in one run of "
            f"{found['date']}: `{found['device']}{driver}; {versions}`."
        )
        cells = {(row["case"], row["engine"]): _rate(row) for row in found["rows"]}
        cases, engines = (list(dict.fromkeys(keys)) for keys in zip(*cells, strict=True))
        lines = [f"| {found['unit']} a second | {' | '.join(f'`{e}`' for e in engines)} | ours against the best |"]
        lines.append("|" + " --- |" * (2 + len(engines)))
        for case in cases:
            ratio = f"{found['ratios'][case]['ratio']:.2f}" if case in found["ratios"] else ""
            lines.append(f"| {case} | {' | '.join(cells.get((case, e), '') for e in engines)} | {ratio} |")
        parts.append("\n".join(lines))
        if any("bandwidth_share" in row for row in found["rows"]):
            parts.append(notes.BRACKETS)
        parts.append(f"`{found['command']}`")
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _rate(row):
    """Return a rate as a table has it, and for texts the first token's wait and the share of the memory's limit."""
    rate = f"{row['per_second']:,.0f}" if row["per_second"] >= 100 else f"{row['per_second']:.1f}"
    if "bandwidth_share" not in row:
        return rate
    return f"{rate} ({row['first_token_ms']:.1f} ms, {row['bandwidth_share']:.0%})"


def training(task, metrics):
    """Return how the model was trained."""
    facts = metrics.get("training")
    if not facts:
        return ""
    settings = facts["settings"]
    passes = facts["tokens"] / facts["tokens_of_corpus"] if facts.get("tokens_of_corpus") else None
    optimiser = "Muon for the layers' matrices, AdamW for the rest" if settings["muon"] else "AdamW"
    before = notes.earlier(facts)
    rows = {
        "begun with": f"weights trained before on {notes.millions(sum(b['tokens'] for b in before))} "
        f"{before[0].get('unit', 'tokens')}, {sum(b['minutes'] for b in before):g} minutes on {before[0]['hardware']}"
        if before
        else None,
        "preset": f"`{facts['preset']}`" if facts.get("preset") else None,
        "hardware": facts["hardware"],
        "time": f"{facts['minutes']:g} minutes",
        "steps": f"{facts['steps']:,} of {facts['accumulation']} × {facts['batch']}".replace(" 1 × ", " "),
        task.TOKENS: notes.millions(facts["tokens"]) + (f" ({passes:.2f} passes over the corpus)" if passes else ""),
        "optimiser": f"{optimiser}; peak rate {settings['learning_rate']:g}, weight decay {settings['weight_decay']:g}",
        "schedule": f"warm-up over {settings['warmup']:.0%}, cosine to {settings['final_rate']:.0%} of the peak",
        "precision": "bfloat16 autocast" if settings["bf16"] else "float32",
        "averaging": f"of weights, decay {settings['ema']:g}" if settings.get("ema") else None,
        "dropout": f"{facts['dropout']:g}" if facts.get("dropout") else None,
        "seed": settings["seed"],
        "last training loss": f"{facts['train_loss']:.4f} {task.LOSS}" if facts.get("train_loss") else None,
    }
    valid = dict(facts.get("validation", {}))
    if valid:
        step = valid.pop("step")
        found = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in valid.items())
        rows["best validation, whose weights are kept"] = f"{found} (step {step:,}; {task.VALIDATION})"
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value is not None]
    return "\n".join(["## Training", "", "| | |", "| --- | --- |", *lines])


def corpora(metrics):
    """Return the corpora with their licences and origins."""
    rows = metrics.get("data")
    if not rows:
        return ""
    lines = ["## Data and licences", ""]
    for row in rows:
        weight = row.get("weight", 1)
        times = f"{weight:g} times" if weight > 1 else f"to {weight:.0%}"
        read = f", read {times} a pass" if weight != 1 else ""
        size = f", {row['examples']:,} examples" if "examples" in row else ""
        size += f", {row['bytes'] / 1e6:.1f} MB" if "bytes" in row else ""
        lines.append(f"- **{row['name']}** ({row['split']}{size}{read}). Licence: {row.get('licence', 'not stated')}.")
        if origins := notes.origins(row):
            lines[-1] += f" From {origins}."
        if row.get("note"):
            lines[-1] += f" {notes.plain(row['note'])}."
    return "\n\n".join(["\n".join(lines), *notes.attributions(rows)])


def limits(task, card, config, metrics):
    """Return what the model cannot do, and what it may have learnt by heart."""
    trained_on = [row for row in metrics.get("data", ()) if row["split"] == "train"]
    published = bool(trained_on) and all(row.get("licence") for row in trained_on)
    origin = task.PUBLISHED if published else notes.UNKNOWN_CORPUS
    parts = ["## Limits", *task.limits(card, config)]
    return "\n\n".join([*parts, "## Privacy and memorisation", origin, *task.memorisation(metrics)])


def usage(task, card, folder, metrics):
    """Return the folder's files, and how to load the model."""
    files = [f for f in task.FILES if (folder / f).exists()]
    lines = [f"| `{f}` | {(folder / f).stat().st_size / 1e6:.2f} MB | {task.FILES[f]} |" for f in files]
    table = "\n".join(["| file | size | what |", "| --- | --- | --- |", *lines]) if files else ""
    return "\n\n".join(part for part in ("## Use", table, task.usage(card, metrics).strip()) if part)
