"""Trust documents that follow others, for tests: other keys in some roles, other floors."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sidecar.core import canonical
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Role, Trust
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.builders import NOW


def successor_bytes(
    before: Trust,
    keys: Mapping[Role, Sequence[FileSigner]] | None = None,
    *,
    not_after: int | None = None,
    signed_by: int = 2,
    **changes: Any,
) -> bytes:
    """The envelope of the next version.

    Args:
        before: What it follows.
        keys: Role -> the keys that it has from now on; other roles keep theirs.
        not_after: Of these keys.
        signed_by: How many root keys sign.
        changes: Other fields of the body.
    """
    body = msgspec.structs.replace(
        before.body, version=before.version + 1, prev_sha256=before.sha256
    )
    described, named = dict(body.keys), {}
    for role, held in (keys or {}).items():
        described |= {
            key.key_id: trust.Key(
                keytype="ed25519", scheme="ed25519", public=key.public.hex(), not_after=not_after
            )
            for key in held
        }
        ids = tuple(sorted(key.key_id for key in held))
        named[role.value] = msgspec.structs.replace(before.role(role), keyids=ids)
    body = msgspec.structs.replace(
        body, keys=described, roles=msgspec.structs.replace(body.roles, **named)
    )
    body = msgspec.structs.replace(body, **changes)
    roots = builders.signers(Role.ROOT, signed_by)
    return sign(trust.PAYLOAD_TYPE, canonical.dump(body), *roots)


def successor(
    before: Trust, keys: Mapping[Role, Sequence[FileSigner]] | None = None, **changes: Any
) -> Trust:
    """The verified document."""
    return before.rotate(successor_bytes(before, keys, **changes), NOW)


def others(role: Role, count: int = 3) -> list[FileSigner]:
    """Keys that no document of the builders gives that role."""
    return [builders.signer(role, number) for number in range(101, 101 + count)]


def floors(epoch: trust.Mark | None = None, **changes: Any) -> trust.Floors:
    """Floors with an epoch."""
    return msgspec.structs.replace(trust.Floors(epoch=epoch, beat={}, halt=0), **changes)
