"""What a checker may look at, and how one says that something does not hold."""

from dataclasses import dataclass
from typing import NoReturn

from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.lease import Lease
from sidecar.core.objects.trust import Trust
from sidecar.core.snapshot import Snapshot
from tests.simulation.clocks import NodeClocks
from tests.simulation.scenario import Scenario
from tests.simulation.seen import Seen
from tests.simulation.truth import Made, Truth


class ViolationError(Exception):
    """An invariant does not hold: its name, and the facts."""


def violated(name: str, facts: str) -> NoReturn:
    """Stop the run."""
    raise ViolationError(f"{name}: {facts}")


@dataclass(slots=True)  # not frozen: one is made for each request, and that triples its cost
class Look:
    """One sidecar at one instant: all that a checker may look at."""

    name: str
    true_ns: int
    now: Now
    clocks: NodeClocks
    snapshot: Snapshot
    seen: Seen
    truth: Truth
    scenario: Scenario
    disk: bytes | None

    @property
    def trust(self) -> Trust:
        """The trust document in force here."""
        return self.truth.trusts[self.snapshot.trust_version]

    @property
    def boot_sound(self) -> bool:
        """Whether the boot deadline of the lease in force bounds it in true time.

        It was reckoned with a wall clock within its bound, and has not stood still since. That may
        have been in an earlier round than the one that granted the lease: when its beat was heard.
        """
        lease = self.snapshot.lease
        if lease is None or self.scenario.freshness == "nonce":
            return False
        sent = self.seen.offered.get(lease.beat.sha256)
        if sent is None:
            return False
        return sent.right and self.clocks.stood_still_ns < sent.true_ns

    @property
    def wall_deadline_sound(self) -> bool:
        """Whether the wall deadline does so: the clock is within its bound now."""
        return self.clocks.right and self.scenario.freshness != "nonce"

    @property
    def wall_sound(self) -> bool:
        """Whether the wall clock has been right for so long that nothing judged by it remains."""
        since_ns = self.true_ns - self.clocks.wrong_ns
        settled = self.clocks.wrong_ns < 0 or since_ns > 2 * self.scenario.ttl_ms * NS_PER_MS
        return (self.clocks.right and settled) or self.scenario.freshness == "nonce"

    def report_behind(self, lease: Lease) -> Made | None:
        """The report of this process that the beat behind a lease really covers, made before it."""
        signed = self.truth.beats[lease.beat.sha256]
        made = [self.truth.reports[item] for item in signed.covers if item in self.truth.reports]
        ours = [
            item
            for item in made
            if item.process == self.seen.process and item.true_ns <= signed.signed_ns
        ]
        return max(ours, key=lambda item: item.true_ns, default=None)
