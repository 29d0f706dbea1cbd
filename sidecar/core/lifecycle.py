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
* Steps 9 and 10 belong to the audit log; whoever writes the passage down adds them.

Source: EG-PROTOCOL-001 section 9; protocol b.15.
"""

from collections.abc import Mapping, Sequence

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


class Course:
    """How far the present round has come."""

    def __init__(self) -> None:
        self._passed: dict[int, tuple[Now, Evidence]] = {}
        self._began: Now | None = None
        self._told: object = None
        self.latest = Lifecycle(step=INITIALIZATION, ok=True)

    def begin(self, now: Now, evidence: Evidence) -> None:
        """A round begins; what came before it held."""
        self._began = now
        self._passed = {INITIALIZATION: (now, evidence)}

    def passed(self, step: int, now: Now, evidence: Evidence) -> None:
        """A step held; the first time in a round counts."""
        if step == len(self._passed) + 1:
            self._passed[step] = (now, evidence)

    def approved(self, now: Now, evidence: Evidence) -> list[Passage]:
        """A lease was published: the passage, if it is another than the one before."""
        self.passed(EVALUATION, now, {"reasons": []})
        self.passed(APPROVAL, now, evidence)
        self.latest = Lifecycle(step=APPROVAL, ok=True)
        return self._tell(("ok", evidence.get("epoch"), evidence.get("trust")), self._steps())

    def failed(self, now: Now, reasons: Sequence[Reason]) -> list[Passage]:
        """A round ended and renewed nothing: the passage, if it is another than the one before."""
        codes = [reason.code for reason in reasons]
        number = min(len(self._passed) + 1, APPROVAL)
        self.latest = Lifecycle(step=number, ok=False)
        before = self._passed[len(self._passed)][0]
        steps = (
            *self._steps(),
            Step(number, ok=False, spent_ms=_ms(before, now), evidence={"reasons": codes}),
        )
        return self._tell((number, tuple(codes)), steps)

    def _steps(self) -> tuple[Step, ...]:
        steps, before = [], self._began
        for number, (at, evidence) in self._passed.items():
            assert before is not None, "begun"
            steps.append(Step(number, ok=True, spent_ms=_ms(before, at), evidence=evidence))
            before = at
        return tuple(steps)

    def _tell(self, key: object, steps: tuple[Step, ...]) -> list[Passage]:
        if key == self._told:
            return []
        self._told = key
        return [Passage(steps)]


def _ms(since: Now, now: Now) -> int:
    return (now.boot - since.boot) // NS_PER_MS
