"""What a campaign has shown: service's log, journals and clients put together, by decision id.

A write is late when the kernel took it at or after a deadline that its own header names. Both are
exact, so there is no tolerance here: the sidecar looks at the clock after its write, hence later
than the kernel did, and must know.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

MS = 1_000_000
DEADLINES = re.compile(r"([0-9]+);boot=([0-9]+)")

Record = Mapping[str, Any]


def ends(records: Iterable[Record]) -> dict[str, str]:
    """Decision id -> what became of the permit: permit, abort, error or late. The record format
    of the journal is known here and nowhere else in this folder."""
    return {r["decision_id"]: r["outcome"] for r in records if r["type"] == "outcome"}


def permits(records: Iterable[Record]) -> set[str]:
    """Decision ids of permits."""
    return {
        r["decision_id"] for r in records if r["type"] == "decision" and r["decision"] == "permit"
    }


@dataclass(slots=True)
class Row:
    """One line of the table.

    Attributes:
        stops: How often a process was stopped there.
        late: Writes that the kernel took at or after their deadline.
        detected: Of these, recorded as late.
        undetected: Of these, not recorded as late.
        recorded: Recorded as late, whether the write was or not.
        relayed: Late, or recorded as late, and the client got any of the service's answer.
        unfenced: Without the fence: late, and executed; what the fence is for.
        executed: With the fence: late when it arrived, and executed all the same.
        refused: With the fence: refused by the service because it was late.
        forged: With the fence: refused for any other reason, which must not happen.
        unrecorded: The service saw it, and no permit is on record.
    """

    stops: int = 0
    late: int = 0
    detected: int = 0
    undetected: int = 0
    recorded: int = 0
    relayed: int = 0
    unfenced: int = 0
    executed: int = 0
    refused: int = 0
    forged: int = 0
    unrecorded: int = 0

    @property
    def broken(self) -> list[str]:
        """Names of the promises that did not hold."""
        names = ("undetected", "relayed", "executed", "forged", "unrecorded")
        return [name for name in names if getattr(self, name)]

    def __iadd__(self, other: "Row") -> Self:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


def written_late(entry: Record) -> bool:
    """Whether the kernel took the request at or after its deadline, by either clock."""
    wall_ms, boot_ms = deadlines(entry)
    written = entry["written_wall_ns"]
    # The boot clock at that moment: boot was read before wall, so this is rather too early.
    boot_ns = entry["arrived_boot_ns"] - (entry["arrived_wall_ns"] - written)
    # The header names the deadline in whole milliseconds, rounded down; the sidecar knows it whole.
    return bool(written // MS >= wall_ms or boot_ns >= (boot_ms + 1) * MS)


def arrived_late(entry: Record) -> bool:
    """Whether the service, before its fence looked, was already at or past the deadline."""
    wall_ms, boot_ms = deadlines(entry)
    return bool(
        entry["arrived_wall_ns"] // MS >= wall_ms or entry["arrived_boot_ns"] // MS >= boot_ms
    )


def deadlines(entry: Record) -> tuple[int, int]:
    """Wall and boot deadline of a request, in milliseconds."""
    match = DEADLINES.fullmatch(entry["not_after"])
    assert match is not None, entry
    return int(match[1]), int(match[2])


def judge(
    entry: Record, outcome: str | None, *, permitted: bool, relayed: bool, fenced: bool
) -> Row:
    """What one request that reached the service shows.

    Args:
        entry: Of the service's log.
        outcome: Of the journal, or None.
        permitted: Whether its permit is on record.
        relayed: Whether the client got any of the service's answer.
        fenced: Whether the service has the middleware.
    """
    late, known = written_late(entry), outcome == "late"
    past = fenced and (late or arrived_late(entry))
    return Row(
        late=late,
        detected=late and known,
        undetected=late and not known,
        recorded=known,
        relayed=relayed and (late or known),
        unfenced=late and not fenced and entry["executed"],
        executed=past and entry["executed"],
        refused=fenced and entry["status"] == 503,
        forged=fenced and entry["status"] == 403,
        unrecorded=not permitted,
    )


def table(rows: Mapping[tuple[str, str], Row]) -> list[str]:
    """One line for each way to stop and point, and one for the sum."""
    columns = {
        "stops": "stops", "late": "late writes", "detected": "detected",
        "undetected": "undetected", "recorded": "recorded late", "relayed": "relayed",
        "unfenced": "run, no fence", "refused": "fence refused", "executed": "run, fence",
    }  # fmt: skip
    total = Row()
    for row in rows.values():
        total += row
    shown = [*rows.items(), (("sum", ""), total)]
    lines = [f"{'how':<9}{'where':<24}" + "".join(f"{head:>14}" for head in columns.values())]
    for (how, where), row in shown:
        counts = "".join(f"{getattr(row, name):>14}" for name in columns)
        lines.append(f"{how:<9}{where:<24}{counts}")
    return lines
