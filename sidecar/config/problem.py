"""What is wrong with a configuration, all of it at once.

An operator who is told one mistake per attempt needs as many attempts as mistakes. So every check
adds to a list, and the list is raised once.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: Which value, dotted, as in the file: `spec.sync.quorum`.
        message: What is wrong with it and what would be right.
        origin: Where the value came from: `file:line:column` or the name of a variable; or empty.
    """

    path: str
    message: str
    origin: str = ""

    def __str__(self) -> str:
        where = f"{self.origin}: " if self.origin else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class ConfigError(Exception):
    """The operator is wrong. Nothing was started.

    Attributes:
        problems: Everything that was found, in the order of the file; at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
