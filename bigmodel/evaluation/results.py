"""metrics.json: every measured figure of a model folder, with its command, data, seed and date.

The file is a dict of
    results: list of entries, see ``entry``;
    samples: list of texts that were neither chosen nor mended, with their prompt, seed, settings and engine;
    training, data: what the training wrote about itself and its corpora;
    speed, parity: provider -> what was measured on it beside other engines, and beside the weights on the CPU.
"""

import datetime
import hashlib
import shlex
from pathlib import Path

from bigmodel.config import read_json, write_json

METRICS = "metrics.json"
MANIFEST = "manifest.json"
SPLITS = ("train", "valid", "val", "test")


def entry(name, value, unit, *, dataset, engine, command, count, seed=None, settings=None):
    """Return a figure as it is kept.

    Args:
        name: of the figure.
        value: number.
        unit: "bits per byte", "share" (0 to 1), …
        dataset: name of the data, such as "en.kids-classics.valid"; its last part may name the split.
        engine: what ran the model: "torch", "onnx-cpu", "onnx-cuda".
        command: the command that measures it again.
        count: how many things it is a figure of: bytes, characters, poems, lines.
        seed: of what was drawn; None where nothing is.
        settings: dict of the sampling; None where nothing is sampled.
    """
    ending = dataset.rpartition(".")[2]
    values = {
        "name": name,
        "value": round(float(value), 6),
        "unit": unit,
        "dataset": dataset,
        "split": ending if ending in SPLITS else "all",
        "engine": engine,
        "command": command,
        "seed": seed,
        "date": datetime.date.today().isoformat(),
        "count": int(count),
    }
    return {**values, "settings": settings} if settings else values


def read_metrics(folder):
    """Return the dict of a folder's metrics.json; empty lists where there is no file yet."""
    path = Path(folder) / METRICS
    return {"results": [], "samples": [], **(read_json(path) if path.exists() else {})}


def merge(folder, entries, samples=()):
    """Add entries and samples to a folder's metrics.json.

    An entry replaces the one with the same name, dataset and engine; samples replace all of their engine.
    """
    metrics = read_metrics(folder)
    new = {_key(e): e for e in entries}
    kept = [e for e in metrics["results"] if _key(e) not in new]
    metrics["results"] = kept + list(new.values())
    engines = {sample["engine"] for sample in samples}
    metrics["samples"] = [s for s in metrics["samples"] if s["engine"] not in engines] + list(samples)
    write_metrics(folder, metrics)


def conclude(folder, entries, samples=(), *, changed=()):
    """Keep what was measured, and say so; but nothing where options made it another measurement than the card's.

    Args:
        folder, entries, samples: see ``merge``.
        changed: the words of these options.
    """
    if changed:
        print(f"not kept in {Path(folder) / METRICS}, since measured with {' '.join(changed)}")
        return
    merge(folder, entries, samples)
    print(f"kept in {Path(folder) / METRICS}")


def keep(folder, part, provider, figures):
    """Enter a provider's figures under "speed" or "parity"; those of other providers stay."""
    metrics = read_metrics(folder)
    metrics[part] = {**metrics.get(part, {}), provider: figures}
    write_metrics(folder, metrics)


def write_metrics(folder, metrics):
    """Write metrics.json, and its checksum where the folder has a manifest."""
    write_json(Path(folder) / METRICS, metrics)
    renew_checksum(folder, METRICS)


def renew_checksum(folder, name):
    """Enter one file's sha256 in the folder's manifest, where there is one; the other files' stay as they are."""
    path = Path(folder) / MANIFEST
    if path.exists():
        manifest = read_json(path)
        manifest["files"][name] = hashlib.sha256((Path(folder) / name).read_bytes()).hexdigest()
        manifest["files"] = dict(sorted(manifest["files"].items()))
        write_json(path, manifest)


def shown_path(path):
    """Return a path as a command on another machine may have it: relative to here, or the name alone; quoted."""
    path = Path(path)
    if path.is_absolute():
        path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else Path(path.name)
    return shlex.quote(path.as_posix())


def _key(values):
    return values["name"], values["dataset"], values["engine"]
