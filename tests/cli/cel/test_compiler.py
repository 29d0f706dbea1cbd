"""Text in, code out; what is refused is said with its place and what to write instead."""

import sys

import pytest

from sidecar.cli import cel
from sidecar.cli.cel import CelError, compile_expression
from sidecar.cli.text import UNAVAILABLE, CliError
from sidecar.core.expression import DECLARED, check, lower
from sidecar.core.expression.kind import BOOL, INT, STRING, list_of, map_of

NAMES = {**DECLARED, "variables.tier": STRING, "variables.words": list_of(STRING)}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("request.method == 'POST'", BOOL),
        ("'tier ' + variables.tier", STRING),
        ("size(request.headers)", INT),
        ("request.headers", map_of(STRING, STRING)),
        ("request.path.split('/').map(x, size(x))", list_of(INT)),
    ],
)
def test_what_is_compiled_passes_the_check_of_a_sidecar(text: str, kind: object) -> None:
    body, given = compile_expression(text, NAMES)
    assert body.text == text
    assert given == kind == check(body, NAMES)


@pytest.mark.parametrize("text", ["request.headers.foo == 'a'", "request.headers['foo'] == 'a'"])
def test_a_header_is_read_by_either_form(text: str) -> None:
    evaluate = lower(compile_expression(text, NAMES)[0], {"request.headers": lambda facts: facts})
    assert evaluate({"foo": "a"}) is True


@pytest.mark.parametrize("text", ["has(request.headers.foo)", "'foo' in request.headers"])
def test_a_header_that_is_there_is_seen_by_either_form(text: str) -> None:
    evaluate = lower(compile_expression(text, NAMES)[0], {"request.headers": lambda facts: facts})
    assert [evaluate({"foo": ""}), evaluate({"bar": ""})] == [True, False]


WRONG = [
    # what is no CEL, or does not fit
    ("request.methd == 'a'", 1, 1, "request.methd is not known", "did you mean request.method?"),
    ("true &&\n  request.hedders.a == 'b'", 2, 3, "not known", "did you mean request.headers?"),
    ("request", 1, 1, "request is not known", "there are request.agent"),
    ("variables.nope", 1, 1, "not known", "there are variables.tier, variables.words"),
    ("request.path.startWith('a')", 1, 14, "startWith is not known", "did you mean startsWith?"),
    ("frobnicate(1)", 1, 1, "frobnicate is not known", "EXPRESSIONS.md"),
    ("'\u00e9\U0001d4b3' + 1 == 2", 1, 6, "+ does not take (string, int)", "string(...)"),
    ("epoch.age > 5", 1, 11, "> does not take (duration, int)", "duration('1s')"),
    ("now < '2026'", 1, 5, "< does not take (timestamp, string)", "timestamp('2026"),
    ("true ? 1 : 'a'", 1, 6, "?: does not take", "of one type"),
    ("request.path.foo == 'a'", 1, 13, "a string has no fields", "only maps have"),
    ("request.path ==", 1, 16, "ends too early", "missing"),
    ("true false", 1, 6, "'false' is not expected here", ""),
    ("'abc", 1, 1, "not closed", "'text'"),
    ("1 # 2", 1, 3, "# is no part of an expression", ""),
    ("9223372036854775808", 1, 1, "invalid int literal", ""),
    ("while", 1, 1, "reserved identifier", ""),
    ("(" * 100 + "true" + ")" * 100, 1, 1, "nested too deep", "variables"),
    # what is CEL, but outside of the subset
    ("request.path.matches('a+')", 1, 21, "matches() is not supported", "use startsWith"),
    ("1.5 > 2.0", 1, 1, "numbers with a point", "whole numbers"),
    ("double(1) > double(2)", 1, 7, "numbers with a point", "whole numbers"),
    ("1u == 1u", 1, 1, "unsigned", "not 1u"),
    ("uint(1) == uint(1)", 1, 5, "unsigned", "not 1u"),
    ("b'a' == b'a'", 1, 1, "bytes", "not b'text'"),
    ("null == null", 1, 1, "null", "has("),
    ("type(1) == type(2)", 1, 5, "type() is not supported", "leave type() out"),
    ("true || dyn(1) == int", 1, 12, "dyn() is not supported", "leave dyn() out"),
    ("[] == variables.words", 1, 1, "an empty list", "size(...) == 0"),
    ("{} == request.headers", 1, 1, "an empty map", "size(...) == 0"),
    ("[1, 'a'] == [1, 'a']", 1, 1, "items of one kind", ""),
    ("google.protobuf.Duration{seconds: 1} == epoch.age", 1, 1, "messages", "{'key': value}"),
    ("now.getHours('Europe/Berlin') > 3", 1, 13, "time zones", "UTC"),
    ("duration(request.path) > epoch.age", 1, 9, "takes a literal only", "duration('1m30s')"),
    ("duration('1d') > epoch.age", 1, 10, "'1d' is no duration", "duration('1m30s')"),
    ("duration('0.5ns') > epoch.age", 1, 10, "'0.5ns' is no duration", "ns"),
    ("duration('300000h') > duration('3000000h')", 1, 32, "'3000000h' is no duration", "292 years"),
    ("now > timestamp('2026-01-01')", 1, 17, "is no timestamp", "T12:00:00Z"),
    ("variables.words.exists(now, now == 'a')", 1, 23, "the name of the item is taken", "call it"),
    ("request.path.reverse() == 'a'", 1, 21, "reverse() is not supported", "EXPRESSIONS.md"),
    ("request.path.substring(0, 1) == 'a'", 1, 23, "substring() with an end", "substring(start)"),
    (
        "request.headers.exists(x, request.headers.exists(y, x == y))",
        1, 23, "costs up to 98818 steps", "walk over fewer items",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "what", "hint"), WRONG)
def test_a_mistake_is_said_with_its_place_and_a_remedy(
    text: str, line: int, column: int, what: str, hint: str
) -> None:
    with pytest.raises(CelError) as raised:
        compile_expression(text, NAMES)
    assert what in raised.value.text
    assert hint in raised.value.hint
    assert (raised.value.line, raised.value.column) == (line, column)
    assert "\n" not in str(raised.value)


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cel, "library", raising=False)
    monkeypatch.delitem(sys.modules, "sidecar.cli.cel.library", raising=False)
    monkeypatch.setitem(
        sys.modules, "cel_expr_python", None
    )  # how the import system says: not here
    with pytest.raises(CliError, match=r"epochgate\[policy\]") as raised:
        compile_expression("true", {})
    assert raised.value.exit_code == UNAVAILABLE
