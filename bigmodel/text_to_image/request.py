"""What a visitor asks of an image generator: the fields and their limits."""

import re
from dataclasses import dataclass

from bigmodel.errors import InputError
from bigmodel.limits import LIMITS
from bigmodel.text_to_image.sampler import MAX_SEED, SAMPLERS
from bigmodel.ui.validation import check_choice, check_number, check_text

TASK = "text_to_image"
MAX_GUIDANCE = 20
NUM_IMAGES = min(4, LIMITS.drawings)
STRENGTH = 0.5
# field -> check of its value alone; the order is the endpoint's
CHECKS = {
    "prompt": lambda value: check_text("prompt", value, limit=LIMITS.caption_characters, special_tokens=True).strip(),
    "model": lambda value: check_text("model", value, limit=100) or None,
    "num_images": lambda value: check_number("num_images", value, 1, LIMITS.drawings, whole=True),
    "steps": lambda value: check_number("steps", value, 1, LIMITS.drawing_steps, whole=True),
    "guidance": lambda value: check_number("guidance", value, 0, MAX_GUIDANCE),
    "seed": lambda value: check_number("seed", value, 0, MAX_SEED, whole=True),
    "sampler": lambda value: check_choice("sampler", value, SAMPLERS),
    "variation_of": lambda value: check_number("variation_of", value, 0, MAX_SEED, whole=True),
    "strength": lambda value: check_number("strength", value, 0, 1),
}
NUMBERS = ("num_images", "steps", "guidance", "seed", "variation_of", "strength")


@dataclass(frozen=True)
class Request:
    """The checked fields of a request; see CHECKS for their limits. None leaves a setting to the model.

    Attributes:
        prompt: what to draw; "" leaves it to the model.
        model: name of the model.
        num_images: pictures.
        steps, guidance, sampler: of the sampling.
        seed: of the first picture, the others have the next ones; None draws one.
        variation_of: seed of the picture whose noise is begun with, or None.
        strength: how far a variation leads away from it, 0 to 1.
    """

    prompt: str
    model: str
    num_images: int = NUM_IMAGES
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    sampler: str | None = None
    variation_of: int | None = None
    strength: float = STRENGTH

    @classmethod
    def check(cls, models, **values):
        """Return a request of these values, its model chosen where none is named.

        Raises:
            InputError: names the first field that is wrong, and its limit.
        """
        checked = {name: CHECKS[name](value) for name, value in values.items()}
        checked["model"] = choose_model(models, checked.get("model"))
        request = cls(**{name: value for name, value in {"prompt": "", **checked}.items() if value is not None})
        # each picture has a seed of its own
        check_number("seed", request.seed, 0, MAX_SEED + 1 - request.num_images, whole=True)
        return request

    def steps_of(self, generator):
        """Return how many steps are to be made: the model's own number may be beyond the limit."""
        return min(self.steps or generator.defaults["steps"], LIMITS.drawing_steps)

    def settings(self, generator, progress):
        """Return {field: value} that gives the same pictures again, with what was left to the model.

        Args:
            generator: the ImageGenerator.
            progress: a runtime.Progress of this request.
        """
        chosen = {name: getattr(self, name) for name in CHECKS}
        chosen |= {"steps": progress.steps, "seed": progress.seeds[0]}
        for name in ("guidance", "sampler"):
            chosen[name] = generator.defaults[name] if chosen[name] is None else chosen[name]
        return chosen if self.variation_of is not None else {**chosen, "variation_of": None, "strength": None}


def choose_model(models, name):
    """Return the name of the model to use: the one asked for, or the first.

    Raises:
        InputError: the model is unknown or broken, or there is none at all.
    """
    known = models.names(TASK)
    if name is None:
        if not known:
            raise InputError("model", "this host has no image generator")
        return known[0]
    if name not in known:
        models.get(name, TASK)
    return name


def given(values):
    """Return the fields that a link or a picture's file holds, and the names of those that are out of their limits.

    Args:
        values: field -> text or number, of a stranger.

    Returns:
        fields: name -> checked value.
        refused: list of names.
    """
    fields, refused = {}, []
    for name, check in CHECKS.items():
        value = values.get(name)
        if value is None or (value == "" and name != "prompt"):
            continue
        try:
            number = name in NUMBERS and isinstance(value, str)
            fields[name] = check(float(value) if number else value)
        except (InputError, ValueError):
            refused.append(name)
    return fields, refused


def with_style(prompt, style, styles):
    """Return a prompt in another style: the words of the one it has are replaced, or the style's added.

    Args:
        prompt: English, such as "a cat, noto style, on blue", or Chinese.
        style: of ``styles``.
        styles: all that a model knows.
    """
    for known in styles:
        for words in (f"in {known} style", f"{known} style", f"{known}风格"):
            if re.search(re.escape(words), prompt, re.IGNORECASE):
                return re.sub(re.escape(words), words.replace(known, style), prompt, flags=re.IGNORECASE)
        name = rf"(^|[,，])(\s*){re.escape(known)}(?=(?: style)?\s*(?:$|[,，]))"  # alone, or in capitals
        if re.search(name, prompt, re.IGNORECASE):
            return re.sub(name, rf"\1\2{style}", prompt, count=1, flags=re.IGNORECASE)
    chinese = any("\u3400" <= character <= "\u9fff" for character in prompt)
    said, comma = (f"{style}风格", "，") if chinese else (f"{style} style", ", ")
    prompt = prompt.strip().rstrip(",，")
    return f"{prompt}{comma}{said}" if prompt else said
