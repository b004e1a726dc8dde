"""``python -m bigmodel report --model <folder>``: config.json + metrics.json -> README.md, the model card.

No figure is typed here: every one comes from metrics.json, config.json or a file's size.
"""

import argparse
from pathlib import Path

from bigmodel.config import read_json
from bigmodel.evaluation import notes
from bigmodel.evaluation.results import read_metrics, renew_checksum, write_metrics

CARD = "README.md"


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``report``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument(
        "--license", help="of the weights, as the Hugging Face Hub spells it (mit, …); kept in metrics.json"
    )


def run(arguments):
    """Write the card and return 0."""
    if arguments.license:
        write_metrics(arguments.model, {**read_metrics(arguments.model), "license": arguments.license})
    (arguments.model / CARD).write_text(render(arguments.model), encoding="utf-8")
    renew_checksum(arguments.model, CARD)
    print(f"wrote {arguments.model / CARD}")
    return 0


def render(folder):
    """Return a model folder's card as Markdown with the Hub's front matter.

    Raises:
        ConfigError: config.json is missing, or a file is not JSON.
    """
    folder = Path(folder)
    config, metrics = read_json(folder / "config.json"), read_metrics(folder)
    card = {"name": folder.name, "title": folder.name, "languages": [], "format": "plain", **config.get("bigmodel", {})}
    sections = (
        front_matter(card, metrics),
        about(card, config, metrics),
        samples(metrics),
        results(metrics),
        training(metrics),
        corpora(metrics),
        limits(card, config, metrics),
        usage(card, folder, metrics),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def front_matter(card, metrics):
    """Return the YAML that the Hub reads."""
    lines = ["---"]
    if card["languages"]:
        lines.append(f"language: [{', '.join(card['languages'])}]")
    if metrics.get("license"):
        lines.append(f"license: {metrics['license']}")
    lines += [
        "library_name: transformers",
        f"pipeline_tag: {card.get('task', 'text_generation').replace('_', '-')}",
        f"tags: [bigmodel, onnx, from-scratch, {card['name']}]",
        "---",
    ]
    return "\n".join(lines)


def about(card, config, metrics):
    """Return title, description and shape."""
    facts = metrics.get("training", {})
    size = f"{_millions(facts['parameters'])} parameters, " if "parameters" in facts else ""
    shape = (
        f"A decoder-only transformer, trained from scratch: {size}{config['num_hidden_layers']} layers, width "
        f"{config['hidden_size']}, {config['num_attention_heads']} heads, a vocabulary of {config['vocab_size']:,} "
        f"tokens, a context of {config['max_position_embeddings']} tokens. Rotary positions, RMSNorm, SwiGLU, "
        f"normalised queries and keys: the weights load in the stock `Qwen3ForCausalLM`."
    )
    return "\n\n".join(part for part in (f"# {card['title']}", card.get("description", ""), shape) if part)


def samples(metrics):
    """Return the samples of the engine that is served, as they came."""
    engines = sorted({s["engine"] for s in metrics["samples"]}, key=_engine_order)
    shown = [s for s in metrics["samples"] if s["engine"] == engines[0]] if engines else []
    if not shown:
        return ""
    settings = ", ".join(f"{name} {value}" for name, value in shown[0]["settings"].items())
    parts = ["## Samples", f"Not chosen and not mended; {notes.ENGINES.get(engines[0], engines[0])}, {settings}."]
    for sample in shown:
        text = sample["prompt"] + sample["text"]
        fence = "~~~" if "```" in text else "```"
        parts.append(f"Seed {sample['seed']}:\n\n{fence}text\n{text.strip()}\n{fence}")
    return "\n\n".join(parts)


def results(metrics):
    """Return a table of every figure, a column for each engine, and the commands that measure them."""
    entries = metrics["results"]
    if not entries:
        return ""
    engines = sorted({e["engine"] for e in entries}, key=_engine_order)
    rows = {}
    for e in entries:
        rows.setdefault((e["dataset"], e["name"]), {})[e["engine"]] = e
    lines = ["| figure | unit | on | of | " + " | ".join(notes.ENGINES.get(e, e) for e in engines) + " |"]
    lines.append("|" + " --- |" * (4 + len(engines)))
    for (dataset, name), cells in rows.items():
        first = next(iter(cells.values()))
        counts = " / ".join(dict.fromkeys(f"{cells[e]['count']:,}" for e in engines if e in cells))
        values = " | ".join(_figure(cells[e]) if e in cells else "" for e in engines)
        lines.append(f"| {notes.FIGURES.get(name, name)} | {first['unit']} | {dataset} | {counts} | {values} |")
    measured = {}
    for e in entries:
        if e["seed"] is not None or e["command"] not in measured:
            measured[e["command"]] = e
    commands = [
        f"- {notes.ENGINES.get(e['engine'], e['engine'])}, {e['date']}"
        + (f", seed {e['seed']}" if e["seed"] is not None else "")
        + (f", {', '.join(f'{k} {v}' for k, v in e['settings'].items())}" if e.get("settings") else "")
        + f": `{command}`"
        for command, e in sorted(measured.items(), key=lambda item: _engine_order(item[1]["engine"]))
    ]
    explained = [notes.EXPLANATIONS[n] for n in dict.fromkeys(e["name"] for e in entries) if n in notes.EXPLANATIONS]
    return "\n".join(
        ["## Results", "", *lines, "", "Measured by:", "", *commands, *(f"\n{text}" for text in explained)]
    )


def training(metrics):
    """Return how the model was trained."""
    facts = metrics.get("training")
    if not facts:
        return ""
    settings = facts["settings"]
    passes = facts["tokens"] / facts["tokens_of_corpus"] if facts.get("tokens_of_corpus") else None
    optimiser = "Muon for the layers' matrices, AdamW for the rest" if settings["muon"] else "AdamW"
    before = facts.get("init_from")
    rows = {
        "begun with": f"weights trained before on {_millions(before['tokens'])} tokens, "
        f"{before['minutes']:g} minutes on {before['hardware']}"
        if before
        else None,
        "preset": f"`{facts['preset']}`" if facts.get("preset") else None,
        "hardware": facts["hardware"],
        "time": f"{facts['minutes']:g} minutes",
        "steps": f"{facts['steps']:,} of {facts['accumulation']} × {facts['batch']}".replace(" 1 × ", " "),
        "tokens": f"{_millions(facts['tokens'])}" + (f" ({passes:.2f} passes over the corpus)" if passes else ""),
        "optimiser": f"{optimiser}; peak rate {settings['learning_rate']:g}, weight decay {settings['weight_decay']:g}",
        "schedule": f"warm-up over {settings['warmup']:.0%}, cosine to {settings['final_rate']:.0%} of the peak",
        "precision": "bfloat16 autocast" if settings["bf16"] else "float32",
        "averaging": f"of weights, decay {settings['ema']:g}" if settings.get("ema") else None,
        "dropout": f"{facts['dropout']:g}" if facts.get("dropout") else None,
        "seed": settings["seed"],
        "last training loss": f"{facts['train_loss']:.4f} nats a token" if facts.get("train_loss") else None,
    }
    valid = dict(facts.get("validation", {}))
    if valid:
        step = valid.pop("step")
        found = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in valid.items())
        rows["best validation, whose weights are kept"] = f"{found} (step {step:,}; in windows without overlap)"
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value is not None]
    return "\n".join(["## Training", "", "| | |", "| --- | --- |", *lines])


def corpora(metrics):
    """Return the corpora with their licences and origins."""
    rows = metrics.get("data")
    if not rows:
        return ""
    lines = ["## Data and licences", ""]
    for row in rows:
        weight = f", read {row['weight']} times a pass" if row.get("weight", 1) > 1 else ""
        size = f", {row['examples']:,} examples" if "examples" in row else ""
        size += f", {row['bytes'] / 1e6:.1f} MB" if "bytes" in row else ""
        links = (f"[{o['repo']}](https://github.com/{o['repo']}/tree/{o['commit']})" for o in row.get("origin", ()))
        lines.append(
            f"- **{row['name']}** ({row['split']}{size}{weight}). Licence: {row.get('licence', 'not stated')}."
        )
        if origin := ", ".join(links):
            lines[-1] += f" From {origin}."
        if row.get("note"):
            lines[-1] += f" {_plain(row['note'])}."
    return "\n".join(lines)


def limits(card, config, metrics):
    """Return what the model cannot do, and what it may have learnt by heart."""
    context = config["max_position_embeddings"]
    texts = notes.LIMITS.get(card["name"], notes.LIMITS["other"])
    parts = ["## Limits", *(text.format(context=context) for text in texts)]
    trained_on = [row for row in metrics.get("data", ()) if row["split"] == "train"]
    published = bool(trained_on) and all(row.get("licence") for row in trained_on)
    parts += ["## Privacy and memorisation", notes.PUBLISHED if published else notes.UNKNOWN_CORPUS, notes.PRIVACY]
    found = {e["name"]: e for e in sorted(metrics["results"], key=lambda e: _engine_order(e["engine"]), reverse=True)}
    for name, reference, what in notes.COPIES:
        if name in found:
            copied, text = found[name], ""
            if real := found.get(reference):
                text = f"; of those of held-out real text, {real['value']:.1%} do, since writers repeat each other"
            parts.append(
                f"Of {copied['count']:,} sampled {what}, {copied['value']:.1%} stand in the training set{text}."
            )
    if not any(name in found for name, _, _ in notes.COPIES):
        parts.append("How much of a text stands in its training set was not measured for this model.")
    return "\n\n".join(parts)


def usage(card, folder, metrics):
    """Return how to load the model here, in transformers and in ONNX Runtime."""
    prompt = metrics["samples"][0]["prompt"] if metrics["samples"] else notes.PROMPTS[card["format"]]
    files = [f for f in ("model.safetensors", "onnx/model_quantized.onnx", "model_fp16.onnx") if (folder / f).exists()]
    lines = [f"| `{f}` | {(folder / f).stat().st_size / 1e6:.2f} MB | {notes.FILES[f]} |" for f in files]
    table = "\n".join(["| file | size | what |", "| --- | --- | --- |", *lines]) if files else ""
    code = notes.USAGE.format(name=card["name"], prompt=prompt, start=notes.START)
    return "\n\n".join(part for part in ("## Use", table, code.strip()) if part)


def _figure(values):
    return f"{values['value']:.1%}" if values["unit"] == "share" else f"{values['value']:.4f}"


def _millions(number):
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number:,}"


def _plain(note):
    """Return a note with tabs and angle brackets that Markdown shows as they are."""
    return note.replace("\\t", ", ").replace("<", "&lt;").replace(">", "&gt;").rstrip(".")


def _engine_order(engine):
    """Sort what is served first."""
    return (list(notes.ENGINES).index(engine) if engine in notes.ENGINES else len(notes.ENGINES)), engine
