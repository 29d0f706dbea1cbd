"""What a candidate would have made of recorded decisions, counted: constant memory, a few examples.

Source: conventions 9, 11-A.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

EXAMPLES = 3  # decision ids for each kind of flip
GROUPS_MAX = 10_000  # a log that was not verified may name anything


class Kind(Enum):
    """What becomes of a decision under the candidate."""

    LOOSER = "deny->permit"
    TIGHTER = "permit->deny"
    OBSERVED = "permit->would deny"  # the candidate only observes
    MOVED = "other rule or reason"
    SAME = "same"
    UNKNOWN = "not replayable"


FLIPS = (Kind.LOOSER, Kind.TIGHTER)


class Group(NamedTuple):
    """Decisions that were alike, and would become alike.

    Attributes:
        kind: Of change.
        was: Their reason; None: permitted. A permit with a reason was only observed.
        was_rule: That decided.
        route: That they took; None: a denial names none, so none was recorded.
        now: Reason under the candidate; None: permitted, or not replayable.
        now_rule: Of the candidate.
        why: What kept them from being judged; empty: nothing did.
    """

    kind: Kind
    decision: str
    was: str | None
    was_rule: str | None
    route: str | None
    now: str | None = None
    now_rule: str | None = None
    why: str = ""


@dataclass(slots=True)
class Tally:
    """How many of one group.

    Attributes:
        count: So many.
        examples: Decision ids of the first few.
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, decision_id: str) -> None:
        """One more."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(decision_id)


class Flips:
    """All groups of one log, or of several.

    Attributes:
        records: Read, of any type.
        decisions: Judged, or found not to be replayable.
        outside: Decisions before `since` or not before `until`.
        unreadable: Lines that are no records.
    """

    __slots__ = ("_groups", "decisions", "outside", "records", "unreadable")

    def __init__(self) -> None:
        self.records = self.decisions = self.outside = self.unreadable = 0
        self._groups: dict[Group, Tally] = {}

    def of(self, group: Group) -> Tally:
        """The count of a group; of all that look like it, once there are too many."""
        known = self._groups.get(group)
        if known is None:
            if len(self._groups) >= GROUPS_MAX:
                group = Group(group.kind, group.decision, None, "(others)", "(others)")
            known = self._groups.setdefault(group, Tally())
        return known

    def merge(self, other: "Flips") -> None:
        """Take what was counted of another log."""
        self.records += other.records
        self.decisions += other.decisions
        self.outside += other.outside
        self.unreadable += other.unreadable
        for group, tally in other:
            mine = self.of(group)
            mine.count += tally.count
            mine.examples = (mine.examples + tally.examples)[:EXAMPLES]

    def count(self, *kinds: Kind) -> int:
        """Decisions of these kinds."""
        return sum(tally.count for group, tally in self if group.kind in kinds)

    def __iter__(self) -> Iterator[tuple[Group, Tally]]:
        """Groups that were met, in the order of their kinds, the greatest first."""
        order = list(Kind)
        met = ((group, tally) for group, tally in self._groups.items() if tally.count)
        return iter(sorted(met, key=lambda item: (order.index(item[0].kind), -item[1].count)))
