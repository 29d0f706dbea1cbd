"""One look after the other for the epoch to vouch for."""

from collections.abc import Mapping
from typing import Any

from sidecar.core import layout, search
from sidecar.core.issued import Issued
from sidecar.core.issuing import Fact
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Mark, Role, Trust
from sidecar.core.search import Search
from sidecar.signer import sign
from tests import builders, rotation
from tests.builders import NOW

TRUST = builders.make_trust()
KEY_ID = builders.signer(Role.BEAT).key_id
NEW_KEYS = {Role.EPOCH: rotation.others(Role.EPOCH)}


def made(
    under: Trust, prev: Epoch | None = None, keys: int | None = None, **changes: Any
) -> tuple[Epoch, bytes]:
    """An epoch; signed by the first `keys` new keys, or by the old ones."""
    said = builders.predicate(under, prev, **changes)
    held = builders.signers(Role.EPOCH, 2) if keys is None else NEW_KEYS[Role.EPOCH][:keys]
    raw = sign(builders.epoch.PAYLOAD_TYPE, builders.epoch.statement(said), *held)
    return builders.open_epoch(raw, under), raw


FIRST, FIRST_RAW = made(TRUST)
SECOND, SECOND_RAW = made(TRUST, FIRST)
THIRD, THIRD_RAW = made(TRUST, SECOND)
FLOOR = rotation.floors(Mark(seq=1, sha256=FIRST.sha256))
ROTATED = rotation.successor(TRUST, NEW_KEYS, floors=FLOOR)
FRESH, FRESH_RAW = made(ROTATED, FIRST, 2, reason="after the rotation")

STORE: Mapping[str, bytes] = {
    layout.blob_key("test", FIRST.says.policy.sha256): builders.POLICY,
    layout.blob_key("test", FIRST.says.routes.sha256): builders.ROUTES,
    **{
        layout.epoch_key("test", one.sha256): raw
        for one, raw in (
            (FIRST, FIRST_RAW), (SECOND, SECOND_RAW), (THIRD, THIRD_RAW), (FRESH, FRESH_RAW),
        )
    },
}  # fmt: skip


def look(one: Search, *heads: Epoch | None, informed: bool = True) -> dict[Fact, str]:
    """One look at peers that hold everything; what it said."""
    one.begin(frozenset(None if head is None else head.sha256 for head in heads))
    while wanted := one.step(NOW):
        one.add({key: (STORE[key],) if key in STORE else () for key in wanted})
    return dict(one.finish(informed=informed))


def start(trust: Trust = TRUST) -> tuple[Search, Issued]:
    issued = Issued(trust, KEY_ID, None)
    return Search(trust, issued), issued


def test_what_is_found_is_adopted_if_enough_peers_answered() -> None:
    one, issued = start()
    assert Fact.EPOCH_ADOPTED not in look(one, FIRST, informed=False)
    assert look(one, FIRST)[Fact.EPOCH_ADOPTED] == f"1 {FIRST.sha256[:16]}"
    assert issued.epoch == FIRST


def test_only_what_is_in_force_is_kept_once_nothing_is_waited_for() -> None:
    one, _ = start()
    look(one, THIRD)
    held = one.archive._raw
    assert THIRD.sha256 in held
    assert not {FIRST.sha256, SECOND.sha256} & held.keys()


def test_a_long_chain_is_walked_on_in_the_next_look(monkeypatch: object) -> None:
    one, issued = start()
    look(one, FIRST)
    limit, search.FETCHES_MAX = search.FETCHES_MAX, 1
    try:
        assert look(one, THIRD)[Fact.EPOCH_PENDING]
        assert issued.epoch == FIRST
        look(one, THIRD)
        assert issued.epoch == THIRD
    finally:
        search.FETCHES_MAX = limit


# --- after a rotation


def rotate(one: Search, issued: Issued) -> None:
    issued.rotate(TRUST, ROTATED)
    one.renew(ROTATED)


def test_the_epoch_in_force_stays_in_force_after_a_rotation_that_does_not_touch_it() -> None:
    one, issued = start()
    look(one, THIRD)
    same = rotation.successor(TRUST)
    issued.rotate(TRUST, same)
    one.renew(same)
    assert look(one, THIRD)[Fact.EPOCH_DENIED] == ""
    assert issued.epoch == THIRD


def test_an_epoch_of_stolen_keys_is_left_for_the_floor_that_root_signed() -> None:
    """Fast-forward recovery: whoever had the old keys may have signed number a million."""
    one, issued = start()
    look(one, THIRD)
    rotate(one, issued)
    assert (issued.epoch, issued.mark and issued.mark.sha256) == (None, FIRST.sha256)
    said = look(one, THIRD)
    assert issued.epoch == FIRST, "although no peer names it"
    assert THIRD.sha256[:16] in said[Fact.EPOCH_DENIED]
    assert look(one, FRESH)[Fact.EPOCH_ADOPTED] == f"2 {FRESH.sha256[:16]}"


def test_the_epoch_after_the_floor_is_adopted_without_the_floor_itself() -> None:
    one, issued = start(ROTATED)
    look(one, FRESH)
    assert issued.epoch == FRESH


def test_a_peer_that_slept_through_a_rotation_names_an_older_epoch_and_not_an_unknown_one() -> None:
    one, issued = start()
    look(one, FIRST)
    rotate(one, issued)
    later, later_raw = made(ROTATED, FRESH, 2)
    issued.adopt(FRESH, FRESH_RAW)
    issued.adopt(later, later_raw)
    said = look(one, later, SECOND)
    assert one.judged.older == {SECOND.sha256}, "old keys signed it: that cannot be checked now"
    assert said[Fact.EPOCH_DENIED] == ""


def test_a_name_below_the_floor_is_older_too() -> None:
    trust = rotation.successor(TRUST, floors=rotation.floors(Mark(seq=2, sha256=SECOND.sha256)))
    one, issued = start(trust)
    look(one, FIRST)
    assert one.judged.older == {FIRST.sha256}
    assert issued.epoch == SECOND
