"""Files of the form `apiVersion, kind, metadata, spec`: read strictly, each value with its place.

Rules:

* Nothing is ignored: an unknown key, a key given twice, a value of another type is a problem. A
  misspelt key that is skipped would be a rule that somebody believes in and nobody keeps.
* All problems of a file are reported at once, each with line, column and what would be right.

Source: conventions 5.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from sidecar.cli import text
from sidecar.config import document, units
from sidecar.config.document import Items, Node, Scalar, Table
from sidecar.config.problem import ConfigError, Problem
from sidecar.core.canonical import Name

API_VERSION = "epochgate.io/v1alpha1"

# What the pattern of a field type says only to programs.
NAME_RULE = "lower-case letters, digits, ., _ and -, at most 63, beginning with a letter or digit"

_SHOWN_MAX = 80  # characters of a wrong value


class ResourceError(text.CliError):
    """One file or several are not what they must be; nothing was done.

    Attributes:
        problems: Everything that was found, in the order of the file; at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        # One line for each problem, each looking like every other error of the command line.
        super().__init__("\nerror: ".join(str(problem) for problem in problems), text.BAD_DATA)


class Reader:
    """Takes typed values out of one file and keeps what is wrong with them.

    A value that is wrong comes out empty, so that reading goes on and finds the rest. Nothing that
    came out may be used before `finish` has returned.

    Args:
        text: The file, for who has to say which character of a value is wrong.

    Attributes:
        problems: What was wrong so far.
        lines: The file.
    """

    def __init__(self, text: str = "") -> None:
        self.problems: list[Problem] = []
        self.lines = tuple(text.split("\n"))

    def wrong(self, origin: str, path: str, message: str) -> None:
        """Keep one problem, once. `origin`: where the value stands, as a node says it."""
        problem = Problem(path, message, origin)
        if problem not in self.problems:
            self.problems.append(problem)

    def finish(self) -> None:
        """Raise ResourceError if anything was wrong."""
        if self.problems:
            raise ResourceError(sorted(self.problems, key=_in_file_order))

    def mapping(
        self, node: Node | None, path: str, required: Sequence[str], optional: Sequence[str] = ()
    ) -> dict[str, Node]:
        """The values of a mapping with known keys; unknown and missing keys are wrong."""
        found = self.entries(node, path)
        known = [*required, *optional]
        meant = set()  # of a misspelt key; that it is missing, too, is no second mistake
        for key, (origin, _) in found.items():
            if key not in known:
                self.wrong(origin, under(path, key), f"unknown key{suggest(key, known)}")
                meant.add(near(key, known))
        for key in required:
            if isinstance(node, Table) and key not in found and key not in meant:
                self.wrong(node.origin, under(path, key), "is missing")
        return {key: value for key, (_, value) in found.items() if key in known}

    def entries(self, node: Node | None, path: str) -> dict[str, tuple[str, Node]]:
        """Key -> (where the key stands, value) of a mapping with any keys; none when absent."""
        if isinstance(node, Table):
            return {key: (node.keys[key], value) for key, value in node.items.items()}
        if node is not None:
            self.wrong(node.origin, path, f"is {_kind(node)}, must be a mapping")
        return {}

    def items(self, node: Node | None, path: str) -> list[tuple[Node, str]]:
        """The items of a list, each with its own path; none when the list is absent."""
        if isinstance(node, Items):
            return [(item, f"{path}[{index}]") for index, item in enumerate(node.items)]
        if node is not None:
            self.wrong(node.origin, path, f"is {_kind(node)}, must be a list")
        return []

    def text(self, node: Node | None, path: str) -> str | None:
        """A text; None when it is absent or wrong."""
        if isinstance(node, Scalar) and node.text is not None:
            return node.text
        if node is not None:
            self.wrong(node.origin, path, f"is {_kind(node)}, must be text")
        return None

    def typed(self, node: Node | None, path: str, kind: object, rule: str) -> str:
        """A text of one of core's field types; `rule` says in words what the type demands."""
        value = self.text(node, path)
        if node is None or value is None:
            return ""
        try:
            msgspec.convert(value, type=kind)
        except msgspec.ValidationError:
            shown = value if len(value) <= _SHOWN_MAX else value[:_SHOWN_MAX] + "..."
            self.wrong(node.origin, path, f"{shown!r} must be {rule}")
            return ""
        return value

    def name(self, node: Node | None, path: str) -> str:
        """A name as signed objects take it."""
        return self.typed(node, path, Name, NAME_RULE)

    def duration(self, node: Node | None, path: str, most_ms: int, *, least_ms: int = 1) -> int:
        """A duration in milliseconds; `least_ms` when it is absent or wrong."""
        value = self.text(node, path)
        if node is None or value is None:
            return least_ms
        try:
            found_ms = units.duration(value)
        except ValueError as error:
            self.wrong(node.origin, path, str(error))
            return least_ms
        if least_ms <= found_ms <= most_ms:
            return found_ms
        least, most = units.show_duration(least_ms), units.show_duration(most_ms)
        self.wrong(node.origin, path, f"must be {least} to {most}")
        return least_ms

    def size(self, node: Node | None, path: str, most_bytes: int) -> int:
        """A size of at least a byte, in bytes; 1 when it is absent or wrong."""
        value = self.text(node, path)
        if node is None or value is None:
            return 1
        try:
            found_bytes = units.size(value)
        except ValueError as error:
            self.wrong(node.origin, path, str(error))
            return 1
        if 1 <= found_bytes <= most_bytes:
            return found_bytes
        self.wrong(node.origin, path, f"must be 1B to {units.show_size(most_bytes)}")
        return 1

    def number(self, node: Node | None, path: str, least: int, most: int) -> int:
        """A whole number; `least` when it is absent or wrong."""
        value = self.text(node, path)
        if node is None or value is None:
            return least
        try:
            found = units.count(value)
        except ValueError:
            found = least - 1
        if least <= found <= most:
            return found
        self.wrong(node.origin, path, f"{value!r} must be a whole number from {least} to {most}")
        return least

    def flag(self, node: Node | None, path: str) -> bool:
        """Either true or false; false when it is absent or wrong."""
        return self.choice(node, path, ("true", "false")) == "true"

    def distinct(self, items: Sequence[tuple[Node, str]], key: str = "") -> None:
        """Keep a problem for each item whose value (under `key`) an item before it had."""
        seen: dict[str, str] = {}
        for node, path in items:
            value = node.items.get(key) if isinstance(node, Table) else node
            if not isinstance(value, Scalar) or value.text is None:
                continue
            if value.text in seen:
                where = under(path, key) if key else path
                first = ":".join(seen[value.text].rsplit(":", 2)[1:])
                said = f"{value.text!r} is used twice; first at {first}"
                self.wrong(value.origin, where, said)
            seen.setdefault(value.text, value.origin)

    def choice(self, node: Node | None, path: str, known: Sequence[str], default: str = "") -> str:
        """One of a few words; `default` when it is absent or wrong."""
        value = self.text(node, path)
        if node is None or value is None or value in known:
            return value or default
        meant = suggest(value, known, listed=False) if len(known) > 1 else ""
        message = f"{value!r} is not {' or '.join(known)}{meant}"
        self.wrong(node.origin, path, message)
        return default


def read(path: Path, raw: bytes) -> tuple[str, Node, Reader]:
    """Open one file.

    Returns:
        Its kind, empty when it names none; its root; the reader to go on with, which already holds
        the doubled keys.

    Raises:
        ResourceError: It is not YAML of the plain sort that we read.
    """
    try:
        reader = Reader(raw.decode())
        root = document.parse(raw.decode(), str(path), reader.problems)
    except UnicodeDecodeError as error:
        raise ResourceError([Problem("", f"is not UTF-8: {error.reason}", str(path))]) from None
    except ConfigError as error:
        raise ResourceError(error.problems) from None
    kind = root.items.get("kind") if isinstance(root, Table) else None
    return (kind.text or "" if isinstance(kind, Scalar) else ""), root, reader


def frame(reader: Reader, root: Node, kind: str) -> tuple[str, Node | None]:
    """Check what every file has around its `spec`.

    Returns:
        `metadata.name` and the node of `spec`.
    """
    fields = reader.mapping(root, "", ("apiVersion", "kind", "metadata", "spec"))
    reader.choice(fields.get("apiVersion"), "apiVersion", [API_VERSION])
    reader.choice(fields.get("kind"), "kind", [kind])
    metadata = reader.mapping(fields.get("metadata"), "metadata", ("name",))
    return reader.name(metadata.get("name"), "metadata.name"), fields.get("spec")


def suggest(word: str, known: Iterable[str], *, listed: bool = True) -> str:
    """`; did you mean x?`; when nothing is near, what there is to choose from, if `listed`."""
    known = list(known)
    found = near(word, known)
    if found is not None:
        return f"; did you mean {found}?"
    return f"; known: {', '.join(known)}" if known and listed else ""


def near(word: str, known: Iterable[str]) -> str | None:
    """The word that was probably meant, or None."""
    lowered = {item.lower(): item for item in known}
    found = difflib.get_close_matches(word.lower(), lowered, n=1)
    return lowered[found[0]] if found else None


def under(path: str, key: str) -> str:
    """The path of a value inside another."""
    return f"{path}.{key}" if path else key


def _in_file_order(problem: Problem) -> tuple[int, ...]:
    # `file:line:column`; problems without a place come first.
    return tuple(int(part) for part in problem.origin.split(":")[-2:] if part.isdigit())


def _kind(node: Node) -> str:
    match node:
        case Table():
            return "a mapping"
        case Items():
            return "a list"
        case Scalar(text=None):
            return "empty"
        case _:
            return "one value"
