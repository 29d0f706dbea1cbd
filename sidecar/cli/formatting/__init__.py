"""One form for the files that people write: the same keys in the same places, and every comment."""

from collections import Counter
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sidecar.cli.formatting import tree, writer

__all__ = ["UnformattableError", "formatted"]


class UnformattableError(Exception):
    """The file cannot be written anew without changing what it says, or losing a comment."""


def formatted(text: str, schema: dict[str, Any]) -> str:
    """The same file in the one form.

    Args:
        text: YAML that `config/document` reads.
        schema: Of its kind; says the order of keys. Keys that it does not know stand last.

    Raises:
        UnformattableError: with what stands in the way. Whatever is returned has been read again:
            it says the same, has the same comments, and its own form is itself.
    """
    old = _read(text)
    made = writer.write(old, schema)
    new = _read(made)
    if _meaning(new.root) != _meaning(old.root):
        raise UnformattableError("its values cannot be kept")
    before, after = Counter(old.comments), Counter(new.comments)
    if before != after:
        lost = "; ".join((before - after).elements())
        raise UnformattableError(f"a comment has no place in the other form: {lost}")
    if writer.write(new, schema) != made:
        raise UnformattableError("its form does not settle")
    return made


def _read(text: str) -> tree.File:
    try:
        return tree.read(text)
    except tree.OutOfPlaceError as error:
        raise UnformattableError(str(error)) from None


def _meaning(node: Node | None) -> object:
    """What a reader makes of a node: no place, no style, no order of keys."""
    match node:
        case MappingNode(value=pairs):
            return {key.value: _meaning(value) for key, value in pairs}
        case SequenceNode(value=items):
            return [_meaning(item) for item in items]
        case ScalarNode(tag=tag, value=value):
            return (tag, value)
        case _:
            return None
