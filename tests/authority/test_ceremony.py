"""What a ceremony signs is accepted by the parsers of a sidecar, or nothing is signed."""

from dataclasses import replace

import pytest

from sidecar.authority import ceremony
from sidecar.authority.ceremony import CeremonyError, Said, TrustPlan
from sidecar.authority.plan import EpochPlan
from sidecar.core import envelope
from sidecar.core.objects import epoch, trust
from sidecar.core.objects.trust import Limits, Mark, Quorum, Role, Trust
from sidecar.core.reason import ProtocolError
from sidecar.signer import FileSigner
from tests import builders, rotation
from tests.builders import NOW

PLAN = TrustPlan(
    domain="prod",
    thresholds={Role.ROOT: 2, Role.EPOCH: 2, Role.RESUME: 2},
    quorum=Quorum(n=3, r=2, w=2),
    limits=Limits(ttl_max_ms=4000, skew_max_ms=500, drift_ppm=2000),
    expires_ms=builders.DAY_MS,
)
KEYS = {role: builders.signers(role, count) for role, (count, _) in builders.ROLES.items()}
EPOCH = EpochPlan(builders.POLICY, builders.ROUTES, life_ms=60_000)
ORDER_ID = "0" * 32


@pytest.fixture
def under() -> Trust:
    return builders.make_trust()


def test_trust_document_is_signed_by_root_and_gives_each_key_its_role() -> None:
    made = trust.parse(ceremony.make_trust(PLAN, KEYS, NOW), NOW)
    assert made.body.expires == NOW + builders.DAY_MS
    for role, held in KEYS.items():
        assert set(made.keys[role]) == {key.key_id for key in held}


def test_online_beat_keys_may_end_before_the_document() -> None:
    plan = TrustPlan(
        PLAN.domain, PLAN.thresholds, PLAN.quorum, PLAN.limits, PLAN.expires_ms, 60_000
    )
    made = trust.parse(ceremony.make_trust(plan, KEYS, NOW), NOW)
    ends = {role: made.body.keys[KEYS[role][0].key_id].not_after for role in (Role.BEAT, Role.HALT)}
    assert ends == {Role.BEAT: NOW + 60_000, Role.HALT: None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quorum": Quorum(n=3, r=1, w=2)}, "r \\+ w > n"),
        ({"domain": "Prod"}, "domain"),
        ({"thresholds": {Role.ROOT: 4}}, "out of reach"),
        ({"limits": Limits(ttl_max_ms=1, skew_max_ms=0, drift_ppm=0)}, "ttl_max_ms"),
    ],
)
def test_trust_plan_that_no_sidecar_would_accept_is_refused(
    change: dict[str, object], message: str
) -> None:
    fields = {name: getattr(PLAN, name) for name in PLAN.__dataclass_fields__}
    with pytest.raises(CeremonyError, match=message):
        ceremony.make_trust(TrustPlan(**{**fields, **change}), KEYS, NOW)


def test_epochs_follow_each_other_by_number_and_digest(under: Trust) -> None:
    keys = builders.signers(Role.EPOCH, 2)
    first, raw = ceremony.make_epoch(EPOCH, under, None, keys, NOW)
    second, _ = ceremony.make_epoch(EPOCH, under, first, keys, NOW)
    assert (first.seq, first.says.prev_sha256) == (1, None)
    assert (second.seq, second.says.prev_sha256) == (2, first.sha256)
    assert ceremony.open_epoch(raw, under, NOW) == first


def test_new_epoch_is_admissible_on_a_clock_that_is_slow_within_the_bounds(under: Trust) -> None:
    made, _ = ceremony.make_epoch(EPOCH, under, None, builders.signers(Role.EPOCH, 2), NOW)
    slow = type(NOW)(NOW - under.body.limits.skew_max_ms)
    assert epoch.inadmissible(made, "any", "any", slow) is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (builders.signers(Role.EPOCH, 1), "needs 2 keys of role epoch, 1 given: 1 more --key"),
        (builders.signers(Role.EPOCH, 1) * 2, "1 given: 1 more"),
        ([], "0 given: 2 more"),
        (builders.signers(Role.HALT, 2), "0 given: 2 more --key; key .* has no such role"),
    ],
)
def test_epoch_with_too_few_keys_says_how_many_are_missing(
    under: Trust, keys: list[FileSigner], message: str
) -> None:
    with pytest.raises(CeremonyError, match=message):
        ceremony.make_epoch(EPOCH, under, None, keys, NOW)


def test_epoch_for_tenants_needs_a_table_that_says_who_asks(under: Trust) -> None:
    keys = builders.signers(Role.EPOCH, 2)
    plan = replace(EPOCH, tenants=("acme",))
    with pytest.raises(CeremonyError, match=r"attributes\.tenant"):
        ceremony.make_epoch(plan, under, None, keys, NOW)
    told = replace(plan, routes=builders.routes_bytes(attributes={"tenant": "x-tenant"}))
    made, _ = ceremony.make_epoch(told, under, None, keys, NOW)
    assert made.says.scope.tenants == ("acme",)


def test_epoch_enforces_unless_it_is_told_to_observe(under: Trust) -> None:
    keys = builders.signers(Role.EPOCH, 2)
    for plan, said in ((EPOCH, "enforce"), (replace(EPOCH, enforcement="observe"), "observe")):
        made, _ = ceremony.make_epoch(plan, under, None, keys, NOW)
        assert made.says.enforcement == said


def test_epoch_of_another_domain_does_not_open(under: Trust) -> None:
    raw = builders.epoch_bytes(under, domain="other")
    with pytest.raises(ProtocolError, match="domain other"):
        ceremony.open_epoch(raw, under, NOW)


def test_epoch_with_a_reason_that_is_too_long_is_refused(under: Trust) -> None:
    plan = EpochPlan(builders.POLICY, builders.ROUTES, 60_000, reason="x" * 513)
    with pytest.raises(CeremonyError, match="would not be accepted"):
        ceremony.make_epoch(plan, under, None, builders.signers(Role.EPOCH, 2), NOW)


@pytest.mark.parametrize("role", [Role.HALT, Role.EPOCH, Role.ROOT])
def test_halt_is_signed_by_any_role_that_may_stop(under: Trust, role: Role) -> None:
    need = under.role(role).threshold
    order = ceremony.make_order(under, ORDER_ID, Said("why"), builders.signers(role, need), NOW)
    assert (order.says.action, order.says.halt_id) == ("halt", ORDER_ID)


def test_halt_without_a_key_that_may_halt_is_refused(under: Trust) -> None:
    with pytest.raises(CeremonyError, match="1 key of role halt, 0 given"):
        ceremony.make_order(under, ORDER_ID, Said("why"), builders.signers(Role.BEAT, 2), NOW)


def test_clear_needs_the_threshold_of_resume_and_names_what_it_ends(under: Trust) -> None:
    said = Said("done", clears="1" * 32)
    with pytest.raises(CeremonyError, match="2 keys of role resume, 1 given"):
        ceremony.make_order(under, ORDER_ID, said, builders.signers(Role.RESUME, 1), NOW)
    order = ceremony.make_order(under, ORDER_ID, said, builders.signers(Role.RESUME, 2), NOW)
    assert (order.says.action, order.says.clears) == ("clear", "1" * 32)


def test_later_order_has_a_greater_number_without_asking_anybody(under: Trust) -> None:
    keys = builders.signers(Role.HALT, 1)
    first = ceremony.make_order(under, ORDER_ID, Said("a"), keys, NOW)
    later = ceremony.make_order(under, ORDER_ID, Said("b"), keys, type(NOW)(NOW + 1))
    assert later.says.seq > first.says.seq


def test_every_product_names_its_own_type(under: Trust) -> None:
    """An epoch can never be read as an order, nor the other way round."""
    _, raw = ceremony.make_epoch(EPOCH, under, None, builders.signers(Role.EPOCH, 2), NOW)
    order = ceremony.make_order(under, ORDER_ID, Said("a"), builders.signers(Role.HALT, 1), NOW)
    assert envelope.payload_type_of(raw) != envelope.payload_type_of(order.raw)


def test_epoch_that_root_made_the_floor_opens_without_the_keys_that_signed_it(under: Trust) -> None:
    raw = builders.epoch_bytes(under)
    made = builders.open_epoch(raw, under)
    keys = {Role.EPOCH: rotation.others(Role.EPOCH)}
    floors = rotation.floors(Mark(seq=1, sha256=made.sha256))
    assert ceremony.open_epoch(raw, rotation.successor(under, keys, floors=floors), NOW) == made
    with pytest.raises(ProtocolError):
        ceremony.open_epoch(raw, rotation.successor(under, keys), NOW)
