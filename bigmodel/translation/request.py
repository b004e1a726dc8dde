"""What a visitor asks of a translator: the fields, their limits, and the model that fits."""

from dataclasses import dataclass, fields

from bigmodel.errors import InputError
from bigmodel.limits import LIMITS
from bigmodel.translation.config import LANGUAGES
from bigmodel.translation.detection import LanguageDetector
from bigmodel.translation.placeholders import without
from bigmodel.ui.validation import check_choice, check_number, check_text

TASK = "translation"
AUTO = "auto"
NUM_ALTERNATIVES = min(3, LIMITS.beams)  # of page and endpoints where none is named
CODES = (*LANGUAGES,)
ALIKE = {"zh": "lzh", "lzh": "zh"}  # a short text may be either
# field -> check of its value and of the codes that there are; the order is the endpoint's
CHECKS = {
    "text": lambda value, codes: check_text(
        "text", value, limit=LIMITS.text_characters, required=True, special_tokens=True
    ),
    "source": lambda value, codes: check_choice("source", value, (AUTO, *codes)) or AUTO,
    "target": lambda value, codes: check_choice("target", value, codes),
    "num_beams": lambda value, codes: check_number("num_beams", value, 1, LIMITS.beams, whole=True),
    "num_alternatives": lambda value, codes: check_number("num_alternatives", value, 1, LIMITS.beams, whole=True) or 1,
}


@dataclass(frozen=True)
class Request:
    """The checked fields of a request; see CHECKS for their limits.

    Attributes:
        text: what is to be translated; of a file its beginning.
        source, target: codes; the source is never AUTO.
        model: name of the model that translates so.
        detected: the source was found in the text.
        num_beams: None leaves it to the model.
        num_alternatives: translations of each sentence.
    """

    text: str
    source: str
    target: str
    model: str
    detected: bool
    num_beams: int | None = None
    num_alternatives: int = 1

    @classmethod
    def check(cls, models, **values):
        """Return a request of these values, its language found where none is named.

        Raises:
            InputError: names the first field that is wrong, and its limit.
        """
        known = directions(models, wait=True)
        codes = list(dict.fromkeys([*CODES, *(code for direction in known for code in direction)]))
        checked = {name: CHECKS[name](value, codes) for name, value in values.items()}
        source = checked.get("source", AUTO)
        if not known:
            raise InputError("model", "this host has no translator")
        detected = source == AUTO
        source = detect(checked["text"], known, checked.get("target")) if detected else source
        target = checked.get("target") or next((t for s, t in known if s == source), None)
        check_direction(source, target, known)
        checked |= {"source": source, "target": target, "model": known[source, target], "detected": detected}
        return cls(**{f.name: checked[f.name] for f in fields(cls) if f.name in checked})


def check_direction(source, target, known):
    """Raise InputError, which names the field that is wrong, unless a source is translated to a target.

    ``known``: see ``directions``.
    """
    if not any(s == source for s, _ in known):
        raise InputError("source", f"{name_of(source)} is not translated here; {_offer(known)}")
    if target == source:
        raise InputError("target", f"the text is {name_of(source)} already; choose another language")
    if (source, target) not in known:
        raise InputError("target", f"no model translates {name_of(source)} to {name_of(target)}; {_offer(known)}")


def directions(models, *, wait=False):
    """Return (source, target) -> name of the model, for every direction that this page's models translate.

    ``wait``: where there is none, for the models that are still being fetched.
    """
    found = {}
    for entry in models.of_task(TASK, wait=wait):
        for direction in entry.card.get("directions", ()):
            if len(pair := tuple(direction.split("-"))) == 2:  # a model of others is refused once it is opened
                found.setdefault(pair, entry.name)
    return found


def detect(text, known, target=None):
    """Return the code of the language that a text is in.

    Args:
        text: of any length; one without a letter, such as 12345, is in a language that is translated into the target.
        known: directions; of languages that a text may be in, one that is translated, into the target, goes first.
        target: code; None for any.

    Raises:
        InputError: it is a language that no model here knows.
    """
    text = without(text)
    if not any(map(str.isalpha, text)) and known:
        return next((s for s, t in known if t == target), next(iter(known))[0])
    ranked = LanguageDetector.load().detect(text)
    code, probability = ranked[0]
    sources = {source for source, _ in known}
    likely = [c for c, p in ranked if p > probability / 20]
    if code not in sources:
        code = next((c for c in likely if c in sources), code)
    elif (code, target) not in known:
        code = next((c for c in likely if (c, target) in known), code)
    if code not in CODES:
        others = sources - {*CODES}
        if len(others) == 1:
            return others.pop()  # of a model trained elsewhere: what cannot be told
        raise InputError("source", f"this language was not recognised; {_offer(known)}")
    return code


def name_of(code):
    """Return a language's English name."""
    return LANGUAGES.get(code, str(code))


def _offer(known):
    pairs = ", ".join(f"{name_of(source)} to {name_of(target)}" for source, target in known)
    return f"this host translates {pairs}"
