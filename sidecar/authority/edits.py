"""What a person changes in a trust document: keys, thresholds, revocations, floors.

Rules:

* Each edit is a function from what a document says to what it shall say. Whether that can be
  accepted is another question (`rotation.check`), asked when the edits of a command are done.
* A key that loses its last role is described no more, and its floor goes with it.
* A revoked key leaves every role and is named; it can never be given one again.

Source: protocol b.11.
"""

from collections.abc import Sequence

import msgspec

from sidecar.authority.ceremony import CeremonyError
from sidecar.core import envelope
from sidecar.core.envelope import KeyId, PublicKey
from sidecar.core.instant import WallMs
from sidecar.core.objects.trust import Body, Floors, Key, Revoked, Role, RoleKeys

KEY_ID_LETTERS_MIN = 8  # of a key id that a person types


def add_keys(
    body: Body, role: Role, public: Sequence[PublicKey], not_after: int | None = None
) -> Body:
    """Give keys a role.

    Raises:
        CeremonyError: a key was revoked, or holds the role.
    """
    gone = {item.keyid for item in body.revoked}
    added = {envelope.key_id(key): key for key in public}
    held = _role(body, role)
    for key_id in added:
        if key_id in gone:
            raise CeremonyError(f"key {key_id[:16]} is revoked and stays so; make a new one")
        if key_id in held.keyids:
            raise CeremonyError(f"key {key_id[:16]} holds role {role.value} already")
    described = {
        key_id: Key(keytype="ed25519", scheme="ed25519", public=key.hex(), not_after=not_after)
        for key_id, key in added.items()
        if key_id not in body.keys or not_after is not None
    }
    body = msgspec.structs.replace(body, keys={**body.keys, **described})
    return _with_role(body, role, keyids=(*held.keyids, *added))


def retire_keys(body: Body, role: Role, key_ids: Sequence[KeyId]) -> Body:
    """Take keys out of a role. They did nothing wrong: what they signed may be shown again.

    Raises:
        CeremonyError: a key does not hold the role.
    """
    held = _role(body, role)
    for key_id in key_ids:
        if key_id not in held.keyids:
            raise CeremonyError(f"key {key_id[:16]} does not hold role {role.value}")
    left = tuple(key for key in held.keyids if key not in key_ids)
    return _pruned(_with_role(body, role, keyids=left))


def revoke_key(body: Body, key_id: KeyId, reason: str, at: WallMs) -> Body:
    """Take a key out of every role and never count it again."""
    for role in Role:
        if key_id in _role(body, role).keyids:
            body = retire_keys(body, role, (key_id,))
    return msgspec.structs.replace(
        body, revoked=(*body.revoked, Revoked(keyid=key_id, reason=reason, at=at))
    )


def set_not_after(body: Body, role: Role, not_after: int) -> Body:
    """Until when the keys of a role sign, milliseconds since 1970."""
    held = _role(body, role).keyids
    keys = {
        key_id: msgspec.structs.replace(key, not_after=not_after) if key_id in held else key
        for key_id, key in body.keys.items()
    }
    return msgspec.structs.replace(body, keys=keys)


def set_threshold(body: Body, role: Role, threshold: int) -> Body:
    """How many keys of a role must sign."""
    return _with_role(body, role, threshold=threshold)


def set_floors(body: Body, floors: Floors) -> Body:
    """The lowest numbers a sidecar may accept."""
    return _pruned(msgspec.structs.replace(body, floors=floors))


def find_key(body: Body, said: str) -> KeyId:
    """The key that a person means by the first letters of its id.

    Raises:
        CeremonyError: none or several, or too few letters.
    """
    if len(said) < KEY_ID_LETTERS_MIN:
        raise CeremonyError(f"key {said}: give at least {KEY_ID_LETTERS_MIN} letters of its id")
    found = [key for key in body.keys if key.startswith(said)]
    if len(found) != 1:
        what = "no key" if not found else f"{len(found)} keys"
        raise CeremonyError(
            f"key {said}: {what} of version {body.version} by that id; a key without a role signs "
            "nothing. See: epochgate trust show"
        )
    return KeyId(found[0])


def _role(body: Body, role: Role) -> RoleKeys:
    held: RoleKeys = getattr(body.roles, role.value)
    return held


def _with_role(
    body: Body, role: Role, keyids: Sequence[str] | None = None, threshold: int | None = None
) -> Body:
    held = _role(body, role)
    changed = RoleKeys(
        keyids=held.keyids if keyids is None else tuple(sorted(keyids)),
        threshold=held.threshold if threshold is None else threshold,
    )
    roles = msgspec.structs.replace(body.roles, **{role.value: changed})
    return msgspec.structs.replace(body, roles=roles)


def _pruned(body: Body) -> Body:
    """Without keys that hold no role, and without floors of beat keys that are gone."""
    used = {key for role in Role for key in _role(body, role).keyids}
    beats = _role(body, Role.BEAT).keyids
    floors = msgspec.structs.replace(
        body.floors, beat={key: seq for key, seq in body.floors.beat.items() if key in beats}
    )
    keys = {key: value for key, value in body.keys.items() if key in used}
    return msgspec.structs.replace(body, keys=keys, floors=floors)
