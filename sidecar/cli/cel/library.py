"""The CEL library; nothing else imports it. It comes with the extra `policy`.

Source: cel_expr_python 0.1 (bindings of cel-cpp).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache

from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext.ext_strings import ExtStrings  # type: ignore[import-untyped]

from sidecar.core.expression.kind import INT_MAX, INT_MIN, NS_PER_S, Type

_SIMPLE = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "string": cel.Type.STRING,
    "duration": cel.Type.DURATION,
    "timestamp": cel.Type.TIMESTAMP,
}
_READINGS = ("string({0}(text))", "{0}(text) == {0}(string({0}(text)))")
_DURATION = re.compile(r"(-?)(\d+)(?:\.(\d+))?s")
_TIMESTAMP = re.compile(r"(.{19})(?:\.(\d+))?Z")


class ComplaintError(Exception):
    """The library refuses a text; `str()` is how it says so."""


def compiled(text: str, names: Mapping[str, Type]) -> bytes:
    """The checked syntax tree of an expression, serialized.

    Raises:
        ComplaintError: It is no CEL, or its types do not fit.
    """
    try:
        return bytes(_env(tuple(names.items())).compile(text).serialize())
    except RuntimeError as error:
        raise ComplaintError(str(error)) from None


def nanoseconds(kind: str, text: str) -> int | None:
    """What the text of a duration or timestamp stands for.

    Returns:
        None when it is none, or finer than nanoseconds, or a duration of more than 64 bits.
    """
    shown, exact = (one.eval(data={"text": text}) for one in _readings(kind))
    if shown.type() == cel.Type.ERROR or exact.value() is not True:
        return None
    count = (_duration if kind == "duration" else _timestamp)(str(shown.value()))
    return count if kind == "timestamp" or INT_MIN <= count <= INT_MAX else None


@lru_cache(maxsize=8)  # the expressions of one policy mostly know the same names
def _env(names: tuple[tuple[str, Type], ...]) -> cel.Env:
    return cel.NewEnv(
        variables={name: _type(kind) for name, kind in names}, extensions=[ExtStrings()]
    )


@cache
def _readings(kind: str) -> tuple[cel.Expression, cel.Expression]:
    """The library reads it, and writes it back in one form; and whether that is all of it."""
    env = cel.NewEnv(variables={"text": cel.Type.STRING})
    shown, exact = (env.compile(reading.format(kind)) for reading in _READINGS)
    return shown, exact


def _duration(text: str) -> int:
    sign, seconds, fraction = _parts(_DURATION, text)
    count = int(seconds) * NS_PER_S + _fraction(fraction)
    return -count if sign else count


def _timestamp(text: str) -> int:
    when, fraction = _parts(_TIMESTAMP, text)
    since = datetime.fromisoformat(f"{when}+00:00") - datetime.fromisoformat("1970-01-01T00:00Z")
    return (since.days * 86_400 + since.seconds) * NS_PER_S + _fraction(fraction)


def _parts(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    match = pattern.fullmatch(text)
    assert match is not None, text  # the library wrote it
    return tuple(part or "" for part in match.groups())


def _fraction(digits: str) -> int:
    return int(digits.ljust(9, "0")) if digits else 0


def _type(kind: Type) -> cel.Type:
    if kind.kind == "list":
        return cel.Type.List(_type(kind.of[0]))
    if kind.kind == "map":
        return cel.Type.Map(_type(kind.of[0]), _type(kind.of[1]))
    return _SIMPLE[kind.kind]
