"""What a trust document says, field for field as it is signed.

Shapes only: which keys a document may name, and who must have signed it, is decided in `trust`,
through which everybody else reads these names.

Roles: easy to stop, hard to start. root -> epoch, resume -> beat, halt; log and witness sign
checkpoints.

Source: protocol b.1.
"""

from enum import Enum
from typing import Annotated

import msgspec

from sidecar.core import canonical, envelope
from sidecar.core.canonical import Count, Name, Sha256, Strict, Text

Threshold = Annotated[int, msgspec.Meta(ge=1, le=envelope.SIGNATURES_MAX)]
Public = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Role(Enum):
    """What a key may do."""

    ROOT = "root"  # sign trust
    EPOCH = "epoch"  # sign epochs
    BEAT = "beat"  # vouch for the current epoch
    HALT = "halt"  # stop
    RESUME = "resume"  # clear a halt
    LOG = "log"  # sign the governance log
    WITNESS = "witness"  # cosign checkpoints


class Key(Strict, frozen=True):
    """One public key. `not_after`: milliseconds since 1970, or null for no limit of its own."""

    keytype: str
    scheme: str
    public: Public
    not_after: Count | None


class RoleKeys(Strict, frozen=True):
    """Which keys hold a role, and how many of them must sign."""

    keyids: tuple[Sha256, ...]
    threshold: Threshold


class Roles(Strict, frozen=True):
    """Every role of the protocol; a role without keys can sign nothing."""

    root: RoleKeys
    epoch: RoleKeys
    beat: RoleKeys
    halt: RoleKeys
    resume: RoleKeys
    log: RoleKeys
    witness: RoleKeys


class Revoked(Strict, frozen=True):
    """A key that no longer counts, since `at` (milliseconds since 1970)."""

    keyid: Sha256
    reason: Text
    at: Count


class Mark(Strict, frozen=True):
    """A number and the digest of the object that carries it."""

    seq: Count
    sha256: Sha256


class TrustRef(Strict, frozen=True):
    """The trust document under which another object was signed."""

    version: Annotated[int, msgspec.Meta(ge=1, lt=canonical.INTEGER_LIMIT)]
    sha256: Sha256


class LogHead(Strict, frozen=True):
    """The head of the governance log that a signer saw."""

    origin: Text
    size: Count
    root: Sha256


class Floors(Strict, frozen=True):
    """The lowest numbers a new sidecar may accept; `beat` by key id."""

    epoch: Mark | None
    beat: dict[Sha256, Count]
    halt: Count


class Quorum(Strict, frozen=True):
    """`n` peers, `r` must agree to run, `w` must acknowledge a write."""

    n: Annotated[int, msgspec.Meta(ge=1, le=15)]
    r: Annotated[int, msgspec.Meta(ge=1, le=15)]
    w: Annotated[int, msgspec.Meta(ge=1, le=15)]


class Limits(Strict, frozen=True):
    """Ceilings for every lease: milliseconds, and parts per million of clock rate error."""

    ttl_max_ms: Annotated[int, msgspec.Meta(ge=100, le=86_400_000)]
    skew_max_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)]
    drift_ppm: Annotated[int, msgspec.Meta(ge=0, le=100_000)]


class Body(Strict, frozen=True):
    """The document itself, field for field as it is signed."""

    type: str = msgspec.field(name="_type")
    domain: Name
    version: Annotated[int, msgspec.Meta(ge=1, lt=canonical.INTEGER_LIMIT)]
    prev_sha256: Sha256 | None
    issued_at: Count
    expires: Count
    keys: dict[Sha256, Key]
    roles: Roles
    revoked: tuple[Revoked, ...]
    floors: Floors
    quorum: Quorum
    limits: Limits
