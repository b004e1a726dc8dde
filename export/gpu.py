"""``export/gpu.sh``: prepares trainings for a GPU machine, runs and measures them there within a clock, collects them.

A preset's training is a folder, ``runs/<preset>``: ``tokens``, its checkpoint and log, and at the end ``model``; what
several read lies in ``runs/data``. It travels as an archive, and an index.json beside archives says what is in them.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from bigmodel.config import read_json
from bigmodel.errors import BigModelError, ConfigError, DataError
from bigmodel.registry import TASKS
from export import gpu_figures

MODELS = ("emoji", "multilingual", "stories", "poetry", "photos", "fashion", "scenes", "blood-cells")  # best first
RUNS = Path("runs")
UPLOAD, PIECE, DOWNLOAD, FILES = 58 * 2**20, 15 * 2**20, 60 * 2**20, 8  # bytes of a call, and files
START, STOP, SEND = 60, 20, 15  # seconds to begin a training, to end one, to send what is there
UNFINISHED = 75  # exit status; sysexits.h: try again


def digest(path):
    """Return a file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checked(path, sha256):
    """Return a path.

    Raises:
        DataError: the file is missing or has another checksum.
    """
    if not path.exists() or digest(path) != sha256:
        raise DataError(f"{path} is {'broken' if path.exists() else 'missing'}; copy it again")
    return path


# --- here: prepare ----------------------------------------------------------------------------------------------


def find(preset):
    """Return the task and the configuration of a preset.

    Raises:
        ConfigError: no task has it.
    """
    for task in TASKS:
        presets = import_module(f"bigmodel.{task}.config").PRESETS
        if preset in presets:
            return task, presets[preset]()
    raise ConfigError(f"no task has the preset {preset!r}")


def part_of(data, task):
    """Return the folder of a task's corpora: the part text or image, where the data is so parted."""
    part = data / ("text" if task in ("text_generation", "translation") else "image")
    return part if part.is_dir() else data


def fill(task, config, data, tokens, more):
    """Write into ``tokens`` what a training would tokenize, and return the other files that it and its measuring open.

    Args:
        task: id.
        config: of the preset.
        data: folder of its corpora.
        tokens: folder.
        more: folder for files to be returned that are made here.
    """
    module = import_module(f"bigmodel.{task}.data")
    tokens.mkdir(parents=True)
    if task == "text_generation":
        module.load_corpus(config, data, tokens)
        return [data / config.valid] if config.valid else []
    if task == "translation":
        tokenizer = module.load_tokenizer(config, data, tokens)
        for corpora, training in ((config.train, True), (config.valid, False)):
            module.load_pairs(config, corpora, tokenizer, data, tokens, training=training)
        tests = import_module("bigmodel.translation.evaluate").TEST_FILES
        directions = set(map(frozenset, config.directions))
        return [data / name for name, pair in tests.items() if frozenset(pair) in directions and (data / name).exists()]
    corpus = data / config.corpus
    if task != "text_to_image":
        return [corpus]
    module.load_tokenizer(config, module.read_pictures(corpus, "train"), tokens, corpus)
    names = more / module.names_file(corpus).name  # no package has to be there that knows them
    names.write_text(json.dumps(module.chinese_names(corpus), ensure_ascii=False), encoding="utf-8")
    return [corpus, names]


def pack(preset, data, scratch, shipped):
    """Write a training's archive and return its path and the row that says what it is.

    Args:
        preset: its name.
        data: folder of the corpora, or of its parts text and image.
        scratch: folder to work in.
        shipped: names of the files that other archives have, shared in runs/data; this one's are added.
    """
    task, config = find(preset)
    archive, tokens, manifest = (scratch / name for name in (f"{preset}.tar.xz", "tokens", "MANIFEST.json"))
    opened = fill(task, config, part_of(data, task), tokens, scratch)
    files = [file for file in opened if file.name not in shipped]
    known = [path for path in (data, data / "text", data / "image") if (path / manifest.name).exists()]
    manifest.write_text(json.dumps([row for path in known for row in read_json(path / manifest.name)]))
    with tarfile.open(archive, "w:xz") as tar:
        tar.add(tokens, f"{preset}/tokens")
        for file in (*files, manifest):
            tar.add(file, f"data/{file.name}")
        if task == "text_to_image" and (judges := RUNS / "judges" / str(config.shape.sample_size)).exists():
            for file in (*judges.glob("*/config.json"), *judges.glob("*/tokenizer*"), *judges.glob("*/*.safetensors")):
                tar.add(file, file.relative_to(RUNS))
    shipped.update(file.name for file in files)
    about = {"preset": preset, "task": task, "files": [file.name for file in opened]}
    return archive, {**about, "file": archive.name, "sha256": digest(archive)}


def prepare(data, folder, models, suffix, limit=UPLOAD):
    """Write the uploads ``folder/1``, ``folder/2`` …, each with archives of whole trainings and their index.json.

    Raises:
        DataError: a corpus is missing, or one training is larger than an upload may be.
    """
    uploads, sizes, shipped = [], [], set()
    for place, preset in enumerate(f"{model}{suffix}" for model in models):
        with tempfile.TemporaryDirectory() as scratch:
            archive, row = pack(preset, data, Path(scratch), shipped)
            size = archive.stat().st_size
            if size > limit:
                raise DataError(f"{preset}: {size:,} bytes are more than an upload's {limit:,}")
            number = next((i for i, full in enumerate(sizes) if full + size <= limit), len(sizes))
            if number == len(sizes):
                uploads.append([])
                sizes.append(0)
            upload = folder / str(number + 1)
            upload.mkdir(parents=True, exist_ok=True)
            shutil.move(archive, upload / archive.name)
        sizes[number] += size
        uploads[number].append({**row, "place": place})
        (upload / "index.json").write_text(json.dumps(uploads[number], indent=1))
        print(f"{upload}: {preset}, {size / 2**20:.1f} MiB")


# --- there: run -------------------------------------------------------------------------------------------------


def unpack(upload):
    """Unpack an upload's trainings into runs/; one that is there stays as it is."""
    index = upload / "index.json"
    for row in read_json(index) if index.exists() else ():
        about = RUNS / row["preset"] / "training.json"
        if not about.exists():
            with tarfile.open(checked(upload / row["file"], row["sha256"])) as tar:
                tar.extractall(RUNS, filter="data")
            about.write_text(json.dumps(row))


def trainings():
    """Return the rows of the trainings that are there, best first."""
    return sorted(map(read_json, RUNS.glob("*/training.json")), key=lambda row: row["place"])


def finished(preset):
    """Whether a training has written its model folder."""
    return (RUNS / preset / "model" / "metrics.json").exists()


def train(row, ends, options):
    """Train, or go on, until the clock ``ends`` (of time.monotonic); leaves a checkpoint.

    Returns:
        "finished", "unfinished", "not begun", or "failed".
    """
    preset, folder = row["preset"], RUNS / row["preset"]
    if finished(preset):
        return "finished"
    if ends - time.monotonic() < START + STOP:
        return "not begun" if not (folder / "checkpoint.pt").exists() else "unfinished"
    words = ["train", row["task"], "--preset", preset, "--data", RUNS / "data", "--out", folder, *options]
    with (folder / "train.log").open("a") as log:
        process = subprocess.Popen([sys.executable, "-m", "bigmodel", *map(str, words)], stdout=log, stderr=log)
        try:
            process.wait(max(0, ends - STOP - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.terminate()  # it ends after its step, with a checkpoint
            try:
                process.wait(max(1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if finished(preset):
        return "finished"
    return "unfinished" if process.returncode in (130, -15, -9) else "failed"


def pieces_of(preset):
    """Return the rows (file, sha256) of a finished training's archive, which is made and split once."""
    folder = RUNS / preset / "pieces"
    index = folder / "index.json"
    if not index.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        archive = folder / f"{preset}.tar"
        with tarfile.open(archive, "w") as tar:
            for name in ("model", "log.jsonl", "loss.png", "train.log"):
                if (RUNS / preset / name).exists():
                    tar.add(RUNS / preset / name, f"{preset}/{name}")
        rows, content = [], archive.read_bytes()
        for start in range(0, len(content), PIECE):
            piece = folder / f"{preset}.tar.{len(rows)}"
            piece.write_bytes(content[start : start + PIECE])
            rows.append({"file": piece.name, "sha256": digest(piece)})
        archive.unlink()
        index.write_text(json.dumps(rows))
    return read_json(index)


def send(states, out, again=()):
    """Write index.json and the pieces that no call has brought yet, as many as one may bring; return the others' names.

    Args:
        states: preset -> state.
        out: folder.
        again: names of pieces that did not arrive.
    """
    out.mkdir(parents=True, exist_ok=True)
    index, sent, count, size = {}, RUNS / "sent.json", 1, 0
    gone = [name for name in (read_json(sent) if sent.exists() else ()) if name not in again]
    for preset, state in states.items():
        index[preset] = {"state": state, "pieces": pieces_of(preset) if state == "finished" else []}
        log = RUNS / preset / "log.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        index[preset]["last"] = {key: value for line in lines for key, value in line.items()}
        index[preset]["figures"] = gpu_figures.figures(RUNS / preset)
        index[preset]["said"] = gpu_figures.said(RUNS / preset)
        for row in index[preset]["pieces"]:
            piece = RUNS / preset / "pieces" / row["file"]
            fits = count < FILES and size + piece.stat().st_size <= DOWNLOAD
            if row["file"] not in gone and fits:
                shutil.copyfile(piece, out / piece.name)
                gone.append(row["file"])
                count, size = count + 1, size + piece.stat().st_size
    sent.write_text(json.dumps(gone))
    (out / "index.json").write_text(json.dumps(index, indent=1))
    waiting = [row["file"] for about in index.values() for row in about["pieces"] if row["file"] not in gone]
    print(f"{count - 1} files sent; for a later call: {', '.join(waiting) or 'none'}")
    return waiting


def run(upload, out, seconds, *, together=2, again=(), options=(), provider="cuda"):
    """Go on with every training until a call's clock is over, measure what is finished, and send it.

    Args:
        upload: folder of ``prepare``; one without index.json brings nothing.
        out: folder for what goes back.
        seconds: of the call.
        together: trainings at a time: one begins and compiles while another computes.
        again: see send.
        options: more options of ``train``.
        provider: on which finished models are measured; None for no measuring.

    Returns:
        0 where all are finished, measured and sent, UNFINISHED else.
    """
    ends = time.monotonic() + seconds - SEND
    if provider:
        from bigmodel.runtime.session import unavailable  # a training alone needs no ONNX Runtime

        if fault := unavailable(provider):
            print(f"nothing is measured on {provider}: {fault}")
            provider = None
    unpack(upload)
    if shutil.disk_usage("/dev/shm").free < 2**30:  # where workers hand over their batches
        options = [*options, "--workers", "0"]
    rows = trainings()
    with ThreadPoolExecutor(together) as pool:
        found = list(pool.map(lambda row: train(row, ends, options), rows))
    states = {row["preset"]: state for row, state in zip(rows, found, strict=True)}
    for preset, state in states.items():
        log = RUNS / preset / "train.log"
        lines = log.read_text(errors="replace").replace("\r", "\n").splitlines() if log.exists() else []
        shown = 12 if state == "failed" else 2
        print("\n  ".join([f"{preset}: {state}", *lines[-shown:]]))
    whole = [row for row in rows if provider and states[row["preset"]] == "finished"]
    measured = [gpu_figures.measure(row, RUNS, ends, provider) for row in whole]
    waiting = send(states, out, again)
    return UNFINISHED if waiting or not all(measured) or set(states.values()) - {"finished"} else 0


# --- here: collect ----------------------------------------------------------------------------------------------


def collect(data, folder, outs, suffix):
    """Join what calls have brought, and export, evaluate and render every model that is whole.

    Args:
        data: see fill.
        folder: of ``prepare``; keeps what came.
        outs: what calls have brought, in their order.
        suffix: of the presets.

    Returns:
        0 where every training that is known is whole, UNFINISHED else.

    Raises:
        DataError: a piece is broken.
    """
    received, index, whole = folder / "received", {}, []
    received.mkdir(parents=True, exist_ok=True)
    for out in outs:
        for path in out.iterdir():
            shutil.copyfile(path, received / path.name)
        for preset, about in read_json(out / "index.json").items():
            # a later call, on another machine, may know less
            if about["state"] == "finished" or index.get(preset, {}).get("state") != "finished":
                index[preset] = about
    for preset, about in index.items():
        missing = [row["file"] for row in about["pieces"] if not (received / row["file"]).exists()]
        if about["state"] != "finished" or missing:
            print(f"{preset}: {about['state']} {', '.join(missing)}")
            continue
        with tempfile.TemporaryFile() as archive:
            for row in about["pieces"]:
                archive.write(checked(received / row["file"], row["sha256"]).read_bytes())
            archive.seek(0)
            shutil.rmtree(RUNS / preset / "model", ignore_errors=True)
            with tarfile.open(fileobj=archive) as tar:
                tar.extractall(RUNS, filter="data")
        gpu_figures.enter(about.get("figures", {}), RUNS / preset / "model")
        whole.append(preset.removesuffix(suffix))
    if whole:
        environment = {**os.environ, "TRAINED": "1", "PRESET_SUFFIX": suffix}
        subprocess.run([Path(__file__).with_name("reproduce.sh"), data, *whole], env=environment, check=True)
    return 0 if len(whole) == len(index) else UNFINISHED


def main(argv=None):
    """Run prepare, run or collect; return the exit status."""
    parser = argparse.ArgumentParser(prog="export/gpu.sh")
    commands = parser.add_subparsers(dest="command", required=True)
    one, two, three = (commands.add_parser(name) for name in ("prepare", "run", "collect"))
    for command in (one, three):
        command.add_argument("data", type=Path)
        command.add_argument("folder", type=Path)
    one.add_argument("models", nargs="*", default=MODELS)
    two.add_argument("upload", type=Path)
    two.add_argument("out", type=Path)
    two.add_argument("seconds", type=float)
    two.add_argument("--together", type=int, default=2, help="trainings at a time")
    two.add_argument("--again", nargs="*", default=(), help="files to send again")
    two.add_argument("--options", default="", help="more options of train, as one word")
    two.add_argument("--provider", default="cuda", help="on which finished models are measured; none: they are not")
    three.add_argument("outs", type=Path, nargs="+")
    known, suffix = parser.parse_args(argv), os.environ.get("PRESET_SUFFIX", "-gpu")
    try:
        if known.command == "prepare":
            return prepare(known.data, known.folder, known.models, suffix)
        if known.command == "run":
            more = {"together": known.together, "again": known.again, "options": known.options.split()}
            more["provider"] = None if known.provider == "none" else known.provider
            return run(known.upload, known.out, known.seconds, **more)
        return collect(known.data, known.folder, known.outs, suffix)
    except BigModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
