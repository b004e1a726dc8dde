"""Which model translates what, and the languages of an owner's own translator."""

import json

import pytest

from bigmodel.errors import InputError
from bigmodel.translation.request import Request, directions
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


def test_no_translator_at_all():
    with pytest.raises(InputError, match="model: this host has no translator"):
        check(Models([], {}))
