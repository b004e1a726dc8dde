"""What is said of a picture, in English and Chinese, and which compositions no training sees."""

import hashlib
from dataclasses import dataclass

STYLES = ("noto", "fluent", "twemoji", "emojitwo", "firefox")
# name -> (Chinese, RGB)
COLOURS = {
    "white": ("白色", (255, 255, 255)),
    "black": ("黑色", (24, 24, 24)),
    "grey": ("灰色", (150, 150, 150)),
    "red": ("红色", (214, 48, 49)),
    "orange": ("橙色", (243, 140, 36)),
    "yellow": ("黄色", (250, 214, 60)),
    "green": ("绿色", (60, 160, 76)),
    "blue": ("蓝色", (52, 108, 212)),
    "purple": ("紫色", (136, 72, 190)),
    "pink": ("粉色", (246, 158, 190)),
    "brown": ("棕色", (128, 84, 52)),
}
TONES = {
    "light skin tone": "浅肤色",
    "medium-light skin tone": "较浅肤色",
    "medium skin tone": "中等肤色",
    "medium-dark skin tone": "较深肤色",
    "dark skin tone": "深肤色",
}
# relation -> (Chinese, what the second thing then is to the first)
RELATIONS = {
    "left of": ("左边", "right of"),
    "right of": ("右边", "left of"),
    "above": ("上面", "below"),
    "below": ("下面", "above"),
}
REVERSED = ("right of", "below")  # the first thing named is not the first from the left or from above
CHINESE = 0.15  # share of captions
KEYWORDS = 0.12  # share of English captions that name keywords instead of the thing
NO_STYLE = 0.1  # share of captions without one
HELD_OUT = 8  # one of so many pairs, and one of so many relations of the other pairs, is kept from the training


@dataclass(frozen=True)
class Subject:
    """A thing that a picture shows.

    Attributes:
        name: English.
        chinese: its name, "" where it has none.
        keywords: other English words for it.
        tone: key of TONES, or "".
    """

    name: str
    chinese: str = ""
    keywords: tuple[str, ...] = ()
    tone: str = ""


def describe(subject, style, rng):
    """Return a caption of a picture of one thing on white, one of many ways.

    Args:
        subject: Subject.
        style: of STYLES.
        rng: np.random.Generator.
    """
    style = "" if rng.random() < NO_STYLE else style
    if subject.chinese and rng.random() < CHINESE:
        parts = [subject.chinese, TONES.get(subject.tone, ""), f"{style}风格" if style else ""]
        return "，".join(part for part in parts if part)
    thing = subject.name
    if subject.keywords and rng.random() < KEYWORDS:
        count = min(len(subject.keywords), int(rng.integers(2, 5)))
        thing = ", ".join(subject.keywords[i] for i in rng.permutation(len(subject.keywords))[:count])
    elif rng.random() < 0.3:
        one = _one(thing)
        thing = (one, f"the {thing}", f"an emoji of {thing}", f"a picture of {thing}", f"a drawing of {one}")[
            rng.integers(5)
        ]
    thing = f"{thing}, {subject.tone}" if subject.tone else thing
    if not style:
        return thing
    return ("{}, {} style", "{}, {}", "{} in {} style")[rng.integers(3)].format(thing, style)


def canonical(name, style, tone=""):
    """Return the plainest caption of a thing: "cat face, noto style"."""
    return f"{name}{', ' if tone else ''}{tone}, {style} style"


def describe_scene(subjects, relation, style, colour, rng=None):
    """Return a caption of one to three things on a coloured ground.

    Args:
        subjects: of one thing, of two in a relation, or of three from left to right.
        relation: key of RELATIONS, of the first to the second; None but for two.
        style: of STYLES.
        colour: key of COLOURS.
        rng: np.random.Generator; None gives the plainest caption.
    """
    if rng is not None and all(s.chinese for s in subjects) and rng.random() < CHINESE:
        names = [s.chinese for s in subjects]
        thing = f"{names[0]}在{names[1]}{RELATIONS[relation][0]}" if relation else "、".join(names)
        return f"{thing}，{style}风格，{COLOURS[colour][0]}背景"
    names = [s.name for s in subjects]
    if rng is None or rng.random() < 0.6:
        names = [_one(name) for name in names]
    if relation:
        thing = f"{names[0]} {relation} {names[1]}"
    else:
        thing = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    end = rng.integers(3) if rng is not None else 0
    return (f"{thing}, {style} style, on {colour}", f"{thing} on {colour}, {style}", f"{thing}, {style}, {colour}")[end]


def _one(name):
    """Return a name with its indefinite article."""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def is_held_out(first, relation, second):
    """Whether a training never composes this: of some pairs no relation at all, of others some.

    "A left of B" and "B right of A" are the same picture, and have the same answer.
    """
    if (first, relation) > (second, RELATIONS[relation][1]):
        first, relation, second = second, RELATIONS[relation][1], first
    pair = "|".join(sorted((first, second)))
    return _chosen(pair) or _chosen(f"{first}|{relation}|{second}")


def _chosen(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % HELD_OUT == 0
