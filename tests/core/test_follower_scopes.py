"""What orders and epochs of a part become in a snapshot."""

from typing import Any

import msgspec
import pytest

from sidecar.core import canonical, layout
from sidecar.core import events as ev
from sidecar.core.objects import halt
from sidecar.core.objects.epoch import Epoch, Scope
from sidecar.core.objects.halt import Halts, Order
from sidecar.core.reason import Reason
from sidecar.core.scoped import Scoped
from tests import builders
from tests.core.test_follower import FIRST, TRUST, A, Rig, beat, fetchable, only, outcome

TABLE = builders.routes_bytes(attributes={"tenant": "x-tenant"})
ACME = Scope(services=(), regions=(), tenants=("acme",), instances=())


def order(kind: str, value: str, number: int = 1) -> Order:
    scope = msgspec.convert({"kind": kind, "value": value}, halt.Scope)
    return builders.make_order(TRUST, number=number, scope=scope)


@pytest.fixture
def serving() -> Rig:
    rig = Rig()
    rig.whole(0, beat(FIRST, 1))
    assert rig.lease is not None
    return rig


def scoped(rig: Rig) -> Scoped | None:
    return rig.gate.scoped


def clear_of(one: Order) -> Order:
    return builders.make_order(TRUST, number=9, clears=one.says.halt_id)


def test_a_route_halt_on_one_peer_is_published_before_it_is_stored_and_holds_nothing(
    serving: Rig,
) -> None:
    one = order("route", "api")
    serving.begin(300)
    commands = serving.reply(A, 310, beat(FIRST, 1), orders=[one])
    assert isinstance(commands[0], ev.Publish)
    assert isinstance(commands[1], ev.Store)
    assert scoped(serving) == Scoped(routes=frozenset({"api"}))
    assert serving.gate.holds == ()
    assert serving.lease is not None


def test_it_stays_over_rounds_renewals_and_a_restart_and_ends_with_its_clear(serving: Rig) -> None:
    one = order("model", "big")
    serving.whole(300, beat(FIRST, 2, 250), orders=[one])
    found = scoped(serving)
    assert found == Scoped(models=frozenset({b"big"}))
    known = Halts((one,))
    serving.whole(600, beat(FIRST, 3, 550, halts=known), orders=[one])
    assert scoped(serving) is found, "running exchanges would be judged again for nothing"
    again = serving.restarted()
    assert scoped(again) == found
    again.whole(900, beat(FIRST, 4, 850, halts=known), orders=[one])
    assert scoped(again) == found
    both = known.union([clear_of(one)])
    again.whole(1200, beat(FIRST, 5, 1150, halts=both), orders=both.orders)
    assert scoped(again) is None
    assert again.lease is not None


@pytest.mark.parametrize(
    ("kind", "value", "closed"),
    [
        ("service", "model", Reason.HALT_SCOPED),
        ("service", "other", None),
        ("instance", "model-1", Reason.HALT_SCOPED),
        ("instance", "model-2", None),
        ("route", "", Reason.HALT_SCOPED),
    ],
)
def test_a_sidecar_is_held_by_what_names_it(
    serving: Rig, kind: str, value: str, closed: Reason | None
) -> None:
    serving.whole(300, beat(FIRST, 2, 250), orders=[order(kind, value)])
    assert serving.gate.closed is closed


# -- tenants of the epoch, and an epoch that only observes


def epoch_for(**changes: Any) -> tuple[Rig, Epoch]:
    raw = builders.epoch_bytes(TRUST, **changes)
    objects = fetchable(raw)
    objects[layout.blob_key("test", canonical.digest(TABLE))] = TABLE
    return Rig(objects=objects), builders.open_epoch(raw, TRUST)


def test_the_tenants_of_an_epoch_come_into_force_with_it_and_end_with_it() -> None:
    rig, made = epoch_for(scope=ACME, routes_blob=TABLE)
    next_raw = builders.epoch_bytes(TRUST, made, routes_blob=TABLE)
    after = builders.open_epoch(next_raw, TRUST)
    rig.objects[layout.epoch_key("test", after.sha256)] = next_raw
    rig.whole(0, beat(made, 1))
    assert rig.lease is not None
    assert scoped(rig) == Scoped(served=frozenset({b"acme"}))
    rig.whole(300, beat(after, 2, 250))
    assert rig.lease.epoch_seq == 2
    assert scoped(rig) is None


def test_an_epoch_for_tenants_without_a_way_to_tell_them_gives_no_lease() -> None:
    """Serving everybody under it would be serving those that it is not for."""
    rig, made = epoch_for(scope=ACME)
    commands = rig.whole(0, beat(made, 1))
    assert rig.lease is None
    assert Reason.PROFILE_UNSUPPORTED in outcome(commands).faults
    assert not only(commands, ev.Store)


def test_an_epoch_that_observes_is_served_and_says_so() -> None:
    rig, made = epoch_for(enforcement="observe")
    rig.whole(0, beat(made, 1))
    assert rig.lease is not None
    assert rig.gate.epoch is not None
    assert rig.gate.epoch.says.enforcement == "observe"
