"""Expressions taken apart: texts and values, from what the compiler makes of CEL."""

import pytest

from sidecar.cli.cel import compile_expression
from sidecar.cli.workbench import values
from sidecar.cli.workbench.values import Part
from sidecar.core.expression.environment import DECLARED
from sidecar.core.facts import NOWHERE, VALUES, Facts
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.routes import NO_ROUTES

HEAD = RequestHead(
    b"POST", b"/v1/chat?a=1", b"/v1/chat", ((b"host", b"h"), (b"x-tier", b"gold"), (b"n", b"7"))
)
KNOWN = Facts(HEAD, NO_ROUTES, None, None, NOWHERE, Now(BootNs(0), WallMs(1_800_000_000_000)))


def parts(text: str) -> dict[str, str]:
    body, _ = compile_expression(text, DECLARED)
    return {part.text: part.value for part in values.parts(body, DECLARED, VALUES, KNOWN)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("request.method == 'POST'", {"request.method": '"POST"'}),
        (
            "request.headers['x-tier'] == 'gold' && request.path.startsWith('/v2')",
            {
                'request.headers["x-tier"]': '"gold"',
                'request.headers["x-tier"] == "gold"': "true",
                "request.path": '"/v1/chat"',
                'request.path.startsWith("/v2")': "false",
            },
        ),
        (
            "now - timestamp('2027-01-15T07:00:00Z') < duration('2h')",
            {
                "now": 'timestamp("2027-01-15T08:00:00Z")',
                'now - timestamp("2027-01-15T07:00:00Z")': 'duration("3600s")',
            },
        ),
        ("!(request.method in ['GET', 'HEAD'])", {
            "request.method": '"POST"', 'request.method in ["GET", "HEAD"]': "false",
        }),
        ("int(request.headers['n']) * 2 > 13 ? true : false", {
            'request.headers["n"]': '"7"', 'int(request.headers["n"])': "7",
            'int(request.headers["n"]) * 2': "14", '(int(request.headers["n"]) * 2) > 13': "true",
        }),
        ("request.headers.exists(k, k == 'n')", {}),
        ("now.getHours() == 8 && size(request.method) == 4", {
            "now": 'timestamp("2027-01-15T08:00:00Z")', "getHours(now)": "8",
            "getHours(now) == 8": "true", "request.method": '"POST"', "size(request.method)": "4",
            "size(request.method) == 4": "true",
        }),
    ],
)  # fmt: skip
def test_parts_have_text_and_value(text: str, found: dict[str, str]) -> None:
    assert parts(text) == found


def test_a_part_without_a_value_says_why() -> None:
    body, _ = compile_expression("request.headers['x'] == 'y'", DECLARED)
    assert values.worth(body, DECLARED, VALUES, KNOWN) == Part(
        "request.headers['x'] == 'y'", "error: no such key", failed=True
    )
    assert parts("request.headers['x'] == 'y'") == {'request.headers["x"]': "error: no such key"}


def test_a_long_value_is_cut() -> None:
    head = RequestHead(b"GET", b"/", b"/" + b"a" * 500, ())
    known = Facts(head, NO_ROUTES, None, None, NOWHERE, KNOWN.now)
    body, _ = compile_expression("request.path", DECLARED)
    value = values.worth(body, DECLARED, VALUES, known).value
    assert len(value) == values.TEXT_MAX
    assert value.endswith("...")
