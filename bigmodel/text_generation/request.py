"""What a visitor asks of a text model: the fields, their limits, and the text that the model is given."""

import re
import unicodedata
from dataclasses import dataclass, fields

from bigmodel.errors import InputError
from bigmodel.limits import LIMITS
from bigmodel.text_generation.poetry import (
    FORMS,
    KINDS,
    MAX_ACROSTIC,
    Acrostic,
    encode_prompt,
    form_for_acrostic,
)
from bigmodel.ui.validation import check_choice, check_number, check_text

TASK = "text_generation"
MAX_SEED = 2**32 - 1
# field -> check of its value alone; the order is the endpoint's
CHECKS = {
    "prompt": lambda value: check_text("prompt", value, limit=LIMITS.prompt_characters),
    "model": lambda value: check_text("model", value, limit=100) or None,
    "max_new_tokens": lambda value: check_number("max_new_tokens", value, 1, LIMITS.new_tokens, whole=True),
    "temperature": lambda value: check_number("temperature", value, 0, 2),
    "top_k": lambda value: check_number("top_k", value, 0, 1000, whole=True),
    "top_p": lambda value: check_number("top_p", value, 0.01, 1),
    "seed": lambda value: check_number("seed", value, 0, MAX_SEED, whole=True, optional=False),
    "kind": lambda value: check_choice("kind", value, KINDS),
    "form": lambda value: check_choice("form", value, tuple(FORMS)),
    "author": lambda value: check_text("author", value, limit=20).strip(),
    "title": lambda value: check_text("title", value, limit=60).strip(),
    "acrostic": lambda value: check_text("acrostic", value, limit=MAX_ACROSTIC).strip(),
    "k": lambda value: check_number("k", value, 1, 50, whole=True, optional=False),
}
POEM = ("kind", "form", "author", "title", "acrostic")  # fields that a poem alone has
# language -> how Unicode names its letters begin
SCRIPTS = {"en": ("LATIN", "FEMININE", "MASCULINE"), "zh": ("CJK",)}
MARKS = ("COMBINING", "VARIATION", "DIGIT", "FULLWIDTH DIGIT")  # signs of any script, and its digits
_HAN = re.compile("[\u3400-\u9fff]")


@dataclass(frozen=True)
class Request:
    """The checked fields of a request; see CHECKS for their limits. None leaves a setting to the model."""

    prompt: str = ""
    model: str | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    kind: str | None = None
    form: str | None = None
    author: str = ""
    title: str = ""
    acrostic: str = ""

    @classmethod
    def check(cls, models, **values):
        """Return a request of these values, its model chosen where none is named.

        Raises:
            InputError: names the first field that is wrong, and its limit.
        """
        checked = {name: CHECKS[name](value) for name, value in values.items()}
        words = "".join(checked.get(name) or "" for name in ("prompt", *POEM))
        checked["model"] = choose_model(models, checked.get("model"), words)
        poetry = models.entries[checked["model"]].card.get("format") == "poetry"
        known = [f.name for f in fields(cls) if f.name in checked and (poetry or f.name not in POEM)]
        request = cls(**{name: checked[name] for name in known})
        if not poetry:
            check_text("prompt", request.prompt, limit=LIMITS.prompt_characters, required=True)
        elif request.acrostic:
            form_for_acrostic(request.acrostic, request.form)
        return request

    def tokens_of(self, generator):
        """Return how many tokens are to be written: the model's own number may be beyond the limit."""
        return min(self.max_new_tokens or generator.defaults["max_new_tokens"], LIMITS.new_tokens)

    def opening(self, generator, body):
        """Return the text that the model goes on from: a poem's fields, if it takes them, and the text so far.

        Characters that the model does not know are left out.

        Raises:
            InputError: it knows none of them, or what is left spells a special token.
        """
        given = {"prompt": body, "author": self.author, "title": self.title}
        body, author, title = (check_text(n, known(generator, t), limit=len(t)) for n, t in given.items())
        if generator.format == "poetry":
            form = form_for_acrostic(self.acrostic, self.form) if self.acrostic else self.form
            return encode_prompt(self.kind, form, author or None, title or None, body)
        if not body.strip():
            languages = ", ".join(generator.folder.card.get("languages", ()))
            raise InputError("prompt", f"the model knows none of its characters; it writes {languages}")
        return body

    def constraint(self, generator, body):
        """Return the acrostic's constraint on the tokens after ``body``, or None.

        Raises:
            InputError: the model does not know a character of it, or ``body`` has another one at a line's beginning.
        """
        if not self.acrostic or generator.format != "poetry":
            return None
        form = form_for_acrostic(self.acrostic, self.form)
        acrostic = Acrostic(self.acrostic, form, generator.vocabulary)
        body = known(generator, body)
        acrostic([], body)
        return lambda ids, text: acrostic(ids, body + text)


def choose_model(models, name, words):
    """Return the name of the model to use: the one asked for, or the first that writes the script of some words.

    Raises:
        InputError: the model is unknown or broken, or there is none at all.
    """
    entries = models.of_task(TASK, wait=True)
    if name is not None:
        if name not in (entry.name for entry in entries):
            models.get(name, TASK)
        return name
    if not entries:
        raise InputError("model", "this host has no text model")
    language = "zh" if _HAN.search(words) else "en"
    suitable = [entry for entry in entries if language in entry.card.get("languages", ())]
    return (suitable or entries)[0].name


def unknown_characters(generator, text):
    """Return the characters of a text that the model does not know, each once.

    A model that spells by bytes can read any letter, but knows those of its languages' scripts only.
    """
    unknown = list(generator.skipped_in(text))
    languages = generator.folder.card.get("languages", ())
    scripts = tuple(script for language in languages for script in SCRIPTS.get(language, ()))
    if generator.format != "poetry" and scripts and all(language in SCRIPTS for language in languages):
        signs = dict.fromkeys(c for c in text if c.isalpha() or unicodedata.category(c) in ("Mn", "Mc", "Nd"))
        unknown += [c for c in signs if c not in unknown and not unicodedata.name(c, "").startswith(scripts + MARKS)]
    return unknown


def known(generator, text):
    """Return a text without the characters that the model does not know."""
    unknown = set(unknown_characters(generator, text))
    return "".join(character for character in text if character not in unknown) if unknown else text
