"""Every task's training on a device that is not the CPU, from its corpus to its model folder, once interrupted."""

import dataclasses
import io
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from pretended_gpu import GPU, pretended_gpu

from bigmodel.config import VisionConfig, read_json
from bigmodel.image_classification import config as classifiers
from bigmodel.object_detection import config as detectors
from bigmodel.text_generation import config as writers
from bigmodel.text_to_image import config as painters
from bigmodel.text_to_image import data as pictures_with_names
from bigmodel.training.settings import TrainingSettings
from bigmodel.translation import config as translators

SETTINGS = TrainingSettings(max_steps=4, ema=0.9, log_every=2, save_every=2, validate_every=2)
SEEN = VisionConfig((16, 16), 3, (8, 16), (2, 2), 16, 24, 1, 2)
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}


def changed(config, **changes):
    return dataclasses.replace(config, settings=SETTINGS, batch_size=4, **changes)


def writer(folder):
    (folder / "a.txt").write_text("".join(f"The fox met {count} crows.\n" for count in range(300)))
    config = writers.stories()
    shape = dataclasses.replace(config.transformer, vocab_size=300, dropout=0.1, **SMALL, **HEADS)
    return changed(config, train=(("a.txt", 1),), valid=None, transformer=shape, window=32)


def translator(folder):
    lines = [f"a man sees {i} dogs\tein Mann sieht {i} Hunde\n" for i in range(60)]
    (folder / "a.tsv").write_text("".join(lines))
    config, pairs = translators.en_de(), (translators.PairCorpus("a.tsv", ("en", "de")),)
    shape = dataclasses.replace(config.transformer, vocab_size=330, **SMALL, **HEADS)
    small = {"transformer": shape, "decoder_layers": 1, "batch_tokens": 256, "settings": SETTINGS}
    return dataclasses.replace(config, train=pairs, valid=pairs, **small)


def classifier(folder):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 16, 16, 3)).astype(np.uint8), rng.integers(0, 3, 60)
    np.savez(folder / "a.npz", train_images=images, train_labels=labels)
    mixed = classifiers.Augmentation(flip=True, shift=2, erase=3, mix=0.5)
    small = {"transformer": SEEN, "held_out": 20, "augmentation": mixed}
    return changed(classifiers.photos(), corpus="a.npz", labels=("a", "b", "c"), **small)


def detector(folder):
    for split in ("train", "val"):
        (folder / split).mkdir()
        values = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "square"}]}
        for i in range(6):
            Image.fromarray(np.full((16, 16, 3), 40 * i, np.uint8)).save(folder / split / f"{i}.png")
            values["images"].append({"id": i, "file_name": f"{i}.png"})
            values["annotations"] += [{"image_id": i, "category_id": 1, "bbox": [2, 2, 4 + i, 5]}] * (i % 3)
        (folder / split / "boxes.json").write_text(json.dumps(values))
    return changed(detectors.blood_cells(), corpus=".", labels=("square",), transformer=SEEN)


def painter(folder, pictures):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    rows = []
    for i, picture in enumerate(pictures * 4):
        file = io.BytesIO()
        Image.fromarray(picture.image).save(file, "png")
        row = {"image": file.getvalue(), "name": picture.subject.name, "tone": "", "keywords": "", "split": "train"}
        # a fifth style of each thing is kept for the validation
        rows.append({**row, "style": picture.style if i < 30 else "kept", "codepoints": picture.codepoints})
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "a.parquet")
    stack = lambda **values: dataclasses.replace(painters.emoji().shape.text, **SMALL, **HEADS, **values)  # noqa: E731
    denoiser = dataclasses.replace(painters.emoji().transformer, **SMALL, **HEADS)
    shape = painters.DiffusionConfig(16, 4, 20, stack(), dataclasses.replace(denoiser, max_position_embeddings=16))
    return changed(painters.emoji(), corpus="a.parquet", shape=shape)


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")  # here such a copy is one
@pytest.mark.parametrize(
    "task", ["text_generation", "translation", "image_classification", "object_detection", "text_to_image"]
)
def test_a_training_is_of_one_device(task, tmp_path, monkeypatch, emoji_pictures):
    from importlib import import_module

    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    monkeypatch.setattr(pictures_with_names, "_is_valid", lambda row: row["style"] == "kept")
    make = {"text_generation": writer, "translation": translator, "image_classification": classifier}
    make |= {"object_detection": detector, "text_to_image": lambda folder: painter(folder, emoji_pictures)}
    config = make[task](data)
    train = import_module(f"bigmodel.{task}.train").train
    started = import_module("bigmodel.training.loop").Trainer.__init__
    devices = []

    def watched(trainer, model, *args, **kwargs):
        started(trainer, model, *args, **kwargs)
        devices.extend({weight.device for weight in trainer.model.parameters()})

    monkeypatch.setattr("bigmodel.training.loop.Trainer.__init__", watched)
    with pretended_gpu(monkeypatch):
        half = dataclasses.replace(config.settings, max_steps=2)
        train(dataclasses.replace(config, settings=half), data, run)
        result = train(config, data, run)
    assert devices == [GPU, GPU] and math.isfinite(result["loss"])
    facts = read_json(run / "model" / "metrics.json")["training"]
    assert facts["steps"] == 4 and facts["validation"]["loss"] < 100
    from safetensors.torch import load_file

    assert all(weight.isfinite().all() for weight in load_file(run / "model" / "model.safetensors").values())


def test_the_pretended_gpu_notices():
    with pytest.MonkeyPatch.context() as patch, pretended_gpu(patch):
        there = torch.randn(3, 4).to("meta")
        with pytest.raises(RuntimeError, match="on the GPU and on the CPU"):
            there + torch.ones(3, 4)
        with pytest.raises((RuntimeError, TypeError)):
            there.numpy()
        assert there.cpu().numpy().shape == (3, 4) and there[torch.tensor([0, 2])].device == GPU
