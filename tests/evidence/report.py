"""What a campaign did and found, as one table for terminals and documents."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

SHOWN = 8  # violations of one line
RESULTS = Path(__file__).parent / "results"


@dataclass(slots=True)
class Line:
    """One row.

    Attributes:
        what: Was done.
        count: How often.
        seen: Figures, in words.
        wrong: Each violation, with what is needed to do it again.
    """

    what: str
    count: int = 0
    seen: str = ""
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Part:
    """What one campaign came to.

    Attributes:
        name: Of the campaign.
        began: Day and time, UTC.
        options: As given.
        seconds: Wall-clock time.
        lines: Its rows.
        skipped: What this machine does not permit, and why.
    """

    name: str
    began: str = ""
    options: str = ""
    seconds: float = 0.0
    lines: list[Line] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """All violations."""
        return [f"{line.what}: {why}" for line in self.lines for why in line.wrong]

    def save(self) -> None:
        """Leave it where `tables` finds it."""
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(asdict(self), indent=1, sort_keys=True)
        (RESULTS / f"{self.name}.json").write_text(text + "\n")


def load() -> list[Part]:
    """What was saved, in order of the names."""
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    return [Part(**{**said, "lines": [Line(**line) for line in said["lines"]]}) for said in found]


def table(parts: Sequence[Part]) -> list[str]:
    """Markdown, and readable as it is."""
    rows = [("what was done", "times", "violations", "what was seen")]
    rows += [
        (line.what, f"{line.count:,}", str(len(line.wrong)), line.seen)
        for part in parts for line in part.lines
    ]  # fmt: skip
    wide = [max(len(row[at]) for row in rows) for at in range(3)]
    lines = [
        f"| {what:<{wide[0]}} | {count:>{wide[1]}} | {wrong:>{wide[2]}} | {seen} |"
        for what, count, wrong, seen in rows
    ]
    ruler = f"|{'-' * (wide[0] + 2)}|{'-' * (wide[1] + 1)}:|{'-' * (wide[2] + 1)}:|---|"
    return [lines[0], ruler, *lines[1:], *(f"not done: {why}" for p in parts for why in p.skipped)]


def say(*lines: str) -> None:
    """At once: long work shows that it goes on."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def first_of(wrong: Iterable[str]) -> list[str]:
    """The first few, and how many more there were."""
    told = list(wrong)
    more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
    return told[:SHOWN] + more
