"""Whole numbers as CEL reckons: 64 bits with sign, an overflow is an error, division truncates.

And texts to and from them. Durations are added by the same rules, as they are nanoseconds.

Source: cel-spec, langdef.md, "Overflow", "Numeric Values", "Dynamic Values".
"""

import re

from sidecar.core.expression.kind import CHARACTERS_MAX, INT_MAX, INT_MIN, EvaluationError

_WHOLE = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)[ \t\n\v\f\r]*\Z", re.ASCII)
_DIGITS_MAX = 4096  # of a number that may begin with zeros; Python refuses more than 4300
_TRUTHS = {
    "1": True, "t": True, "true": True, "TRUE": True, "True": True,
    "0": False, "f": False, "false": False, "FALSE": False, "False": False,
}  # fmt: skip


def bounded(number: int) -> int:
    """The number, if it has 64 bits."""
    if INT_MIN <= number <= INT_MAX:
        return number
    raise EvaluationError("integer overflow")


def divide(dividend: int, divisor: int) -> int:
    """Towards zero."""
    if divisor == 0:
        raise EvaluationError("division by zero")
    quotient = abs(dividend) // abs(divisor)
    return bounded(quotient if (dividend < 0) == (divisor < 0) else -quotient)


def modulo(dividend: int, divisor: int) -> int:
    """Has the sign of the dividend."""
    if divisor == 0:
        raise EvaluationError("modulus by zero")
    if divisor == -1:
        bounded(-dividend)  # the quotient would not fit, so CEL calls this an overflow, too
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


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
