"""Limits of the fields that a visitor fills in; the server checks each, whatever the browser allowed."""

import json
import math

from bigmodel.errors import InputError


def json_object(body):
    """Return the dict that a request's body, bytes of JSON, holds.

    Raises:
        InputError: it is something else.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):  # no JSON, or too deep
        found = None
    if not isinstance(found, dict):
        raise InputError("body", "must be a JSON object")
    return found


def check_text(name, value, *, limit, required=False, special_tokens=False):
    """Return a text field's value, "" for None.

    Raises:
        InputError: not a text, empty though required, longer than ``limit`` characters, with half a character, or with
            a special token where ``special_tokens`` does not allow them.
    """
    value = "" if value is None else value
    if not isinstance(value, str):
        raise InputError(name, f"must be a text, not {type(value).__name__}")
    if required and not value.strip():
        raise InputError(name, f"is empty; give 1 to {limit} characters")
    if len(value) > limit:
        raise InputError(name, f"{len(value)} characters; the limit is {limit}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(name, "holds half a character (a surrogate)")
    if "<|" in value and not special_tokens:
        raise InputError(name, "special tokens (<|…|>) are not allowed")
    return value


def check_number(name, value, low, high, *, whole=False, optional=True):
    """Return a number field's value; None stays None where it is optional.

    Raises:
        InputError: not a finite number (a whole one if asked), or outside [low, high].
    """
    if value is None and optional:
        return None
    number = "a whole number" if whole else "a number"
    wanted = f"give {number} from {low} to {high}"
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(name, f"{str(value)[:40]!r} is not {number}; {wanted}")
    if whole and value != int(value):
        raise InputError(name, f"{str(value)[:40]} is not {number}; {wanted}")
    if not low <= value <= high:
        raise InputError(name, f"{str(value)[:40]} is out of range; {wanted}")
    return int(value) if whole else float(value)


def check_choice(name, value, choices):
    """Return one of ``choices``, or None for nothing.

    Raises:
        InputError: another value.
    """
    if value in (None, ""):
        return None
    if value not in choices:
        raise InputError(name, f"{str(value)[:40]!r} is unknown; choose one of {', '.join(choices)}")
    return value
