"""Which model translates what, and the languages of an owner's own translator."""

import json

import pytest

from bigmodel.errors import InputError
from bigmodel.translation.request import Request, directions
from bigmodel.translation.serve import _fits
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


def test_no_translator_at_all():
    with pytest.raises(InputError, match="model: this host has no translator"):
        check(Models([], {}))
