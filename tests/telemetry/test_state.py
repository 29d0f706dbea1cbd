"""A snapshot as people see it."""

import json
from dataclasses import replace

import msgspec
import pytest

from sidecar.core.instant import Now, WallMs
from sidecar.core.objects.halt import NO_HALTS, Scope
from sidecar.core.reason import Reason
from sidecar.core.snapshot import CLOSED, Hold, HoldKind, Snapshot
from sidecar.telemetry.state import describe
from tests import builders
from tests.telemetry.test_metrics import half_observed, running


def test_a_new_process_is_starting_and_says_why() -> None:
    value = describe(CLOSED, builders.now())
    assert (value["state"], value["reason"]) == ("starting", "EG905")
    assert value["lease"] is None
    assert value["epoch"] is None
    json.dumps(value)


def test_a_running_sidecar_shows_what_it_rests_on() -> None:
    snapshot = running()
    value = describe(snapshot, builders.now(500))
    assert (value["state"], value["reason"]) == ("running", None)
    assert snapshot.lease is not None
    assert value["lease"] == {
        "left_ms": 2999,
        "peers": ["r1", "r2"],
        "beat": {"issuer": snapshot.lease.beat.issuer[:16], "seq": 7},
        "anchor": "clock",
    }
    assert value["policy"] == {
        "name": "chat", "sha256": snapshot.policy.sha256[:16], "mode": "enforce", "rollout": None,
    }  # fmt: skip
    halts = value["halts"]
    assert isinstance(halts, list)
    assert halts[0]["reason"] == "test"
    epoch = value["epoch"]
    assert isinstance(epoch, dict)
    assert (epoch["enforcement"], epoch["tenants"]) == ("enforce", [])
    json.dumps(value)


def test_a_policy_shows_that_it_is_only_observed_and_which_half_it_is() -> None:
    snapshot = replace(running(), policy=half_observed())
    assert describe(snapshot, builders.now())["policy"] == {
        "name": "other", "sha256": snapshot.policy.sha256[:16], "mode": "observe",
        "rollout": "otherwise",
    }  # fmt: skip


SCOPED = (
    ("global", "", Reason.HALT_GLOBAL, "all"),
    ("service", "chat", Reason.HALT_SCOPED, "all"),
    ("service", "other", None, "nothing"),
    ("instance", "other", None, "nothing"),
    ("route", "api", None, "matching"),
    ("model", "m", None, "matching"),
    ("tenant", "t", None, "matching"),
    ("tenant", "", Reason.HALT_SCOPED, "all"),
)


@pytest.mark.parametrize(("kind", "value", "reason", "stops"), SCOPED)
def test_a_halt_says_what_it_is_for_and_what_it_stops_here(
    kind: str, value: str, reason: Reason | None, stops: str
) -> None:
    scope = msgspec.convert({"kind": kind, "value": value}, Scope)
    order = builders.make_order(builders.make_trust(), scope=scope)
    holds = [] if reason is None else [Hold(reason, HoldKind.STICKY, order.says.halt_id)]
    snapshot = replace(running(), halts=NO_HALTS.union([order])).held(*holds)
    assert describe(snapshot, builders.now())["halts"] == [
        {
            "id": order.says.halt_id, "scope": kind, "value": value, "stops": stops,
            "reason": "test", "issued_at": builders.NOW,
        }
    ]  # fmt: skip


def test_a_lapsed_lease_has_nothing_left_and_is_contained() -> None:
    value = describe(running(), builders.now(60_000))
    lease = value["lease"]
    assert isinstance(lease, dict)
    assert lease["left_ms"] == 0
    assert (value["state"], value["reason"]) == ("contained", "EG102")


def test_the_stricter_clock_says_what_is_left() -> None:
    now = builders.now()
    lease = describe(running(), Now(now.boot, WallMs(now.wall + 2000)))["lease"]
    assert isinstance(lease, dict)
    assert lease["left_ms"] == 1500


def test_holds_and_causes_are_named() -> None:
    snapshot = Snapshot(faults=(Reason.SIG_INVALID,)).held(
        Hold(Reason.EQUIVOCATION, HoldKind.LATCHED, "ab" * 16)
    )
    value = describe(snapshot, builders.now())
    assert value["state"] == "quarantined"
    assert value["holds"] == [{"reason": "EG803", "kind": "latched", "evidence": "ab" * 16}]
    assert value["causes"] == ["EG601"]
