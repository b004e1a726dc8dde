"""metrics.json: what replaces what, and the manifest that knows of it."""

import hashlib

from bigmodel.config import read_json, write_json
from bigmodel.evaluation.results import entry, merge, read_metrics, shown_path


def figure(value, *, name="bits_per_byte", dataset="tales.valid", engine="torch"):
    return entry(name, value, "bits per byte", dataset=dataset, engine=engine, command="measure", count=10)


def test_an_entry_replaces_its_like_alone(tmp_path):
    write_json(tmp_path / "metrics.json", {"training": {"steps": 3}})
    merge(tmp_path, [figure(1.0), figure(2.0, engine="onnx-cpu"), figure(3.0, dataset="mine")])
    merge(tmp_path, [figure(1.5)])
    metrics = read_metrics(tmp_path)
    assert sorted(e["value"] for e in metrics["results"]) == [1.5, 2.0, 3.0]
    assert metrics["training"] == {"steps": 3}
    assert [figure(1, dataset=d)["split"] for d in ("tales.valid", "mine")] == ["valid", "all"]


def test_samples_replace_those_of_their_engine(tmp_path):
    merge(tmp_path, [], [{"text": "a", "engine": "torch"}, {"text": "b", "engine": "onnx-cpu"}])
    merge(tmp_path, [], [{"text": "c", "engine": "torch"}])
    merge(tmp_path, [figure(1.0)])
    assert sorted(s["text"] for s in read_metrics(tmp_path)["samples"]) == ["b", "c"]


def test_the_manifest_learns_of_metrics_alone(tmp_path):
    write_json(tmp_path / "manifest.json", {"files": {"model.safetensors": "as it was"}})
    merge(tmp_path, [figure(1.0)])
    files = read_json(tmp_path / "manifest.json")["files"]
    digest = hashlib.sha256((tmp_path / "metrics.json").read_bytes()).hexdigest()
    assert files == {"metrics.json": digest, "model.safetensors": "as it was"}


def test_shown_path_holds_no_folder_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "models" / "a") == "models/a"
    assert shown_path("../data") == "../data"
    assert shown_path(tmp_path.parent / "elsewhere" / "b.txt") == "b.txt"
