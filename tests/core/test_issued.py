"""What an authority replica stores: damaged is never absent, a number is never used twice."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, issued
from sidecar.core.issued import RESERVED_AHEAD, Issued, State
from sidecar.core.objects.trust import Role
from sidecar.core.reason import ProtocolError, Reason
from tests import builders

TRUST = builders.make_trust()
KEY = builders.signer(Role.BEAT)
RAW = builders.epoch_bytes(TRUST)
EPOCH = builders.open_epoch(RAW, TRUST)


def fresh(stored: State | None = None) -> Issued:
    return Issued(TRUST.domain, KEY.key_id, stored)


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
