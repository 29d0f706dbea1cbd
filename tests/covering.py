"""What an authority says about reports, for tests that stand in for one: a tree and its proofs."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sidecar.core import canonical
from sidecar.core.log import merkle
from sidecar.core.objects import beat, report
from sidecar.core.reporter import Identity
from sidecar.signer import sign
from tests import builders


def fleet(reports: Sequence[str], **changes: Any) -> beat.Fleet:
    """What a beat says that covers reports with these digests, in this order."""
    tree = _tree(reports)
    said = beat.Fleet(
        root=(tree[-1][0] if reports else merkle.EMPTY_ROOT).hex(),
        size=len(reports),
        expected=len(reports),
        diverged=0,
    )
    return msgspec.structs.replace(said, **changes)


def proof(beat_sha256: str, reports: Sequence[str], sha256: str, **changes: Any) -> bytes:
    """The proof that a beat covers one of them."""
    index = reports.index(sha256)
    path = tuple(item.hex() for item in merkle.path(_tree(reports), index))
    made = report.Proof(beat=beat_sha256, report=sha256, index=index, path=path)
    return canonical.dump(msgspec.structs.replace(made, **changes))


def identity(number: int = 1, **changes: Any) -> Identity:
    """Who reports, as the sidecar with that key."""
    key = builders.instance_key(number)
    said = {
        "instance": report.instance_name("model", key.key_id), "key_id": key.key_id,
        "public": key.public.hex(), "boot_id": "ab" * 16, "service": "model", "region": "here",
        "build": "test", "seal": lambda kind, payload: sign(kind, payload, key),
    }  # fmt: skip
    return Identity(**{**said, **changes})


def _tree(reports: Sequence[str]) -> list[list[bytes]]:
    return merkle.levels([report.leaf(sha256) for sha256 in reports])
