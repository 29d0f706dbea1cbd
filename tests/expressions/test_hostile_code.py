"""Code that no compiler made: it is refused, or does what its kind says, and nothing else."""

from collections.abc import Mapping

from hypothesis import event, given, settings
from hypothesis import strategies as st

from sidecar.cli.cel import CelError, compile_expression
from sidecar.core.expression import EvaluationError, Type, check, lower
from sidecar.core.expression.checking import WALKS
from sidecar.core.expression.kind import (
    BOOL,
    DURATION,
    INT,
    INT_MAX,
    INT_MIN,
    STRING,
    TIMESTAMP,
    TIMESTAMP_MAX_NS,
    TIMESTAMP_MIN_NS,
)
from sidecar.core.expression.overload import OVERLOADS
from sidecar.core.policy_body import ExpressionBody
from sidecar.core.reason import ProtocolError
from tests.expressions import texts
from tests.expressions.oracle import getters, native
from tests.expressions.texts import Tape

OPS = (
    *OVERLOADS, *WALKS, "bool", "string", "int", "duration", "timestamp", "name", "item", "each",
    "list", "map", "logical_and", "logical_or", "exec", "", 7, None,
)  # fmt: skip
OPERANDS: tuple[object, ...] = (
    *texts.NAMES,
    "0",
    "-1",
    "host",
    "x",
    True,
    False,
    None,
    -1,
    [],
    {},
    2**70,
)
RANGES = {
    BOOL: (False, True),
    INT: (INT_MIN, INT_MAX),
    DURATION: (INT_MIN, INT_MAX),
    TIMESTAMP: (TIMESTAMP_MIN_NS, TIMESTAMP_MAX_NS),
}


def changed(code: list[list[object]], tape: Tape) -> list[list[object]]:
    """The same code with some of it replaced, dropped or doubled."""
    made = [list(node) for node in code]
    for _ in range(1 + tape.number(2)):
        index = tape.number(min(len(made), 256))
        node = made[index]
        match tape.number(9):
            case 0:
                node[0] = tape.one(OPS)
            case 6 | 7 | 8:
                node[0] = tape.one(alike(str(node[0])))
            case 1 if len(node) > 1:
                node[1 + tape.number(len(node) - 1)] = tape.number(len(made) + 1)
            case 2 if len(node) > 1:
                node[1 + tape.number(len(node) - 1)] = tape.one(OPERANDS)
            case 3:
                node.append(tape.number(len(made)))
            case 4 if len(node) > 1:
                node.pop()
            case _:
                made[index], made[-1] = made[-1], made[index]
    return made


def alike(op: str) -> list[str]:
    """What takes the same as an operation does, so that the check mostly lets it pass."""
    if op in WALKS:
        return list(WALKS)
    takes = OVERLOADS[op].takes if op in OVERLOADS else None
    return [other for other, known in OVERLOADS.items() if known.takes == takes] or [op]


def fits(value: object, kind: Type) -> bool:
    """Whether a value is what its kind says."""
    if kind in RANGES:
        least, most = RANGES[kind]
        python = bool if kind == BOOL else int
        return type(value) is python and least <= value <= most
    if kind == STRING:
        return type(value) is str
    if kind.kind == "list":
        return type(value) is list and all(fits(item, kind.of[0]) for item in value)
    return isinstance(value, Mapping) and all(
        fits(key, kind.of[0]) and fits(item, kind.of[1]) for key, item in value.items()
    )


@settings(max_examples=250, deadline=None)
@given(st.binary(min_size=80, max_size=80), st.binary(min_size=24, max_size=24))
def test_is_refused_or_gives_a_value_of_its_kind(tape: bytes, changes: bytes) -> None:
    try:
        body, _ = compile_expression(texts.expression(tape), texts.NAMES)
    except CelError:  # too expensive
        return
    hostile = ExpressionBody(code=changed(body.code, Tape(changes)), text="x")
    try:
        kind = check(hostile, texts.NAMES)
    except ProtocolError:
        event("refused")
        return
    facts = native(texts.world(tape))
    try:
        value = lower(hostile, getters(texts.NAMES))(facts)
    except EvaluationError:
        event("an error")
        return
    event("a value")
    assert fits(value, kind), (hostile.code, value, kind)
