"""How one trust document follows another: the root rules of TUF, and what we add to them.

The cases are those of tuf-conformance (root rotation, thresholds, versions), transposed.
"""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, envelope
from sidecar.core.instant import WallMs
from sidecar.core.objects import beat, trust
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.builders import DAY_MS, NOW, signer, signers

FIRST = builders.make_trust()
OLD = signers(Role.ROOT, 3)
NEW = [FileSigner(bytes([number] * 32)) for number in (1, 2, 3)]


def reason_of(call: Callable[[], object]) -> Reason:
    with pytest.raises(ProtocolError) as caught:
        call()
    return caught.value.reason


def described(*keys: FileSigner, not_after: int | None = None) -> dict[str, trust.Key]:
    return {
        key.key_id: trust.Key(
            keytype="ed25519", scheme="ed25519", public=key.public.hex(), not_after=not_after
        )
        for key in keys
    }


def next_body(
    before: Trust = FIRST,
    *,
    root: list[FileSigner] | None = None,
    threshold: int = 2,
    **changes: Any,
) -> trust.Body:
    """What follows `before`; `root`: the new root keys."""
    body = msgspec.structs.replace(
        before.body, version=before.version + 1, prev_sha256=before.sha256
    )
    if root is not None:
        named = trust.RoleKeys(
            keyids=tuple(sorted(key.key_id for key in root)), threshold=threshold
        )
        roles = msgspec.structs.replace(body.roles, root=named)
        body = msgspec.structs.replace(body, roles=roles, keys={**body.keys, **described(*root)})
    return msgspec.structs.replace(body, **changes)


def sealed(body: trust.Body, *keys: FileSigner) -> bytes:
    return sign(trust.PAYLOAD_TYPE, canonical.dump(body), *keys)


def revoked(*keys: FileSigner) -> tuple[trust.Revoked, ...]:
    return tuple(trust.Revoked(keyid=key.key_id, reason="stolen", at=NOW) for key in keys)


# --- both thresholds


def test_successor_signed_by_the_roots_of_both_is_accepted_and_keeps_its_envelope() -> None:
    raw = sealed(next_body(root=NEW), *OLD[:2], *NEW[:2])
    made = FIRST.rotate(raw, NOW)
    assert (made.version, made.raw) == (2, raw)
    assert set(made.keys[Role.ROOT]) == {key.key_id for key in NEW}
    assert trust.parse(raw, NOW) == made, "what was stored reads back as what was adopted"


def test_unchanged_roots_sign_once_for_both() -> None:
    assert FIRST.rotate(sealed(next_body(), *OLD[:2]), NOW).version == 2


@pytest.mark.parametrize(
    "keys",
    [[*NEW], [*OLD[:1], *NEW], [*OLD], [*OLD, NEW[0]], [], [signer(Role.EPOCH), *NEW]],
    ids=["no old", "one old", "no new", "one new", "nobody", "an epoch key for the old"],
)
def test_successor_without_one_of_the_two_thresholds_is_refused(keys: list[FileSigner]) -> None:
    body = next_body(root=NEW)
    raw = envelope.seal(trust.PAYLOAD_TYPE, canonical.dump(body), {})
    if keys:
        raw = sealed(body, *keys)
    assert reason_of(lambda: FIRST.rotate(raw, NOW)) in (
        Reason.THRESHOLD_NOT_MET,
        Reason.KEY_UNKNOWN,
    )


@pytest.mark.parametrize(("threshold", "signed_by", "accepted"), [
    (3, 2, False), (3, 3, True), (1, 1, False), (1, 2, True),
])  # fmt: skip
def test_raised_threshold_binds_at_once_and_a_lowered_one_not_yet(
    threshold: int,
    signed_by: int,
    accepted: bool,  # noqa: FBT001
) -> None:
    raw = sealed(next_body(root=OLD, threshold=threshold), *OLD[:signed_by])
    if accepted:
        assert FIRST.rotate(raw, NOW).role(Role.ROOT).threshold == threshold
    else:
        assert reason_of(lambda: FIRST.rotate(raw, NOW)) is Reason.THRESHOLD_NOT_MET


def test_lowered_threshold_holds_for_the_version_after() -> None:
    second = FIRST.rotate(sealed(next_body(root=OLD, threshold=1), *OLD[:2]), NOW)
    assert second.rotate(sealed(next_body(second), OLD[2]), NOW).version == 3


def test_bad_extra_signature_does_not_spoil_a_document_that_meets_its_thresholds() -> None:
    body = canonical.dump(next_body())
    message = envelope.pae(trust.PAYLOAD_TYPE, body)
    signatures = {key.key_id: key.sign(message) for key in OLD[:2]} | {OLD[2].key_id: bytes(64)}
    assert FIRST.rotate(envelope.seal(trust.PAYLOAD_TYPE, body, signatures), NOW).version == 2


def test_bad_signature_is_none() -> None:
    body = canonical.dump(next_body())
    good = OLD[0].sign(envelope.pae(trust.PAYLOAD_TYPE, body))
    raw = envelope.seal(trust.PAYLOAD_TYPE, body, {OLD[0].key_id: good, OLD[1].key_id: good})
    assert reason_of(lambda: FIRST.rotate(raw, NOW)) is Reason.SIG_INVALID


def test_key_id_that_signs_twice_refuses_the_envelope() -> None:
    raw = sealed(next_body(), *OLD[:2])
    ids = sorted(key.key_id for key in OLD[:2])
    twice = raw.replace(ids[1].encode(), ids[0].encode())
    assert reason_of(lambda: FIRST.rotate(twice, NOW)) is Reason.NONCANONICAL


def test_one_public_key_under_two_ids_is_one_vote() -> None:
    """The second id is not the digest of the key, so no document can give it a role."""
    alias = "a" * 64
    body = next_body(root=[OLD[0]], threshold=2)
    named = trust.RoleKeys(keyids=(OLD[0].key_id, alias), threshold=2)
    body = msgspec.structs.replace(
        body,
        keys={**body.keys, alias: body.keys[OLD[0].key_id]},
        roles=msgspec.structs.replace(body.roles, root=named),
    )
    assert reason_of(lambda: FIRST.rotate(sealed(body, *OLD), NOW)) is Reason.TYPE_CONFUSION
    keys = {envelope.KeyId(name): OLD[0].public for name in (OLD[0].key_id, alias)}
    signature = OLD[0].sign(envelope.pae("t", b"{}"))
    two = envelope.parse(envelope.seal("t", b"{}", dict.fromkeys(keys, signature)), 100)
    assert len(envelope.signed_by(two, keys)) == 1


def test_threshold_that_the_new_keys_cannot_reach_is_refused() -> None:
    raw = sealed(next_body(root=NEW[:2], threshold=3), *OLD, *NEW)
    assert reason_of(lambda: FIRST.rotate(raw, NOW)) is Reason.TYPE_CONFUSION


def test_new_root_role_without_keys_is_refused() -> None:
    assert reason_of(lambda: FIRST.rotate(sealed(next_body(root=[]), *OLD), NOW)) is (
        Reason.KEY_UNKNOWN
    )


# --- revocation


def test_root_key_that_this_document_revoked_does_not_count() -> None:
    under = builders.make_trust(revoked=revoked(OLD[2]))
    assert reason_of(lambda: under.rotate(sealed(next_body(under), OLD[0], OLD[2]), NOW)) is (
        Reason.THRESHOLD_NOT_MET
    )


def test_root_key_that_only_the_successor_revokes_counts_for_the_old_threshold_alone() -> None:
    body = next_body(root=[*OLD, *NEW], revoked=revoked(OLD[0]))
    made = FIRST.rotate(sealed(body, OLD[0], OLD[1], NEW[0]), NOW)
    assert OLD[0].key_id not in made.keys[Role.ROOT]
    assert reason_of(lambda: FIRST.rotate(sealed(body, OLD[0], OLD[1]), NOW)) is (
        Reason.THRESHOLD_NOT_MET
    )


def test_successor_that_revokes_its_roots_below_their_threshold_is_refused() -> None:
    """Nothing could ever follow it."""
    body = next_body(revoked=revoked(*OLD[:2]))
    assert reason_of(lambda: FIRST.rotate(sealed(body, *OLD), NOW)) is Reason.THRESHOLD_NOT_MET


# --- the chain


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 3},
        {"version": 1},
        {"version": 1, "prev_sha256": None},
        {"prev_sha256": None},
        {"prev_sha256": "0" * 64},
        {"issued_at": FIRST.body.issued_at - 1},
    ],
    ids=["skipped", "same version", "same version, other content", "no prev", "other prev", "back"],
)
def test_document_that_does_not_follow_is_refused_whoever_signed_it(
    changes: dict[str, Any],
) -> None:
    raw = sealed(next_body(**changes), *OLD)
    assert reason_of(lambda: FIRST.rotate(raw, NOW)) is Reason.TRUST_CHAIN_BREAK


def test_document_itself_is_no_successor() -> None:
    assert reason_of(lambda: FIRST.rotate(FIRST.raw, NOW)) is Reason.TRUST_CHAIN_BREAK


def test_chain_is_walked_one_version_at_a_time() -> None:
    second = FIRST.rotate(sealed(next_body(root=NEW), *OLD, *NEW), NOW)
    raw = sealed(next_body(second), *NEW, *OLD)
    assert reason_of(lambda: FIRST.rotate(raw, NOW)) is Reason.TRUST_CHAIN_BREAK
    assert second.rotate(raw, NOW).version == 3


def test_document_that_strangers_made_says_so_and_not_that_the_chain_broke() -> None:
    raw = sealed(next_body(version=9), *NEW)
    assert reason_of(lambda: FIRST.rotate(raw, NOW)) is Reason.KEY_UNKNOWN


def test_document_of_another_domain_is_refused() -> None:
    raw = sealed(next_body(domain="other"), *OLD)
    assert reason_of(lambda: FIRST.rotate(raw, NOW)) is Reason.TYPE_CONFUSION


def test_object_of_another_type_is_refused() -> None:
    body = canonical.dump(next_body())
    other = sign(beat.PAYLOAD_TYPE, body, *OLD)
    assert reason_of(lambda: FIRST.rotate(other, NOW)) is Reason.TYPE_CONFUSION
    raw = sealed(next_body(type=beat.TYPE), *OLD)
    assert reason_of(lambda: FIRST.rotate(raw, NOW)) is Reason.TYPE_CONFUSION


def test_document_longer_than_its_limit_is_refused() -> None:
    lines = tuple(
        trust.Revoked(keyid=f"{number:064x}", reason="x" * 512, at=0) for number in range(120)
    )
    raw = sealed(next_body(revoked=lines), *OLD)
    assert reason_of(lambda: FIRST.rotate(raw, NOW)) is Reason.OVERSIZE


def test_document_that_nobody_signed_opens_for_ceremonies_and_follows_nothing() -> None:
    draft = trust.unsigned(next_body(root=NEW))
    assert (draft.version, draft.raw) == (2, b"")
    assert draft.sha256 == FIRST.rotate(sealed(draft.body, *OLD, *NEW), NOW).sha256
    assert reason_of(lambda: FIRST.rotate(draft.raw, NOW)) is Reason.NONCANONICAL
    assert reason_of(lambda: trust.unsigned(next_body(root=NEW, threshold=4))) is (
        Reason.TYPE_CONFUSION
    )


# --- time


def test_expired_document_is_a_step_on_the_way() -> None:
    second = FIRST.rotate(sealed(next_body(expires=NOW - 1), *OLD), NOW)
    assert second.expired(NOW)
    assert not second.rotate(sealed(next_body(second, expires=NOW + 1), *OLD), NOW).expired(NOW)


def test_chain_can_be_walked_after_its_root_keys_lapsed() -> None:
    first = builders.make_trust(not_after={Role.ROOT: NOW})
    raw = sealed(next_body(first, root=NEW, issued_at=NOW - 1), *OLD, *NEW)
    assert first.rotate(raw, WallMs(NOW + 100 * DAY_MS)).version == 2


def test_root_keys_that_had_lapsed_when_it_was_issued_do_not_count() -> None:
    first = builders.make_trust(not_after={Role.ROOT: NOW})
    raw = sealed(next_body(first, root=NEW, issued_at=NOW), *OLD, *NEW)
    assert reason_of(lambda: first.rotate(raw, WallMs(NOW + DAY_MS))) is Reason.KEY_REVOKED


def test_lapsed_root_keys_cannot_date_back_what_follows_a_later_document() -> None:
    first = builders.make_trust(not_after={Role.ROOT: NOW})
    second = FIRST.rotate(
        sealed(next_body(issued_at=NOW, keys=first.body.keys), *OLD), WallMs(NOW - 1)
    )
    for issued_at, reason in ((NOW, Reason.KEY_REVOKED), (NOW - 1, Reason.TRUST_CHAIN_BREAK)):
        raw = sealed(next_body(second, issued_at=issued_at), *OLD)
        assert reason_of(lambda: second.rotate(raw, WallMs(NOW + 1))) is reason  # noqa: B023


# --- roles that changed


def test_role_has_changed_when_its_keys_have() -> None:
    body = next_body()
    other = NEW[0]
    beats = trust.RoleKeys(keyids=(other.key_id,), threshold=1)
    rotated = msgspec.structs.replace(
        body,
        roles=msgspec.structs.replace(body.roles, beat=beats),
        keys={**body.keys, **described(other)},
    )
    changed = {
        "rotated": rotated,
        "revoked": msgspec.structs.replace(body, revoked=revoked(signer(Role.BEAT))),
        "same": body,
        "threshold": msgspec.structs.replace(
            body,
            roles=msgspec.structs.replace(
                body.roles, beat=msgspec.structs.replace(body.roles.beat, threshold=2)
            ),
        ),
        "longer life": msgspec.structs.replace(
            body, keys={**body.keys, **described(*signers(Role.BEAT, 2), not_after=NOW + DAY_MS)}
        ),
    }
    for name, after in changed.items():
        made = FIRST.rotate(sealed(after, *OLD), NOW)
        assert FIRST.changed(made, Role.BEAT) == (name in ("rotated", "revoked")), name
        assert not FIRST.changed(made, Role.EPOCH), name


# --- properties


@given(st.binary(max_size=300))
def test_any_bytes_follow_or_are_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        FIRST.rotate(raw, NOW)


@given(st.data())
def test_any_single_changed_byte_is_refused(data: st.DataObject) -> None:
    raw = bytearray(sealed(next_body(), *OLD[:2]))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        FIRST.rotate(bytes(raw), NOW)


SUBSETS = [
    list(keys) for size in range(1, 7) for keys in itertools.combinations([*OLD, *NEW], size)
]


@given(st.sampled_from(SUBSETS), st.integers(1, 3), st.integers(1, 3))
def test_accepted_exactly_when_both_thresholds_are_met(
    keys: list[FileSigner], old: int, new: int
) -> None:
    first = builders.make_trust(roles={**builders.ROLES, Role.ROOT: (3, old)}, signed_by=3)
    raw = sealed(next_body(first, root=NEW, threshold=new), *keys)
    held = {key.key_id for key in keys}
    enough = (
        len(held & {key.key_id for key in OLD}) >= old
        and len(held & {key.key_id for key in NEW}) >= new
    )
    try:
        accepted = first.rotate(raw, NOW).version == 2
    except ProtocolError:
        accepted = False
    assert accepted == enough
