"""Proof that an epoch is still vouched for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical
from sidecar.core.envelope import Payload
from sidecar.core.objects import beat
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.trust import Role
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import sign
from tests import builders

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)


def test_beat_comes_back_as_it_was_signed() -> None:
    said = builders.beat_body(TRUST, EPOCH)
    made = builders.make_beat(TRUST, EPOCH)
    assert made.says == said
    assert (made.issuer, made.seq) == (builders.signer(Role.BEAT).key_id, 1)
    assert made.sha256 == canonical.digest(canonical.dump(said))


def test_one_stolen_key_cannot_speak_in_the_stream_of_another() -> None:
    """Otherwise one key could make another replica look like an equivocator."""
    body = canonical.dump(builders.beat_body(TRUST, EPOCH, number=2))
    raw = sign(beat.PAYLOAD_TYPE, body, builders.signer(Role.BEAT, 1))
    with pytest.raises(ProtocolError) as caught:
        builders.open_beat(raw, TRUST)
    assert caught.value.reason is Reason.SIG_INVALID


def test_epoch_keys_do_not_sign_beats() -> None:
    body = canonical.dump(builders.beat_body(TRUST, EPOCH))
    raw = sign(beat.PAYLOAD_TYPE, body, *builders.signers(Role.EPOCH, 3))
    with pytest.raises(ProtocolError) as caught:
        builders.open_beat(raw, TRUST)
    assert caught.value.reason is Reason.KEY_UNKNOWN


@pytest.mark.parametrize(
    "change",
    [
        {"type": "urn:epochgate:halt:v1"},
        {"seq": 0},
        {"ttl_ms": 0},
        {"ttl_ms": 86_400_001},
        {"interval_ms": 0},
        {"issued_at": -1},
        {"state": "paused"},
        {"prev_sha256": "0"},
        {"domain": "Not A Name"},
    ],
)
def test_field_out_of_its_bounds_is_type_confusion(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        builders.make_beat(TRUST, EPOCH, **change)
    assert caught.value.reason is Reason.TYPE_CONFUSION


def test_beat_pins_trust_epoch_and_halts() -> None:
    """A fresh beat cannot travel without betraying what a hostile peer hides."""
    order = builders.make_order(TRUST)
    halts = NO_HALTS.union([order])
    said = builders.make_beat(TRUST, EPOCH, halts=halts).says
    assert (said.trust.version, said.trust.sha256) == (TRUST.version, TRUST.sha256)
    assert (said.epoch.seq, said.epoch.sha256) == (EPOCH.seq, EPOCH.sha256)
    assert (said.halts.seq, said.halts.sha256) == (1, halts.sha256)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_beat_or_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        beat.parse(Payload(raw, beat.PAYLOAD_TYPE, canonical.digest(raw), ()))


@given(st.data())
def test_any_single_changed_byte_of_the_envelope_is_refused(data: st.DataObject) -> None:
    raw = bytearray(builders.beat_bytes(TRUST, EPOCH))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        builders.open_beat(bytes(raw), TRUST)


@given(
    st.integers(1, canonical.INTEGER_LIMIT - 1),
    st.integers(0, canonical.INTEGER_LIMIT - 1),
    st.integers(1, 86_400_000),
)
def test_every_value_in_bounds_survives_signing_and_reading(
    seq: int, issued_at: int, ttl_ms: int
) -> None:
    said = builders.make_beat(TRUST, EPOCH, seq=seq, issued_at=issued_at, ttl_ms=ttl_ms).says
    assert (said.seq, said.issued_at, said.ttl_ms) == (seq, issued_at, ttl_ms)
