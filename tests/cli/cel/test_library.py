"""The CEL library."""

import pytest

from sidecar.cli.cel.library import ComplaintError, compiled, nanoseconds
from sidecar.core.expression.kind import INT_MAX, INT_MIN, STRING, map_of


def test_qualified_names_are_known() -> None:
    assert b"request.headers" in compiled(
        "has(request.headers.a)", {"request.headers": map_of(STRING, STRING)}
    )


def test_what_it_refuses_is_a_complaint() -> None:
    with pytest.raises(ComplaintError, match="undeclared"):
        compiled("x", {})


@pytest.mark.parametrize(
    ("kind", "text", "ns"),
    [
        ("duration", "1h1m1.5s", 3_661_500_000_000),
        ("duration", "-1ns", -1),
        ("duration", "9223372036.854775807s", INT_MAX),
        ("duration", "-9223372036.854775808s", INT_MIN),
        ("duration", "9223372036.854775808s", None),
        ("duration", "0.5ns", None),
        ("duration", "inf", None),
        ("duration", "", None),
        ("timestamp", "1970-01-01T00:00:00Z", 0),
        ("timestamp", "1969-12-31T23:59:59.999999999Z", -1),
        ("timestamp", "1970-01-01T01:00:00+01:00", 0),
        ("timestamp", "0001-01-01T00:00:00Z", -62_135_596_800_000_000_000),
        ("timestamp", "10000-01-01T00:00:00Z", None),
        ("timestamp", "2026-01-01", None),
    ],
)
def test_a_text_is_so_many_nanoseconds_or_none(kind: str, text: str, ns: int | None) -> None:
    assert nanoseconds(kind, text) == ns
