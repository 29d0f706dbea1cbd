"""From results of checks to one row for each item: what was seen, and whether it holds.

A row never says more than its checks: what no check spoke for is a gap or was not run, and what
holds in part says what is missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sidecar.cli.conformance.check import Result
from sidecar.cli.conformance.items import ITEMS, Item

HELD = "held"
PART = "in part"
BROKEN = "BROKEN"
GAP = "GAP"
NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one item.

    Attributes:
        item: The requirement.
        checks: Names of the checks that were run for it.
        seen: By the one that says most about it.
        result: One of the words above.
    """

    item: Item
    checks: tuple[str, ...]
    seen: str
    result: str


def rows(results: Sequence[Result], known: Mapping[str, Sequence[str]]) -> list[Row]:
    """One row for each item.

    Args:
        results: Of the checks that were run.
        known: Item -> names of all checks that could speak for it.
    """
    return [_row(item, results, known.get(item.id, ())) for item in ITEMS]


def _row(item: Item, results: Sequence[Result], known: Sequence[str]) -> Row:
    mine = [result for result in results if item.id in result.items]
    names = tuple(result.check for result in mine)
    broken = [result for result in mine if not result.held]
    if broken:
        return Row(item, names, f"{broken[0].check}: {broken[0].seen}", BROKEN)
    if mine:
        # The check with the fewest items says most about each of them.
        telling = min(mine, key=lambda result: len(result.items))
        note = f"; missing: {item.missing}" if item.missing else ""
        return Row(item, names, telling.seen + note, PART if item.missing else HELD)
    if known:
        return Row(item, (), f"by {', '.join(known)}", NOT_RUN)
    return Row(item, (), item.missing or "nothing checks this", GAP)


def by_item(checks: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, list[str]]:
    """Item -> names of checks, from names and the items of each."""
    found: dict[str, list[str]] = {}
    for name, items in checks:
        for item in items:
            found.setdefault(item, []).append(name)
    return found


def counted(found: Sequence[Row]) -> str:
    """How many items hold, in words."""
    words = (HELD, PART, BROKEN, GAP, NOT_RUN)
    counts = {word: sum(row.result == word for row in found) for word in words}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
