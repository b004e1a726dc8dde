"""Own pictures from the command line: what a run's folder and its figures say."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from bigmodel.cli import main  # noqa: E402
from bigmodel.config import VisionConfig, read_json  # noqa: E402
from bigmodel.image_classification import config as configs  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Words that train a tiny model on folders of two labels."""
    rng = np.random.default_rng(0)
    for label, colour in (("cat", 60), ("dog", 180)):
        (tmp_path / "own" / label).mkdir(parents=True)
        for i in range(10):
            pixels = (colour + rng.integers(-20, 20, (16, 16, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "own" / label / f"{i}.png")
    shape = VisionConfig((16, 16), 3, (8, 16), (2, 2), 32, 48, 1, 2)
    preset = dataclasses.replace(configs.photos(), transformer=shape, batch_size=8)
    monkeypatch.setitem(configs.PRESETS, "photos", lambda: preset)
    words = ["--train", str(tmp_path / "own"), "--out", str(tmp_path / "run"), "--steps", "3", "--no-compile"]
    return ["train", "image_classification", *words]


def test_a_run_keeps_its_labels(command, tmp_path, capsys):
    assert main(command) == 0
    values = read_json(tmp_path / "run/model/config.json")
    assert list(values["id2label"].values()) == ["cat", "dog"] and values["bigmodel"]["name"] == "run"
    counts = {row["split"]: row["examples"] for row in read_json(tmp_path / "run/model/metrics.json")["data"]}
    assert counts == {"train": 15, "valid": 3}  # of 18, a fifth is held out; 8.png of each ten is for the test
    (tmp_path / "own/dog").rename(tmp_path / "own/wolf")
    assert main(command) == 2
    assert "a run of the labels cat, dog, not cat, wolf" in capsys.readouterr().err
    assert read_json(tmp_path / "run/model/config.json") == values


def test_one_label_is_refused(command, tmp_path, capsys):
    (tmp_path / "own/dog").rename(tmp_path / "dog")
    assert main(command) == 2
    assert "has the label cat alone; give two or more" in capsys.readouterr().err
