"""What must survive a restart: the highest numbers seen, every halt, every latched hold.

Rules:

* On disk: a digest line and one canonical JSON object. Any flipped byte is found, and what is found
  is *corrupt* (EG405), never *absent*: a sidecar that took damaged marks for a first boot would
  accept an older state than it had already refused.
* The marked epoch and beats are kept as whole envelopes: a later object with the same number and
  other content is then evidence that anybody can check, also across a restart.
* Keys that once gave orders are kept with the trust document: orders outlive them, and whoever
  starts again must be able to read what it could read before.
* The route table is kept too, so that health and metrics targets stay exempt after a restart while
  no quorum can be read. It opens nothing else.

Source: protocol b.12; hardening E-R7.
"""

from dataclasses import replace

import msgspec

from sidecar.core import canonical
from sidecar.core.canonical import Count, Id16, Name, Sha256, Strict
from sidecar.core.envelope import KeyId, PublicKey
from sidecar.core.instant import WallMs
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Former, Role, Trust, TrustRef
from sidecar.core.reason import BY_CODE, ProtocolError, Reason

TYPE = "urn:epochgate:marks:v1"
# Far above a route table, 256 orders and a few envelopes: what we wrote must be readable again,
# however many orders the holder of a halt key made.
MAX_BYTES = 256 * 1024 * 1024
DIGEST_LINE = 65  # hex digest and a newline


class ObjectMark(Strict, frozen=True):
    """The highest object of one kind: number, digest, and the envelope that carried it."""

    seq: Count
    sha256: Sha256
    envelope: str


class Latch(Strict, frozen=True):
    """A latched hold: its reason code, the id that a clear must name, and the evidence."""

    reason: str
    evidence: Id16
    envelopes: tuple[str, ...]


class FormerKey(Strict, frozen=True):
    """A key that had a role of orders until a time, in ms since 1970. `public`: hex."""

    role: Role
    keyid: Sha256
    public: Sha256
    until: Count


class Marks(Strict, frozen=True):
    """Everything that is stored. `beats` by issuer key id; `last_wall` in ms since 1970.

    `trust_envelope`: the trust document in force when it is not the pinned one, else null.
    `former`: see `Trust.former`. Files of the version before this one have none.
    """

    type: str = msgspec.field(name="_type")
    domain: Name
    generation: Count
    trust: TrustRef
    trust_envelope: str | None
    epoch: ObjectMark | None
    beats: dict[Sha256, ObjectMark]
    halts: tuple[str, ...]
    latches: tuple[Latch, ...]
    routes: str | None
    last_wall: Count
    former: tuple[FormerKey, ...] = ()


def encode(marks: Marks) -> bytes:
    """The bytes to store."""
    body = canonical.dump(marks)
    return canonical.digest(body).encode() + b"\n" + body


def decode(raw: bytes, domain: str) -> Marks:
    """Read stored bytes.

    Raises:
        ProtocolError: STATE_CORRUPT, whatever is wrong: the remedy is the same.
    """
    line, body = raw[:DIGEST_LINE], raw[DIGEST_LINE:]
    if line != canonical.digest(body).encode() + b"\n":
        raise ProtocolError(Reason.STATE_CORRUPT, "digest does not match")
    try:
        marks = canonical.load(body, Marks, MAX_BYTES)
    except ProtocolError as error:
        raise ProtocolError(Reason.STATE_CORRUPT, error.detail) from None
    if marks.type != TYPE or marks.domain != domain:
        raise ProtocolError(Reason.STATE_CORRUPT, f"marks of {marks.type} for {marks.domain}")
    if not all(latch.reason in BY_CODE for latch in marks.latches):
        raise ProtocolError(Reason.STATE_CORRUPT, "latched for a reason that is not in the table")
    return marks


def in_force(stored: Marks | None, pinned: Trust, now: WallMs) -> Trust:
    """The trust document to go on with: the stored one where it is newer than the pinned one.

    What is stored was verified step by step before it was stored. An older document than the one
    that marks were made under would take back a revocation.

    Args:
        stored: Marks, or None on a first boot.
        pinned: The document in the sidecar's image or configuration.
        now: Wall clock.

    Raises:
        ProtocolError: TRUST_WITHHELD, EQUIVOCATION or STATE_CORRUPT: these marks must not be
            continued.
    """
    if stored is None or stored.trust.version < pinned.version:
        return pinned
    made = stored.trust
    if made.version == pinned.version:
        if made.sha256 != pinned.sha256:
            detail = f"marks were made under another version {made.version}"
            raise ProtocolError(Reason.EQUIVOCATION, detail)
        return _remembering(pinned, stored)
    if stored.trust_envelope is None:
        detail = f"marks were made under version {made.version}, this is {pinned.version}"
        raise ProtocolError(Reason.TRUST_WITHHELD, detail)
    kept = trust.parse(stored.trust_envelope.encode(), now)
    if (kept.version, kept.sha256, kept.domain) != (made.version, made.sha256, pinned.domain):
        raise ProtocolError(Reason.STATE_CORRUPT, "holds another trust document than it names")
    return _remembering(kept, stored)


def former(trust: Trust) -> tuple[FormerKey, ...]:
    """What `Marks.former` says of a document that was walked to."""
    return tuple(
        FormerKey(role=role, keyid=key, public=item.public.hex(), until=item.until)
        for role, keys in trust.former.items()
        for key, item in sorted(keys.items())
    )


def _remembering(trust: Trust, stored: Marks) -> Trust:
    found: dict[Role, dict[KeyId, Former]] = {}
    for item in stored.former:
        public = PublicKey(bytes.fromhex(item.public))
        found.setdefault(item.role, {})[KeyId(item.keyid)] = Former(public, WallMs(item.until))
    return replace(trust, former=found) if found else trust
