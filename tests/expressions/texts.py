"""Expressions at random, by the kind of their value, and values for the names in them.

What is drawn here is always within the subset, so a refusal by the compiler is a failure; only
what costs too much may be refused. Values and literals lie where it matters: at the ends of 64
bits, around zero, keys that are there and keys that are not.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sidecar.core.expression.kind import (
    BOOL,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
)

T = TypeVar("T")
STRINGS, INTS, HEADERS = list_of(STRING), list_of(INT), map_of(STRING, STRING)

NAMES: Mapping[str, Type] = {
    "request.path": STRING, "variables.tier": STRING, "request.headers": HEADERS,
    "epoch.seq": INT, "lease.quorum": INT, "variables.ok": BOOL, "variables.late": BOOL,
    "lease.age": DURATION, "epoch.age": DURATION, "now": TIMESTAMP, "variables.then": TIMESTAMP,
    "variables.words": STRINGS, "variables.numbers": INTS,
}  # fmt: skip

_EDGES = (0, 1, -1, 2, -2, 3, 7, 10, 2**31, 2**53, 2**63 - 1, -(2**63), -(2**63) + 1, 2**62)
_WORDS = (
    "", "a", "b", "ab", "A", "/v1/", "host", "x-foo", "\u00e9", "\U0001d4b3", "zz", "true", "T",
    "false", "f", "0", "1", "-5", "+7", " 8 ", "0x1", "1_0", "\t9\n", "\u0663", "'", "\\", '"',
    "9223372036854775808", "a\nb", "\u2028", "--1", "-9223372036854775808", "007", "tRUE",
)  # fmt: skip
_KEYS = ("host", "a", "x-foo", "")
_SPANS_S = (0, 1, -1, 60, 3600, 90_061, 9_223_372_036, -9_223_372_036, 5_000_000_000)
_SPANS_US = (0, 1, 500_000, 123_456)
# The library takes a datetime by way of a float: these are exact in one. So are not the last days.
_TIMES = tuple(
    datetime.fromisoformat(text).replace(tzinfo=UTC)
    for text in (
        "1970-01-01T00:00:00", "2026-02-28T23:59:59.500000", "2024-02-29T12:00:00",
        "0001-01-02T00:00:00", "9999-12-30T23:59:59.500000", "1969-12-31T23:59:59.500000",
        "1900-03-01T06:30:15", "1678-01-01T00:00:00.500000",
    )
)  # fmt: skip


class Tape:
    """Bytes that choose; behind their end, everything is the first choice. So a short one, and one
    of zeros, makes something simple, which is what Hypothesis shrinks to.
    """

    def __init__(self, raw: bytes) -> None:
        self._bytes = iter(raw)

    def number(self, count: int) -> int:
        """From 0, below `count`, which is at most 256."""
        return next(self._bytes, 0) % count

    def one(self, options: Sequence[T]) -> T:
        """One of these."""
        return options[self.number(len(options))]

    def word(self) -> str:
        return (
            self.one(_WORDS)
            if self.number(4)
            else "".join(chr(0x20 + self.number(95)) for _ in range(self.number(4)))
        )

    def whole(self) -> int:
        match self.number(3):
            case 0:
                return self.number(41) - 20
            case 1:
                return self.one(_EDGES)
            case _:
                return int.from_bytes((self.number(256) for _ in range(8)), signed=True)

    def span(self) -> timedelta:
        return timedelta(seconds=self.one(_SPANS_S), microseconds=self.one(_SPANS_US))

    def value(self, kind: Type) -> object:
        """Some value, as the CEL library takes it."""
        match kind:
            case t if t == BOOL:
                return bool(self.number(2))
            case t if t == INT:
                return self.whole()
            case t if t == STRING:
                return self.word()
            case t if t == DURATION:
                return self.span()
            case t if t == TIMESTAMP:
                return self.one(_TIMES)
            case t if t == HEADERS:
                return {key: self.word() for key in _KEYS if self.number(2)}
            case _:
                return [self.value(kind.of[0]) for _ in range(self.number(4))]


def world(raw: bytes) -> dict[str, object]:
    """A value for each name."""
    tape = Tape(raw)
    return {name: tape.value(kind) for name, kind in NAMES.items()}


def expression(raw: bytes) -> str:
    """An expression of some kind."""
    tape = Tape(raw)
    kind = tape.one(ROOTS)
    return _Writer(tape).write(kind, 1 + tape.number(4))


def quoted(text: str) -> str:
    """As a literal; what JSON escapes in ASCII is escaped alike in CEL."""
    return '"' + "".join(json.dumps(c)[1:-1] if ord(c) < 0x7F else c for c in text) + '"'


class _Writer:
    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._items: dict[str, Type] = {}  # variable of a macro around -> its kind

    def write(self, kind: Type, depth: int) -> str:
        """An expression of that kind, `depth` levels deep at most."""
        if depth == 0:
            return self._leaf(kind)
        form = self._tape.one(["LEAF", "({bool} ? {same} : {same})", *_FORMS[kind]])
        if form == "LEAF":
            return self._leaf(kind)
        before, *slots = form.split("{")
        for slot in slots:
            name, _, after = slot.partition("}")
            before += self._slot(name, kind, depth - 1) + after
        return before.replace("\1", "{").replace("\2", "}")

    def _slot(self, name: str, kind: Type, depth: int) -> str:
        inside, _, item = name.partition(":")
        inside, _, variable = inside.partition("@")
        if not item:
            return self.write(kind if inside == "same" else _KINDS[inside], depth)
        outer = dict(self._items)  # a body: may use an item of that kind
        self._items[variable] = _KINDS[item]
        made = self.write(_KINDS[inside], depth)
        self._items = outer
        return made

    def _leaf(self, kind: Type) -> str:
        shown = [name for name, known in {**NAMES, **self._items}.items() if known == kind]
        if shown and self._tape.number(3):
            return self._tape.one(shown[::-1])
        return self._literal(kind)

    def _literal(self, kind: Type) -> str:
        if kind == HEADERS:
            keys = _KEYS[: 1 + self._tape.number(3)]
            return "{" + ", ".join(f"{quoted(key)}: {self._literal(STRING)}" for key in keys) + "}"
        if kind.of:
            items = [self._literal(kind.of[0]) for _ in range(1 + self._tape.number(3))]
            return f"[{', '.join(items)}]"
        value = self._tape.value(kind)
        match value:
            case bool():
                return str(value).lower()
            case timedelta():
                us = value // timedelta(microseconds=1)
                sign, us = "-" if us < 0 else "", abs(us)
                return f"duration('{sign}{us // 10**6}.{us % 10**6:06}001s')"
            case datetime() if self._tape.number(8) == 0:  # the last and the first that there are
                ends = "9999-12-31T23:59:59.999999999", "0001-01-01T00:00:00"
                return f"timestamp('{self._tape.one(ends)}Z')"
            case datetime():
                return f"timestamp('{value.replace(tzinfo=None).isoformat()}Z')"
            case str():
                return quoted(value)
            case _:
                return str(value)


_KINDS = {
    "bool": BOOL, "int": INT, "string": STRING, "duration": DURATION, "timestamp": TIMESTAMP,
    "strings": STRINGS, "ints": INTS, "headers": HEADERS,
}  # fmt: skip

_COMPARED = [
    f"({{{kind}}} {op} {{{kind}}})"
    for kind in ("bool", "int", "string", "duration", "timestamp")
    for op in ("==", "!=", "<", "<=", ">", ">=")
]
_WALKED = [
    f"{{{over}}}.{macro}({x}, {{bool@{x}:{item}}})"
    for macro in ("all", "exists", "exists_one")
    for over, item in (("strings", "string"), ("ints", "int"), ("headers", "string"))
    for x in ("x", "y")
]
_FORMS: Mapping[Type, list[str]] = {
    BOOL: [
        *_COMPARED, *_WALKED, *_WALKED,
        *["({bool} && {bool})", "({bool} || {bool})", "({bool} && {bool} && {bool})"] * 6,
        *["({bool} || {bool} || {bool})", "!{bool}"] * 4,
        "({strings} == {strings})", "({ints} != {ints})", "({headers} == {headers})",
        *["({string} in {strings})", "({int} in {ints})", "({string} in {headers})"] * 3,
        *["has(request.headers.host)", "has({headers}.a)"] * 2,
        "{string}.contains({string})", "{string}.startsWith({string})",
        *["{string}.endsWith({string})"] * 2,
        *["bool({string})"] * 2, "bool({bool})",
    ],
    INT: [
        *[f"({{int}} {op} {{int}})" for op in "+-*/%"] * 3,
        "-({int})", "{string}.indexOf({string})", "{ints}[{int}]", "size({string})",
        "{string}.size()", "size({strings})", "{ints}.size()", "size({headers})",
        *["int({string})"] * 3, "int({timestamp})", "int({int})",
        *[f"{{timestamp}}.get{part}()" for part in (
            "FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "DayOfYear", "Hours", "Minutes",
            "Seconds", "Milliseconds",
        )],
        *[f"{{duration}}.get{part}()" for part in ("Hours", "Minutes", "Seconds", "Milliseconds")],
    ],
    STRING: [
        *["({string} + {string})"] * 3, "{strings}[{int}]", *["{headers}[{string}]"] * 3,
        "request.headers.host", "{headers}.a", "string({int})", "string({bool})",
        "string({duration})", "string({timestamp})", "string({string})",
        "{string}.lowerAscii()", "{string}.upperAscii()", "{string}.substring({int})",
    ],
    DURATION: [
        *["({duration} + {duration})", "({duration} - {duration})"] * 2,
        "({timestamp} - {timestamp})", "duration({duration})",
    ],
    TIMESTAMP: [
        "({timestamp} + {duration})", "({duration} + {timestamp})", "({timestamp} - {duration})",
        "timestamp({int})", "timestamp({timestamp})",
    ],
    STRINGS: [
        "({strings} + {strings})", "{strings}.filter(x, {bool@x:string})",
        "{ints}.map(x, {string@x:int})",
        "{strings}.map(y, {bool@y:string}, {string@y:string})", "[{string}, {string}]",
        "{string}.split({string})",
    ],
    INTS: [
        "({ints} + {ints})", "{ints}.filter(y, {bool@y:int})", "{strings}.map(x, {int@x:string})",
        "[{int}, {int}, {int}]",
    ],
    HEADERS: ["\1'host': {string}, 'a': {string}\2"],
}  # fmt: skip

ROOTS = (BOOL, BOOL, BOOL, INT, STRING, DURATION, TIMESTAMP, STRINGS, INTS)
