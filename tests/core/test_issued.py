"""What an authority replica stores: damaged is never absent, a number is never used twice."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, issued
from sidecar.core.instant import WallMs
from sidecar.core.issued import RESERVED_AHEAD, Issued, State
from sidecar.core.objects.trust import Mark, Revoked, Role, Trust
from sidecar.core.reason import ProtocolError, Reason
from tests import builders, rotation
from tests.builders import NOW

TRUST = builders.make_trust()
KEY = builders.signer(Role.BEAT)
RAW = builders.epoch_bytes(TRUST)
EPOCH = builders.open_epoch(RAW, TRUST)


def fresh(stored: State | None = None) -> Issued:
    return Issued(TRUST, KEY.key_id, stored)


def decode(raw: bytes, issuer: str = KEY.key_id, domain: str = TRUST.domain) -> State:
    return issued.decode(raw, domain, issuer)


def full() -> Issued:
    made = fresh()
    made.adopt(EPOCH, RAW)
    made.take([builders.make_order(TRUST)])
    return made


def test_everything_stored_comes_back() -> None:
    made = full()
    again = fresh(decode(made.body()))
    assert (again.epoch, again.mark, again.halts) == (made.epoch, made.mark, made.halts)
    assert (again.used, again.generation) == (RESERVED_AHEAD, 1)


@given(st.data())
def test_any_single_changed_byte_is_corrupt_never_absent(data: st.DataObject) -> None:
    raw = bytearray(full().body())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError) as caught:
        decode(bytes(raw))
    assert caught.value.reason is Reason.STATE_CORRUPT


@given(st.integers(0, 500))
def test_state_cut_short_is_corrupt(length: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(full().body()[:length])
    assert caught.value.reason is Reason.STATE_CORRUPT


def test_state_of_another_key_or_domain_is_refused() -> None:
    """Copied from another replica: its numbers are not ours, and ours are not in it."""
    raw = full().body()
    for issuer, domain in (("0" * 64, TRUST.domain), (KEY.key_id, "other")):
        with pytest.raises(ProtocolError) as caught:
            decode(raw, issuer, domain)
        assert caught.value.reason is Reason.STATE_CORRUPT


def test_well_formed_state_of_another_kind_is_corrupt() -> None:
    body = canonical.dump(msgspec.structs.replace(decode(full().body()), type="other"))
    with pytest.raises(ProtocolError):
        decode(canonical.digest(body).encode() + b"\n" + body)


def test_number_is_used_only_after_its_reservation_was_stored() -> None:
    made = fresh()
    assert made.must_store
    with pytest.raises(AssertionError, match="reserve first"):
        made.signing("0" * 64)
    made.body()
    made.not_stored()
    with pytest.raises(AssertionError, match="reserve first"):
        made.signing("0" * 64)
    made.body()
    made.stored()
    made.signing("0" * 64)
    assert (made.used, made.prev_sha256, made.must_store) == (1, "0" * 64, False)


def test_failed_write_is_tried_again() -> None:
    made = full()
    made.body()
    made.not_stored()
    assert made.must_store


def test_epochs_only_go_forward() -> None:
    made = full()
    with pytest.raises(AssertionError, match="only go forward"):
        made.adopt(EPOCH, RAW)


def test_own_beat_seen_counts_as_used_whoever_signed_it() -> None:
    made = fresh()
    assert made.seen(builders.make_beat(TRUST, EPOCH, seq=7))
    assert not made.seen(builders.make_beat(TRUST, EPOCH, seq=5))
    assert made.used == 7
    assert made.prev_sha256 == builders.make_beat(TRUST, EPOCH, seq=7).sha256


def test_contradiction_is_another_beat_under_the_latest_number() -> None:
    made = fresh()
    one = builders.make_beat(TRUST, EPOCH, seq=7)
    assert not made.contradicts(one)
    made.seen(one)
    assert not made.contradicts(one)
    assert made.contradicts(builders.make_beat(TRUST, EPOCH, seq=7, ttl_ms=1))
    assert not made.contradicts(builders.make_beat(TRUST, EPOCH, seq=6))


def test_own_beats_are_recognised_even_after_trust_let_the_key_expire() -> None:
    raw = builders.beat_bytes(TRUST, EPOCH, seq=9)
    assert issued.open_own(raw, KEY.key_id, KEY.public).seq == 9
    other = builders.beat_bytes(TRUST, EPOCH, number=2)
    with pytest.raises(ProtocolError):
        issued.open_own(other, KEY.key_id, KEY.public)


@given(st.binary(max_size=100))
def test_any_bytes_are_our_beat_or_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        issued.open_own(raw, KEY.key_id, KEY.public)


# --- trust documents


SECOND = rotation.successor(TRUST)
THIRD = rotation.successor(SECOND)
RIVAL = rotation.successor(TRUST, expires=TRUST.body.expires + 1)


def rotated() -> State:
    """What is stored after two rotations."""
    made = full()
    made.rotate(TRUST, SECOND)
    made.rotate(SECOND, THIRD)
    return decode(made.body())


def in_force(pinned: Trust, state: State | None) -> Trust:
    return issued.in_force(pinned, state, NOW)


def test_the_pinned_document_is_in_force_until_another_was_stored() -> None:
    assert in_force(TRUST, None) == TRUST
    assert in_force(TRUST, decode(full().body())) == TRUST


def test_a_stored_document_outlives_a_restart_with_the_old_pinned_file() -> None:
    state = rotated()
    assert in_force(TRUST, state) == THIRD
    assert in_force(SECOND, state) == THIRD
    assert in_force(THIRD, state) == THIRD
    again = Issued(THIRD, KEY.key_id, state)
    assert again.documents == {1: TRUST.raw, 2: SECOND.raw, 3: THIRD.raw}
    assert again.epoch == EPOCH
    assert decode(again.body()).trusts == state.trusts


def test_a_newer_pinned_file_wins_over_what_was_stored_and_is_stored() -> None:
    state = decode(full().body())
    assert in_force(THIRD, state) == THIRD
    made = Issued(THIRD, KEY.key_id, state)
    assert made.dirty
    after = decode(made.body())
    assert (after.trust, after.trusts) == (builders.trust_ref(THIRD), ())


@pytest.mark.parametrize("pinned", [RIVAL, builders.make_trust(expires=NOW + 1), TRUST])
def test_a_pinned_file_that_contradicts_what_was_used_is_refused(pinned: Trust) -> None:
    """Another version 1 or 2 than ours; and, for the last, a file that was put back."""
    state = rotated()
    if pinned is TRUST:
        state = decode(Issued(SECOND, KEY.key_id, None).body())
    with pytest.raises(ProtocolError) as caught:
        in_force(pinned, state)
    assert caught.value.reason is Reason.EQUIVOCATION


def test_state_of_the_version_before_rotations_is_read() -> None:
    raw = full().body().partition(b"\n")[2]
    before = msgspec.json.decode(raw)
    del before["trust"], before["trusts"]
    body = canonical.encode(before)
    state = decode(canonical.digest(body).encode() + b"\n" + body)
    assert (in_force(TRUST, state), fresh(state).epoch) == (TRUST, EPOCH)


def test_no_more_documents_are_kept_than_a_sidecar_walks() -> None:
    made, before = fresh(), TRUST
    for _ in range(issued.DOCUMENTS_MAX + 3):
        after = rotation.successor(before)
        made.rotate(before, after)
        before = after
    state = decode(made.body())
    assert len(state.trusts) == issued.DOCUMENTS_MAX
    assert in_force(TRUST, state) == before
    assert min(made.documents) == before.version - issued.DOCUMENTS_MAX + 1


# --- floors


def floored(seq: int, sha256: str, *, keys: bool = False, **changes: Any) -> Trust:
    other = {Role.EPOCH: rotation.others(Role.EPOCH)} if keys else None
    mark = Mark(seq=seq, sha256=sha256)
    return rotation.successor(TRUST, other, floors=rotation.floors(mark, **changes))


@pytest.mark.parametrize(
    ("seq", "sha256", "keys", "held"),
    [
        (1, EPOCH.sha256, True, True),  # endorsed
        (1, EPOCH.sha256, False, True),
        (1, "0" * 64, False, False),  # root says that another one is number 1
        (7, "0" * 64, False, False),  # above ours
    ],
)
def test_an_epoch_that_root_did_not_mean_is_given_up(
    seq: int,
    sha256: str,
    keys: bool,  # noqa: FBT001
    held: bool,  # noqa: FBT001
) -> None:
    made = full()
    made.rotate(TRUST, floored(seq, sha256, keys=keys))
    assert (made.epoch == EPOCH) is held
    assert made.mark is not None
    assert (made.mark.seq, made.mark.sha256) == (seq, sha256)
    again = Issued(floored(seq, sha256, keys=keys), KEY.key_id, decode(made.body()))
    assert (again.epoch, again.mark) == (made.epoch, made.mark)


@pytest.mark.parametrize("keys", [True, False])
def test_a_mark_above_the_floor_falls_back_only_when_the_epoch_keys_changed(
    keys: bool,  # noqa: FBT001
) -> None:
    made = fresh()
    second = builders.make_epoch(TRUST, EPOCH)
    made.adopt(second, builders.epoch_bytes(TRUST, EPOCH))
    made.rotate(TRUST, floored(1, EPOCH.sha256, keys=keys))
    assert made.mark is not None
    assert made.mark.seq == (1 if keys else 2)
    assert made.epoch == (None if keys else second)


def test_nothing_below_the_floor_can_be_adopted() -> None:
    made = Issued(floored(2, "0" * 64), KEY.key_id, None)
    with pytest.raises(AssertionError, match="below the floor"):
        made.adopt(EPOCH, RAW)


def test_numbers_begin_above_the_floor_of_the_key() -> None:
    trust = floored(1, EPOCH.sha256, beat={KEY.key_id: 5000})
    assert Issued(trust, KEY.key_id, None).used == 5000
    made = fresh()
    made.rotate(TRUST, trust)
    assert made.used == 5000


def test_the_clock_of_the_reader_does_not_void_a_stored_document() -> None:
    assert issued.in_force(TRUST, rotated(), WallMs(NOW + 10_000 * builders.DAY_MS)) == THIRD


# --- orders of a key that was revoked


def test_what_a_revocation_voided_is_named_no_more_from_its_document_on() -> None:
    """Else a new sidecar, which cannot read it, would wait for it for ever."""
    made, other = fresh(), builders.make_order(TRUST, number=2, keys=builders.signers(Role.ROOT, 2))
    made.take([builders.make_order(TRUST), other])
    gone = builders.signer(Role.HALT, 1).key_id
    later = rotation.successor(TRUST, revoked=(Revoked(keyid=gone, reason="stolen", at=NOW),))
    before = decode(made.body())
    made.rotate(TRUST, later)
    assert made.halts.orders == (other,)
    again = Issued(later, KEY.key_id, before)  # the operator pinned it before the next start
    assert again.halts.orders == (other,)
    assert again.dirty
