"""The ten steps of EG-PROTOCOL-001 section 9, as the follower goes through them.

    1 initialization            6 telemetry
    2 synchronization           7 fail-closed evaluation
    3 governance coordination   8 approval: marks stored, snapshot published
    4 runtime integrity         9 persistence: the passage is in the audit log
    5 cryptographic inspection 10 audit continuity

Rules:

* A passage is told when it came out otherwise than the one before: a first lease, another epoch or
  trust document, another step that failed or other reasons. A renewal of the same is not told, or
  the log would hold little else.
* A step that failed ends the passage; the steps after it did not take place.
* What held for a lease is kept with it while its marks are stored: another round may begin before
  the disk answers.
* Steps 9 and 10 belong to the audit log; whoever writes the passage down adds them.

Source: EG-PROTOCOL-001 section 9; protocol b.15.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar.core.events import Passage, Step
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.objects.report import Lifecycle
from sidecar.core.reason import Reason

INITIALIZATION = 1
SYNCHRONIZATION = 2
COORDINATION = 3
INTEGRITY = 4
CRYPTOGRAPHY = 5
TELEMETRY = 6
EVALUATION = 7
APPROVAL = 8
PERSISTENCE = 9
CONTINUITY = 10

Evidence = Mapping[str, str | int | list[str]]


@dataclass(frozen=True, slots=True)
class Trail:
    """The steps that held so far, the first of them first: each when, and on what it rests."""

    steps: tuple[tuple[Now, Evidence], ...] = ()

    def then(self, now: Now, evidence: Evidence) -> "Trail":
        """This, and one more step that held."""
        return Trail((*self.steps, (now, evidence)))

    def told(self) -> tuple[Step, ...]:
        """As steps, numbered from 1."""
        since = (self.steps[0][0], *(at for at, _ in self.steps))
        return tuple(
            Step(number, ok=True, spent_ms=_ms(before, at), evidence=evidence)
            for number, (before, (at, evidence)) in enumerate(
                zip(since, self.steps, strict=False), start=1
            )
        )


class Course:
    """How far the present round has come.

    Attributes:
        trail: What held so far.
        latest: The step that was reached last.
    """

    def __init__(self) -> None:
        self.trail = Trail()
        self._told: object = None
        self.latest = Lifecycle(step=INITIALIZATION, ok=True)

    def begin(self, now: Now, evidence: Evidence) -> None:
        """A round begins; what came before it held."""
        self.trail = Trail().then(now, evidence)

    def passed(self, step: int, now: Now, evidence: Evidence) -> None:
        """A step held; the first time in a round counts."""
        if step == len(self.trail.steps) + 1:
            self.trail = self.trail.then(now, evidence)

    def approved(self, trail: Trail, now: Now, evidence: Evidence) -> list[Passage]:
        """A lease was published: the passage, if it is another than the one before.

        Args:
            trail: What held for that lease, steps 1 to 6.
            now: Both clocks.
            evidence: Of the approval.
        """
        trail = trail.then(now, {"reasons": []}).then(now, evidence)
        self.latest = Lifecycle(step=APPROVAL, ok=True)
        return self._tell(("ok", evidence.get("epoch"), evidence.get("trust")), trail.told())

    def failed(self, now: Now, reasons: Sequence[Reason]) -> list[Passage]:
        """A round ended and renewed nothing: the passage, if it is another than the one before."""
        codes = [reason.code for reason in reasons]
        trail = self.trail
        if list(reasons) == [Reason.STATE_UNWRITABLE] and len(trail.steps) == TELEMETRY:
            trail = trail.then(now, {"reasons": []})  # the evaluation held, the disk did not
        held = trail.steps
        number = len(held) + 1
        self.latest = Lifecycle(step=number, ok=False)
        spent_ms = _ms(held[-1][0], now)
        last = Step(number, ok=False, spent_ms=spent_ms, evidence={"reasons": codes})
        return self._tell((number, tuple(codes)), (*trail.told(), last))

    def _tell(self, key: object, steps: tuple[Step, ...]) -> list[Passage]:
        if key == self._told:
            return []
        self._told = key
        return [Passage(steps)]


def _ms(since: Now, now: Now) -> int:
    return (now.boot - since.boot) // NS_PER_MS
