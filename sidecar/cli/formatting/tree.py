"""A YAML file as entries with the comments that belong to them.

An entry is a key with its value, or an item of a list. What was written as `{...}` or `[...]` on
one line stays there, so a table of cases stays a table; everything else has entries of its own.

Where a comment belongs:

* on a line of its own: to the entry that follows; indented deeper than that, to the one before;
* beside something: to the last entry that begins before it;
* before the first entry: to the head of the file.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

LITERAL = ("|", ">")
_COMMENT = re.compile(r"#[^\r\n]*")


class OutOfPlaceError(Exception):
    """Something stands where this module cannot keep it."""


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment, from its `#` on."""

    text: str
    index: int
    line: int
    column: int


@dataclass(slots=True)
class Entry:
    """A key with its value, or an item.

    Attributes:
        key: None for an item.
        value: What it holds.
        index: Where it begins in the text.
        line: The same, counted from 0.
        column: Likewise.
        literal: Lines of a value that was written as a block (`|`), its header first; or none.
        children: Of a value that has entries of its own.
        before: Comments on lines of their own; empty ones stand for an empty line.
        beside: Comment on its line.
        after: Comments after its last line.
    """

    key: ScalarNode | None
    value: Node
    index: int
    line: int
    column: int
    literal: list[str] = field(default_factory=list)
    children: list["Entry"] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    beside: str = ""
    after: list[str] = field(default_factory=list)


@dataclass(slots=True)
class File:
    """A whole file.

    Attributes:
        root: As YAML reads it.
        entries: The same, with their comments.
        comments: All of them.
        head: Those before the first entry.
        tail: Those after the last one.
    """

    root: MappingNode
    entries: list[Entry]
    comments: list[str]
    head: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)


def read(text: str) -> File:
    """The entries of a file.

    Raises:
        OutOfPlaceError: with the line, for a person.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, MappingNode) or not root.value:
        raise OutOfPlaceError("is no mapping")
    tokens = list(yaml.scan(text, Loader=yaml.SafeLoader))
    dashes = [token.start_mark for token in tokens if isinstance(token, yaml.BlockEntryToken)]
    found = comments(text, tokens)
    file = File(root, _children(text, root, dashes), [comment.text for comment in found])
    _attach(text, file, found)
    return file


def comments(text: str, tokens: Iterable[yaml.Token]) -> list[Comment]:
    """Every comment, in order: what stands between tokens and begins with `#`."""
    found, end = [], 0
    for token in tokens:
        for match in _COMMENT.finditer(text, end, token.start_mark.index):
            index = match.start()
            line_start = text.rfind("\n", 0, index) + 1
            line = text.count("\n", 0, index)
            found.append(Comment(match[0].rstrip(), index, line, index - line_start))
        end = max(end, token.end_mark.index)
    return found


def inline(node: Node) -> bool:
    """Whether a value keeps to the line that it stands on."""
    if isinstance(node, ScalarNode):
        return node.style not in LITERAL
    here = node.start_mark.line == node.end_mark.line
    assert isinstance(node, CollectionNode)
    return not node.value or (bool(node.flow_style) and here)


def _children(text: str, node: Node, dashes: list[yaml.Mark]) -> list[Entry]:
    if isinstance(node, ScalarNode):
        return []  # a block; its lines are in `Entry.literal`
    if isinstance(node, MappingNode):
        pairs = [(key, value, key.start_mark) for key, value in node.value]
    else:
        assert isinstance(node, SequenceNode)
        pairs = [(None, item, _start(node, item, dashes)) for item in node.value]
    return [
        Entry(
            key, value, mark.index, mark.line, mark.column,
            literal=_literal(text, value),
            children=[] if inline(value) else _children(text, value, dashes),
        )
        for key, value, mark in pairs
    ]  # fmt: skip


def _start(node: SequenceNode, item: Node, dashes: list[yaml.Mark]) -> yaml.Mark:
    if node.flow_style:
        return item.start_mark
    return max(
        (mark for mark in dashes if mark.index < item.start_mark.index), key=lambda mark: mark.index
    )


def _literal(text: str, node: Node) -> list[str]:
    if not isinstance(node, ScalarNode) or node.style not in LITERAL:
        return []
    header, *lines = text[node.start_mark.index : node.end_mark.index].split("\n")
    if not re.fullmatch(r"[|>]-?", header.strip()):
        where = node.start_mark.line + 1
        raise OutOfPlaceError(f"line {where}: a block has to begin with |, |-, > or >- alone")
    shown = [line for line in lines if line.strip()]
    depth = min((len(line) - len(line.lstrip(" ")) for line in shown), default=0)
    while lines and not lines[-1].strip():
        lines.pop()
    return [header.strip(), *(line[depth:] for line in lines)]


def _attach(text: str, file: File, found: list[Comment]) -> None:
    entries = list(_all(file.entries))
    lines = text.split("\n")
    for comment in found:
        following = next((entry for entry in entries if entry.index > comment.index), None)
        earlier = [entry for entry in entries if entry.index < comment.index]
        if lines[comment.line][: comment.column].strip():
            _beside(file, earlier, comment)
        else:
            gap = [""] if _empty_above(lines, comment.line) else []
            _place(file, earlier, following, comment).extend([*gap, comment.text])
    for entry in entries:
        if _empty_above(lines, entry.line):
            # Below the head it stays there, whichever key comes first.
            of_head = entry is entries[0] and file.head
            (file.head if of_head else entry.before).append("")


def _all(entries: list[Entry]) -> Iterator[Entry]:
    for entry in entries:
        yield entry
        yield from _all(entry.children)


def _empty_above(lines: list[str], line: int) -> bool:
    return line > 0 and not lines[line - 1].strip()


def _beside(file: File, earlier: list[Entry], comment: Comment) -> None:
    if not earlier:
        file.head.append(comment.text)
    elif not earlier[-1].beside:
        earlier[-1].beside = comment.text
    else:
        earlier[-1].after.append(comment.text)


def _place(
    file: File, earlier: list[Entry], following: Entry | None, comment: Comment
) -> list[str]:
    if not earlier:
        return file.head
    if following is not None and following.column >= comment.column:
        return following.before
    if following is None and not comment.column:
        return file.tail
    return next(entry for entry in reversed(earlier) if entry.column <= comment.column).after
