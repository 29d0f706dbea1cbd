"""What a run is worth in numbers: one row of the table."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos import checker, spans
from tests.chaos.history import History
from tests.chaos.schedule import AUTHORITIES

COLUMNS = (
    ("seed", 11), ("faults", 7), ("requests", 9), ("permits", 8), ("denied", 7), ("late", 5),
    ("silent", 7), ("halted", 7), ("reopen", 7), ("promised", 9), ("false", 6),
    ("stalled", 8),
)  # fmt: skip
LEGEND = (
    "late: permits taken back because a pause made their write late. silent, halted: the longest",
    "from the last beat of all, or from an acknowledged halt, to the last permit; ms. reopen: from",
    "the calm to the first permit of the slowest; ms. promised: seconds in which the promise's",
    "preconditions held, all sidecars together; false: requests denied in them. stalled: how long",
    "the links themselves had to wait for a core; ms.",
)


@dataclass(slots=True)
class Figures:
    """One run.

    Attributes:
        seed: Of the run.
        faults: Faults and commands.
        requests: Decisions on record.
        permits: Of these.
        denials: Reason -> how many.
        late: Permits that were taken back as late.
        silent_ms: The longest from the last beat before a silence to the last permit in it.
        halted_ms: The longest from an acknowledged halt to the last permit before its clear.
        reopen_ms: From the calm to the first permit of the slowest sidecar.
        promised_ms: How long the promise's preconditions held, summed over the sidecars.
        promised_requests: Decisions within.
        false_denials: Reason -> denials within.
        stalled_ms: How long the process of all links stood still.
        ttl_ms: What silent_ms and halted_ms must stay below.
    """

    seed: int = 0
    faults: int = 0
    requests: int = 0
    permits: int = 0
    denials: Counter[str] = field(default_factory=Counter)
    late: int = 0
    silent_ms: int | None = None
    halted_ms: int | None = None
    reopen_ms: int | None = None
    promised_ms: int = 0
    promised_requests: int = 0
    false_denials: Counter[str] = field(default_factory=Counter)
    stalled_ms: int = 0
    ttl_ms: int = 0

    def line(self, wrong: list[str]) -> str:
        """Under the head of the table."""
        denied = sum(self.denials.values())
        cells = [
            self.seed, self.faults, self.requests, self.permits, denied, self.late,
            _or_dash(self.silent_ms), _or_dash(self.halted_ms), _or_dash(self.reopen_ms),
            f"{self.promised_ms / 1000:.1f}", sum(self.false_denials.values()), self.stalled_ms,
        ]  # fmt: skip
        row = "".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True))
        return f"{row}  {'ok    ' if not wrong else 'BROKEN'}  {_counts(self.denials)}"


def head() -> str:
    """Of the table."""
    return "".join(f"{name:>{width}}" for name, width in COLUMNS) + "  verdict denials by reason"


def figures(history: History) -> Figures:
    """Count."""
    found = Figures(history.seed, ttl_ms=history.ttl_ms)
    commands = [c for c in history.commands if history.chaos_from <= c["began"] < history.calm_from]
    found.faults = len(history.spans) + len(commands)
    found.stalled_ms = sum(end - begin for begin, end in history.stalls)
    for name, journal in history.journals.items():
        denied = list(journal.decisions("deny"))
        permits = [record["ts"] for record in journal.decisions("permit")]
        found.denials.update(record["reason"] for record in denied)
        found.permits += len(permits)
        found.late += sum(end["outcome"] == "late" for end in journal.outcomes().values())
        good = spans.promised(history, name, AUTHORITIES)
        wrong = [record for record in denied if spans.within(record["ts"], good)]
        found.false_denials.update(record["reason"] for record in wrong)
        found.promised_ms += sum(end - begin for begin, end in good)
        found.promised_requests += len(wrong) + sum(spans.within(at, good) for at in permits)
        found.silent_ms = _most(found.silent_ms, _silences(history, permits))
        found.halted_ms = _most(found.halted_ms, _halts(history, permits))
        found.reopen_ms = _most(found.reopen_ms, [checker.reopened_ms(history, journal)])
    found.requests = found.permits + sum(found.denials.values())
    return found


def _silences(history: History, permits: list[int]) -> list[int | None]:
    issued = sorted(beat["issued_at"] for beat in history.beats)
    gaps = zip(issued, [*issued[1:], history.calm_to], strict=False)
    return [
        max((at - last for at in permits if last <= at < first), default=None)
        for last, first in gaps
        if first - last >= history.ttl_ms
    ]


def _halts(history: History, permits: list[int]) -> list[int | None]:
    return [
        max((at - order["ended"] for at in permits
             if order["ended"] <= at < checker.cleared_at(history, order)), default=0)
        for order in history.named("halt")
        if checker.acked(order)
    ]  # fmt: skip


def _most(known: int | None, more: Iterable[int | None]) -> int | None:
    return max((value for value in (known, *more) if value is not None), default=None)


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _counts(codes: Counter[str]) -> str:
    return " ".join(f"{code} {count}" for code, count in codes.most_common())


def total(rows: list[Figures]) -> list[str]:
    """What all runs say together."""
    denials, false = Counter[str](), Counter[str]()
    for row in rows:
        denials += row.denials
        false += row.false_denials
    requests, promised = sum(r.requests for r in rows), sum(r.promised_requests for r in rows)
    wrong = sum(false.values())
    rate = f"{wrong} of {promised} requests ({100 * wrong / promised:.2f} %)" if promised else "-"
    return [
        f"{len(rows)} runs, {sum(r.faults for r in rows)} faults, {requests} requests, "
        f"{sum(r.permits for r in rows)} permits, {sum(r.late for r in rows)} late and taken back",
        f"denials: {_counts(denials)}",
        f"denied while the promise's preconditions held: {rate}, in "
        f"{sum(r.promised_ms for r in rows) / 1000:.0f} s {_counts(false)}",
    ]
