"""Walks over the items of a list or the keys of a map: `all`, `exists` and their like.

A body is called with a frame: the facts, then the items of the walks around it, outermost first.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TypeAlias, cast

from sidecar.core.expression.kind import ITEMS_MAX, EvaluationError
from sidecar.core.expression.operation import Evaluate

Frame: TypeAlias = list[object]

_Body: TypeAlias = Callable[[Frame], object]
_Walked: TypeAlias = Callable[[Collection[object], _Body, Frame], object]


def each_item(depth: int) -> Evaluate:
    """The item of the walk that is itself inside of `depth` bodies."""
    place = depth + 1
    return cast("Evaluate", cast("_Body", lambda frame: frame[place]))


def walk(op: str, over: Evaluate, body: Evaluate, depth: int) -> Evaluate:
    """The walk `op` over what `over` gives, itself inside of `depth` bodies."""
    walked, each = _WALKS[op], cast("_Body", body)

    def evaluate(outside: object) -> object:
        items = cast("Collection[object]", over(outside))
        if len(items) > ITEMS_MAX:
            raise EvaluationError("too many items")
        frame = [*cast("Frame", outside), None] if depth else [outside, None]
        return walked(items, each, frame)

    return evaluate


def _all(items: Collection[object], body: _Body, frame: Frame) -> bool:
    return not _decided(items, body, frame, decides=False)


def _exists(items: Collection[object], body: _Body, frame: Frame) -> bool:
    return _decided(items, body, frame, decides=True)


def _decided(items: Collection[object], body: _Body, frame: Frame, *, decides: bool) -> bool:
    """Whether the body is `decides` for some item; that one counts, whatever failed for others."""
    failure: str | None = None
    for item in items:
        frame[-1] = item
        try:
            if bool(body(frame)) is decides:
                return True
        except EvaluationError as error:
            failure = str(error)
    if failure is not None:
        raise EvaluationError(failure)
    return False


def _exists_one(items: Collection[object], body: _Body, frame: Frame) -> bool:
    return len(_filter(items, body, frame)) == 1


def _filter(items: Collection[object], body: _Body, frame: Frame) -> list[object]:
    kept: list[object] = []
    for item in items:
        frame[-1] = item
        if body(frame):
            kept.append(item)
    return kept


def _transform(items: Collection[object], body: _Body, frame: Frame) -> list[object]:
    made: list[object] = []
    for item in items:
        frame[-1] = item
        made.append(body(frame))
    return made


_WALKS: Mapping[str, _Walked] = MappingProxyType(
    {
        "all": _all,
        "exists": _exists,
        "exists_one": _exists_one,
        "filter": _filter,
        "transform": _transform,
    }
)
