"""What the CEL library complains about, said as a person would, with what to do about it.

The library says `<input>:1:8: undeclared reference to 'request.methd' (in container '')` and draws
an arrow below a copy of the line. The first complaint is the one to mend; others mostly follow.
"""

import difflib
import re
from collections.abc import Callable, Collection

from sidecar.cli.cel.error import CelError
from sidecar.cli.cel.hint import TABLE, shown

_FIRST = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*?)(?:\n \| |\Z)", re.DOTALL)

# What can be called; for suggestions. Those that are operators are in no need of one.
FUNCTIONS = (
    "all", "bool", "contains", "duration", "endsWith", "exists", "exists_one", "filter",
    "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours",
    "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "has", "indexOf", "int",
    "lowerAscii", "map", "size", "split", "startsWith", "string", "substring", "timestamp",
    "upperAscii",
)  # fmt: skip
_PLAIN = {"google.protobuf.Timestamp": "timestamp", "google.protobuf.Duration": "duration"}


def explained(complaint: str, text: str, names: Collection[str]) -> CelError:
    """The error to raise for a complaint about `text`, in which `names` can be used."""
    first = _FIRST.search(complaint)
    if "recursion" in complaint:  # without a place
        return CelError(1, 1, "the expression is nested too deep", "make variables of its parts")
    if first is None:
        return CelError(1, 1, complaint.removeprefix("INVALID_ARGUMENT: "))
    line, column, said = int(first[1]), int(first[2]), first[3].strip()
    for pattern, explain in _EXPLANATIONS:
        match = pattern.match(said)
        if match:
            found, hint = explain(match, names)
            return CelError(line, _start(text, line, column, match), found, hint)
    return CelError(line, column, said.removeprefix("Syntax error: "))


def _start(text: str, line: int, column: int, match: re.Match[str]) -> int:
    """Where a name begins; the library points at its last dot, or at the bracket behind it."""
    name = match.groupdict().get("name")
    if name is None or line > len(text.splitlines()):
        return column
    shown_line = text.splitlines()[line - 1]
    for start in (column - 1 - len(name.rpartition(".")[0]), column - 1 - len(name)):
        if start >= 0 and shown_line[start:].startswith(name):
            return start + 1
    return column


def _undeclared(match: re.Match[str], names: Collection[str]) -> tuple[str, str]:
    name = match["name"]
    root, _, rest = name.partition(".")
    siblings = {
        known.partition(".")[2]: known for known in sorted(names) if known.startswith(f"{root}.")
    }
    if siblings and rest:
        near = [siblings[tail] for tail in difflib.get_close_matches(rest, siblings, n=1)]
    else:
        near = [] if siblings else difflib.get_close_matches(name, [*names, *FUNCTIONS], n=1)
    if near:
        return f"{name} is not known", f"did you mean {near[0]}?"
    if siblings:
        return f"{name} is not known", f"there are {', '.join(siblings.values())}"
    return f"{name} is not known", TABLE


def _overload(match: re.Match[str], _names: Collection[str]) -> tuple[str, str]:
    kinds = match["kinds"]
    for foreign, ours in _PLAIN.items():
        kinds = kinds.replace(foreign, ours)
    return f"{shown(match['function'])} does not take ({kinds})", _advice(match["function"], kinds)


def _advice(function: str, kinds: str) -> str:
    first, _, second = kinds.partition(", ")
    if function == "_?_:_":
        return "both results must be of one type, and the condition a bool"
    if "string" in (first, second) and "int" in (first, second):
        return "string(...) makes text of a number, int(...) a number of text"
    if "duration" in (first, second) and {"int", "string"} & {first, second}:
        return "write a duration as duration('1s')"
    if "timestamp" in (first, second) and {"int", "string"} & {first, second}:
        return "write timestamp('2026-01-31T12:00:00Z') for a time, duration('1s') for a span"
    return ""


def _ends(_match: re.Match[str], _names: Collection[str]) -> tuple[str, str]:
    return "the expression ends too early", "something is missing here, or a bracket is not closed"


def _unexpected(match: re.Match[str], _names: Collection[str]) -> tuple[str, str]:
    return f"{match['what']} is not expected here", ""


def _unreadable(match: re.Match[str], _names: Collection[str]) -> tuple[str, str]:
    what = match["what"]
    if what[:1] in ("'", '"'):
        return "a text is not closed, or has a wrong escape", r"write 'text'; \\ for a backslash"
    return f"{what} is no part of an expression", ""


def _no_fields(match: re.Match[str], _names: Collection[str]) -> tuple[str, str]:
    return f"a {match['kind']} has no fields", "only maps have, as in request.headers.host"


_Explain = Callable[[re.Match[str], Collection[str]], tuple[str, str]]

_EXPLANATIONS: tuple[tuple[re.Pattern[str], _Explain], ...] = tuple(
    (re.compile(pattern, re.DOTALL), explain)
    for pattern, explain in (
        (r"undeclared reference to '(?P<name>[^']*)'", _undeclared),
        (
            r"found no matching overload for '(?P<function>[^']*)' applied to '\((?P<kinds>.*)\)'",
            _overload,
        ),
        (r"Syntax error: mismatched input '<EOF>'", _ends),
        (r"Syntax error: (?:mismatched|extraneous) input (?P<what>'.*') expecting", _unexpected),
        (r"Syntax error: token recognition error at: '(?P<what>.*)'", _unreadable),
        (r"expression of type '(?P<kind>\w+)[^']*' cannot be the operand", _no_fields),
    )
)
