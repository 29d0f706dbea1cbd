"""What is done with texts. Positions and lengths count code points.

Source: cel-spec, langdef.md; cel-go, ext/strings.go (split, substring, lowerAscii and their like).
"""

import re

from sidecar.core.expression.kind import (
    CHARACTERS_MAX,
    INT_MAX,
    INT_MIN,
    ITEMS_MAX,
    EvaluationError,
)

_WHOLE = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)[ \t\n\v\f\r]*\Z", re.ASCII)
_DIGITS_MAX = 4096  # of a number that may begin with zeros; Python refuses more than 4300
_TRUTHS = {
    "1": True, "t": True, "true": True, "TRUE": True, "True": True,
    "0": False, "f": False, "false": False, "FALSE": False, "False": False,
}  # fmt: skip
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {code + 32: code for code in _LOWER}


def number(text: str) -> int:
    """A text as a decimal number; white space around it and a sign are permitted."""
    match = _WHOLE.match(text) if len(text) <= _DIGITS_MAX else None
    if match is None:
        raise EvaluationError("text is no number")
    whole = int(match[1])
    if INT_MIN <= whole <= INT_MAX:
        return whole
    raise EvaluationError("text is no number of 64 bits")


def truth(text: str) -> bool:
    """A text as true or false, in the few ways that CEL knows."""
    value = _TRUTHS.get(text)
    if value is None:
        raise EvaluationError("text is neither true nor false")
    return value


def joined(left: str, right: str) -> str:
    """One text after the other."""
    if len(left) + len(right) > CHARACTERS_MAX:
        raise EvaluationError("text is too long")
    return left + right


def lower(text: str) -> str:
    """ASCII letters in lower case, all else as it is."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def upper(text: str) -> str:
    """ASCII letters in upper case, all else as it is."""
    return text.upper() if text.isascii() else text.translate(_UPPER)


def split(text: str, separator: str) -> list[str]:
    """What stands between the separators; without one, each character."""
    parts = text.split(separator, ITEMS_MAX) if separator else list(text[: ITEMS_MAX + 1]) or [""]
    if len(parts) > ITEMS_MAX:
        raise EvaluationError("too many items")
    return parts


def substring(text: str, start: int) -> str:
    """From `start`, a place in the text or its end, to the end."""
    if 0 <= start <= len(text):
        return text[start:]
    raise EvaluationError("index out of range")
