"""The eight validations of EG-PROTOCOL-001 section 3, as functions of what the gate holds.

Each takes the snapshot that decisions read, and an instant, and says why it does not hold; empty
means that it does. So a page, a gauge and a report can never say something else than the gate does,
and the same snapshot at the same instant always gives the same list.

What one lying peer shows is a fault of that peer (`snapshot.faults`); it breaks a validation only
where it kept the round from renewing the lease (`snapshot.unmet`).

Source: EG-PROTOCOL-001 section 3; protocol b.8.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.core.instant import Now
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Verdict:
    """One validation: its number (1 to 8), its name, and why it does not hold, sorted by code."""

    number: int
    name: str
    reasons: tuple[Reason, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reasons


def synchronization_continuity(snapshot: Snapshot, now: Now) -> tuple[Reason, ...]:
    """1: a lease is held and both its deadlines are ahead."""
    found = _of(snapshot, 1)
    if snapshot.lease is None:
        found.add(snapshot.absent if snapshot.absent.validation == 1 else Reason.NOT_SYNCED)
    elif not snapshot.lease.live(now):
        found.add(Reason.LEASE_EXPIRED)
    return _sorted(found)


def policy_coordination(snapshot: Snapshot, now: Now) -> tuple[Reason, ...]:  # noqa: ARG001
    """2: the policy that decides is the one that the epoch names."""
    found = _of(snapshot, 2)
    epoch = snapshot.epoch
    if epoch is None or snapshot.policy.sha256 != epoch.says.policy.sha256:
        found.add(Reason.POLICY_MISSING)
    return _sorted(found)


def routing_consistency(snapshot: Snapshot, now: Now) -> tuple[Reason, ...]:  # noqa: ARG001
    """3: requests go where the table of the epoch leads, for a service that it is for."""
    found = _of(snapshot, 3)
    epoch = snapshot.epoch
    if epoch is None or snapshot.routes.sha256 != epoch.says.routes.sha256:
        found.add(Reason.ROUTE_DIGEST_MISMATCH)
    return _sorted(found)


def runtime_integrity(snapshot: Snapshot, now: Now) -> tuple[Reason, ...]:  # noqa: ARG001
    """4: code, configuration and models are what the epoch says; stored state is whole."""
    return _sorted(_of(snapshot, 4))


def telemetry_continuity(snapshot: Snapshot, now: Now) -> tuple[Reason, ...]:  # noqa: ARG001
    """5: the authority has what this sidecar reports, as far as the epoch demands it."""
    return _sorted(_of(snapshot, 5))


def cryptographic_validation(snapshot: Snapshot, now: Now) -> tuple[Reason, ...]:  # noqa: ARG001
    """6: a trust document is in force, and enough valid signatures stand behind the lease."""
    return _sorted(_of(snapshot, 6))


def audit_synchronization(snapshot: Snapshot, now: Now) -> tuple[Reason, ...]:  # noqa: ARG001
    """7: decisions can be written down."""
    return _sorted(_of(snapshot, 7))


def distributed_consistency(snapshot: Snapshot, now: Now) -> tuple[Reason, ...]:  # noqa: ARG001
    """8: enough peers agree on one epoch, and nobody has contradicted it."""
    return _sorted(_of(snapshot, 8))


Validation = Callable[[Snapshot, Now], tuple[Reason, ...]]

VALIDATIONS: tuple[tuple[str, Validation], ...] = (
    ("synchronization-continuity", synchronization_continuity),
    ("policy-coordination", policy_coordination),
    ("routing-consistency", routing_consistency),
    ("runtime-integrity", runtime_integrity),
    ("telemetry-continuity", telemetry_continuity),
    ("cryptographic-validation", cryptographic_validation),
    ("audit-synchronization", audit_synchronization),
    ("distributed-consistency", distributed_consistency),
)


def validate(snapshot: Snapshot, now: Now) -> tuple[Verdict, ...]:
    """All eight, in order."""
    return tuple(
        Verdict(number, name, judge(snapshot, now))
        for number, (name, judge) in enumerate(VALIDATIONS, start=1)
    )


def _of(snapshot: Snapshot, number: int) -> set[Reason]:
    """What holds and the latest round say against one validation."""
    reasons = (*(hold.reason for hold in snapshot.holds), *snapshot.unmet)
    return {reason for reason in reasons if reason.validation == number}


def _sorted(found: set[Reason]) -> tuple[Reason, ...]:
    return tuple(sorted(found, key=lambda reason: reason.code))
