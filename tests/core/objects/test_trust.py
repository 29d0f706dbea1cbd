"""Who may sign what. Each rule of the module, named by the attack or the condition."""

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, envelope
from sidecar.core.instant import WallMs
from sidecar.core.objects import beat, epoch, trust
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.builders import NOW

KIND = "application/x-test"


def reason_of(call: Callable[[], object]) -> Reason:
    with pytest.raises(ProtocolError) as caught:
        call()
    return caught.value.reason


def opened(under: Trust, role: Role, *keys: FileSigner, at: WallMs = NOW) -> envelope.Payload:
    sealed = envelope.parse(sign(KIND, b"{}", *keys), 100)
    return under.open(sealed, role, KIND, at)


def test_document_signed_by_the_threshold_of_its_own_roots_is_accepted() -> None:
    made = trust.parse(builders.trust_bytes(), NOW)
    assert (made.version, made.domain) == (1, "test")
    assert len(made.keys[Role.EPOCH]) == 3


def test_document_signed_by_too_few_roots_is_refused() -> None:
    assert reason_of(lambda: trust.parse(builders.trust_bytes(signed_by=1), NOW)) is (
        Reason.THRESHOLD_NOT_MET
    )


def test_half_edited_document_is_refused() -> None:
    """Somebody adds a key of their own to the pinned file and leaves the signatures."""
    sealed = envelope.parse(builders.trust_bytes(), trust.MAX_BYTES)
    body = builders.trust_body(domain="other")
    forged = envelope.seal(trust.PAYLOAD_TYPE, canonical.dump(body), dict(sealed.signatures))
    assert reason_of(lambda: trust.parse(forged, NOW)) is Reason.SIG_INVALID


def test_root_key_that_had_lapsed_when_it_signed_does_not_count() -> None:
    raw = builders.trust_bytes(not_after={Role.ROOT: NOW}, issued_at=NOW)
    assert reason_of(lambda: trust.parse(raw, NOW)) is Reason.KEY_REVOKED
    assert trust.parse(raw, WallMs(NOW - 1)).version == 1, "dated ahead: judged by our clock"


def test_document_outlives_the_root_keys_that_made_it() -> None:
    """Else a sidecar that restarts later could not read what it trusts, nor walk on from it."""
    raw = builders.trust_bytes(not_after={Role.ROOT: NOW}, issued_at=NOW - 1)
    assert trust.parse(raw, WallMs(NOW + builders.DAY_MS)).version == 1


def test_the_envelope_is_kept_and_other_signatures_make_no_other_document() -> None:
    two, three = (trust.parse(builders.trust_bytes(signed_by=n), NOW) for n in (2, 3))
    assert two.raw == builders.trust_bytes(signed_by=2)
    assert two.raw != three.raw
    assert two == three


def test_expired_document_still_opens_and_says_that_it_expired() -> None:
    made = builders.make_trust(expires=NOW)
    assert made.expired(NOW)
    assert not made.expired(WallMs(NOW - 1))


def test_object_of_another_type_is_refused_before_its_content_is_read() -> None:
    raw = sign("application/json", canonical.dump(builders.trust_body()), *builders.signers(
        Role.ROOT, 2
    ))  # fmt: skip
    assert reason_of(lambda: trust.parse(raw, NOW)) is Reason.TYPE_CONFUSION
    assert reason_of(lambda: builders.make_trust(type=beat.TYPE)) is Reason.TYPE_CONFUSION


@pytest.mark.parametrize(("n", "r", "w"), [(3, 1, 2), (3, 4, 3), (3, 3, 4), (5, 2, 3)])
def test_quorum_that_could_miss_a_written_epoch_is_refused(n: int, r: int, w: int) -> None:
    with pytest.raises(ProtocolError, match="need r, w <= n and r"):
        builders.make_trust(quorum=trust.Quorum(n=n, r=r, w=w))


def test_one_key_named_twice_in_a_role_is_no_second_key() -> None:
    body = builders.trust_body()
    key = body.roles.epoch.keyids[0]
    twice = trust.RoleKeys(keyids=(key, key), threshold=2)
    roles = msgspec.structs.replace(body.roles, epoch=twice)
    with pytest.raises(ProtocolError, match="names a key twice"):
        trust.parse(_resigned(msgspec.structs.replace(body, roles=roles)), NOW)


def test_role_whose_key_is_not_described_is_refused() -> None:
    body = builders.trust_body()
    keys = {name: key for name, key in body.keys.items() if name != body.roles.epoch.keyids[0]}
    with pytest.raises(ProtocolError, match="role epoch: no key"):
        trust.parse(_resigned(msgspec.structs.replace(body, keys=keys)), NOW)


def test_threshold_out_of_reach_is_refused() -> None:
    with pytest.raises(ProtocolError, match="out of reach"):
        builders.make_trust(roles={**builders.ROLES, Role.EPOCH: (2, 3)})


def test_key_under_the_id_of_another_is_refused() -> None:
    """Otherwise a revocation by id would miss it."""
    body = builders.trust_body()
    first, second = body.roles.epoch.keyids[:2]
    keys = {**body.keys, first: body.keys[second]}
    with pytest.raises(ProtocolError, match="has another id"):
        trust.parse(_resigned(msgspec.structs.replace(body, keys=keys)), NOW)


def test_key_of_another_algorithm_is_refused() -> None:
    body = builders.trust_body()
    first = body.roles.epoch.keyids[0]
    keys = {**body.keys, first: msgspec.structs.replace(body.keys[first], scheme="rsa")}
    with pytest.raises(ProtocolError, match="is not Ed25519"):
        trust.parse(_resigned(msgspec.structs.replace(body, keys=keys)), NOW)


def _resigned(body: trust.Body) -> bytes:
    return sign(trust.PAYLOAD_TYPE, canonical.dump(body), *builders.signers(Role.ROOT, 2))


# --- open


def test_threshold_of_distinct_keys_opens() -> None:
    under = builders.make_trust()
    keys = builders.signers(Role.EPOCH, 3)
    assert len(opened(under, Role.EPOCH, *keys[:2]).signers) == 2
    assert len(opened(under, Role.EPOCH, *keys).signers) == 3
    assert reason_of(lambda: opened(under, Role.EPOCH, keys[0])) is Reason.THRESHOLD_NOT_MET


def test_stolen_beat_key_cannot_sign_an_epoch() -> None:
    under = builders.make_trust()
    keys = builders.signers(Role.BEAT, 2)
    assert reason_of(lambda: opened(under, Role.EPOCH, *keys)) is Reason.KEY_UNKNOWN


def test_key_nobody_named_adds_nothing_and_spoils_nothing() -> None:
    under = builders.make_trust()
    stranger = FileSigner(b"s" * 32)
    keys = builders.signers(Role.EPOCH, 2)
    assert len(opened(under, Role.EPOCH, *keys, stranger).signers) == 2
    assert reason_of(lambda: opened(under, Role.EPOCH, keys[0], stranger)) is (
        Reason.THRESHOLD_NOT_MET
    )


def test_broken_signature_of_a_third_key_does_not_void_a_met_threshold() -> None:
    under = builders.make_trust()
    keys = builders.signers(Role.EPOCH, 3)
    message = envelope.pae(KIND, b"{}")
    signatures = {key.key_id: key.sign(message) for key in keys[:2]}
    sealed = envelope.seal(KIND, b"{}", {**signatures, keys[2].key_id: bytes(64)})
    assert len(under.open(envelope.parse(sealed, 100), Role.EPOCH, KIND, NOW).signers) == 2


def test_broken_signature_of_a_known_key_is_the_reason_that_is_told() -> None:
    under = builders.make_trust()
    keys = builders.signers(Role.EPOCH, 2)
    message = envelope.pae(KIND, b"{}")
    forged = {keys[0].key_id: keys[0].sign(message), keys[1].key_id: bytes(64)}
    sealed = envelope.parse(envelope.seal(KIND, b"{}", forged), 100)
    assert reason_of(lambda: under.open(sealed, Role.EPOCH, KIND, NOW)) is Reason.SIG_INVALID


def test_signature_moved_under_the_id_of_another_key_does_not_count() -> None:
    under = builders.make_trust()
    keys = builders.signers(Role.EPOCH, 2)
    one = keys[0].sign(envelope.pae(KIND, b"{}"))
    raw = envelope.seal(KIND, b"{}", {keys[0].key_id: one, keys[1].key_id: one})
    sealed = envelope.parse(raw, 100)
    assert reason_of(lambda: under.open(sealed, Role.EPOCH, KIND, NOW)) is Reason.SIG_INVALID


def test_revoked_key_signs_nothing_at_all() -> None:
    keys = builders.signers(Role.EPOCH, 3)
    gone = trust.Revoked(keyid=keys[0].key_id, reason="stolen", at=NOW)
    under = builders.make_trust(revoked=(gone,))
    assert reason_of(lambda: opened(under, Role.EPOCH, *keys[:2])) is Reason.THRESHOLD_NOT_MET
    assert reason_of(lambda: opened(under, Role.EPOCH, keys[0])) is Reason.KEY_REVOKED
    assert len(opened(under, Role.EPOCH, *keys[1:]).signers) == 2


def test_key_past_its_own_end_signs_nothing_now() -> None:
    under = builders.make_trust(not_after={Role.BEAT: NOW})
    key = builders.signer(Role.BEAT)
    assert opened(under, Role.BEAT, key, at=WallMs(NOW - 1)).signers == (key.key_id,)
    assert reason_of(lambda: opened(under, Role.BEAT, key)) is Reason.KEY_REVOKED


def test_role_without_keys_can_sign_nothing() -> None:
    under = builders.make_trust()
    assert reason_of(lambda: opened(under, Role.LOG, builders.signer(Role.ROOT))) is (
        Reason.KEY_UNKNOWN
    )


def test_envelope_of_another_type_is_refused_whoever_signed_it() -> None:
    under = builders.make_trust()
    raw = sign(epoch.PAYLOAD_TYPE, b"{}", builders.signer(Role.BEAT))
    sealed = envelope.parse(raw, 100)
    assert reason_of(lambda: under.open(sealed, Role.BEAT, KIND, NOW)) is Reason.TYPE_CONFUSION


def test_first_role_that_is_satisfied_opens() -> None:
    under = builders.make_trust()
    roles = (Role.HALT, Role.EPOCH, Role.ROOT)
    for keys in (builders.signers(Role.HALT, 1), builders.signers(Role.ROOT, 2)):
        sealed = envelope.parse(sign(KIND, b"{}", *keys), 100)
        assert len(under.open_any(sealed, roles, KIND, NOW).signers) == len(keys)
    mixed = sign(KIND, b"{}", builders.signer(Role.EPOCH), builders.signer(Role.ROOT))
    assert reason_of(
        lambda: under.open_any(envelope.parse(mixed, 1000), roles, KIND, NOW)
    ) is Reason.THRESHOLD_NOT_MET  # fmt: skip


def test_one_key_opens_what_needs_one_whatever_the_threshold_of_its_role() -> None:
    """Beats: the threshold counts streams, and each replica signs its own."""
    under = builders.make_trust(roles={**builders.ROLES, Role.BEAT: (2, 2)})
    key, stranger = builders.signer(Role.BEAT), builders.signer(Role.HALT)

    def single(*keys: FileSigner) -> envelope.Payload:
        sealed = envelope.parse(sign(KIND, b"{}", *keys), 100)
        return under.open_single(sealed, Role.BEAT, KIND, NOW)

    assert single(key).signers == (key.key_id,)
    assert single(key, stranger).signers == (key.key_id,)
    assert reason_of(lambda: opened(under, Role.BEAT, key)) is Reason.THRESHOLD_NOT_MET
    assert reason_of(lambda: single(stranger)) is Reason.KEY_UNKNOWN
    broken = envelope.seal(KIND, b"{}", {key.key_id: bytes(64)})
    sealed = envelope.parse(broken, 100)
    assert reason_of(lambda: under.open_single(sealed, Role.BEAT, KIND, NOW)) is Reason.SIG_INVALID
    assert reason_of(lambda: under.open_single(sealed, Role.BEAT, "x/y", NOW)) is (
        Reason.TYPE_CONFUSION
    )


def test_one_revoked_or_lapsed_key_opens_nothing() -> None:
    key = builders.signer(Role.BEAT)
    sealed = envelope.parse(sign(KIND, b"{}", key), 100)
    gone = trust.Revoked(keyid=key.key_id, reason="stolen", at=NOW)
    for under in (
        builders.make_trust(revoked=(gone,)),
        builders.make_trust(not_after={Role.BEAT: NOW}),
    ):
        assert reason_of(lambda: under.open_single(sealed, Role.BEAT, KIND, NOW)) is (  # noqa: B023
            Reason.KEY_REVOKED
        )


# --- properties


@given(st.binary(max_size=300))
def test_any_bytes_are_trust_or_a_protocol_error(raw: bytes) -> None:
    try:
        trust.parse(raw, NOW)
    except ProtocolError:
        return
    raise AssertionError("random bytes verified")


@given(st.data())
def test_any_single_changed_byte_is_refused(data: st.DataObject) -> None:
    raw = bytearray(builders.trust_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        trust.parse(bytes(raw), NOW)


def test_document_comes_back_as_it_was_signed() -> None:
    body = builders.trust_body()
    assert builders.make_trust().body == body
    assert json.loads(canonical.dump(body))["_type"] == trust.TYPE
