"""Requests of the Text tab, and its events, without a browser."""

import time
from types import SimpleNamespace

import gradio as gr
import pytest

from bigmodel.errors import InputError
from bigmodel.limits import Limits
from bigmodel.runtime.sampling import DEFAULTS
from bigmodel.text_generation import serve
from bigmodel.text_generation.events import TextEvents, linked
from bigmodel.text_generation.request import Request, choose_model, unknown_characters
from bigmodel.text_generation.tab import PLAIN_EXAMPLES, POETRY_EXAMPLES, build, load
from bigmodel.ui.models import Models

SETTINGS = {"max_new_tokens": 6, "temperature": 0.8, "top_k": 40, "top_p": 0.95}
VALUES = {"prompt": "Once", "model": "tiny-stories", **SETTINGS}
POEM = {"seed": "", "kind": "", "form": "", "author": "", "title": "", "acrostic": ""}


@pytest.fixture(scope="module")
def models(tiny_stories, tiny_poetry):
    models = Models([tiny_stories, tiny_poetry], {"text_generation": load})
    models.get("tiny-stories", "text_generation").batch.end_ids = frozenset()  # no text ends early
    return models


@pytest.fixture
def events(models):
    return TextEvents(models)


def event(how, **data):
    return gr.EventData(SimpleNamespace(elem_id=how), data)


def last(events, how="generate", passage=None, alternatives=None, data=None, **values):
    """The last passage, line of facts, and alternatives that an event yields."""
    values = VALUES | POEM | values
    steps = list(events.write(event(how, **(data or {})), passage or {}, alternatives or {}, *values.values()))
    assert steps[0][0]["busy"] and not steps[-1][0]["busy"]
    return steps[-1][:3]


def test_a_text_longer_than_a_link_goes_on_as_its_link_says(events, monkeypatch):
    bodies, write = [], serve.write
    monkeypatch.setattr(serve, "write", lambda *words: bodies.append(words[2]) or write(*words))
    shown = {"prompt": "Once upon a time. " * 220, "pieces": ["and then it was late. "] * 20, "kept": 0}
    shown["source"] = {"model": "tiny-stories", **POEM}
    passage, _, _ = last(events, "alternatives", shown, {"place": 20}, {"token": " the"}, prompt=shown["prompt"])
    assert len(passage["link"]["prompt"]) == 4000 and passage["link"]["prompt"].endswith("late.  the")
    assert bodies == [passage["link"]["prompt"]]
    again, _, _ = last(events, **passage["link"])
    assert bodies[1] == bodies[0] and again["pieces"] == passage["pieces"][passage["kept"] :]


def test_the_tab_launches_alone(models):
    assert isinstance(build(models), gr.Blocks)


def test_model_is_chosen_by_script(models):
    assert choose_model(models, None, "春眠") == "tiny-poetry"
    assert choose_model(models, None, "spring") == "tiny-stories"
    assert Request.check(models, prompt="", form="七绝").model == "tiny-poetry"
    with pytest.raises(InputError, match="model: this host has no text model"):
        choose_model(Models([], {}), None, "")


def test_empty_prompt_is_for_poems_only(models):
    assert Request.check(models, prompt="", model="tiny-poetry").prompt == ""
    with pytest.raises(InputError, match="prompt: is empty"):
        Request.check(models, prompt=" ", model="tiny-stories")


def test_opening_of_a_poem(models, poems):
    request = Request.check(models, model="tiny-poetry", kind="唐诗", title="春x晓", acrostic="春夜花月")
    assert request.opening(poems, "春") == "<|唐诗|><|七绝|><|title|>春晓<|body|>春"
    assert unknown_characters(poems, "春晓x") == ["x"]


def test_a_plain_model_has_none_of_a_poem_s_fields(events, models):
    request = Request.check(models, prompt="Once", model="tiny-stories", author="李白", acrostic="春夏", kind="唐诗")
    assert (request.author, request.acrostic, request.kind) == ("", "", None)
    passage, line, _ = last(events, author="李白", title="山中")
    assert "skipped" not in line and passage["link"]["author"] == ""


def test_letters_of_other_scripts_are_unknown(stories):
    assert unknown_characters(stories, "Café 春 “a” я 🦊 春") == ["春", "я"]
    assert unknown_characters(stories, "Cafe\u0301 1 नमस्ते ٣") == [*"नमस्ते", "٣"]


def test_the_end_of_a_line_is_not_said_to_be_skipped(events):
    line = last(events, prompt="春\n山x", model="tiny-poetry")[1]
    assert "⟦skipped⟧ x</p>" in line


def test_what_a_model_cannot_go_on_from_leaves_the_page_as_it_is(events):
    poem = {"model": "tiny-poetry", "prompt": ""}
    for values in ({"prompt": "яя"}, {**poem, "acrostic": "龘春"}, {**poem, "prompt": "山", "acrostic": "春夜"}):
        work = events.write(event("generate"), {}, {}, *(VALUES | POEM | values).values())
        with pytest.raises(gr.Error):
            next(work)


def test_a_passage_says_its_language(events):
    assert last(events)[0]["language"] == "en"
    assert last(events, model="tiny-poetry", prompt="春")[0]["language"] == "zh"


def test_a_model_of_ones_own_text_knows_every_letter(stories, monkeypatch):
    monkeypatch.setitem(stories.folder.card, "languages", [])
    assert unknown_characters(stories, "Café 春 “a” я 🦊 春") == []


def test_examples_are_valid(models):
    for prompt in PLAIN_EXAMPLES:
        Request.check(models, prompt=prompt, model="tiny-stories")
    for prompt, *rest in POETRY_EXAMPLES.values():
        names = ("kind", "form", "author", "title", "acrostic")
        Request.check(models, prompt=prompt, model="tiny-poetry", **dict(zip(names, rest, strict=True)))


def test_again_surprise_and_a_given_seed(events):
    first, line, alternatives = last(events, seed="7")
    assert first["seed"] == 7 and "<b>7</b>" in line and len(alternatives["rows"]) == 10
    assert last(events, "again", first, seed="")[0]["pieces"] == first["pieces"]
    assert last(events, "surprise", first, seed="7")[0]["seed"] != 7
    with pytest.raises(gr.Error, match="seed: 'x' is not a whole number"):
        last(events, seed="x")


def test_a_chosen_token_goes_on_from_its_place(events):
    passage, _, _ = last(events, seed="1")
    seen, alternatives = events.look_inside(event("passage", index=2), passage)
    assert seen["selected"] == 2 and alternatives["place"] == 2 and alternatives["instead"] == passage["pieces"][2]
    token = alternatives["rows"][3][0]
    # the fields of the page may have changed meanwhile; the passage keeps its own
    changed = {"prompt": "Other", "model": "tiny-poetry"}
    on, _, _ = last(events, "alternatives", passage, alternatives, {"token": token}, **changed)
    assert on["pieces"][:3] == [*passage["pieces"][:2], token] and on["prompt"] == "Once"
    assert len(on["pieces"]) > 3 and on["link"]["prompt"] == "Once" + "".join(on["pieces"][:3])


def test_what_a_text_was_made_of_outlives_a_look_inside_and_a_stop(events):
    passage, _, _ = last(events, seed="4")
    assert passage["link"]["seed"] == 4
    assert events.look_inside(event("passage", index=1), passage)[0]["link"] == passage["link"]
    assert events.stop(passage)[0]["link"] == passage["link"]
    assert "link" not in events.stop({**passage, "pieces": []})[0]  # nothing was made


def test_again_is_the_text_that_is_shown(events):
    passage, _, _ = last(events, seed="1")
    seen, alternatives = events.look_inside(event("passage", index=2), passage)
    token = alternatives["rows"][3][0]
    on, _, _ = last(events, "alternatives", seen, alternatives, {"token": token}, seed="9")
    assert on["kept"] == 3
    for shown in (passage, on):  # the fields of the page may have changed meanwhile
        again, _, _ = last(events, "again", shown, seed="", prompt="Other", temperature=0)
        assert again == shown


def test_the_link_of_a_long_text_goes_on_alike(events, models):
    generator = models.get("tiny-stories", "text_generation")
    pieces = [f" fox number {number} ran away" for number in range(400)]
    source = {"model": "tiny-stories"}
    passage = {"prompt": "Once", "pieces": pieces, "source": source, "seed": 1}
    on, _, _ = last(events, "alternatives", passage, {"place": 400}, {"token": " and"}, seed="3")
    assert len("".join(on["pieces"])) > 8000 and len(on["link"]["prompt"]) == 4000
    request = Request.check(models, **on["link"])
    *_, progress = serve.write(generator, request, request.prompt)
    assert progress.pieces == on["pieces"][401:]


def test_a_character_that_is_left_out_does_not_make_a_special_token(models):
    generator = models.get("tiny-stories", "text_generation")
    with pytest.raises(InputError, match="prompt: special tokens"):
        Request.check(models, prompt="Once <\u03b1|endoftext|>", model="tiny-stories").opening(generator, "<\u03b1|x|>")


def test_a_link_is_checked_field_by_field(models):
    given = {"prompt": "春", "seed": "7", "top_p": "0.5", "max_new_tokens": "12", "model": "x", "title": "t"}
    assert linked(given) == {**given, "top_p": 0.5, "max_new_tokens": 12}
    wrong = {"prompt": ["a"], "seed": "x", "temperature": "9", "top_k": "nan", "kind": "sonnet", "title": "t" * 99}
    assert not set(linked(wrong)) & set(wrong)
    request = SimpleNamespace(headers={"accept-language": "zh-CN"}, cookies={})
    model, fields = TextEvents(models).welcome("spoilt", request)
    assert model == "tiny-poetry" and fields == {}
    assert TextEvents(models).welcome({"model": "tiny-stories"}, request)[0] == "tiny-stories"


def test_a_spoilt_passage_is_refused(events):
    passage, _, alternatives = last(events, seed="1")
    pieces = "abc", [1], [], ["a" * 30_000] * 9
    for wrong in [*({"pieces": value} for value in pieces), {"source": {"model": "gpt"}}, {"prompt": 3}]:
        with pytest.raises(gr.Error):
            last(events, "alternatives", {**passage, **wrong}, alternatives, {"token": "a"})
    with pytest.raises(gr.Error, match="index"):
        events.look_inside(event("passage", index=99), passage)
    with pytest.raises(gr.Error):
        last(events, "alternatives", passage, alternatives, {"token": "<|endoftext|>"})


def test_the_time_limit_is_told(events, models, monkeypatch):
    monkeypatch.setattr(serve, "LIMITS", Limits(text_seconds=0.001))
    assert "⟦time_limit⟧" in last(events)[1]
    monkeypatch.setattr(serve, "LIMITS", Limits(text_seconds=0.2))
    generator = models.get("tiny-stories", "text_generation")
    work = serve.write(generator, Request.check(models, prompt="Once", max_new_tokens=1000), "Once")
    time.sleep(0.25)  # the time runs from the call
    assert [progress.note for progress in work] == ["time_limit"]


def test_closing_frees_the_slot(models):
    generator = models.get("tiny-stories", "text_generation")
    work = serve.write(generator, Request.check(models, prompt="Once", max_new_tokens=500), "Once")
    next(work)
    assert generator.batch.active == 1
    work.close()
    assert generator.batch.active == 0


def test_foresee_is_silent_about_bad_fields(events):
    assert events.foresee("", "tiny-stories", *[""] * 5) == {}
    assert events.foresee("Once", "tiny-stories", *[""] * 5)["place"] is None


def test_sampling_is_the_models_own(events):
    assert events.sampling("tiny-stories") == {"max_new_tokens": 24, "temperature": 0.8, "top_k": 40, "top_p": 0.95}
    assert events.sampling(None) == DEFAULTS
