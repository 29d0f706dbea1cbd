"""Envelopes: what was signed, and by how many distinct keys."""

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, envelope
from sidecar.core.envelope import SIGNATURES_MAX, KeyId, PublicKey
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner, sign

KIND = "application/vnd.test+json"
MAX_BYTES = 1024
ONE, TWO = (FileSigner(hashlib.sha256(name).digest()) for name in (b"one", b"two"))
ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group, RFC 8032 5.1
PRIME = 2**255 - 19


def wire(**changes: Any) -> bytes:
    """An envelope of two signatures with some members replaced."""
    value = json.loads(sign(KIND, b"{}", ONE, TWO))
    return canonical.encode({**value, **changes})


def refused(raw: bytes, max_bytes: int = MAX_BYTES) -> Reason:
    with pytest.raises(ProtocolError) as error:
        envelope.parse(raw, max_bytes)
    return error.value.reason


def keys(*signers: FileSigner) -> dict[KeyId, PublicKey]:
    return {signer.key_id: signer.public for signer in signers}


def test_the_bytes_that_are_signed_are_those_of_the_published_example() -> None:
    """The example of DSSE's protocol.md."""
    assert envelope.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_keep_type_and_payload_apart() -> None:
    assert envelope.pae("a", b"b 1 c") != envelope.pae("a 5 b", b"c")


def test_a_key_id_is_the_digest_of_the_description_that_tuf_hashes() -> None:
    description = (
        f'{{"keytype":"ed25519","keyval":{{"public":"{ONE.public.hex()}"}},"scheme":"ed25519"}}'
    )
    assert envelope.key_id(ONE.public) == hashlib.sha256(description.encode()).hexdigest()


def test_what_was_sealed_is_read_and_both_signers_count() -> None:
    sealed = envelope.parse(sign(KIND, b'{"a":1}', TWO, ONE), MAX_BYTES)
    assert (sealed.payload_type, sealed.unverified_payload) == (KIND, b'{"a":1}')
    assert [key for key, _ in sealed.signatures] == sorted([ONE.key_id, TWO.key_id])
    assert envelope.signed_by(sealed, keys(ONE, TWO)) == tuple(sorted([ONE.key_id, TWO.key_id]))
    assert envelope.signed_by(sealed, keys(ONE)) == (ONE.key_id,)
    assert envelope.signed_by(sealed, {}) == ()


def test_attack_one_key_under_two_names_is_one_signer() -> None:
    """A threshold of two must not be met by listing one public key twice."""
    other = KeyId("f" * 64)
    signature = ONE.sign(envelope.pae(KIND, b"{}"))
    raw = envelope.seal(KIND, b"{}", {ONE.key_id: signature, other: signature})
    found = envelope.signed_by(envelope.parse(raw, MAX_BYTES), {**keys(ONE), other: ONE.public})
    assert len(found) == 1


def test_attack_the_same_key_id_twice_is_refused() -> None:
    signature = json.loads(wire())["signatures"][0]
    assert refused(wire(signatures=[signature, signature])) is Reason.NONCANONICAL


def test_attack_a_broken_signature_does_not_void_the_others() -> None:
    """Anybody on the way can add a line; that must not be a way to withhold a document."""
    good = ONE.sign(envelope.pae(KIND, b"{}"))
    raw = envelope.seal(KIND, b"{}", {ONE.key_id: good, TWO.key_id: good})
    assert envelope.signed_by(envelope.parse(raw, MAX_BYTES), keys(ONE, TWO)) == (ONE.key_id,)


@pytest.mark.parametrize("changes", [{"payloadType": "x"}, {"payload": "W10="}])
def test_attack_a_signature_moved_to_another_type_or_payload_counts_nothing(
    changes: dict[str, str],
) -> None:
    sealed = envelope.parse(wire(**changes), MAX_BYTES)
    assert envelope.signed_by(sealed, keys(ONE, TWO)) == ()


def test_attack_the_key_id_of_another_key_counts_nothing() -> None:
    signature = ONE.sign(envelope.pae(KIND, b"{}"))
    sealed = envelope.parse(envelope.seal(KIND, b"{}", {TWO.key_id: signature}), MAX_BYTES)
    assert envelope.signed_by(sealed, keys(ONE, TWO)) == ()


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param("e30", id="no padding"),
        pytest.param("e31=", id="stray bits"),
        pytest.param("e30==", id="too much padding"),
        pytest.param("e3 0=", id="space"),
        pytest.param("e30=\n", id="newline"),
        pytest.param("_-8=", id="other alphabet"),
        pytest.param("é30=", id="not ASCII"),
        pytest.param("=", id="padding only"),
    ],
)
def test_another_spelling_of_base64_is_refused(payload: str) -> None:
    assert refused(wire(payload=payload)) is Reason.NONCANONICAL
    entry = [{"keyid": ONE.key_id, "sig": payload}]
    assert refused(wire(signatures=entry)) is Reason.NONCANONICAL


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1},
        {"payload": None},
        {"payloadType": 1},
        {"signatures": {}},
        {"signatures": [{"keyid": "a"}]},
        {"signatures": [{"keyid": "a", "sig": "", "cert": ""}]},
    ],
)
def test_another_shape_is_type_confusion(changes: dict[str, Any]) -> None:
    assert refused(wire(**changes)) is Reason.TYPE_CONFUSION


def test_a_type_that_is_not_ascii_is_refused() -> None:
    assert refused(wire(payloadType="é")) is Reason.NONCANONICAL


def test_white_space_around_an_envelope_is_refused() -> None:
    assert refused(wire() + b"\n") is Reason.NONCANONICAL


def test_too_many_signatures_are_refused_before_any_is_checked() -> None:
    many = [{"keyid": f"{number:064x}", "sig": ""} for number in range(SIGNATURES_MAX + 1)]
    assert refused(wire(signatures=many)) is Reason.OVERSIZE
    envelope.parse(wire(signatures=many[:-1]), MAX_BYTES)


def test_a_payload_over_its_limit_is_refused() -> None:
    assert envelope.parse(sign(KIND, b"x" * MAX_BYTES, ONE), MAX_BYTES).signatures
    assert refused(sign(KIND, b"x" * (MAX_BYTES + 1), ONE)) is Reason.OVERSIZE
    assert refused(sign(KIND, b"x" * MAX_BYTES * 10, ONE)) is Reason.OVERSIZE


# --- Ed25519: what naive verifiers accept ---

MESSAGE = b"message"
SIGNATURE = ONE.sign(MESSAGE)
IDENTITY = b"\x01" + bytes(31)


def test_a_signature_verifies_and_one_flipped_bit_does_not() -> None:
    assert envelope.verify(ONE.public, MESSAGE, SIGNATURE)
    for position in range(0, 512, 37):
        broken = bytearray(SIGNATURE)
        broken[position // 8] ^= 1 << position % 8
        assert not envelope.verify(ONE.public, MESSAGE, bytes(broken))
    assert not envelope.verify(ONE.public, MESSAGE + b"x", SIGNATURE)
    assert not envelope.verify(TWO.public, MESSAGE, SIGNATURE)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_none(length: int) -> None:
    assert not envelope.verify(ONE.public, MESSAGE, (SIGNATURE * 2)[:length])


def test_attack_a_second_signature_made_from_the_first_is_none() -> None:
    """S plus the order of the group satisfies the equation; RFC 8032 wants S below the order."""
    again = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    assert not envelope.verify(ONE.public, MESSAGE, SIGNATURE[:32] + again.to_bytes(32, "little"))


@pytest.mark.parametrize(
    "public",
    [
        pytest.param(IDENTITY, id="identity"),
        pytest.param((PRIME + 1).to_bytes(32, "little"), id="identity, not canonical"),
        pytest.param((PRIME - 1).to_bytes(32, "little"), id="order two"),
        pytest.param(bytes(32), id="order four"),
        pytest.param(b"\xff" * 32, id="no point"),
    ],
)
@pytest.mark.parametrize("r", [IDENTITY, (PRIME + 1).to_bytes(32, "little"), bytes(32)])
def test_attack_a_key_of_small_order_verifies_nothing(public: bytes, r: bytes) -> None:
    """Under such a key one signature (R the identity, S zero) would fit every message."""
    for message in (b"", MESSAGE, b"other"):
        assert not envelope.verify(PublicKey(public), message, r + bytes(32))


# --- any bytes ---


@given(st.binary(max_size=64), st.sets(st.integers(0, 255), min_size=1, max_size=4))
def test_what_was_sealed_opens_to_itself(payload: bytes, seeds: set[int]) -> None:
    signers = [FileSigner(bytes([seed]) * 32) for seed in sorted(seeds)]
    raw = sign(KIND, payload, *signers)
    sealed = envelope.parse(raw, 64)
    assert sealed.unverified_payload == payload
    assert envelope.seal(KIND, payload, dict(sealed.signatures)) == raw
    assert set(envelope.signed_by(sealed, keys(*signers))) == keys(*signers).keys()


@given(st.binary())
def test_any_bytes_are_an_envelope_or_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        envelope.parse(raw, MAX_BYTES)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "payload": st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()),
            "payloadType": st.text() | st.integers(0, 9),
            "signatures": st.lists(st.fixed_dictionaries({"keyid": st.text(), "sig": st.text()})),
        },
    )
)
def test_any_envelope_like_object_is_an_envelope_or_a_protocol_error(
    changes: dict[str, Any],
) -> None:
    try:
        sealed = envelope.parse(wire(**changes), MAX_BYTES)
    except ProtocolError:
        return
    assert envelope.signed_by(sealed, {}) == ()


@given(st.binary())
def test_the_type_of_any_bytes_is_a_text_or_none(raw: bytes) -> None:
    assert envelope.payload_type_of(raw) is None


def test_the_type_of_an_envelope_is_what_it_says() -> None:
    assert envelope.payload_type_of(wire()) == KIND


@pytest.mark.parametrize("answer", [True, False])
def test_a_verifier_that_always_says_the_same_fails_its_own_test(
    *, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert envelope.sound()
    monkeypatch.setattr(envelope, "verify", lambda *_: answer)
    assert not envelope.sound()
