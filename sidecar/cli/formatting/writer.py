"""Entries written down: two spaces for each level, keys in the order of the schema.

Quotes stay where somebody put them and become double ones where those need no escapes: what is
quoted is text for every reader of YAML, also for those that take a bare 1 for a number.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from sidecar.cli.formatting.tree import Entry, File

Schema = dict[str, Any]

_STEP = 2
_NOTHING: Schema = {}
_WORD = re.compile(r"[A-Za-z/][A-Za-z0-9_./]*(?: [A-Za-z][A-Za-z0-9_./]*)*", re.ASCII)


def write(file: File, schema: Schema) -> str:
    """The text of a file."""
    lines = [*file.head, *_entries(file.entries, schema, 0), *file.tail]
    return "\n".join(lines) + "\n"


def _entries(entries: list[Entry], schema: Schema, indent: int) -> list[str]:
    lines: list[str] = []
    for entry in _ordered(entries, schema):
        lines += _entry(entry, schema, indent)
    return lines[1:] if lines[:1] == [""] else lines


def _entry(entry: Entry, schema: Schema, indent: int) -> list[str]:
    pad = " " * indent
    before = [pad + line if line else "" for line in entry.before]
    after = [pad + line if line else "" for line in entry.after]
    beside = f"  {entry.beside}" if entry.beside else ""
    inner = _below(schema, None if entry.key is None else entry.key.value, entry.value)
    start = "-" if entry.key is None else f"{_scalar(entry.key)}:"
    if entry.literal:
        header, *rest = entry.literal
        lines = [f"{pad}{start} {header}"]
        lines += [" " * (indent + _STEP) + line if line.strip() else "" for line in rest]
        if beside:
            before.append(pad + entry.beside)
    elif not entry.children:
        lines = [f"{pad}{start} {_flow(entry.value, inner, flow=False)}".rstrip() + beside]
    elif entry.key is None:
        hoisted, lines = _item(_entries(entry.children, inner, indent + _STEP), indent)
        before += hoisted
        if beside:
            before.append(pad + entry.beside)
    else:
        lines = [f"{pad}{start}{beside}", *_entries(entry.children, inner, indent + _STEP)]
    return [*before, *lines, *after]


def _item(lines: list[str], indent: int) -> tuple[list[str], list[str]]:
    """The lines of an item's value, the dash set in; first what has to stand above the dash."""
    pad = " " * indent
    first = next(n for n, line in enumerate(lines) if line.strip() and line.lstrip()[0] != "#")
    above = [pad + line.lstrip() if line else "" for line in lines[:first]]
    return above, [f"{pad}- {lines[first][indent + _STEP :]}", *lines[first + 1 :]]


def _flow(node: Node, schema: Schema, *, flow: bool = True) -> str:
    if isinstance(node, ScalarNode):
        return _scalar(node, flow=flow)
    if not isinstance(node, MappingNode):
        items = [_flow(item, _below(schema, None, item)) for item in node.value]
        return f"[{', '.join(items)}]"
    pairs = [(key.value, key, value) for key, value in node.value]
    rank = _rank(schema)
    pairs.sort(key=lambda pair: rank.get(pair[0], len(rank)))
    shown = [
        f"{_scalar(key, flow=True)}: {_flow(value, _below(schema, name, value))}".rstrip()
        for name, key, value in pairs
    ]
    return f"{{{', '.join(shown)}}}"


def _scalar(node: ScalarNode, *, flow: bool = False) -> str:
    if node.style is None and (not node.value or _plain(node.value, node.tag, flow=flow)):
        return str(node.value)
    return _quoted(node.value)


@lru_cache(maxsize=4096)
def _plain(text: str, tag: str, *, flow: bool) -> bool:
    """Whether a text without quotes is read as the same thing again."""
    if _WORD.fullmatch(text):
        return True  # it was without quotes before, and no letter of it means anything to YAML
    sample = f"[{{k: {text}}}]" if flow else f"[k]: {text}"
    try:
        node = yaml.compose(sample, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return False
    assert node is not None
    pairs = node.value[0].value if flow and len(node.value) == 1 else node.value
    value = pairs[0][1] if len(pairs) == 1 else None
    return isinstance(value, ScalarNode) and (value.value, value.tag) == (text, tag)


def _quoted(text: str) -> str:
    if '"' not in text and "\\" not in text and text.isprintable():
        return f'"{text}"'
    if text.isprintable():
        doubled = text.replace("'", "''")
        return f"'{doubled}'"
    return json.dumps(text)


def _ordered(entries: list[Entry], schema: Schema) -> Iterable[Entry]:
    if not entries or entries[0].key is None:
        return entries
    rank = _rank(schema)
    keys = [entry.key.value if entry.key is not None else "" for entry in entries]
    order = sorted(range(len(entries)), key=lambda n: (rank.get(keys[n], len(rank)), n))
    return [entries[n] for n in order]


def _rank(schema: Schema) -> dict[str, int]:
    return {key: n for n, key in enumerate(schema.get("properties", ()))}


def _below(schema: Schema, key: str | None, value: Node) -> Schema:
    """The schema of a value: of the branch that could be meant, where there are several."""
    if key is None:
        found = schema.get("items", _NOTHING)
    else:
        found = schema.get("properties", _NOTHING).get(key, schema.get("additionalProperties"))
    if not isinstance(found, dict):
        return _NOTHING
    kind = "object" if isinstance(value, MappingNode) else "array"
    branches = [one for one in found.get("anyOf", ()) if one.get("type") == kind]
    return branches[0] if branches else found
