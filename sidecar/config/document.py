"""YAML text as a tree that remembers where each value stands.

Rules:

* A duplicate key is refused: YAML lets the last one win, and a reader of the file believes the
  first.
* Anchors, aliases, merge keys and tags are refused. Nothing here needs them, and they make a file
  say more than it shows.
* Scalars stay text. What a text means is the business of the field it stands in, so `1e3`, `yes`
  and `1:30` are never guessed at.
"""

from dataclasses import dataclass

import yaml
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from sidecar.config.problem import ConfigError, Problem

MAX_BYTES = 256 * 1024  # a configuration of a hundred peers is below 16 KiB
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as it was written; None for nothing."""

    text: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple["Node", ...]
    origin: str


@dataclass(frozen=True, slots=True)
class Table:
    """Keys and values, in the order of the file; `keys` says where each key stands."""

    items: dict[str, "Node"]
    keys: dict[str, str]
    origin: str


Node = Scalar | Items | Table


def parse(text: str, source: str, found: list[Problem] | None = None) -> Node:
    """Read one YAML document.

    Args:
        text: The document.
        source: Its file or variable, for messages.
        found: Where to add doubled keys, for a caller that reports them with what else it finds;
            None: they raise.

    Raises:
        ConfigError: with line and column.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError([Problem("", f"is longer than {MAX_BYTES} bytes", source)])
    try:
        _refuse_references(text, source)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        what = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        if error.context_mark is not None and error.problem_mark is not None:
            what += f"; it begins at {error.context_mark.line + 1}:{error.context_mark.column + 1}"
        raise ConfigError([Problem("", f"is not YAML: {what}", _at(source, error))]) from None
    # ValueError, IndexError and the like: PyYAML lets some escapes and directives through to int()
    # and chr().
    except (yaml.YAMLError, ValueError, OverflowError, IndexError, RecursionError) as error:
        what = " ".join(str(error).split())[:200]
        raise ConfigError([Problem("", f"is not YAML: {what}", source)]) from None
    if node is None:
        raise ConfigError([Problem("", "is empty", source)])
    problems: list[Problem] = []
    tree = _convert(node, source, "", problems)
    if found is not None:
        found += problems
    elif problems:
        raise ConfigError(problems)
    return tree


def _refuse_references(text: str, source: str) -> None:
    # Before composing: aliases are what lets a short text grow into a huge tree.
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken):
            where = f"{source}:{token.start_mark.line + 1}:{token.start_mark.column + 1}"
            raise ConfigError(
                [Problem("", "anchors, aliases and tags are not read; write it out", where)]
            )


def _convert(node: yaml.Node, source: str, path: str, problems: list[Problem]) -> Node:
    origin = f"{source}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
    if isinstance(node, MappingNode):
        return _table(node, source, path, problems)
    if isinstance(node, SequenceNode):
        return Items(
            tuple(
                _convert(item, source, f"{path}[{index}]", problems)
                for index, item in enumerate(node.value)
            ),
            origin,
        )
    assert isinstance(node, ScalarNode)
    return Scalar(None if node.tag == _NULL else node.value, origin)


def _table(node: MappingNode, source: str, path: str, problems: list[Problem]) -> Table:
    items: dict[str, Node] = {}
    keys: dict[str, str] = {}
    for key_node, value_node in node.value:
        origin = f"{source}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
        if not isinstance(key_node, ScalarNode):
            problems.append(Problem(path, "a key must be a plain word", origin))
            continue
        key = key_node.value
        child = f"{path}.{key}" if path else key
        if key in items:
            problems.append(Problem(child, f"stands twice; first at {keys[key]}", origin))
            continue
        keys[key] = origin
        items[key] = _convert(value_node, source, child, problems)
    return Table(items, keys, f"{source}:{node.start_mark.line + 1}:{node.start_mark.column + 1}")


def _at(source: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
