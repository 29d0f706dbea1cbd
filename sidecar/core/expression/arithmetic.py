"""Whole numbers as CEL reckons: 64 bits with sign, an overflow is an error, division truncates.

Durations are added by the same rules, as they are nanoseconds.

Source: cel-spec, langdef.md, "Overflow", "Numeric Values".
"""

from sidecar.core.expression.kind import INT_MAX, INT_MIN, EvaluationError


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
