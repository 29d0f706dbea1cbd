"""What a person changes in a trust document: each edit does what it says and nothing else."""

import msgspec
import pytest

from sidecar.authority import edits
from sidecar.authority.ceremony import CeremonyError
from sidecar.core.envelope import KeyId
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Floors, Mark, Role
from sidecar.signer import FileSigner
from tests import builders
from tests.builders import DAY_MS, NOW, signer, signers

BODY = builders.trust_body()
NEW = FileSigner(bytes([7] * 32))
BEAT = signer(Role.BEAT)


def ids(body: trust.Body, role: Role) -> set[str]:
    held: trust.RoleKeys = getattr(body.roles, role.value)
    return set(held.keyids)


def test_added_key_is_described_and_holds_the_one_role() -> None:
    body = edits.add_keys(BODY, Role.BEAT, [NEW.public], NOW + DAY_MS)
    assert ids(body, Role.BEAT) == ids(BODY, Role.BEAT) | {NEW.key_id}
    assert body.keys[NEW.key_id].not_after == NOW + DAY_MS
    for role in set(Role) - {Role.BEAT}:
        assert ids(body, role) == ids(BODY, role)
    trust.unsigned(body)


def test_key_that_gets_a_second_role_keeps_its_end_unless_told() -> None:
    body = edits.set_not_after(BODY, Role.BEAT, NOW + 1)
    assert edits.add_keys(body, Role.HALT, [BEAT.public]).keys[BEAT.key_id].not_after == NOW + 1
    later = edits.add_keys(body, Role.HALT, [BEAT.public], NOW + 2)
    assert later.keys[BEAT.key_id].not_after == NOW + 2


def test_key_is_not_given_a_role_twice() -> None:
    with pytest.raises(CeremonyError, match="holds role beat already"):
        edits.add_keys(BODY, Role.BEAT, [BEAT.public])


def test_retired_key_is_described_no_more_and_its_floor_goes() -> None:
    floors = Floors(epoch=None, beat={key.key_id: 9 for key in signers(Role.BEAT, 2)}, halt=3)
    body = edits.retire_keys(edits.set_floors(BODY, floors), Role.BEAT, [BEAT.key_id])
    assert BEAT.key_id not in ids(body, Role.BEAT) | body.keys.keys() | body.floors.beat.keys()
    assert (len(body.floors.beat), body.floors.halt) == (1, 3)
    assert body.revoked == ()


def test_key_that_holds_another_role_is_still_described() -> None:
    body = edits.add_keys(BODY, Role.HALT, [BEAT.public])
    body = edits.retire_keys(body, Role.BEAT, [BEAT.key_id])
    assert BEAT.key_id in body.keys


def test_key_without_the_role_cannot_leave_it() -> None:
    with pytest.raises(CeremonyError, match="does not hold role epoch"):
        edits.retire_keys(BODY, Role.EPOCH, [BEAT.key_id])


def test_revoked_key_leaves_every_role_is_named_and_cannot_come_back() -> None:
    body = edits.add_keys(BODY, Role.HALT, [BEAT.public])
    body = edits.revoke_key(body, BEAT.key_id, "stolen", NOW)
    for role in Role:
        assert BEAT.key_id not in ids(body, role)
    assert [(one.keyid, one.reason, one.at) for one in body.revoked] == [
        (BEAT.key_id, "stolen", NOW)
    ]
    with pytest.raises(CeremonyError, match="is revoked and stays so"):
        edits.add_keys(body, Role.EPOCH, [BEAT.public])


def test_ends_are_set_for_the_keys_of_one_role() -> None:
    body = edits.set_not_after(BODY, Role.BEAT, NOW)
    ends = {key: value.not_after for key, value in body.keys.items()}
    assert {key for key, end in ends.items() if end == NOW} == ids(BODY, Role.BEAT)


def test_threshold_is_that_of_one_role() -> None:
    body = edits.set_threshold(BODY, Role.EPOCH, 3)
    assert body.roles.epoch.threshold == 3
    roles = msgspec.structs.replace(body.roles, epoch=BODY.roles.epoch)
    assert msgspec.structs.replace(body, roles=roles) == BODY


def test_floors_name_only_keys_that_hold_the_role() -> None:
    floors = Floors(
        epoch=Mark(seq=4, sha256="0" * 64), beat={NEW.key_id: 1, BEAT.key_id: 2}, halt=1
    )
    body = edits.set_floors(BODY, floors)
    assert body.floors.beat == {BEAT.key_id: 2}
    assert (body.floors.epoch, body.floors.halt) == (floors.epoch, 1)


def test_key_is_found_by_the_first_letters_of_its_id() -> None:
    assert edits.find_key(BODY, BEAT.key_id[:12]) == BEAT.key_id
    assert edits.find_key(BODY, BEAT.key_id) == BEAT.key_id
    for said, message in ((BEAT.key_id[:7], "at least 8"), ("0" * 12, "no key of version 1")):
        with pytest.raises(CeremonyError, match=message):
            edits.find_key(BODY, said)


def test_letters_that_several_keys_share_name_none() -> None:
    twin = KeyId(BEAT.key_id[:-1] + ("0" if BEAT.key_id[-1] != "0" else "1"))
    keys = {**BODY.keys, twin: BODY.keys[BEAT.key_id]}
    with pytest.raises(CeremonyError, match="2 keys of version 1"):
        edits.find_key(msgspec.structs.replace(BODY, keys=keys), BEAT.key_id[:12])
