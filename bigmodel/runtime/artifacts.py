"""Model folders: found, fetched, and checked file by file before anything of them is loaded."""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from bigmodel.config import read_config, read_json, write_json
from bigmodel.errors import ModelFolderError, first_line
from bigmodel.runtime.onnx_files import external_data

SHIPPED = Path(__file__).parents[2] / "export" / "artifacts"
LISTED = (".onnx", ".json", ".safetensors")  # none may lie in a folder that its manifest does not name
MANIFEST = "manifest.json"
READS_PICTURES = ("image_classification", "object_detection")  # tasks without a text
SAFE_PATTERNS = ("*.json", "*.safetensors", "*.onnx", "*.md", "*.png")
PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*(@[\w./-]+)?")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class ModelFolder:
    """A checked model folder.

    Attributes:
        path: the folder.
        config: dict of config.json.
        generation_config: dict of generation_config.json; empty where there is none.
        files: relative name -> sha256, as the manifest says and as was found.
    """

    path: Path
    config: dict
    generation_config: dict
    files: dict

    @classmethod
    def open(cls, folder_or_hub_id, task=None):
        """Open a folder, or fetch one from the Hugging Face Hub, and check every file of it.

        Args:
            folder_or_hub_id: a path, the name of a model that is shipped, or "user/name" with an optional "@commit".
            task: what the model must be for; None takes any.

        Raises:
            ModelFolderError: names the file that is missing, altered or refused, or the task that it is for instead.
            ConfigError: config.json is none.
        """
        path, given = Path(folder_or_hub_id), str(folder_or_hub_id)
        if given == path.name and not os.path.isdir(path) and os.path.isdir(SHIPPED / given):
            path = SHIPPED / given
        if not os.path.isdir(path) or not given:  # no OSError where the name is too long
            if not is_hub_id(given):
                raise ModelFolderError(f"{given!r} is neither a folder, a shipped model's name nor an id of the Hub")
            path = fetch(given)
        files = verify(path)
        return replace(cls.unchecked(path, task), files=files)

    @classmethod
    def unchecked(cls, path, task=None):
        """Return a folder as a training leaves it, without checksums: not for what others have made.

        Raises:
            ModelFolderError: it is for another task.
            ConfigError: config.json is none.
        """
        path = Path(path)
        generation_config = path / "generation_config.json"
        defaults = read_json(generation_config) if generation_config.exists() else {}
        folder = cls(path, read_config(path), defaults, dict.fromkeys(p.name for p in path.iterdir()))
        if task and folder.task != task:
            raise ModelFolderError(f"{path} is a model of {folder.task}, not of {task}")
        return folder

    @property
    def card(self):
        """Return the "bigmodel" part of config.json: task, name, format, title, languages, description."""
        return self.config.get("bigmodel", {})

    @property
    def task(self):
        """Return the task that the model is for; one that says none writes text."""
        return self.card.get("task", "text_generation")

    @property
    def name(self):
        """Return the model's name; the folder's where the model has none."""
        return self.card.get("name", self.path.name)

    def file(self, name):
        """Return the path of a checked file.

        Raises:
            ModelFolderError: the manifest does not list it.
        """
        if name not in self.files:
            raise ModelFolderError(f"{self.path / name} is missing")
        return self.path / name

    def graphs(self, name="model"):
        """Return provider -> graph: the quantised one for the CPU, the 16-bit one for CUDA where the folder has it.

        The latter lies beside model.safetensors, whose weights it reads: ONNX Runtime takes no path out of its folder.

        Args:
            name: of the graph, such as "encoder_model".
        """
        names = {"cpu": f"onnx/{name}_quantized.onnx", "cuda": f"{name}_fp16.onnx"}
        return {provider: self.path / name for provider, name in names.items() if name in self.files}


def is_hub_id(name):
    """Whether a name is "user/name" or "user/name@commit", and nothing of this name is here."""
    return bool(_HUB_ID.fullmatch(str(name))) and not Path(name).exists()


def fetch(hub_id):
    """Download the safe files of a Hub model once, and return a folder of them.

    What is in the Hub's cache, such as by a Space's preload_from_hub, is not asked for again, and without a network it
    is enough.

    Args:
        hub_id: "user/name" or "user/name@commit".

    Raises:
        ModelFolderError: it cannot be fetched.
    """
    import huggingface_hub  # slow to import, and needed for Hub ids only

    repository, _, revision = hub_id.partition("@")
    try:
        snapshot = Path(
            huggingface_hub.snapshot_download(repository, revision=revision or None, allow_patterns=list(SAFE_PATTERNS))
        )
        # the cache is made of links, and ONNX Runtime follows none out of a folder
        home = Path(huggingface_hub.constants.HF_HOME) / "bigmodel"
        folder = home / f"{repository.replace('/', '--')}@{snapshot.name}"
        for source in snapshot.rglob("*"):
            if source.is_file() and is_safe(source.name):
                _real_file(source.resolve(), folder / source.relative_to(snapshot))
    except Exception as error:  # network, authentication, unknown repository, full disk: all are the user's to mend
        raise ModelFolderError(f"{hub_id} cannot be fetched: {first_line(error)}") from error
    return folder


def _real_file(source, target):
    """Give a file a second name, or copy it where the two cannot share a disk."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        part = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            shutil.copyfile(source, part)
            part.replace(target)  # whole or not at all, whatever ends this process
        finally:
            part.unlink(missing_ok=True)


def is_safe(name):
    """Whether a file of this name is fetched from the Hub."""
    return any(fnmatch(name, pattern) for pattern in SAFE_PATTERNS)


def write_manifest(folder):
    """Write manifest.json: the sha256 of every file of a model folder that the Hub gives back. Returns name -> sha256.

    Raises:
        ModelFolderError: the folder holds a file that would be refused.
    """
    folder = Path(folder)
    files = {name: _sha256(folder / name) for name in filter(is_safe, _list_safe(folder)) if name != MANIFEST}
    write_json(folder / MANIFEST, {"files": files})
    return files


def verify(folder):
    """Check a model folder against its manifest.

    Args:
        folder: Path.

    Returns:
        dict of relative name -> sha256.

    Raises:
        ModelFolderError: names the first file that is missing, altered, refused, or leaves the folder.
    """
    folder = Path(folder)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise ModelFolderError(f"{manifest} is missing")
    found = _list_safe(folder)
    try:
        files = dict(json.loads(manifest.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(f"{manifest} lists no files") from error
    for name in _needed(folder, found):
        if name not in found:
            raise ModelFolderError(f"{folder / name} is missing")
    for name, expected in files.items():
        if name not in found:
            raise ModelFolderError(f"{folder / name} is missing, or is not a file of the folder")
        if _sha256(folder / name) != expected:
            raise ModelFolderError(f"{folder / name} differs from its checksum in {MANIFEST}")
    for name in found:
        if name.endswith(LISTED) and name not in files and name != MANIFEST:
            raise ModelFolderError(f"{folder / name} is not listed in {MANIFEST}")
        if name.endswith(".onnx"):
            _check_external_data(folder, name, files)
    return files


def _needed(folder, found):
    """Return the files that a folder cannot do without: what a text or a picture is prepared by depends on the task."""
    if "config.json" not in found:
        return ("config.json",)
    card = read_config(folder).get("bigmodel", {})
    return ("preprocessor_config.json" if card.get("task") in READS_PICTURES else "tokenizer.json",)


def _list_safe(folder):
    """Return the relative names of every file, sorted; refuse pickles, and links that leave the folder."""
    root, names = folder.resolve(), []
    for parent, directories, files in os.walk(folder):
        for directory in directories:
            if (Path(parent) / directory).is_symlink():
                raise ModelFolderError(f"{Path(parent) / directory} is a link to a folder; only files are allowed")
        directories[:] = [d for d in directories if not d.startswith(".")]
        for file in files:
            path = Path(parent) / file
            if not path.resolve().is_relative_to(root):
                raise ModelFolderError(f"{path} is a link that leaves the folder")
            if not path.is_file():
                raise ModelFolderError(f"{path} is a broken link, or no file")
            if path.suffix.lower() in PICKLE_SUFFIXES or _is_pickle(path):
                raise ModelFolderError(f"{path} may hold a pickle, which can run any code; it is refused")
            if not file.startswith("."):
                names.append(path.relative_to(folder).as_posix())
    return sorted(names)


def _is_pickle(path):
    """Whether a file begins as a pickle (protocol 2 or later) or as torch's zip of one."""
    with open(path, "rb") as file:
        head = file.read(9)
    if path.suffix == ".safetensors" and head[8:] == b"{":
        return False  # eight bytes of length may look like anything
    return head[:4] == b"PK\x03\x04" or (head[:1] == b"\x80" and 2 <= int.from_bytes(head[1:2], "big") <= 5)


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _check_external_data(folder, name, files):
    """Refuse a graph that is cut short, or whose weights lie outside of the checked files."""
    for location, end in external_data(folder / name):
        target = (Path(name).parent / location).as_posix()
        if location != Path(location).name or location in ("", ".", "..") or target not in files:
            raise ModelFolderError(f"{folder / name} reads {location!r}, which is no checked file beside it")
        if end > (folder / target).stat().st_size:
            raise ModelFolderError(f"{folder / target} is shorter than {name} expects")
