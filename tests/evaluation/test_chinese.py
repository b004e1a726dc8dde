"""The Chinese card: no English is left in it but names, code and data, and its figures are the English one's."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from bigmodel.evaluation import cards, notes
from bigmodel.evaluation.chinese import SAMPLES, TEXTS, phrase, translated
from bigmodel.evaluation.report import render, speeds

ARTIFACTS = Path(__file__).parents[2] / "export" / "artifacts"
FOLDERS = sorted(path.parent for path in ARTIFACTS.glob("*/README.md"))
TASKS = [module.name for module in pkgutil.iter_modules(cards.__path__)]
# names, and what has no other word; the last two lines are of licences
NAMES = """onnx runtime cpu cuda tensorrt pytorch fp bigmodel transformer transformers diffusers muon adamw swiglu
rmsnorm bleu chrf sacrebleu ap map coco pycocotools jpeg cifar fashion mnist python fréchet cldr gpu mb webp rgb bfloat
float nvidia emoji en de zh lzh of euler heun
mit license readme cc by sil ofl apache unicode microsoft fluent color svg flickr krizhevsky zalandoresearch
book lt gt fr tatoeba psf django bsd gnome tensorflow"""


def english_left(card):
    """Return the lines of a Chinese card with the English words that are no names, nor code, nor data."""
    card = re.sub(r"^(```|~~~).*?^\1$|`[^`]*`|\[[^\]]*\]\([^)]*\)", "", card, flags=re.DOTALL | re.MULTILINE)
    for head in SAMPLES.values():
        card = re.sub(rf"^{re.escape(head)}\n(\|.*\n?)+", "", card, flags=re.MULTILINE)
    lines = [re.sub(r"\*\*.*?\*\*（|[\w.-]*[\d._][\w.-]*", "", line) for line in card.splitlines()]
    words = [(line, set(re.findall("[A-Za-zÀ-ÿ]{2,}", line))) for line in lines]
    return [line for line, found in words if {word.lower() for word in found} - set(NAMES.split())]


def sentences(value):
    """Yield the texts within a module's constants."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from sentences(part)


@pytest.mark.parametrize("task", TASKS)
def test_every_sentence_has_its_chinese(task):
    module = importlib.import_module(f"bigmodel.evaluation.cards.{task}")
    code = {"USAGE", "PROMPT", "PROMPTS", "START", "REAL", "SHARE", "COPY", "LABEL", "COPIES", "PARTS", "LOSS"}
    named = {name: value for name, value in vars(module).items() if name.isupper() and name not in code}
    found = [re.sub(r"\{[^}]*\}", "7", text) for value in named.values() for text in sentences(value)]
    found += [f"0.5 {module.LOSS}", *(f"{words}7" for words in getattr(module, "PARTS", {}).values())]
    assert len(found) > 15
    # a sentence may stand in a paragraph with others
    assert [text for text in found if english_left(translated(text))] == []
    assert english_left(translated(module.USAGE)) == []


def test_the_words_of_every_card_and_of_the_presets_have_theirs():
    from bigmodel.image_classification.config import PRESETS as CLASSIFIERS
    from bigmodel.object_detection.config import PRESETS as DETECTORS
    from bigmodel.text_generation.config import PRESETS as WRITERS
    from bigmodel.text_to_image.config import PRESETS as PAINTERS
    from bigmodel.translation.config import PRESETS as TRANSLATORS
    from bigmodel.ui.texts import TITLES

    presets = [p for presets in (CLASSIFIERS, DETECTORS, WRITERS, PAINTERS, TRANSLATORS) for p in presets.values()]
    texts = [preset().description for preset in presets] + [*notes.ENGINES.values(), notes.UNKNOWN_CORPUS]
    assert [text for text in texts if phrase(text) == text] == []
    titles = {preset().title: phrase(preset().title) for preset in presets}
    assert not re.search("[A-Za-z]", "".join(titles.values()))
    assert {title: chinese for title, chinese in titles.items() if chinese != title} == TITLES


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("gpu", ["", "NVIDIA H100 80GB HBM3", "NVIDIA A10"])
def test_hardware(monkeypatch, gpu, count):
    torch = pytest.importorskip("torch")
    from bigmodel.training.facts import hardware

    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpu))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: gpu)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    english = hardware(count)
    chinese = translated(f"| hardware | {english} |")
    assert english_left(chinese) == [] and "硬件" in chinese and gpu in chinese
    before = phrase(f"weights trained before on 1.0 M pictures, 5 minutes on {english}")
    assert phrase(english) in before and "GPU" in chinese or not gpu


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_shipped_card_is_chinese_and_has_the_same_figures(folder):
    english = (folder / "README.md").read_text(encoding="utf-8")
    chinese = (folder / "README.zh.md").read_text(encoding="utf-8")
    assert english == render(folder) and chinese == translated(english)
    assert english_left(chinese) == []
    measured = [re.findall(r"\d+\.\d+%?", card.partition("\n# ")[2] or card) for card in (english, chinese)]
    assert sorted(measured[0]) == sorted(measured[1]) and len(measured[0]) > 10


def test_what_is_not_known_stays():
    card = "---\nlicense: mit\n---\n\n# Mine\n\nA sentence of mine, of 7 words.\n\n## Limits\n\n```text\nLimits\n```\n"
    assert translated(card) == "# Mine\n\nA sentence of mine, of 7 words.\n\n## 局限\n\n```text\nLimits\n```\n"
    assert phrase("{} {0}") == "{} {0}"
    assert english_left("局限\nA sentence `of` mine\n词元") == ["A sentence  mine"]


@pytest.mark.parametrize("english", [text for text in TEXTS if "{}" in text])
def test_values_stay(english):
    values = [f"«{i}»" for i in range(english.count("{}"))]
    chinese = phrase(english.format(*values))
    assert all(chinese.count(value) == 1 for value in values) and chinese != english.format(*values)


def test_the_speed_of_each_provider_has_its_chinese():
    row = {"engine": "bigmodel fp16", "per_second": 1234.5, "first_token_ms": 3.25, "bandwidth_share": 0.456}
    about = {"date": "2026-01-02", "device": "A GPU. Large", "driver": "580.1", "versions": {"torch": "2.13.0"}}
    cases = ("batch 16", "batch 16, greedy", "batch 1, beam 5")
    rows = [{**row, "case": case} for case in cases] + [{"case": "batch 16", "engine": "torch", "per_second": 9.87}]
    about |= {"rows": rows, "ratios": {"batch 16": {"ratio": 1.234}}, "command": "python -m bigmodel benchmark x"}
    units = {unit: {**about, "unit": unit} for unit in ("tokens", "sentences", "pictures")}
    card = speeds({"speed": {"cuda": units["tokens"], "cpu": units["sentences"], "tensorrt": units["pictures"]}})
    for text in (
        "`bigmodel fp16`",
        "| batch 16 | 1,234 (3.2 ms, 46%) | 9.9 | 1.23 |",
        "A GPU. Large, driver 580.1; torch",
    ):
        assert card.count(text) == 3
    assert english_left(translated(card)) == [] and speeds({}) == ""
    assert "| 16 个一批，贪心 | 1,234（3.2 毫秒，46%） |" in translated(card)
