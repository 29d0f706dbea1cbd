"""Both answers to one expression in one world: that of the CEL library, and ours."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext.ext_strings import ExtStrings  # type: ignore[import-untyped]

from sidecar.cli.cel import CelError, compile_expression
from sidecar.core.expression import EvaluationError, Type, lower
from sidecar.core.expression.kind import DURATION, TIMESTAMP

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")
_SIMPLE = {
    "bool": cel.Type.BOOL, "int": cel.Type.INT, "string": cel.Type.STRING,
    "duration": cel.Type.DURATION, "timestamp": cel.Type.TIMESTAMP,
}  # fmt: skip

World = Mapping[str, object]


class Verdict(Enum):
    """How two answers compare."""

    VALUES = "the same value"
    ERRORS = "an error of both"
    DIFFER = "they differ"


@dataclass(frozen=True, slots=True)
class Answers:
    """What both say; None: there is no value. No value of the subset is None."""

    theirs: object
    ours: object

    @property
    def verdict(self) -> Verdict:
        """Equal also in type: Python takes true for 1."""
        if self.ours is None and self.theirs is None:
            return Verdict.ERRORS
        same = self.ours == self.theirs and type(self.ours) is type(self.theirs)
        return Verdict.VALUES if same else Verdict.DIFFER


class Oracle:
    """Asks both.

    Args:
        names: What expressions can use.
    """

    def __init__(self, names: Mapping[str, Type]) -> None:
        self._names = names
        self._env = cel.NewEnv(
            variables={name: _type(kind) for name, kind in names.items()}, extensions=[ExtStrings()]
        )
        self._getters = getters(names)

    def ask(self, text: str, worlds: Sequence[World]) -> Iterator[Answers]:
        """Evaluate `text` twice in each world; nothing when it costs too much to be compiled."""
        try:
            body, kind = compile_expression(text, self._names)
            if kind in (DURATION, TIMESTAMP):  # what Python gets is cut to microseconds
                text = f"string({text})"
                body, _ = compile_expression(text, self._names)
        except CelError as error:
            if error.text.startswith("costs up to"):
                return
            raise
        ours, theirs = lower(body, self._getters), self._env.compile(text)
        for world in worlds:
            yield Answers(_their(theirs, world), _our(ours, world))


def _their(compiled: cel.Expression, world: World) -> object:
    result = compiled.eval(data=dict(world))
    return None if result.type() == cel.Type.ERROR else result.plain_value()


def _our(evaluate: Callable[[World], object], world: World) -> object:
    try:
        return evaluate(native(world))
    except EvaluationError:
        return None


def native(world: World) -> World:
    """The same values as `core/expression/kind` shows them."""
    return {name: _native(value) for name, value in world.items()}


def getters(names: Iterable[str]) -> dict[str, Callable[[World], object]]:
    """How to get each name out of a world."""
    return {name: _getter(name) for name in names}


def _getter(name: str) -> Callable[[World], object]:
    return lambda facts: facts[name]


def _native(value: object) -> object:
    match value:
        case timedelta():
            return value // timedelta(microseconds=1) * 1000
        case datetime():
            return (value - _EPOCH) // timedelta(microseconds=1) * 1000
        case _:
            return value


def _type(kind: Type) -> object:
    if kind.kind == "list":
        return cel.Type.List(_type(kind.of[0]))
    if kind.kind == "map":
        return cel.Type.Map(_type(kind.of[0]), _type(kind.of[1]))
    return _SIMPLE[kind.kind]
