"""Whole numbers as CEL reckons them; that this is CEL is tested in tests/expressions."""

import pytest

from sidecar.core.expression.arithmetic import bounded, divide, modulo
from sidecar.core.expression.kind import INT_MAX, INT_MIN, EvaluationError


def test_a_number_of_64_bits_is_kept_and_any_other_is_an_error() -> None:
    assert [bounded(INT_MIN), bounded(INT_MAX)] == [INT_MIN, INT_MAX]
    for number in (INT_MIN - 1, INT_MAX + 1):
        with pytest.raises(EvaluationError, match="overflow"):
            bounded(number)


@pytest.mark.parametrize(
    ("dividend", "divisor", "quotient", "rest"),
    [(7, 2, 3, 1), (-7, 2, -3, -1), (7, -2, -3, 1), (-7, -2, 3, -1), (INT_MIN, 1, INT_MIN, 0)],
)
def test_division_goes_towards_zero_and_the_rest_has_the_sign_of_the_dividend(
    dividend: int, divisor: int, quotient: int, rest: int
) -> None:
    assert (divide(dividend, divisor), modulo(dividend, divisor)) == (quotient, rest)


@pytest.mark.parametrize(("dividend", "divisor"), [(1, 0), (INT_MIN, -1)])
def test_what_has_no_quotient_has_no_rest(dividend: int, divisor: int) -> None:
    for reckon in (divide, modulo):
        with pytest.raises(EvaluationError):
            reckon(dividend, divisor)
