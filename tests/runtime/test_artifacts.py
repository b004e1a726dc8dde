"""A model folder is refused, by the name of the file, for every fault."""

import os
import pickle
import shutil
from pathlib import Path

import pytest

from bigmodel.errors import ConfigError, ModelFolderError
from bigmodel.runtime import artifacts
from bigmodel.runtime.artifacts import ModelFolder, write_manifest
from bigmodel.runtime.onnx_files import external_data

GRAPH = "onnx/model_quantized.onnx"
SHIPPED = Path(__file__).parents[2] / "export" / "artifacts"


@pytest.fixture
def folder(tiny_stories, tmp_path):
    """A copy of a good folder, to be spoilt."""
    return shutil.copytree(tiny_stories, tmp_path / "model")


def refuses(folder, *words):
    with pytest.raises(ModelFolderError) as refused:
        ModelFolder.open(folder)
    assert all(word in str(refused.value) for word in words), refused.value


def test_a_good_folder_opens(folder):
    model = ModelFolder.open(folder)
    assert model.name == "tiny-stories" and model.card["format"] == "plain"
    assert model.generation_config["top_k"] == 40
    assert set(model.graphs()) == {"cpu", "cuda"}
    assert model.file(GRAPH).is_file()
    with pytest.raises(ModelFolderError, match="absent.json"):
        model.file("absent.json")


def test_the_name_of_a_shipped_model(folder, monkeypatch):
    monkeypatch.setattr(artifacts, "SHIPPED", folder.parent)
    assert ModelFolder.open("model").path == folder
    with pytest.raises(ModelFolderError, match="neither a folder, a shipped model's name nor an id of the Hub"):
        ModelFolder.open("other")


def test_a_model_of_another_task(folder):
    assert ModelFolder.open(folder, "text_generation").name == "tiny-stories"
    with pytest.raises(ModelFolderError, match="is a model of text_generation, not of translation"):
        ModelFolder.open(folder, "translation")


NO_CONFIG = [("[]", "is not an object"), ('{"bigmodel": "x"}', "is no description"), ('{"bigmodel": null}', "is no")]


@pytest.mark.parametrize("content, words", NO_CONFIG)
def test_a_config_that_is_none(folder, content, words):
    (folder / "config.json").write_text(content)
    write_manifest(folder)
    with pytest.raises(ConfigError, match=f"config.json.* {words}"):
        ModelFolder.open(folder)


@pytest.mark.parametrize("shipped", sorted(SHIPPED.glob("*/")), ids=lambda shipped: shipped.name)
def test_a_shipped_folder_is_whole(shipped):
    assert artifacts.verify(shipped)


@pytest.mark.parametrize("name", ["tokenizer.json", GRAPH, "model.safetensors", "config.json", "model_fp16.onnx"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    refuses(folder, name, "missing")


def test_what_the_hub_does_not_give_back_is_not_missed(folder):
    (folder / "LICENSE").write_text("MIT")
    assert "LICENSE" not in write_manifest(folder)
    (folder / "LICENSE").unlink()
    assert artifacts.verify(folder)


def test_a_configuration_that_is_a_folder_is_named(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match=r"config\.json cannot be read: Is a directory"):
        ModelFolder.unchecked(tmp_path)


def test_missing_manifest(folder):
    (folder / "manifest.json").unlink()
    refuses(folder, "manifest.json", "missing")
    (folder / "manifest.json").write_text("[]")
    refuses(folder, "manifest.json")


@pytest.mark.parametrize("name", ["tokenizer.json", GRAPH, "model.safetensors", "generation_config.json"])
def test_altered_file(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    refuses(folder, name, "checksum")


def test_unlisted_graph(folder):
    shutil.copy(folder / GRAPH, folder / "onnx" / "another.onnx")
    refuses(folder, "another.onnx", "not listed")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "onnx/vocabulary.pkl", "last.ckpt", "A.PKL"])
def test_pickles_by_suffix(folder, name):
    (folder / name).write_bytes(b"anything")
    refuses(folder, name, "pickle")
    with pytest.raises(ModelFolderError, match="pickle"):
        write_manifest(folder)


@pytest.mark.parametrize("content", [pickle.dumps({"a": 1}), pickle.dumps([1], protocol=2), b"PK\x03\x04archive"])
def test_disguised_pickles(folder, content):
    (folder / "notes.md").write_bytes(content)
    refuses(folder, "notes.md", "pickle")


def test_safetensors_whose_length_looks_like_a_pickle(folder):
    (folder / "model.safetensors").write_bytes((0x0380).to_bytes(8, "little") + b"{" + b" " * 0x37F)
    (folder / "model_fp16.onnx").unlink()  # it reads more of that file
    write_manifest(folder)
    assert ModelFolder.open(folder).name == "tiny-stories"


@pytest.mark.parametrize("keep", [0, 1, 1000, -1])
def test_truncated_graph(folder, keep):
    content = (folder / GRAPH).read_bytes()
    (folder / GRAPH).write_bytes(content[:keep])
    write_manifest(folder)  # as somebody would who made the manifest too late
    refuses(folder, GRAPH, "cut short")


def test_truncated_weights(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-10])
    write_manifest(folder)
    refuses(folder, "model.safetensors", "shorter")


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret.data", "absent.data", "onnx/x.data", ".."])
def test_external_data_outside(folder, location):
    onnx = pytest.importorskip("onnx")
    (folder.parent / "secret.data").write_bytes(b"0" * 10_000)
    graph = onnx.load(folder / "model_fp16.onnx", load_external_data=False)
    entry = next(t for t in graph.graph.initializer if t.external_data).external_data[0]
    assert entry.key == "location"
    entry.value = location
    (folder / "model_fp16.onnx").write_bytes(graph.SerializeToString())
    write_manifest(folder)
    refuses(folder, "model_fp16.onnx", location)


def test_external_data_is_read_as_onnx_reads_it(folder):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(folder / "model_fp16.onnx", load_external_data=False)
    entries = [{e.key: e.value for e in t.external_data} for t in graph.graph.initializer if t.external_data]
    expected = [(e["location"], int(e["offset"]) + int(e["length"])) for e in entries]
    assert external_data(folder / "model_fp16.onnx") == expected and expected
    assert external_data(folder / GRAPH) == []
    tensor = onnx.TensorProto(external_data=[{"key": "location", "value": "beside.data"}])
    default = onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=tensor)
    graph.functions.append(onnx.FunctionProto(name="f", attribute_proto=[default]))
    (folder / GRAPH).write_bytes(graph.SerializeToString())
    assert ("beside.data", 0) in external_data(folder / GRAPH)


def test_links(folder):
    outside = folder.parent / "outside.json"
    shutil.copy(folder / "tokenizer.json", outside)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(outside)
    refuses(folder, "tokenizer.json", "link")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(folder / "nowhere")
    refuses(folder, "tokenizer.json", "broken link")
    (folder / "tokenizer.json").unlink()
    shutil.copy(outside, folder / "tokenizer.json")
    (folder / "more").symlink_to("/tmp", target_is_directory=True)
    refuses(folder, "more", "link")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(folder):
    os.mkfifo(folder / "pipe.md")
    refuses(folder, "pipe.md", "no file")


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "../x", "a b/c", "", "x" * 300])
def test_neither_folder_nor_hub_id(name, monkeypatch):
    monkeypatch.setattr(artifacts, "fetch", lambda hub_id: pytest.fail("asked the Hub"))
    refuses(name, repr(name), "neither")


def test_hub_id(folder, monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    asked = {}

    def snapshot_download(repository, **options):
        asked.update(options, repository=repository)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(hub.constants, "HF_HOME", str(tmp_path / "home"))
    (folder / "training_args.bin").write_bytes(b"what another program has fetched")
    opened = ModelFolder.open("someone/tiny@abc123")
    assert opened.name == "tiny-stories" and opened.path.is_relative_to(tmp_path / "home")
    assert asked["repository"] == "someone/tiny" and asked["revision"] == "abc123"
    assert not any("bin" in pattern or pattern == "*" for pattern in asked["allow_patterns"])


def test_hub_failure_is_one_line(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def snapshot_download(*_, **__):
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    refuses("someone/tiny", "someone/tiny", "no route to host")


def test_a_copy_is_whole_or_not_there(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "folder/model.onnx"
    source.write_bytes(b"whole")

    def cut_off(source, target):
        Path(target).write_bytes(b"wh")
        raise KeyboardInterrupt

    monkeypatch.setattr(artifacts.os, "link", lambda *_: (_ for _ in ()).throw(OSError))  # another disk
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(artifacts.shutil, "copyfile", cut_off)
        artifacts._real_file(source, target)
    assert not list(target.parent.iterdir())
    artifacts._real_file(source, target)
    assert target.read_bytes() == b"whole" and list(target.parent.iterdir()) == [target]
