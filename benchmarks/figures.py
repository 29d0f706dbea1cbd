"""Figures of a run: medians with their spread, ratios, percentiles, one JSON file for each run.

A run is a list of rounds; a round maps the name of a figure to its value. Nothing is thrown away:
the file keeps every round, and whatever is printed is computed from it.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine

TIMES = "×"  # noqa: RUF001 (unit of a ratio)
RESULTS = Path(__file__).parent / "results"
PERCENTS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
Round = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure and what it should not exceed.

    Attributes:
        number: In the list of targets.
        what: The figure, in words.
        unit: Of all three values.
        limit: Largest value that meets the target.
        stretch: Largest value that does better than asked.
        measured: Median over the rounds.
        at_least: The other way round: `limit` and `stretch` are the smallest values.
    """

    number: int
    what: str
    unit: str
    limit: float
    stretch: float
    measured: float
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """Met, or missed and by how much."""
        if self._reaches(self.stretch):
            return "met, stretch too"
        if self._reaches(self.limit):
            return "met"
        return f"**missed by {abs(self.measured / self.limit - 1):.0%}**"

    def _reaches(self, value: float) -> bool:
        return self.measured >= value if self.at_least else self.measured <= value


def summary(rounds: Sequence[Round]) -> dict[str, dict[str, float]]:
    """Median, smallest and largest value of each figure over the rounds that have it."""
    names = dict.fromkeys(name for found in rounds for name in found)
    columns = {name: [found[name] for found in rounds if name in found] for name in names}
    return {
        name: {
            "median": statistics.median(values), "min": min(values), "max": max(values),
        }
        for name, values in columns.items()
    }  # fmt: skip


def ratios(rounds: Sequence[Round], name: str, others: Mapping[str, str]) -> list[Round]:
    """A figure divided by others, within each round.

    Args:
        rounds: What was measured.
        name: Of the dividend.
        others: Name of the ratio -> name of the divisor.
    """
    return [
        {
            ratio: found[name] / found[other]
            for ratio, other in others.items()
            if name in found and found.get(other)
        }
        for found in rounds
    ]


def percentiles(taken_s: Sequence[float], prefix: str = "") -> dict[str, float]:
    """Percentiles of times.

    Args:
        taken_s: In seconds; at least two.
        prefix: Before each name.

    Returns:
        Name of the percentile (`p99, µs`) -> microseconds.
    """
    cuts = statistics.quantiles(taken_s, n=1000, method="inclusive")
    return {prefix + name_of(percent): cuts[round(percent * 10) - 1] * 1e6 for percent in PERCENTS}


def name_of(percent: float) -> str:
    """What a percentile is called."""
    return f"p{percent:g}, µs"


def save(
    benchmark: str,
    folder: Path,
    rounds: Sequence[Round],
    targets: Sequence[Target],
    **more: object,
) -> dict[str, Any]:
    """Write the result of a run.

    Args:
        benchmark: Its name.
        folder: Where to write; made when missing.
        rounds: Raw figures.
        targets: With what was measured.
        more: Further keys of the document.

    Returns:
        The document.
    """
    at = datetime.now(UTC)
    document: dict[str, Any] = {
        "benchmark": benchmark,
        "date": at.isoformat(timespec="seconds"),
        "machine": machine.describe(),
        **more,
        "targets": [{**asdict(target), "verdict": target.verdict} for target in targets],
        "summary": summary(rounds),
        "rounds": [dict(found) for found in rounds],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{benchmark}-{at:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return document


def newest(benchmark: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """The latest result of a benchmark, or None."""
    found = sorted(folder.glob(f"{benchmark}-*.json"))
    if not found:
        return None
    document: dict[str, Any] = json.loads(found[-1].read_text())
    return document
