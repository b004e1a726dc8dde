"""What is special to classical Chinese poems: their prompt, their forms, and acrostics (藏头诗).

A poem's document is ``<|kind|><|form|><|author|>李白<|title|>静夜思<|body|>床前明月光，…`` between two
``<|endoftext|>``; kind, form, author and title may each be left out.
"""

import re
from array import array

from bigmodel.errors import InputError

START = "<|endoftext|>"
UNKNOWN = "<|unk|>"
PADDING = "<|pad|>"
AUTHOR, TITLE, BODY = "<|author|>", "<|title|>", "<|body|>"
KINDS = ("唐诗", "宋诗", "宋词", "元曲")
# form -> (lines, characters a line); None: any number
FORMS = {
    "五绝": (4, 5),
    "七绝": (4, 7),
    "五律": (8, 5),
    "七律": (8, 7),
    "五言": (None, 5),
    "七言": (None, 7),
    "杂言": (None, None),
}
REGULATED = ("五绝", "七绝", "五律", "七律")
SPECIAL_TOKENS = (
    START,
    UNKNOWN,
    PADDING,
    AUTHOR,
    TITLE,
    BODY,
    *(f"<|{kind}|>" for kind in KINDS),
    *(f"<|{form}|>" for form in FORMS),
)
MAX_ACROSTIC = 16

LINE_ENDS = "，。！？；、：,.!?;:…"
_BREAK = re.compile(rf"[{re.escape(LINE_ENDS)}\s]+")
_QUOTES = re.compile("[“”‘’「」『』《》〈〉]")


def encode_prompt(kind=None, form=None, author=None, title=None, body=""):
    """Return the text that a poem begins with, to be followed by its body.

    The ``<|endoftext|>`` before and after a document is added by whoever makes ids of it.

    Args:
        kind: one of KINDS, or None.
        form: one of FORMS, or None.
        author, title: free text, or None.
        body: the poem so far.

    Raises:
        InputError: an unknown kind or form, or a special token inside another field.
    """
    for field, value, known in (("kind", kind, KINDS), ("form", form, FORMS)):
        if value and value not in known:
            raise InputError(field, f"{value!r} is unknown; choose one of {', '.join(known)}")
    for field, value in (("author", author), ("title", title), ("body", body)):
        if value and "<|" in value:
            raise InputError(field, "special tokens (<|…|>) are not allowed here")
    parts = [f"<|{tag}|>" for tag in (kind, form) if tag]
    if author:
        parts.append(AUTHOR + author)
    if title:
        parts.append(TITLE + title)
    return "".join(parts) + BODY + (body or "")


def split_lines(body):
    """Return a body's lines without punctuation, quotation marks and blanks."""
    return [line for line in _BREAK.split(_QUOTES.sub("", body)) if line]


def form_of(body):
    """Return the form of a body, one of FORMS: 五绝 has 4 lines of 5 characters, and so on.

    五言 and 七言 have lines of 5 or 7 in another number; 杂言 is everything else.
    """
    lines = split_lines(body)
    lengths = {len(line) for line in lines}
    if len(lengths) != 1:
        return "杂言"
    length = lengths.pop()
    for form, (count, width) in FORMS.items():
        if width == length and count in (len(lines), None):
            return form
    return "杂言"


def form_for_acrostic(acrostic, form=None):
    """Return the form of a poem whose lines begin with the characters of ``acrostic``.

    The number of lines decides: 4 give 七绝, 8 give 七律, any other number 七言. Of the form that was asked for, only
    the length of a line counts: where it is 5, they give 五绝, 五律 and 五言.

    Raises:
        InputError: the acrostic is empty, too long, or not of letters.
    """
    if not 1 <= len(acrostic) <= MAX_ACROSTIC:
        raise InputError("acrostic", f"{len(acrostic)} characters; give 1 to {MAX_ACROSTIC}")
    if not all(character.isalpha() for character in acrostic):
        raise InputError("acrostic", "characters only, without punctuation and blanks")
    five = form is not None and FORMS[form][1] == 5
    names = {4: ("七绝", "五绝"), 8: ("七律", "五律")}
    return names.get(len(acrostic), ("七言", "五言"))[five]


class Acrostic:
    """The constraint of an acrostic: each line begins with its character and has the form's length.

    Called before each token; see ``TextGenerator.stream``.

    Args:
        acrostic: the lines' first characters.
        form: a form of 5 or 7 characters a line, from ``form_for_acrostic``.
        vocabulary: token -> id; every character of the acrostic must be in it.

    Raises:
        InputError: the model does not know a character.
    """

    def __init__(self, acrostic, form, vocabulary):
        missing = [character for character in acrostic if character not in vocabulary]
        if missing:
            raise InputError("acrostic", f"the model does not know {''.join(missing)}")
        self.acrostic, self.width = acrostic, FORMS[form][1]
        self.first = [vocabulary[character] for character in acrostic]
        self.end = vocabulary[START]
        self.stops = [[vocabulary[c] for c in stops if c in vocabulary] for stops in ("，？！", "。？！")]
        # an array of machine integers, which numpy reads without a copy
        self.characters = array("q", (id_ for token, id_ in vocabulary.items() if len(token) == 1 and token.isalpha()))

    def __call__(self, ids, text):
        """Return the id, or the list of ids, that may come next; ``text`` is the body so far.

        Raises:
            InputError: a line of it begins with another character.
        """
        count, characters = 0, 0
        for character in text:
            if character in LINE_ENDS:
                count, characters = count + 1, 0
            elif character.isalpha():
                if not characters and count < len(self.first) and character != self.acrostic[count]:
                    raise InputError("acrostic", f"a line of the poem begins with {character}")
                characters += 1
        if characters >= self.width:  # longer where the first words are
            last = count + 1 >= len(self.first)
            return self.stops[1 if last else count % 2]
        if characters:
            return self.characters
        return self.first[count] if count < len(self.first) else self.end
