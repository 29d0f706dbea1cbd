"""One end for each request: what a log says about it, read record by record.

Rules:

* A `deny` is the end of its request. A `permit` is open until the one `outcome` with its id.
* An outcome without an open permit, or a second one, is damage: the writer makes neither.
* A permit that is open when a process starts again was running when the one before ended; nobody
  knows its end. It is counted, not called damage.
* Where the oldest records were pruned, the permit of an outcome may be among them. It is believed
  to be, once, until the next process starts.
"""

from collections import Counter

from sidecar.core.log.record import Decision, Outcome, Record

KINDS = ("permit", "deny", "abort", "error", "late")


class Outcomes:
    """What has become of the requests so far.

    Args:
        pruned: Records before the first one that is there.

    Attributes:
        ended: Requests by how they ended.
        interrupted: Permits whose process ended before they did.
    """

    __slots__ = ("_open", "_orphans", "_pruned", "ended", "interrupted")

    def __init__(self, pruned: int = 0) -> None:
        self.ended = Counter[str](dict.fromkeys(KINDS, 0))
        self.interrupted = 0
        self._open: set[str] = set()
        self._pruned = pruned
        self._orphans: set[str] = set()

    @property
    def running(self) -> int:
        """Permits of the last process without an outcome yet."""
        return len(self._open)

    def take(self, said: Record) -> str | None:
        """Count the next record; what is wrong with it, or None."""
        if isinstance(said, Decision):
            if said.decision == "deny":
                self.ended["deny"] += 1
            else:
                self._open.add(said.decision_id)
        elif isinstance(said, Outcome):
            if said.decision_id in self._open:
                self._open.remove(said.decision_id)
            elif self._was_pruned(said.decision_id):
                self._orphans.add(said.decision_id)
            else:
                return f"outcome of {said.decision_id!r}, which is no open permit"
            self.ended[said.outcome] += 1
        elif said.type == "start":
            self.interrupted += len(self._open)
            self._open.clear()
            self._pruned = 0
        return None

    def _was_pruned(self, decision_id: str) -> bool:
        index = decision_id.rpartition("-")[2]
        plain = index.isdecimal() and len(index) <= len(str(self._pruned))
        return plain and int(index) < self._pruned and decision_id not in self._orphans
