"""Easy to stop, hard to start. Each rule of the module, named by the attack or the condition."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical
from sidecar.core.instant import WallMs
from sidecar.core.objects import halt, trust
from sidecar.core.objects.halt import NO_HALTS, Halts, Order
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.builders import NOW

TRUST = builders.make_trust()
HALT = builders.make_order(TRUST)
CLEAR = builders.make_order(TRUST, clears=HALT.says.halt_id, number=2)
OTHER = builders.make_order(TRUST, number=3)


@pytest.mark.parametrize(
    "keys",
    [
        builders.signers(Role.HALT, 1),
        builders.signers(Role.EPOCH, 2),
        builders.signers(Role.ROOT, 2),
    ],
)
def test_any_role_that_may_stop_stops(keys: list[FileSigner]) -> None:
    assert builders.make_order(TRUST, keys=keys).says.action == "halt"


@pytest.mark.parametrize(
    "keys",
    [
        builders.signers(Role.BEAT, 2),
        builders.signers(Role.RESUME, 3),
        builders.signers(Role.EPOCH, 1),
    ],
)
def test_halt_by_others_is_refused(keys: list[FileSigner]) -> None:
    with pytest.raises(ProtocolError):
        builders.make_order(TRUST, keys=keys)


@pytest.mark.parametrize(
    "keys",
    [
        builders.signers(Role.RESUME, 1),
        builders.signers(Role.HALT, 2),
        builders.signers(Role.ROOT, 3),
        [builders.signer(Role.RESUME), builders.signer(Role.HALT)],
    ],
)
def test_stolen_halt_key_cannot_clear(keys: list[FileSigner]) -> None:
    with pytest.raises(ProtocolError):
        builders.make_order(TRUST, clears=HALT.says.halt_id, keys=keys)


def test_halt_relabelled_as_a_clear_is_refused() -> None:
    """The action decides the role, and the action is part of what was signed."""
    body = canonical.dump(builders.order_body(TRUST, clears=HALT.says.halt_id))
    raw = sign(halt.PAYLOAD_TYPE, body, builders.signer(Role.HALT))
    with pytest.raises(ProtocolError):
        halt.open_order(raw, TRUST, NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "other"},
        {"type": "urn:epochgate:beat:v1"},
        {"action": "clear"},
        {"clears": "0" * 32, "action": "halt"},
    ],
)
def test_order_that_is_none_for_this_domain_is_refused(change: dict[str, Any]) -> None:
    keys = [*builders.signers(Role.HALT, 1), *builders.signers(Role.RESUME, 2)]
    with pytest.raises(ProtocolError) as caught:
        builders.make_order(TRUST, keys=keys, **change)
    assert caught.value.reason is Reason.TYPE_CONFUSION


def test_halt_outlives_the_short_lived_key_that_signed_it() -> None:
    under = builders.make_trust(not_after={Role.HALT: NOW + 1})
    raw = builders.order_bytes(under)
    assert halt.open_order(raw, under, WallMs(NOW + builders.DAY_MS)).says.action == "halt"


def test_key_past_its_end_cannot_order_by_dating_itself_in_the_future() -> None:
    under = builders.make_trust(not_after={Role.HALT: NOW})
    with pytest.raises(ProtocolError) as caught:
        builders.make_order(under, issued_at=NOW + 1)
    assert caught.value.reason is Reason.KEY_REVOKED


def test_revoked_key_orders_nothing() -> None:
    gone = trust.Revoked(keyid=builders.signer(Role.HALT).key_id, reason="stolen", at=NOW)
    with pytest.raises(ProtocolError):
        builders.make_order(builders.make_trust(revoked=(gone,)))


# --- the set


def test_clear_ends_the_halt_it_names_and_no_other() -> None:
    halts = NO_HALTS.union([HALT, OTHER])
    assert set(halts.active) == {HALT, OTHER}
    assert halts.union([CLEAR]).active == (OTHER,)
    assert halts.union([CLEAR]).cleared == {HALT.says.halt_id}


def test_replayed_halt_does_not_come_back_after_its_clear() -> None:
    halts = NO_HALTS.union([HALT]).union([CLEAR]).union([HALT])
    assert halts.active == ()
    assert halts.seq == 2


def test_clear_that_arrives_first_counts_as_soon_as_the_halt_does() -> None:
    assert NO_HALTS.union([CLEAR]).union([HALT]).active == ()


def test_drill_never_affects_traffic() -> None:
    drill = builders.make_order(TRUST, scope=halt.Scope(kind="drill", value=""))
    halts = NO_HALTS.union([drill])
    assert (halts.seq, halts.active) == (1, ())


@pytest.mark.parametrize("kind", ["service", "route", "model", "tenant", "instance"])
def test_narrower_halt_is_in_force(kind: str) -> None:
    order = builders.make_order(
        TRUST, scope=msgspec.convert({"kind": kind, "value": "x"}, halt.Scope)
    )
    halts = NO_HALTS.union([order])
    assert halts.active == (order,)
    assert not halts.stops_everything


def test_a_global_halt_stops_everything_until_it_is_cleared() -> None:
    halts = NO_HALTS.union([HALT])
    assert halts.stops_everything
    assert not halts.union([CLEAR]).stops_everything


def test_every_order_is_taken_even_beyond_what_a_domain_should_hold() -> None:
    orders = [_named(number) for number in range(halt.ORDERS_MAX + 1)]
    assert NO_HALTS.union(orders).seq == halt.ORDERS_MAX + 1


def _named(number: int) -> Order:
    return Order(f"{number:064x}", HALT.says, b"")


orders = st.lists(st.sampled_from([HALT, CLEAR, OTHER]), max_size=6)


@given(orders, orders, orders)
def test_readers_that_hold_the_same_orders_agree_whatever_the_way_they_came(
    a: list[Order], b: list[Order], c: list[Order]
) -> None:
    ways = [
        NO_HALTS.union(one).union(two).union(three)
        for one, two, three in itertools.permutations((a, b, c))
    ]
    assert len({(way.seq, way.sha256, way.active) for way in ways}) == 1


@given(orders, orders)
def test_the_set_only_grows_and_its_digest_names_its_content(
    a: list[Order], b: list[Order]
) -> None:
    before, after = NO_HALTS.union(a), NO_HALTS.union(a).union(b)
    assert set(before.orders) <= set(after.orders)
    assert (before.sha256 == after.sha256) == (set(before.orders) == set(after.orders))


def test_digest_of_the_empty_set_is_what_other_programs_compute() -> None:
    assert Halts().sha256 == canonical.digest(b"[]")


def test_stored_order_is_read_back_as_it_was_verified() -> None:
    assert halt.reread(HALT.raw) == HALT
    with pytest.raises(ProtocolError):
        halt.reread(b"{}")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_order_or_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        halt.open_order(raw, TRUST, NOW)


@given(st.data())
def test_any_single_changed_byte_of_the_envelope_is_refused(data: st.DataObject) -> None:
    raw = bytearray(HALT.raw)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        halt.open_order(bytes(raw), TRUST, NOW)


def after_halt_key_1(*, revoked: bool, at: int = builders.NOW) -> Trust:
    """The document that takes role halt from key 1, by rotation from TRUST."""
    gone = builders.signer(Role.HALT, 1).key_id
    keyids = tuple(key for key in TRUST.body.roles.halt.keyids if key != gone)
    roles = msgspec.structs.replace(
        TRUST.body.roles, halt=trust.RoleKeys(keyids=keyids, threshold=1)
    )
    body = msgspec.structs.replace(
        TRUST.body,
        version=2,
        prev_sha256=TRUST.sha256,
        issued_at=at,
        roles=roles,
        revoked=(trust.Revoked(keyid=gone, reason="stolen", at=at),) if revoked else (),
    )
    raw = sign(trust.PAYLOAD_TYPE, canonical.dump(body), *builders.signers(Role.ROOT, 2))
    return TRUST.rotate(raw, builders.NOW)


def test_an_order_outlives_the_replacement_of_its_key() -> None:
    """Else a pod that starts later could read neither an old halt nor the clear that ended it."""
    later = after_halt_key_1(revoked=False)
    assert halt.open_order(builders.order_bytes(TRUST), later, builders.NOW).says.action == "halt"


def test_a_key_that_lost_its_role_makes_no_new_orders() -> None:
    later = after_halt_key_1(revoked=False, at=builders.NOW - 1)
    with pytest.raises(ProtocolError) as caught:
        halt.open_order(builders.order_bytes(TRUST), later, builders.NOW)
    assert caught.value.reason is Reason.KEY_UNKNOWN


def test_what_a_revoked_key_ordered_is_void_for_who_has_not_stored_it() -> None:
    with pytest.raises(ProtocolError) as caught:
        halt.open_order(builders.order_bytes(TRUST), after_halt_key_1(revoked=True), builders.NOW)
    assert caught.value.reason is Reason.KEY_REVOKED


@pytest.mark.parametrize(("revoked", "kept"), [(True, False), (False, True)])
def test_a_set_stands_without_what_a_revocation_voided(*, revoked: bool, kept: bool) -> None:
    """A key that only lost its role ordered what it ordered."""
    other = builders.make_order(TRUST, number=2, keys=builders.signers(Role.ROOT, 2))
    known = Halts((HALT, other))
    standing = known.standing(after_halt_key_1(revoked=revoked)).orders
    assert (HALT in standing, other in standing) == (kept, True)


def test_an_order_that_another_key_signed_too_stands() -> None:
    raw = builders.order_bytes(
        TRUST, keys=[builders.signer(Role.HALT, 1), *builders.signers(Role.ROOT, 2)]
    )
    order = halt.open_order(raw, TRUST, builders.NOW)
    assert not halt.void(order, after_halt_key_1(revoked=True))
