"""One end for each request: what a log says about it, read record by record.

Rules:

* A `deny` is the end of its request. A `permit` is open until the one `outcome` with its id.
* An outcome without an open permit, or a second one, is damage: the writer makes neither.
* A permit that is open when a process starts again was running when the one before ended; nobody
  knows its end. It is counted, not called damage.
"""

from collections import Counter

from sidecar.core.log.record import Decision, Outcome, Record

KINDS = ("permit", "deny", "abort", "error", "late")


class Outcomes:
    """What has become of the requests so far.

    Attributes:
        ended: Requests by how they ended.
        interrupted: Permits whose process ended before they did.
    """

    __slots__ = ("_open", "ended", "interrupted")

    def __init__(self) -> None:
        self.ended = Counter[str](dict.fromkeys(KINDS, 0))
        self.interrupted = 0
        self._open: set[str] = set()

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
            if said.decision_id not in self._open:
                return f"outcome of {said.decision_id!r}, which is no open permit"
            self._open.remove(said.decision_id)
            self.ended[said.outcome] += 1
        elif said.type == "start":
            self.interrupted += len(self._open)
            self._open.clear()
        return None
