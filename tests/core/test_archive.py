"""Objects are fetched by digest, and an epoch follows the one before it."""

from typing import Any

import pytest

from sidecar.core import archive as archives
from sidecar.core import canonical, layout
from sidecar.core.archive import Archive, Missing
from sidecar.core.marks import ObjectMark
from sidecar.core.objects import epoch
from sidecar.core.objects.epoch import Epoch, PolicyRef
from sidecar.core.objects.trust import Mark, Role, Trust
from sidecar.core.profile import BASELINE
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import sign
from tests import builders, rotation
from tests.builders import NOW

TRUST = builders.make_trust()
OTHER_TRUST = builders.make_trust(version=2, prev_sha256="00" * 32)


def epochs(count: int) -> list[tuple[bytes, Epoch]]:
    """A chain of epochs from the first."""
    chain: list[tuple[bytes, Epoch]] = []
    for _ in range(count):
        raw = builders.epoch_bytes(TRUST, chain[-1][1] if chain else None)
        chain.append((raw, builders.open_epoch(raw, TRUST)))
    return chain


CHAIN = epochs(4)


def named(made: Epoch) -> Mark:
    return Mark(seq=made.seq, sha256=made.sha256)


def marked(made: Epoch) -> ObjectMark:
    return ObjectMark(seq=made.seq, sha256=made.sha256, envelope="")


def key(made: Epoch) -> str:
    return layout.epoch_key("test", made.sha256)


def blob_key(raw: bytes) -> str:
    return layout.blob_key("test", canonical.digest(raw))


@pytest.fixture
def archive() -> Archive:
    return Archive(TRUST)


def refused(archive: Archive, wanted: Mark, mark: ObjectMark | None = None) -> Reason:
    with pytest.raises(ProtocolError) as caught:
        archive.epoch(wanted, mark, NOW)
    return caught.value.reason


# -- hash first


def test_takes_an_epoch_under_its_digest(archive: Archive) -> None:
    raw, made = CHAIN[0]
    assert archive.add(key(made), raw)
    assert archive.epoch(named(made), None, NOW) == made
    assert archive.envelope(made.sha256) == raw


@pytest.mark.parametrize("raw", [b"", b"{}", CHAIN[1][0]])
def test_refuses_other_bytes_under_the_name_of_an_epoch(archive: Archive, raw: bytes) -> None:
    made = CHAIN[0][1]
    assert not archive.add(key(made), raw)
    assert isinstance(archive.epoch(named(made), None, NOW), Missing)


def test_refuses_other_bytes_under_the_name_of_a_blob(archive: Archive) -> None:
    assert not archive.add(blob_key(builders.POLICY), builders.ROUTES)


def test_a_blob_is_no_epoch_although_its_digest_is_right(archive: Archive) -> None:
    """The name says how the digest is taken: of the payload, or of the bytes."""
    sha256 = canonical.digest(builders.POLICY)
    assert not archive.add(layout.epoch_key("test", sha256), builders.POLICY)


def test_what_is_missing_is_a_value_that_says_where_it_is_kept(archive: Archive) -> None:
    made = CHAIN[0][1]
    missing = archive.epoch(named(made), None, NOW)
    assert isinstance(missing, Missing)
    assert missing.key == key(made)


# -- epochs


def test_an_epoch_without_its_threshold_is_refused(archive: Archive) -> None:
    raw = builders.epoch_bytes(TRUST, signed_by=1)
    body = canonical.digest(builders.epoch.statement(builders.predicate(TRUST)))
    archive.add(layout.epoch_key("test", body), raw)
    assert refused(archive, Mark(seq=1, sha256=body)) is Reason.THRESHOLD_NOT_MET


def test_an_epoch_with_another_number_than_the_beats_say_is_refused(archive: Archive) -> None:
    raw, made = CHAIN[0]
    archive.add(key(made), raw)
    assert refused(archive, Mark(seq=7, sha256=made.sha256)) is Reason.TYPE_CONFUSION


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"domain": "other"}, Reason.TYPE_CONFUSION),
        ({"trust": builders.trust_ref(OTHER_TRUST)}, Reason.TRUST_WITHHELD),
    ],
)
def test_an_epoch_of_another_domain_or_trust_is_refused(
    archive: Archive, changes: dict[str, Any], reason: Reason
) -> None:
    raw = builders.epoch_bytes(TRUST, **changes)
    made = builders.open_epoch(raw, TRUST)
    archive.add(key(made), raw)
    assert refused(archive, named(made)) is reason


def test_a_first_boot_takes_the_epoch_that_is_vouched_for(archive: Archive) -> None:
    raw, made = CHAIN[3]
    archive.add(key(made), raw)
    assert archive.epoch(named(made), None, NOW) == made


def test_the_epoch_after_the_marked_one_needs_no_links(archive: Archive) -> None:
    raw, made = CHAIN[1]
    archive.add(key(made), raw)
    assert archive.epoch(named(made), marked(CHAIN[0][1]), NOW) == made


def test_missed_epochs_are_asked_for_one_by_one_back_to_the_marked_one(archive: Archive) -> None:
    archive.add(key(CHAIN[3][1]), CHAIN[3][0])
    for number in (2, 1):
        missing = archive.epoch(named(CHAIN[3][1]), marked(CHAIN[0][1]), NOW)
        assert isinstance(missing, Missing)
        assert missing.key == key(CHAIN[number][1])
        archive.add(missing.key, CHAIN[number][0])
    assert archive.epoch(named(CHAIN[3][1]), marked(CHAIN[0][1]), NOW) == CHAIN[3][1]


def test_an_epoch_that_follows_another_past_is_refused(archive: Archive) -> None:
    forked = builders.make_epoch(TRUST, reason="another first epoch")
    archive.add(key(CHAIN[1][1]), CHAIN[1][0])
    assert refused(archive, named(CHAIN[1][1]), marked(forked)) is Reason.EPOCH_CHAIN_BREAK


def test_a_link_that_skips_a_number_is_refused(archive: Archive) -> None:
    raw = builders.epoch_bytes(TRUST, CHAIN[1][1], seq=5)
    made = builders.open_epoch(raw, TRUST)
    archive.add(key(made), raw)
    archive.add(key(CHAIN[1][1]), CHAIN[1][0])
    assert refused(archive, named(made), marked(CHAIN[0][1])) is Reason.EPOCH_CHAIN_BREAK


def test_a_sidecar_that_missed_too_many_epochs_does_not_walk(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LINKS_MAX", 2)
    archive.add(key(CHAIN[3][1]), CHAIN[3][0])
    assert refused(archive, named(CHAIN[3][1]), marked(CHAIN[0][1])) is Reason.EPOCH_CHAIN_BREAK


# -- after a rotation


def under(trust: Trust, *raws: tuple[bytes, Epoch]) -> Archive:
    """What was fetched earlier, under another trust document."""
    archive = Archive(TRUST)
    for raw, made in raws:
        archive.add(key(made), raw)
    archive.renew(trust)
    return archive


NEW_KEYS = {Role.EPOCH: rotation.others(Role.EPOCH)}
SAME_KEYS = rotation.successor(TRUST)
ROTATED = rotation.successor(TRUST, NEW_KEYS)


def test_an_older_epoch_is_valid_if_the_threshold_of_todays_keys_signed_it() -> None:
    made = CHAIN[1][1]
    assert under(SAME_KEYS, CHAIN[1]).epoch(named(made), None, NOW) == made
    assert refused(under(ROTATED, CHAIN[1]), named(made)) is Reason.KEY_UNKNOWN
    body = builders.epoch.statement(made.says)
    both = sign(builders.epoch.PAYLOAD_TYPE, body, *NEW_KEYS[Role.EPOCH][:2])
    assert under(ROTATED, (both, made)).epoch(named(made), None, NOW) == made


def test_the_marked_epoch_outlives_the_keys_that_signed_it_and_keeps_its_evidence() -> None:
    raw, made = CHAIN[1]
    stripped = builders.epoch_bytes(TRUST, CHAIN[0][1], signed_by=1)
    archive = under(ROTATED, (stripped, made))
    mark = ObjectMark(seq=made.seq, sha256=made.sha256, envelope=raw.decode())
    assert archive.epoch(named(made), mark, NOW) == made
    assert archive.envelope(made.sha256) == raw
    for other in (None, marked(CHAIN[0][1])):
        assert refused(under(ROTATED, CHAIN[1]), named(made), other) is Reason.KEY_UNKNOWN


def test_the_epoch_that_root_endorsed_needs_none_of_the_keys_that_signed_it() -> None:
    made = CHAIN[1][1]
    trust = rotation.successor(TRUST, NEW_KEYS, floors=rotation.floors(named(made)))
    assert under(trust, CHAIN[1]).epoch(named(made), None, NOW) == made
    assert refused(under(trust, CHAIN[2]), named(CHAIN[2][1])) is Reason.KEY_UNKNOWN


def test_an_epoch_below_the_floor_or_beside_it_is_refused() -> None:
    trust = rotation.successor(TRUST, floors=rotation.floors(named(CHAIN[1][1])))
    rival = builders.epoch_bytes(TRUST, CHAIN[0][1], reason="rival")
    beside = builders.open_epoch(rival, TRUST)
    archive = under(trust, CHAIN[0], CHAIN[2], (rival, beside))
    for made in (CHAIN[0][1], beside):
        assert refused(archive, named(made), marked(made)) is Reason.ROLLBACK
    assert archive.epoch(named(CHAIN[2][1]), marked(CHAIN[1][1]), NOW) == CHAIN[2][1]


def test_an_epoch_of_a_newer_trust_says_so_although_its_keys_are_not_known_yet() -> None:
    body = builders.epoch.statement(builders.predicate(ROTATED))
    raw = sign(builders.epoch.PAYLOAD_TYPE, body, *NEW_KEYS[Role.EPOCH][:2])
    made = builders.open_epoch(raw, ROTATED)
    assert refused(under(TRUST, (raw, made)), named(made)) is Reason.TRUST_WITHHELD
    assert refused(under(TRUST, (raw, made)), named(made), marked(made)) is Reason.TRUST_WITHHELD
    assert under(ROTATED, (raw, made)).epoch(named(made), None, NOW) == made


def test_links_that_old_keys_signed_are_walked_all_the_same() -> None:
    body = builders.epoch.statement(builders.predicate(ROTATED, CHAIN[3][1]))
    raw = sign(builders.epoch.PAYLOAD_TYPE, body, *NEW_KEYS[Role.EPOCH][:2])
    made = builders.open_epoch(raw, ROTATED)
    archive = under(ROTATED, (raw, made), *CHAIN[1:])
    assert archive.epoch(named(made), marked(CHAIN[0][1]), NOW) == made


def test_a_rotation_judges_anew_what_was_verified_before_and_fetches_nothing_again() -> None:
    archive = Archive(TRUST)
    archive.add(key(CHAIN[0][1]), CHAIN[0][0])
    archive.add(blob_key(builders.POLICY), builders.POLICY)
    assert archive.epoch(named(CHAIN[0][1]), None, NOW) == CHAIN[0][1]
    archive.renew(ROTATED)
    assert refused(archive, named(CHAIN[0][1])) is Reason.KEY_UNKNOWN
    assert not isinstance(archive.policy(policy_ref()), Missing)


# -- blobs


def policy_ref(raw: bytes = builders.POLICY, **changes: Any) -> PolicyRef:
    said: dict[str, Any] = {
        "sha256": canonical.digest(raw),
        "size": len(raw),
        "media_type": builders.policy.MEDIA_TYPE,
    }
    return PolicyRef(**(said | changes))


def blob_refused(archive: Archive, said: PolicyRef) -> Reason:
    with pytest.raises(ProtocolError) as caught:
        archive.policy(said)
    return caught.value.reason


def test_a_missing_policy_and_a_missing_route_table_have_reasons_of_their_own(
    archive: Archive,
) -> None:
    policy = archive.policy(policy_ref())
    routes = archive.routes(CHAIN[0][1].says.routes)
    assert isinstance(policy, Missing)
    assert isinstance(routes, Missing)
    assert policy.reason is Reason.POLICY_MISSING
    assert routes.reason is Reason.ROUTE_DIGEST_MISMATCH


def test_a_policy_is_compiled_once(archive: Archive) -> None:
    archive.add(blob_key(builders.POLICY), builders.POLICY)
    assert archive.policy(policy_ref()) is archive.policy(policy_ref())


def test_a_policy_of_another_size_than_the_epoch_says_is_refused(archive: Archive) -> None:
    archive.add(blob_key(builders.POLICY), builders.POLICY)
    said = policy_ref(size=len(builders.POLICY) + 1)
    assert blob_refused(archive, said) is Reason.POLICY_DIGEST_MISMATCH


def test_a_policy_in_another_language_is_refused(archive: Archive) -> None:
    archive.add(blob_key(builders.POLICY), builders.POLICY)
    said = policy_ref(media_type="application/vnd.other+json")
    assert blob_refused(archive, said) is Reason.POLICY_INVALID


def test_a_policy_that_does_not_compile_is_refused(archive: Archive) -> None:
    archive.add(blob_key(b"{}"), b"{}")
    with pytest.raises(ProtocolError):
        archive.policy(policy_ref(b"{}"))


def test_a_profile_is_fetched_by_digest_and_has_the_name_that_the_epoch_says(
    archive: Archive,
) -> None:
    raw = builders.profile_bytes()
    missing = archive.profile(builders.profile_ref(raw))
    assert isinstance(missing, Missing)
    assert (missing.reason, missing.key) == (Reason.PROFILE_UNSUPPORTED, blob_key(raw))
    archive.add(blob_key(raw), raw)
    found = archive.profile(builders.profile_ref(raw))
    assert not isinstance(found, Missing)
    assert found.raw == raw
    assert archive.profile(builders.profile_ref(raw)) is found
    with pytest.raises(ProtocolError, match="calls itself 'strict'"):
        archive.profile(builders.profile_ref(raw, "other"))


def test_the_profile_that_is_built_in_is_fetched_from_nobody(archive: Archive) -> None:
    assert archive.profile(epoch.BASELINE) is BASELINE
    assert isinstance(archive.profile(builders.profile_ref(b"x", "baseline")), Missing)


def test_the_profile_of_the_epoch_in_force_is_kept_and_another_is_not(archive: Archive) -> None:
    old, new = builders.profile_bytes(), builders.profile_bytes(parent="required")
    for raw in (old, new):
        archive.add(blob_key(raw), raw)
        assert not isinstance(archive.profile(builders.profile_ref(raw)), Missing)
    archive.keep(builders.make_epoch(TRUST, profile=builders.profile_ref(new)))
    assert isinstance(archive.profile(builders.profile_ref(old)), Missing)
    assert not isinstance(archive.profile(builders.profile_ref(new)), Missing)


def test_only_the_epoch_in_force_and_what_it_names_are_kept(archive: Archive) -> None:
    for raw, made in CHAIN[:2]:
        archive.add(key(made), raw)
    for blob in (builders.POLICY, builders.ROUTES, b"old"):
        archive.add(blob_key(blob), blob)
    archive.keep(CHAIN[1][1])
    assert isinstance(archive.epoch(named(CHAIN[0][1]), None, NOW), Missing)
    assert archive.epoch(named(CHAIN[1][1]), None, NOW) == CHAIN[1][1]
    assert not isinstance(archive.policy(policy_ref()), Missing)
    assert archive.route_bytes(canonical.digest(builders.ROUTES)) == builders.ROUTES
    assert isinstance(archive.policy(policy_ref(b"old")), Missing)


def test_envelope_with_stripped_signatures_is_refused_and_then_asked_for_again() -> None:
    """One hostile peer answers first; were its copy kept, the epoch could never be entered."""
    good, made = CHAIN[0]
    archive = Archive(TRUST)
    assert archive.add(key(made), builders.epoch_bytes(TRUST, signed_by=1))
    with pytest.raises(ProtocolError) as caught:
        archive.epoch(named(made), None, NOW)
    assert caught.value.reason is Reason.THRESHOLD_NOT_MET
    assert isinstance(archive.epoch(named(made), None, NOW), Missing)
    assert archive.add(key(made), good)
    assert archive.epoch(named(made), None, NOW) == made


def test_verified_envelope_is_not_replaced_by_a_later_copy() -> None:
    """It is what is stored, and what anybody could be shown as evidence."""
    good, made = CHAIN[0]
    archive = Archive(TRUST)
    archive.add(key(made), good)
    archive.epoch(named(made), None, NOW)
    archive.add(key(made), builders.epoch_bytes(TRUST, signed_by=1))
    assert archive.envelope(made.sha256) == good
