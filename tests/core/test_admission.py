"""What an epoch demands of a sidecar is met, or nothing is served under it."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar.core import admission
from sidecar.core.admission import Telling
from sidecar.core.instant import Now
from sidecar.core.lease import Terms
from sidecar.core.log.cosignature import Witnesses
from sidecar.core.objects.beat import Fleet
from sidecar.core.objects.epoch import Audit, Epoch, Scope, Telemetry
from sidecar.core.objects.trust import Revoked, Role
from sidecar.core.parent import Demand
from sidecar.core.policy import DENY_ALL
from sidecar.core.profile import BASELINE
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.reporter import Reporter
from sidecar.core.setting import Setting
from tests import builders, covering
from tests.builders import NOW, now

TRUST = builders.make_trust()
WHO = covering.identity()
SETTING = Setting(
    "model", "here", (PeerId("a"),), 1, Terms(4000, 500, 2000), 250, identity=WHO
)  # fmt: skip


def epoch(**changes: Any) -> Epoch:
    return builders.make_epoch(TRUST, **changes)


def scope(**changes: Any) -> Scope:
    return Scope(**{"services": (), "regions": (), "tenants": (), "instances": (), **changes})


def wants(max_unacked_ms: int = 0, max_diverged: int | None = None) -> Epoch:
    said = Telemetry(max_unacked_ms=max_unacked_ms, max_diverged=max_diverged)
    return epoch(telemetry=said)


def refused(found: Epoch, setting: Setting = SETTING) -> Reason | None:
    try:
        admission.of_scope(found, setting, now())
    except ProtocolError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"scope": scope(services=("model",), regions=("here",))}, None),
        ({"scope": scope(services=("other",))}, Reason.SERVICE_NOT_AUTHORIZED),
        ({"scope": scope(regions=("there",))}, Reason.REGION_NOT_AUTHORIZED),
        ({"scope": scope(instances=(WHO.key_id,))}, None),
        ({"scope": scope(instances=("0" * 64, WHO.key_id))}, None),
        ({"scope": scope(instances=("0" * 64,))}, Reason.SERVICE_NOT_AUTHORIZED),
        ({"not_after": NOW}, Reason.EPOCH_EXPIRED),
        ({"not_before": NOW + 1}, Reason.EPOCH_NOT_YET_VALID),
    ],
)
def test_an_epoch_admits_who_and_when_it_says(
    changes: dict[str, Any], reason: Reason | None
) -> None:
    assert refused(epoch(**changes)) is reason


def test_who_has_no_key_is_on_no_closed_roster() -> None:
    nobody = replace(SETTING, identity=None)
    assert refused(epoch(scope=scope(instances=(WHO.key_id,))), nobody) is (
        Reason.SERVICE_NOT_AUTHORIZED
    )
    assert refused(epoch(), nobody) is None


class Acknowledged(Reporter):
    """A reporter whose newest acknowledged report is so old."""

    def __init__(self, age_ms: int | None) -> None:
        super().__init__(WHO, "test", 250)
        self._age_ms = age_ms

    def unacked_ms(self, now: Now) -> int | None:
        return self._age_ms


def reported(
    found: Epoch, age_ms: int | None, took: int = 2, *, silent: bool = False
) -> Reason | None:
    telling = Telling(None if silent else Acknowledged(age_ms), took, 2)
    try:
        admission.of_reports(found, telling, now())
    except ProtocolError as error:
        return error.reason
    return None


def test_an_epoch_that_does_not_ask_for_reports_takes_a_sidecar_that_makes_none() -> None:
    assert reported(wants(), None, took=0, silent=True) is None


@pytest.mark.parametrize(
    ("age_ms", "reason"),
    [
        (0, None),
        (1000, None),
        (1001, Reason.TELEMETRY_UNACKED),
        (None, Reason.TELEMETRY_UNACKED),
    ],
)
def test_the_newest_acknowledged_report_may_be_as_old_as_the_epoch_says(
    age_ms: int | None, reason: Reason | None
) -> None:
    assert reported(wants(1000), age_ms) is reason


def test_a_sidecar_that_makes_no_reports_meets_no_demand_for_them() -> None:
    assert reported(wants(1000), None, silent=True) is Reason.TELEMETRY_UNACKED


@pytest.mark.parametrize(("took", "reason"), [(1, Reason.TELEMETRY_BACKPRESSURE), (2, None)])
def test_as_many_peers_take_a_report_as_a_write_needs(took: int, reason: Reason | None) -> None:
    assert reported(wants(1000), 0, took) is reason


def fleet(found: Epoch, since: Now | None, at_ms: int, **counts: int) -> Reason | None:
    said = msgspec.structs.replace(Fleet(root="0" * 64, size=5, expected=5, diverged=0), **counts)
    try:
        admission.of_fleet(found, said, since, 8000, now(at_ms))
    except ProtocolError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({"diverged": 2}, None),
        ({"diverged": 3}, Reason.FLEET_DIVERGENCE),
        ({"expected": 7}, None),
        ({"expected": 8}, Reason.FLEET_DIVERGENCE),
        ({"expected": 7, "diverged": 1}, Reason.FLEET_DIVERGENCE),
        ({"expected": 0}, None),
    ],
)
def test_who_differs_and_who_is_missing_count_together(
    counts: dict[str, int], reason: Reason | None
) -> None:
    assert fleet(wants(max_diverged=2), now(), 8001, **counts) is reason


def test_a_fleet_may_differ_while_it_settles_and_where_nobody_asks() -> None:
    assert fleet(wants(max_diverged=0), now(), 8000, diverged=5) is None
    assert fleet(wants(max_diverged=0), None, 10**6, diverged=5) is None
    assert fleet(wants(), now(), 10**6, diverged=5) is None
    assert fleet(wants(max_diverged=0), now(), 8001, diverged=1) is Reason.FLEET_DIVERGENCE


@pytest.mark.parametrize(
    ("keys", "threshold", "ends", "reason"),
    [
        (0, 1, None, Reason.PROFILE_UNSUPPORTED),
        (1, 1, None, None),
        (2, 2, None, None),
        (1, 1, NOW + 1, None),
        (1, 1, NOW, Reason.PROFILE_UNSUPPORTED),
    ],
)
def test_an_epoch_that_asks_for_witnesses_needs_as_many_as_have_to_cosign(
    keys: int, threshold: int, ends: int | None, reason: Reason | None
) -> None:
    ended = {} if ends is None else {Role.WITNESS: ends}
    roles = {**builders.ROLES, Role.WITNESS: (keys, threshold)}
    trust = builders.make_trust(roles=roles, not_after=ended)
    wanted = epoch(audit=Audit(max_checkpoint_age_ms=0, max_unacked_ms=1, overflow="contain"))
    found = None
    try:
        admission.of_audit(wanted, BASELINE, trust, now())
    except ProtocolError as error:
        found = error.reason
    assert found is reason
    admission.of_audit(epoch(), BASELINE, trust, now())  # whoever demands nothing needs nobody


@pytest.mark.parametrize(
    ("keys", "wanted", "unacked_ms", "met"),
    [(2, 2, 1, True), (1, 2, 1, False), (0, 0, 1, False), (1, 0, 1, True), (0, 0, 0, True)],
)
def test_a_profile_that_asks_for_witnesses_needs_as_many_as_it_says(
    keys: int, wanted: int, unacked_ms: int, *, met: bool
) -> None:
    trust = builders.make_trust(roles={**builders.ROLES, Role.WITNESS: (keys, 1)})
    said = replace(BASELINE, witnesses=wanted, unacked_ms=unacked_ms)
    if met:
        admission.of_audit(epoch(), said, trust, now())
        return
    with pytest.raises(ProtocolError) as caught:
        admission.of_audit(epoch(), said, trust, now())
    assert caught.value.reason is Reason.PROFILE_UNSUPPORTED


@pytest.mark.parametrize(
    ("asks", "known", "met"),
    [
        ({"peers": 3}, 3, True),
        ({"peers": 4}, 4, False),  # the trust document says 3, whatever is configured
        ({"peers": 3}, 2, False),
        ({"read": 4}, 3, False),
        ({"write": 4}, 3, False),
        ({}, 0, True),
    ],
)
def test_a_profile_needs_as_many_peers_as_it_says(
    asks: dict[str, Any], known: int, *, met: bool
) -> None:
    said = replace(BASELINE, **asks)
    trust = builders.make_trust()
    if met:
        admission.of_peers(said, DENY_ALL, trust, known)
        return
    with pytest.raises(ProtocolError) as caught:
        admission.of_peers(said, DENY_ALL, trust, known)
    assert caught.value.reason is Reason.PROFILE_UNSUPPORTED


def test_the_witnesses_of_a_trust_document_are_those_not_revoked() -> None:
    one, two = builders.signers(Role.WITNESS, 2)
    gone = Revoked(keyid=two.key_id, reason="", at=NOW)
    roles = {**builders.ROLES, Role.WITNESS: (2, 2)}
    trust = builders.make_trust(roles=roles, revoked=(gone,), not_after={Role.WITNESS: 7})
    assert trust.witnesses == Witnesses({one.public: 7}, 2)
    wanted = epoch(audit=Audit(max_checkpoint_age_ms=0, max_unacked_ms=1, overflow="contain"))
    with pytest.raises(ProtocolError):
        admission.of_audit(wanted, BASELINE, trust, now())


def test_parents_can_be_asked_for_only_where_there_is_a_key() -> None:
    demand = Demand(1000, required=False)
    admission.of_parent(None, SETTING)
    admission.of_parent(demand, replace(SETTING, parent_key=True))
    with pytest.raises(ProtocolError) as caught:
        admission.of_parent(demand, SETTING)
    assert caught.value.reason is Reason.PROFILE_UNSUPPORTED
