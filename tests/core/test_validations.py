"""The eight validations say what the gate does, whoever asks and how often."""

from dataclasses import replace

import pytest

from sidecar.core import policy, routes, validations
from sidecar.core.gate import lapsed
from sidecar.core.instant import BootNs, WallMs
from sidecar.core.lease import Lease
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.snapshot import CLOSED, Hold, HoldKind, Snapshot
from tests import builders
from tests.builders import now

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
LEASE = Lease(
    1, EPOCH.sha256, builders.make_beat(TRUST, EPOCH), (PeerId("a"),),
    BootNs(now(1000).boot), WallMs(now(1000).wall), "clock",
)  # fmt: skip
SERVING = Snapshot(
    lease=LEASE,
    epoch=EPOCH,
    policy=policy.parse(builders.POLICY),
    routes=routes.parse(builders.ROUTES),
)
NAMES = (
    "synchronization-continuity", "policy-coordination", "routing-consistency",
    "runtime-integrity", "telemetry-continuity", "cryptographic-validation",
    "audit-synchronization", "distributed-consistency",
)  # fmt: skip


def broken(snapshot: Snapshot, ms: int = 0) -> dict[int, list[str]]:
    """Number -> codes, of those that do not hold."""
    return {
        verdict.number: [reason.code for reason in verdict.reasons]
        for verdict in validations.validate(snapshot, now(ms))
        if not verdict.holds
    }


def test_there_are_eight_in_the_order_of_the_document() -> None:
    found = validations.validate(SERVING, now())
    assert [(verdict.number, verdict.name) for verdict in found] == [*enumerate(NAMES, 1)]


def test_all_hold_while_it_serves() -> None:
    assert broken(SERVING) == {}


def test_a_new_process_has_no_lease_no_policy_and_no_routes() -> None:
    assert broken(CLOSED) == {1: ["EG101"], 2: ["EG201"], 3: ["EG301"]}


@pytest.mark.parametrize(
    ("absent", "code"), [(Reason.CLOCK_STEP, "EG105"), (Reason.KEY_REVOKED, "EG101")]
)
def test_without_a_lease_the_first_says_why_where_that_is_its_own(
    absent: Reason, code: str
) -> None:
    assert broken(replace(SERVING, lease=None, absent=absent)) == {1: [code]}


@pytest.mark.parametrize("clock", ["boot", "wall"])
def test_a_lease_that_ran_out_by_either_clock_breaks_the_first(clock: str) -> None:
    early = {
        "boot": replace(LEASE, deadline=now(10).boot),
        "wall": replace(LEASE, wall_deadline=now(10).wall),
    }
    lease = early[clock]
    assert broken(replace(SERVING, lease=lease), 9) == {}
    assert broken(replace(SERVING, lease=lease), 10) == {1: ["EG102"]}


def test_another_policy_or_route_table_than_the_epoch_names_breaks_the_second_or_third() -> None:
    other = replace(
        SERVING, policy=CLOSED.policy, routes=routes.parse(builders.routes_bytes(port=1))
    )
    assert broken(other) == {2: ["EG201"], 3: ["EG301"]}


@pytest.mark.parametrize("reason", [r for r in Reason if 1 <= r.validation <= 8])
def test_a_hold_and_what_kept_a_round_from_renewing_break_the_one_they_belong_to(
    reason: Reason,
) -> None:
    held = SERVING.held(Hold(reason, HoldKind.PASSING))
    assert broken(held) == {reason.validation: [reason.code]}
    assert broken(replace(SERVING, unmet=(reason,))) == {reason.validation: [reason.code]}


@pytest.mark.parametrize("reason", [Reason.HALT_GLOBAL, Reason.UPSTREAM_TIMEOUT])
def test_control_and_the_exchange_belong_to_none(reason: Reason) -> None:
    assert broken(SERVING.held(Hold(reason, HoldKind.STICKY))) == {}


def test_what_one_peer_did_breaks_none() -> None:
    assert broken(replace(SERVING, faults=(Reason.SIG_INVALID, Reason.ROLLBACK))) == {}


def test_reasons_are_told_once_and_by_code() -> None:
    found = replace(
        SERVING.held(Hold(Reason.EQUIVOCATION, HoldKind.LATCHED, "ab")),
        unmet=(Reason.QUORUM_LOST, Reason.EQUIVOCATION, Reason.ROLLBACK),
    )
    assert broken(found) == {8: ["EG801", "EG802", "EG803"]}


def test_the_same_snapshot_at_the_same_instant_always_gives_the_same() -> None:
    found = replace(SERVING, unmet=(Reason.ROLLBACK, Reason.QUORUM_LOST, Reason.BEAT_STALE))
    assert len({validations.validate(found, now(5)) for _ in range(20)}) == 1


def test_whenever_the_gate_is_closed_for_its_lease_the_first_does_not_hold() -> None:
    for ms in (0, 999, 1000, 10**6):
        first = validations.validate(SERVING, now(ms))[0]
        assert first.holds == (lapsed(SERVING, now(ms)) is None)
