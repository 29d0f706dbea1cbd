"""Path patterns, and which of many match a path.

A pattern is a path whose segments may be `*` (one whole segment) and whose last may be `**` (any
rest, also empty): `/v1/chat/completions`, `/v2/models/*/infer`, `/v1/**`.

Rules:

* Paths are compared byte for byte and never decoded or normalised. So `/v1/../admin` is not
  `/admin` for us; what it is for the service behind, we do not guess.
* Therefore a wildcard matches *plain* paths only: no `%`, `;`, backslash or other character outside
  the unreserved and sub-delimiter sets, no empty, `.` or `..` segment. Anything else matches only a
  pattern that spells out the very same bytes.
* The work per path depends on the path, not on how many patterns there are.

Source: RFC 3986 section 3.3; hardening E-H10.
"""

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

PLAIN = (string.ascii_letters + string.digits + "/-._~!$&'()*+,:=@").encode()

WALKED_MAX = 1024  # paths remembered; a service has far fewer, and each is at most a few KiB

ONE = b"*"
REST = b"**"


def plain(path: bytes) -> bool:
    """Whether a wildcard may match the path at all."""
    if path.translate(None, PLAIN) or b"//" in path:
        return False
    # Dot segments are rare: only a path that has "/." is looked at more closely.
    return b"/." not in path or not {b".", b".."} & set(path.split(b"/"))


def wild(pattern: bytes) -> bool:
    """Whether a pattern may match more than one path."""
    return ONE in pattern.split(b"/") or pattern.endswith(b"/" + REST)


def problem(pattern: str) -> str | None:
    """What is wrong with a pattern, for the person who wrote it; None when it is fine."""
    if not pattern.startswith("/"):
        return "must start with /"
    if not pattern.isascii() or any(ord(letter) <= 0x20 for letter in pattern):  # noqa: PLR2004
        return "must be printable ASCII without spaces; percent-encode the rest"
    if "?" in pattern or "#" in pattern:
        return "must not contain ? or #: patterns match the path, not the query"
    segments = pattern.encode().split(b"/")[1:]
    if REST in segments[:-1]:
        return "** may only be the last segment"
    if any(ONE in segment and segment not in (ONE, REST) for segment in segments):
        return "* stands for a whole segment; part of a segment cannot be matched"
    if (ONE in segments or REST in segments) and not plain(pattern.encode()):
        return "a pattern with wildcards must otherwise be plain: no %, ;, //, . or .. segments"
    return None


@dataclass(slots=True)
class _Node:
    children: dict[bytes, "_Node"] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)


class PathIndex:
    """Which of a list of pattern sets match a path, in order.

    Args:
        patterns: For each entry (a rule, a route), the patterns that lead to it.
    """

    __slots__ = ("_literal", "_root", "_walked")

    def __init__(self, patterns: Sequence[Iterable[bytes]]) -> None:
        self._root = _Node()
        self._walked: dict[bytes, tuple[int, ...]] = {}  # what walking found, for the next time
        literal: dict[bytes, list[int]] = {}
        for index, entry in enumerate(patterns):
            for pattern in entry:
                if wild(pattern):
                    self._insert(pattern, index)
                else:
                    literal.setdefault(pattern, []).append(index)
        # Wildcards that match a literal path are merged into its entry here, once, so that the
        # common request costs one dictionary look-up.
        self._literal = {
            path: tuple(sorted({*own, *self._walk(path)})) for path, own in literal.items()
        }

    def candidates(self, path: bytes) -> tuple[int, ...]:
        """Indexes of the entries with a pattern that matches, ascending."""
        known = self._literal.get(path)
        if known is None:
            known = self._walked.get(path)
        if known is None:
            known = tuple(sorted(self._walk(path)))
            if len(self._walked) >= WALKED_MAX:  # whoever asks for a million paths pays for each
                self._walked.clear()
            self._walked[path] = known
        return known

    def _insert(self, pattern: bytes, index: int) -> None:
        node = self._root
        segments = pattern.split(b"/")[1:]
        for segment in segments[:-1]:
            node = node.children.setdefault(segment, _Node())
        if segments[-1] == REST:
            node.rest.append(index)
        else:
            node.children.setdefault(segments[-1], _Node()).ends.append(index)

    def _walk(self, path: bytes) -> set[int]:
        if not plain(path):
            return set()
        found: set[int] = set()
        front = [self._root]
        for segment in path.split(b"/")[1:]:
            for node in front:
                found.update(node.rest)
            front = [
                child
                for node in front
                # A segment that is itself `*` would find the same child twice, and double the work
                # with each such segment of a hostile path.
                for key in ((segment, ONE) if segment not in (b"", ONE) else (segment,))
                if (child := node.children.get(key)) is not None
            ]
            if not front:
                break
        for node in front:
            found.update(node.ends)
        return found
