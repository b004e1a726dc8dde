"""What a training tells the model card about itself and its corpora; kept in metrics.json."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from bigmodel.config import read_json, write_json
from bigmodel.training.sources import corpus_name
from bigmodel.training.state import load_state

SETTINGS = ("learning_rate", "muon", "weight_decay", "warmup", "final_rate", "ema", "bf16", "seed")
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


def keep_facts(config, trainer, corpora, data, *, preset=None):
    """Write metrics.json of a run's model folder anew: figures of other weights would be wrong now.

    Args:
        config, trainer, preset: see ``training_facts``.
        corpora, data: see ``corpus_facts``.
    """
    facts = {"training": training_facts(config, trainer, preset=preset), "data": corpus_facts(corpora, data)}
    write_json(trainer.folder / "model" / "metrics.json", facts)


def training_facts(config, trainer, *, preset=None):
    """Return how a model was trained, as the run's log and configuration have it.

    Args:
        config: of the task; with transformer, settings and init_from.
        trainer: Trainer whose run has ended; its data with tokens_of_corpus and a str() that describes a batch.
        preset: its name, where the training began with one.
    """
    log = trainer.folder / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [line for line in lines if "loss" in line]
    last = losses[-1] if losses else {"seconds": 0.0, "tokens": 0, "loss": None}
    facts = {
        "preset": preset,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "steps": lines[-1]["step"] if lines else 0,
        "tokens": last["tokens"],
        "tokens_of_corpus": trainer.data.tokens_of_corpus,
        "unit": trainer.data.unit,
        "minutes": round(last["seconds"] / 60, 1),
        "hardware": hardware(trainer.world),
        "batch": str(trainer.data),
        "accumulation": config.settings.accumulation,
        "dropout": config.transformer.dropout,
        "settings": {name: asdict(config.settings)[name] for name in SETTINGS} | {"bf16": trainer.bf16},
        "train_loss": last["loss"],
    }
    if best := load_state(trainer.folder / "best.pt"):
        facts["validation"] = {name: value for name, value in best.items() if name != "model"}
    if config.init_from and (config.init_from / "metrics.json").exists():
        facts["init_from"] = read_json(config.init_from / "metrics.json").get("training")
    return facts


def hardware(world=1):
    """Return in words what this process trains on: "two CPU cores", "one NVIDIA H200 GPU"."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name().removeprefix("NVIDIA ")
        return f"{_NUMBERS.get(world, world)} NVIDIA {name} GPU{'s' * (world > 1)}"
    cores = torch.get_num_threads() * world
    return f"{_NUMBERS.get(cores, cores)} CPU core{'s' * (cores > 1)}"


def corpus_facts(corpora, data):
    """Return a dict a corpus: name, split, weight, and what a MANIFEST.json beside it says of licence and origin.

    Args:
        corpora: list of (file, split, weight), or of (file, split, weight, count) where a split's examples are counted.
        data: folder of the corpora.
    """
    manifest = Path(data) / "MANIFEST.json"
    said = read_json(manifest) if manifest.exists() else []
    known = {row["file"]: row for row in said if isinstance(row, dict) and "file" in row}
    facts = []
    for file, split, weight, *count in corpora:
        row, name = known.get(file, {}), Path(file).name if Path(file).is_absolute() else file
        row = {"note": row.get("shape"), **row, "licence": _listed(row.get("licence", row.get("license")))}
        row["origin"] = [_origin(o) for o in row.get("origin", ())]
        about = {key: row[key] for key in ("licence", "note", "origin", "examples") if row.get(key)}
        if count:  # the manifest's are those of all splits
            about["examples"] = count[0]
        if "bytes_uncompressed" in row:
            about["bytes"] = row["bytes_uncompressed"]
        facts.append({"name": corpus_name(name), "split": split, "weight": weight, **about})
    return facts


def _listed(licence):
    """Return a licence, or those of several parts, as one text."""
    return "; ".join(f"{part}: {text}" for part, text in licence.items()) if isinstance(licence, dict) else licence


def _origin(origin):
    """Return {"repo", "commit"} of an origin, which may be spelled "github:owner/name@commit:path".

    A repository may be named with its branch, "owner/name@branch"; the commit alone is kept.
    """
    if not isinstance(origin, str):
        return {**origin, "repo": origin["repo"].partition("@")[0]}
    repo, _, commit = origin.removeprefix("github:").partition("@")
    return {"repo": repo, "commit": commit.partition(" ")[0].partition(":")[0]}
