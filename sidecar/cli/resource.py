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
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, origin: str, path: str, message: str) -> None:
        """Keep one problem. `origin`: where the value stands, as a node says it."""
        self.problems.append(Problem(path, message, origin))

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
        for key, (origin, _) in found.items():
            if key not in known:
                self.wrong(origin, under(path, key), f"unknown key{suggest(key, known)}")
        for key in required:
            if isinstance(node, Table) and key not in found:
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
            self.wrong(node.origin, path, f"{value!r} must be {rule}")
            return ""
        return value

    def name(self, node: Node | None, path: str) -> str:
        """A name as signed objects take it."""
        return self.typed(node, path, Name, NAME_RULE)

    def duration(self, node: Node | None, path: str, most_ms: int) -> int:
        """A duration of at least a millisecond, in milliseconds; 1 when it is absent or wrong."""
        value = self.text(node, path)
        if node is None or value is None:
            return 1
        try:
            found_ms = units.duration(value)
        except ValueError as error:
            self.wrong(node.origin, path, str(error))
            return 1
        if 1 <= found_ms <= most_ms:
            return found_ms
        self.wrong(node.origin, path, f"must be 1ms to {units.show_duration(most_ms)}")
        return 1

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
    reader = Reader()
    try:
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
    lowered = {item.lower(): item for item in known}
    near = difflib.get_close_matches(word.lower(), lowered, n=1)
    if near:
        return f"; did you mean {lowered[near[0]]}?"
    return f"; known: {', '.join(lowered.values())}" if lowered and listed else ""


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
