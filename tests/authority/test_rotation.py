"""A draft grows by signatures from several machines until a sidecar would take it."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authority import edits, rotation
from sidecar.authority.ceremony import CeremonyError
from sidecar.authority.rotation import Draft
from sidecar.core import canonical
from sidecar.core.instant import WallMs
from sidecar.core.objects import beat, trust
from sidecar.core.objects.trust import Body, Role, Trust
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.builders import DAY_MS, NOW, signers

CURRENT = builders.make_trust()
OLD = signers(Role.ROOT, 3)
NEW = [FileSigner(bytes([number] * 32)) for number in range(1, 15)]


def draft_of(body: Body) -> Draft:
    return Draft(body, {})


def new_roots(count: int = 3, threshold: int = 2, current: Trust = CURRENT) -> Draft:
    """A draft in which other keys hold role root."""
    body = rotation.begin(current, NOW).body
    body = edits.add_keys(body, Role.ROOT, [key.public for key in NEW[:count]])
    body = edits.retire_keys(body, Role.ROOT, tuple(current.keys[Role.ROOT]))
    return draft_of(edits.set_threshold(body, Role.ROOT, threshold))


def missing(draft: Draft, at: WallMs = NOW) -> tuple[int, int]:
    old, new = rotation.tallies(CURRENT, draft, at)
    return old.missing, new.missing


def test_draft_follows_and_lives_as_long_again() -> None:
    body = rotation.begin(CURRENT, NOW).body
    assert (body.version, body.prev_sha256, body.issued_at) == (2, CURRENT.sha256, NOW)
    assert body.expires - body.issued_at == CURRENT.body.expires - CURRENT.body.issued_at


def test_draft_made_on_a_slow_clock_is_not_issued_before_its_predecessor() -> None:
    body = rotation.begin(CURRENT, WallMs(0)).body
    assert body.issued_at == CURRENT.body.issued_at


def test_draft_without_signatures_is_kept_and_read_back() -> None:
    draft = new_roots()
    assert rotation.read(draft.raw) == draft
    with pytest.raises(
        CeremonyError, match=r"needs 2 more of version 1's root keys; 2 more of vers"
    ):
        rotation.complete(CURRENT, draft.raw, NOW)


def test_each_signer_adds_a_signature_until_both_thresholds_are_met() -> None:
    draft = new_roots()
    seen = [missing(draft)]
    for key in (OLD[0], NEW[0], OLD[2], NEW[1]):
        draft = rotation.sign(CURRENT, rotation.read(draft.raw), [key], NOW)
        seen.append(missing(draft))
    assert seen == [(2, 2), (1, 2), (1, 1), (0, 1), (0, 0)]
    made = rotation.complete(CURRENT, draft.raw, NOW)
    assert made == CURRENT.rotate(draft.raw, NOW)
    assert (made.version, made.sha256) == (2, draft.sha256)


def test_key_of_both_documents_counts_for_both() -> None:
    draft = rotation.sign(CURRENT, rotation.begin(CURRENT, NOW), OLD[:1], NOW)
    old, new = rotation.tallies(CURRENT, draft, NOW)
    assert old.signed == new.signed == (OLD[0].key_id,)
    assert set(old.waiting) == {key.key_id for key in OLD[1:]}


def test_signing_twice_is_signing_once() -> None:
    draft = rotation.sign(CURRENT, new_roots(), OLD[:1], NOW)
    assert rotation.sign(CURRENT, draft, [OLD[0], OLD[0]], NOW).raw == draft.raw


@pytest.mark.parametrize("key", [builders.signer(Role.EPOCH), NEW[5]], ids=["epoch", "stranger"])
def test_key_that_counts_for_neither_does_not_sign(key: FileSigner) -> None:
    with pytest.raises(CeremonyError, match="no usable root key of version 1 or 2"):
        rotation.sign(CURRENT, new_roots(), [key], NOW)


def test_lapsed_root_key_does_not_sign() -> None:
    current = builders.make_trust(not_after={Role.ROOT: NOW})
    with pytest.raises(CeremonyError, match="no usable root key"):
        rotation.sign(current, new_roots(current=current), OLD[:1], WallMs(NOW + 1))


def test_revoked_root_key_still_signs_its_own_removal() -> None:
    """Two keys, both must sign, one is lost to a thief: the owner's two signatures end it."""
    current = builders.make_trust(roles={**builders.ROLES, Role.ROOT: (2, 2)})
    body = edits.revoke_key(rotation.begin(current, NOW).body, OLD[0].key_id, "stolen", NOW)
    body = edits.add_keys(body, Role.ROOT, [NEW[0].public])
    draft = rotation.sign(current, draft_of(body), [*OLD[:2], NEW[0]], NOW)
    made = rotation.complete(current, draft.raw, NOW)
    assert OLD[0].key_id not in made.keys[Role.ROOT]


def test_copies_signed_apart_are_merged() -> None:
    draft = new_roots()
    one = rotation.sign(CURRENT, draft, [OLD[0], NEW[0]], NOW)
    two = rotation.sign(CURRENT, draft, [OLD[1], NEW[1]], NOW)
    merged, left_out = rotation.merge(CURRENT, one, two, NOW)
    assert left_out == []
    assert rotation.complete(CURRENT, merged.raw, NOW).version == 2
    assert rotation.merge(CURRENT, two, one, NOW)[0].raw == merged.raw


def test_copy_of_another_draft_is_not_merged() -> None:
    draft = new_roots()
    other = draft_of(msgspec.structs.replace(draft.body, expires=draft.body.expires + 1))
    with pytest.raises(CeremonyError, match="another draft"):
        rotation.merge(CURRENT, draft, rotation.sign(CURRENT, other, OLD[:1], NOW), NOW)


def test_signatures_that_do_not_count_are_left_out_of_a_merge() -> None:
    """Else a copy could put a bad signature in the place of a good one, or fill the draft."""
    draft = rotation.sign(CURRENT, new_roots(), OLD[:1], NOW)
    bad = Draft(draft.body, {OLD[0].key_id: bytes(64), NEW[9].key_id: bytes(64)})
    merged, left_out = rotation.merge(CURRENT, draft, bad, NOW)
    assert merged == draft
    assert set(left_out) == {OLD[0].key_id, NEW[9].key_id}


def test_bad_signature_in_a_draft_counts_for_nobody() -> None:
    draft = Draft(new_roots().body, {OLD[0].key_id: bytes(64)})
    assert missing(draft) == (2, 2)


@pytest.mark.parametrize(
    "changes",
    [{"version": 3}, {"version": 1}, {"prev_sha256": "0" * 64}, {"prev_sha256": None},
     {"domain": "other"}],
)  # fmt: skip
def test_draft_that_follows_another_document_is_not_signed(changes: dict[str, object]) -> None:
    body = msgspec.structs.replace(rotation.begin(CURRENT, NOW).body, **changes)
    with pytest.raises(CeremonyError, match="give the one before it"):
        rotation.sign(CURRENT, draft_of(body), OLD[:2], NOW)


def test_draft_that_no_sidecar_would_take_is_not_signed() -> None:
    body = edits.set_threshold(rotation.begin(CURRENT, NOW).body, Role.EPOCH, 4)
    with pytest.raises(CeremonyError, match="role epoch: threshold out of reach"):
        rotation.sign(CURRENT, draft_of(body), OLD[:2], NOW)


def test_roots_too_few_for_their_threshold_are_refused_before_anybody_signs() -> None:
    body = rotation.begin(CURRENT, NOW).body
    gone = tuple(trust.Revoked(keyid=key.key_id, reason="", at=NOW) for key in OLD[:2])
    with pytest.raises(CeremonyError, match="nothing could ever follow"):
        rotation.check(CURRENT, draft_of(msgspec.structs.replace(body, revoked=gone)))


def test_more_signatures_than_a_document_takes_are_refused_before_anybody_signs() -> None:
    current = builders.make_trust(roles={**builders.ROLES, Role.ROOT: (9, 9)}, signed_by=9)
    with pytest.raises(CeremonyError, match="17 signatures would be needed"):
        rotation.check(current, new_roots(8, 8, current))
    assert rotation.check(current, new_roots(7, 7, current)).version == 2


def test_draft_that_grew_too_long_is_refused_before_anybody_signs() -> None:
    lines = tuple(
        trust.Revoked(keyid=f"{number:064x}", reason="x" * 512, at=0) for number in range(120)
    )
    body = msgspec.structs.replace(rotation.begin(CURRENT, NOW).body, revoked=lines)
    with pytest.raises(CeremonyError, match="limit 65536"):
        rotation.check(CURRENT, draft_of(body))


def test_complete_draft_of_keys_that_lapse_later_stays_complete() -> None:
    current = builders.make_trust(not_after={Role.ROOT: NOW + 1})
    draft = rotation.sign(current, new_roots(current=current), [*OLD[:2], *NEW[:2]], NOW)
    assert rotation.complete(current, draft.raw, WallMs(NOW + DAY_MS)).version == 2


def test_other_objects_are_no_drafts() -> None:
    raw = sign(beat.PAYLOAD_TYPE, canonical.dump(new_roots().body), OLD[0])
    with pytest.raises(ProtocolError) as caught:
        rotation.read(raw)
    assert caught.value.reason is Reason.TYPE_CONFUSION


def subset(keys: Sequence[FileSigner]) -> st.SearchStrategy[list[FileSigner]]:
    return st.lists(st.sampled_from(keys), max_size=4, unique_by=lambda key: key.key_id)


@given(subset(OLD), subset(NEW[:3]))
def test_nothing_missing_is_exactly_what_a_sidecar_takes(
    old: list[FileSigner], new: list[FileSigner]
) -> None:
    draft = rotation.sign(CURRENT, new_roots(), [*old, *new], NOW)
    try:
        taken = CURRENT.rotate(draft.raw, NOW).version == 2
    except ProtocolError:
        taken = False
    assert taken == (missing(draft) == (0, 0))
