"""What each model runs on, and why on nothing before that: in the tab, in /health and in the log."""

import shutil

import pytest

from bigmodel.config import read_json, write_json
from bigmodel.object_detection.runtime import ObjectDetector
from bigmodel.runtime import session as sessions
from bigmodel.text_generation.runtime import TextGenerator
from bigmodel.text_to_image.runtime import ImageGenerator
from bigmodel.translation.runtime import Translator
from bigmodel.ui import about, logs
from bigmodel.ui.models import Models
from bigmodel.ui.texts import t

WHY = "this machine has no NVIDIA GPU"


@pytest.fixture
def said(monkeypatch):
    """What is logged, as (event, fields)."""
    found = []
    monkeypatch.setattr(logs, "log", lambda event, *, level=0, **fields: found.append((event, fields)))
    return found


def test_why_a_provider_is_not_used(
    tiny_stories, quantized_folder, tiny_emoji, tiny_detector, tiny_photos, said, monkeypatch
):
    from bigmodel.image_classification.runtime import ImageClassifier

    monkeypatch.setattr(sessions, "unavailable", lambda provider: WHY if provider == "cuda" else "")
    monkeypatch.setenv("BIGMODEL_PROVIDERS", "cuda,cpu")
    kinds = {
        "text_generation": TextGenerator,
        "translation": Translator,
        "text_to_image": ImageGenerator,
        "object_detection": ObjectDetector,
        "image_classification": ImageClassifier,
    }
    folders = [tiny_stories, quantized_folder, tiny_emoji, tiny_detector, tiny_photos]
    models = Models(folders, {task: kind.from_pretrained for task, kind in kinds.items()})
    assert all("provider" not in entry for entry in about.health(models)["models"].values())  # none is open yet
    models.wait()
    listed = about.health(models)["models"]
    assert len(listed) == len(folders)
    assert all((m["provider"], m["skipped"]) == ("cpu", [f"cuda: {WHY}"]) for m in listed.values())
    assert [fields["skipped"] for event, fields in said if event == "model_opened"] == [[f"cuda: {WHY}"]] * len(folders)
    shown = about.host_html(models)
    assert shown.count(WHY) == 1 and f"<dt>CUDA</dt><dd><span lang='en'>{WHY}</span></dd>" in shown


def test_titles_are_in_the_visitors_language(tiny_stories, tmp_path):
    for title in ("Stories", "Mine & yours"):
        folder = shutil.copytree(tiny_stories, tmp_path / title[:4])
        card = read_json(folder / "config.json")
        card["bigmodel"] |= {"title": title, "name": title[:4]}
        write_json(folder / "config.json", card)
    models = Models([tmp_path], {"text_generation": TextGenerator.from_pretrained})
    titles = [(str(title), name) for title, name in models.titled(["Stor", "Mine"])]
    assert titles == [(str(t("Stories")), "Stor"), ("Mine & yours", "Mine")]
    shown = about.host_html(models)
    assert "⟦Stories⟧" in shown and "Mine &amp; yours" in shown


def test_a_reason_of_one_model_alone(tiny_stories, tiny_photos, said):
    def load(folder):
        return TextGenerator.from_pretrained(folder, providers=["cpu"])

    models = Models([tiny_stories, tiny_stories.parent / "none"], {"text_generation": load})
    models.wait()
    assert "<dt>CUDA" not in about.host_html(models)
    entry = models.entries["tiny-stories"]
    entry.model.skipped = (f"tensorrt: {tiny_stories}/model_fp16.onnx <is> spoilt",)
    entry.model.skipped += ("cuda: out of memory",)
    models.entries["other"] = type(entry)("other", tiny_photos, model=load(tiny_stories))
    shown = about.host_html(models)
    assert "tiny-stories/model_fp16.onnx &lt;is&gt; spoilt</span> (Tiny stories)" in shown  # not the host's path
    assert "<dt>TensorRT</dt>" in shown and str(tiny_stories.parent) not in shown
