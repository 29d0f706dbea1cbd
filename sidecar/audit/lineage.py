"""Which decision a decision descends from, and which descend from it: over any number of journals.

Rules:

* Two passes, nothing verified: the first reads who is whose parent, the second the records that are
  shown. Memory grows with the decisions that have a parent.
* A parent that none of the journals holds is named and said to be missing: another pod wrote it.
* Logs come from anywhere: links that run in a circle end where they began.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.audit.query import Progress, Wanted, search
from sidecar.core.log.record import Decision

DECISIONS = Wanted(types=frozenset({"decision"}))


@dataclass(frozen=True, slots=True)
class Relative:
    """One decision of a family.

    Attributes:
        decision_id: Its id.
        depth: How many decisions it descends from that are shown.
        said: Its record; None: no journal here holds it.
    """

    decision_id: str
    depth: int
    said: Decision | None


def family(
    journals: Sequence[Path], decision_id: str, progress: Progress | None = None
) -> list[Relative]:
    """The decisions that one descends from, the eldest first; itself; and all that descend from it.

    Args:
        journals: Their folders; they may be in use.
        decision_id: Of the one.
        progress: Told now and then.

    Raises:
        ProtocolError: a segment is missing.
        OSError: a folder cannot be read.
    """
    parents = {
        said.decision_id: said.parent_id
        for said in _decisions(journals, progress)
        if said.parent_id is not None
    }
    members = [*_elders(parents, decision_id)]
    members += _descent(parents, decision_id, len(members))
    wanted = {name for name, _ in members}
    found = {
        said.decision_id: said
        for said in _decisions(journals, progress)
        if said.decision_id in wanted
    }
    return [Relative(name, depth, found.get(name)) for name, depth in members]


def _decisions(journals: Sequence[Path], progress: Progress | None) -> Iterator[Decision]:
    for journal in journals:
        for _, said in search(journal, DECISIONS, progress):
            if isinstance(said, Decision):
                yield said


def _elders(parents: Mapping[str, str], decision_id: str) -> list[tuple[str, int]]:
    names: list[str] = []
    at = parents.get(decision_id)
    while at is not None and at not in names and at != decision_id:
        names.append(at)
        at = parents.get(at)
    return [(name, depth) for depth, name in enumerate(reversed(names))]


def _descent(parents: Mapping[str, str], decision_id: str, depth: int) -> Iterator[tuple[str, int]]:
    children: dict[str, list[str]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    seen, left = set[str](), [(decision_id, depth)]
    while left:
        name, depth = left.pop()
        if name not in seen:
            seen.add(name)
            yield name, depth
            left += [(child, depth + 1) for child in reversed(children.get(name, []))]
