"""The language of a text: the figures on the test files, and what no file holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bigmodel.translation import detection
from bigmodel.translation.detection import CODES, PATH, TESTS, LanguageDetector, accuracy

DATA = Path(__file__).parents[3] / "shared" / "data" / "text"


@pytest.fixture(scope="module")
def detector():
    return LanguageDetector.load()


def best(detector, text):
    return detector.detect(text)[0][0]


@pytest.mark.parametrize(("name", "columns"), TESTS.items())
def test_the_accuracy_on_a_test_file(detector, name, columns):
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not here")
    from bigmodel.training.sources import read_rows

    for code, texts in zip(columns, zip(*read_rows(DATA / name, columns), strict=True), strict=True):
        count, share = accuracy(detector, texts, code)
        assert count >= 200
        assert share >= 0.99, code


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "Could you tell me the way to the station?"),
        ("en", "Hello"),
        ("en", "We’ll meet at the café."),
        ("de", "Die Bundesregierung hat gestern ein neues Gesetz beschlossen."),
        ("de", "Zutaten: Mehl, Zucker, Eier und Butter"),
        ("de", "Guten Tag"),
        ("de", "Hallo"),
        ("de", "u\u0308ber die Bru\u0308cke"),  # accents as characters of their own
        ("en", "Ｇｏｏｄ ｍｏｒｎｉｎｇ"),
        ("zh", "春天来了。"),
        ("zh", "我昨天买了一台新电脑，非常好用。"),
        ("zh", "請問這個問題應該怎麼解決？"),
        ("zh", "请在 Settings 窗口里选择语言。"),
        ("lzh", "学而时习之，不亦说乎？"),
        ("lzh", "學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？"),
        ("lzh", "床前明月光，疑是地上霜。举头望明月，低头思故乡。"),
        ("unknown", "こんにちは、元気ですか。日本語の文章です。"),
        ("unknown", "안녕하세요, 만나서 반갑습니다."),
        ("unknown", "Привет, как дела?"),
        ("unknown", "مرحبا بالعالم"),
        ("unknown", "สวัสดีครับ"),
        ("unknown", ""),
        ("unknown", "3.14 … 😀 \n"),
    ],
)
def test_single_texts(detector, code, text):
    assert best(detector, text) == code


# written for this test, unseen when the lists of common words were made
FOREIGN = {
    "French": [
        "Le médecin lui a conseillé de boire davantage d'eau.",
        "Nous habitons dans un petit village près de la mer.",
        "Quel temps fera-t-il ce week-end ?",
        "Les étudiants attendent le bus devant la gare.",
        "J'ai perdu mon portefeuille dans le métro.",
        "La bibliothèque est fermée le lundi.",
        "Ils ont acheté une voiture rouge l'été dernier.",
        "Ma grand-mère prépare une soupe aux légumes.",
        "Il faut arroser les plantes deux fois par semaine.",
        "Ce film raconte l'histoire d'un vieux pêcheur.",
    ],
    "Spanish": [
        "El médico le aconsejó beber más agua.",
        "Vivimos en un pequeño pueblo cerca del mar.",
        "¿Qué tiempo hará este fin de semana?",
        "Los estudiantes esperan el autobús delante de la estación.",
        "Perdí mi cartera en el metro.",
        "La biblioteca está cerrada los lunes.",
        "Compraron un coche rojo el verano pasado.",
        "Mi abuela prepara una sopa de verduras.",
        "Hay que regar las plantas dos veces por semana.",
        "Esta película cuenta la historia de un viejo pescador.",
    ],
    "Italian": [
        "Il medico gli ha consigliato di bere più acqua.",
        "Abitiamo in un piccolo paese vicino al mare.",
        "Che tempo farà questo fine settimana?",
        "Gli studenti aspettano l'autobus davanti alla stazione.",
        "Ho perso il portafoglio nella metropolitana.",
        "La biblioteca è chiusa il lunedì.",
        "Hanno comprato una macchina rossa l'estate scorsa.",
        "Mia nonna prepara una zuppa di verdure.",
        "Bisogna annaffiare le piante due volte alla settimana.",
        "Questo film racconta la storia di un vecchio pescatore.",
    ],
    "Dutch": [
        "De dokter raadde hem aan om meer water te drinken.",
        "Wij wonen in een klein dorp vlak bij de zee.",
        "Wat voor weer wordt het dit weekend?",
        "De studenten wachten op de bus voor het station.",
        "Ik heb mijn portemonnee in de metro verloren.",
        "De bibliotheek is op maandag gesloten.",
        "Ze hebben vorige zomer een rode auto gekocht.",
        "Mijn oma maakt een soep van groenten.",
        "Je moet de planten twee keer per week water geven.",
        "Deze film vertelt het verhaal van een oude visser.",
    ],
}


def test_other_languages_in_latin_letters_are_mostly_unknown(detector):
    found = {name: sum(best(detector, text) == "unknown" for text in texts) for name, texts in FOREIGN.items()}
    assert all(count >= 8 for count in found.values()), found


def test_probabilities_sum_to_one_best_first(detector):
    for text in ("", "Hello, wie geht's? 你好", "a" * 10_000, "的" * 10_000, "\ud800"):
        found = detector.detect(text)
        assert sorted(code for code, _ in found) == sorted(CODES)
        probabilities = [probability for _, probability in found]
        assert sum(probabilities) == pytest.approx(1)
        assert probabilities == sorted(probabilities, reverse=True) and min(probabilities) >= 0


def test_a_text_of_two_scripts_gets_a_share_of_each(detector):
    found = dict(detector.detect("Das ist ein Satz. 这是我们的一个句子。"))
    assert found["de"] > 0.2 and found["zh"] > 0.2


def test_the_file_is_small_and_every_hand_made_part_is_whole():
    assert PATH.stat().st_size < 300_000
    values = json.loads(PATH.read_text(encoding="utf-8"))
    traditional, simplified = values["simplified"]
    assert len(traditional) == len(simplified) == len(set(traditional))
    assert {"en", "de", "fr", "es", "it", "nl"} <= set(values["common"])


def test_detection_imports_neither_torch_nor_what_trains():
    code = (
        "import sys; from bigmodel.translation.detection import LanguageDetector; LanguageDetector.load().detect('a');"
        "print([n for n in sys.modules if n.startswith(('torch', 'numpy', 'bigmodel.training'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_training_tells_the_corpora_apart_and_keeps_the_hand_made_parts(tmp_path, monkeypatch):
    corpora = {"a.tsv": ("en", "de"), "b.tsv": ("lzh", "zh")}
    (tmp_path / "a.tsv").write_text("a zork zork\tein blimm blimm\n" * 9, encoding="utf-8")
    (tmp_path / "b.tsv").write_text("天地玄黄也\t我们的宇宙\n" * 9, encoding="utf-8")
    monkeypatch.setattr(detection, "_TRAIN", corpora)
    kept = {"common": {"en": "the", "de": "der", "fr": "le"}, "simplified": ["們", "们"], "words": {}, "bias": 9}
    values = json.loads(json.dumps(detection.train(tmp_path, kept)))
    assert values["common"] == kept["common"] and values["simplified"] == kept["simplified"]
    assert values["words"]["en"].split()[0] == "zork" and "the" in values["words"]["en"].split()
    trained = LanguageDetector(values)
    assert [best(trained, text) for text in ("zork", "blimm", "玄黄", "我們")] == ["en", "de", "lzh", "zh"]
