"""Which model translates what, and the languages of an owner's own translator."""

import json

import pytest

from bigmodel.errors import InputError
from bigmodel.limits import Limits
from bigmodel.translation import serve
from bigmodel.translation.request import Request, directions
from bigmodel.translation.serve import _fits, open_file
from bigmodel.ui.models import Models


@pytest.fixture
def models(tmp_path):
    """Translators that are not opened, one of them of a language that no shipped model knows."""
    for name, listed in (("a", ["en-de", "de-en"]), ("b", ["en-fr", "fr-en"]), ("c", ["en-de"])):
        (tmp_path / name).mkdir()
        card = {"bigmodel": {"task": "translation", "name": name, "directions": listed}}
        (tmp_path / name / "config.json").write_text(json.dumps(card))
    return Models([tmp_path], {"translation": str})


def check(models, **values):
    return Request.check(models, **{"text": "Two dogs are playing in the snow.", **values})


def test_a_direction_belongs_to_the_first_model_that_has_it(models):
    assert directions(models) == {("en", "de"): "a", ("de", "en"): "a", ("en", "fr"): "b", ("fr", "en"): "b"}
    request = check(models)
    assert (request.source, request.target, request.model, request.detected) == ("en", "de", "a", True)
    assert check(models, target="fr").model == "b"


def test_a_language_of_ones_own(models):
    request = check(models, text="Deux chiens jouent.", source="fr")
    assert (request.target, request.model, request.detected) == ("en", "b", False)
    with pytest.raises(InputError, match="target: no model translates fr to German; this host translates English to"):
        check(models, source="fr", target="de")
    assert check(models, text="Ça n'est pas un mot.", source="auto").source == "fr"  # what cannot be told
    with pytest.raises(InputError, match="source: 'xx' is unknown; choose one of auto, en, de, zh, lzh, fr"):
        check(models, source="xx")


@pytest.mark.parametrize("text", ["12345", "😀😀 🎉", "…", "https://example.org <br>"])
def test_a_text_without_words_is_in_the_first_language_that_fits(models, text):
    assert (check(models, text=text).source, check(models, text=text).target) == ("en", "de")
    assert check(models, text=text, target="en").source == "de"
    with pytest.raises(InputError, match="model: this host has no translator"):
        check(Models([], {}), text=text)


def test_tags_and_addresses_do_not_tell_the_language(models):
    text = '<font color="red">Das ist gut</font> http://the.house/and/the/garden'
    assert check(models, text=text).source == "de"


def test_a_line_of_an_address_alone_fits_any_file(models):
    line = "https://beispiel.de/und/das/ist/nicht/wie/das/Haus/auf/der"
    assert _fits(line, check(models), directions(models))


def test_lines_of_a_language_that_is_not_detected_here_fit(models):
    request = check(models, text="Deux chiens jouent.", source="fr")
    assert _fits("Deux chiens jouent dans la neige.", request, directions(models))


@pytest.mark.parametrize("before", ["12345 67\n" * 400, "\n" * 2_500, "<b>7</b>\n" * 400])
def test_the_language_of_a_file_is_that_of_its_words(models, tmp_path, monkeypatch, before):
    monkeypatch.setattr(serve, "LIMITS", Limits(text_characters=1000))
    path = tmp_path / "a.txt"
    path.write_text(before + "Zwei Hunde spielen im Schnee und ein Kind schaut ihnen zu.\n" * 40, encoding="utf-8")
    content, request = open_file(models, path, "auto", "en", None)
    assert request.source == "de" and _fits(content.units[-1], request, directions(models))


def test_a_file_without_words(models, tmp_path):
    (tmp_path / "a.txt").write_text("\n12\n")
    assert open_file(models, tmp_path / "a.txt", "auto", "en", None)[1].source == "de"
    (tmp_path / "a.csv").write_text(",\n,\n")
    with pytest.raises(InputError, match="file: holds no text to translate"):
        open_file(models, tmp_path / "a.csv", "auto", "en", "1")


def test_no_translator_at_all():
    with pytest.raises(InputError, match="model: this host has no translator"):
        check(Models([], {}))
