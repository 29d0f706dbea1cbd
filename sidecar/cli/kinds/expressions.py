"""The expressions of one file: each compiled, and each mistake said with its place.

Rules:

* What a variable is called is known to every expression of the file but the variables before it.
* A variable that does not compile is one mistake, however many expressions use it.
* The place of a mistake is the character in the file where it stands, as far as YAML lets us say
  it. Of a text that YAML puts together of several lines, or takes escapes out of, it is where the
  text begins, and the message says how far into the text.

Source: conventions 5.
"""

import re

from sidecar.cli import cel
from sidecar.cli.resource import Reader
from sidecar.config.document import Node
from sidecar.core.expression.environment import DECLARED, VARIABLES
from sidecar.core.expression.kind import BOOL, INT, STRING, Type
from sidecar.core.policy_body import TEXT_MAX, ExpressionBody

_NOTHING = ExpressionBody(code=[], text=" ")  # goes on for one that was wrong

# (what it is, what it must be) -> what to do
_HINTS = {(INT, STRING): "write string(...)", (BOOL, STRING): "write ... ? 'yes' : 'no'"}


class Expressions:
    """Compiles the expressions of one file.

    Args:
        reader: Of the file; keeps what is wrong.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._names: dict[str, Type] = dict(DECLARED)
        self._broken: list[str] = []

    def boolean(self, node: Node | None, path: str) -> ExpressionBody:
        """An expression that is true or false."""
        return self._typed(node, path, BOOL)[0]

    def string(self, node: Node | None, path: str) -> ExpressionBody:
        """An expression that makes a text."""
        return self._typed(node, path, STRING)[0]

    def variable(self, name: str, node: Node | None, path: str) -> ExpressionBody:
        """An expression of any type, which those after it can call `variables.NAME`."""
        made, kind = self._typed(node, path, None)
        if kind is None:
            self._broken.append(VARIABLES + name)
        elif name:
            self._names[VARIABLES + name] = kind
        return made

    def _typed(
        self, node: Node | None, path: str, wanted: Type | None
    ) -> tuple[ExpressionBody, Type | None]:
        text = self._reader.text(node, path)
        if node is None or text is None or self._leans_on_broken(text):
            return _NOTHING, None
        if not text.strip() or len(text) > TEXT_MAX:
            self._reader.wrong(node.origin, path, f"must have 1 to {TEXT_MAX} characters")
            return _NOTHING, None
        try:
            made, kind = cel.compile_expression(text, self._names)
        except cel.CelError as error:
            where = place(self._reader.lines, node.origin, text, error.line, error.column)
            inside = f" (line {error.line}, column {error.column} of the text)" if not where else ""
            self._reader.wrong(where or node.origin, path, f"{error}{inside}")
            return _NOTHING, None
        if wanted is not None and kind != wanted:
            hint = _HINTS.get((kind, wanted), "compare it with something")
            said = f"is of type {kind}, must be {wanted}; {hint}"
            self._reader.wrong(node.origin, path, said)
        return made, kind

    def _leans_on_broken(self, text: str) -> bool:
        return any(re.search(rf"\b{re.escape(name)}\b", text) for name in self._broken)


def place(lines: tuple[str, ...], origin: str, text: str, line: int, column: int) -> str:
    """Where a character of a text stands in the file, as `file:line:column`.

    Args:
        lines: The file.
        origin: Where the text begins, likewise.
        text: As YAML reads it.
        line: Of the character within the text, from 1.
        column: Likewise.

    Returns:
        Empty when the file shows the text in another form than YAML reads it.
    """
    file, row, first = origin.rsplit(":", 2)
    shown = lines[int(row) - 1][int(first) - 1 :]
    if "\n" not in text:
        for quote in ("", '"', "'"):
            if shown.startswith(quote + text + quote):
                return f"{file}:{row}:{int(first) + len(quote) + column - 1}"
    at = int(row) + line  # the first line of a block stands below its `|`
    wanted = text.split("\n")[line - 1] if line <= len(text.split("\n")) else None
    if shown.startswith("|") and wanted is not None and at <= len(lines):
        found = lines[at - 1]
        if found.endswith(wanted) and not found.removesuffix(wanted).strip():
            return f"{file}:{at}:{len(found) - len(wanted) + column}"
    return ""
