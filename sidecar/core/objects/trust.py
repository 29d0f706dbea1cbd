"""The trust document: who may sign what, with which threshold, until when.

Rules:

* A first document is pinned: it reaches the sidecar in its image or a ConfigMap, never over a peer.
  It is signed by the threshold of its own root keys, so a half-edited file is refused.
* Any later one follows by `rotate`, one version at a time: it names the digest of the one before,
  and the root thresholds of both have signed it.
* `open` is the only way from an envelope to a payload: payload type first, then threshold over
  distinct, unrevoked, unexpired public keys of the role. The parsers of the objects take a
  `Payload` and nothing else.
* A key's `not_after` is judged against the wall clock plus nothing: an expired key signs nothing
  now. A revoked key signs nothing at all. Trust itself is judged by the time it was signed at
  (`_signed_at`), or a chain could not be walked any more once its root keys had lapsed.
* Document expiry is not checked in `parse` and `rotate`: a rotation may have to pass through
  expired versions. It is checked where a lease would be granted (`expired`).
* Orders are judged by when they were signed, also by keys that had the role then (`open_order`).
  Revoking a key voids what it ordered, for whoever has not stored it.
* Reasons are ranked: a known key with a broken signature (EG601) says more than a missing one.

Source: TUF 1.0.34 section 5.3; protocol b.1, b.11.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sidecar.core import canonical, envelope
from sidecar.core.envelope import Envelope, KeyId, Payload, PublicKey
from sidecar.core.instant import WallMs
from sidecar.core.objects.trust_body import (
    Body,
    Floors,
    Key,
    Limits,
    LogHead,
    Mark,
    Quorum,
    Revoked,
    Role,
    RoleKeys,
    Roles,
    TrustRef,
)
from sidecar.core.reason import ProtocolError, Reason

__all__ = [
    "Body", "Floors", "Key", "Limits", "LogHead", "Mark", "Quorum", "Revoked", "Role", "RoleKeys",
    "Roles", "Trust", "TrustRef", "parse", "reread", "unsigned",
]  # fmt: skip

PAYLOAD_TYPE = "application/vnd.epochgate.trust.v1+json"
TYPE = "urn:epochgate:trust:v1"
MAX_BYTES = 64 * 1024  # bytes; TUF root documents stay below this with a hundred keys


class Former(NamedTuple):
    """A key that once had a role, and until when (milliseconds since 1970)."""

    public: PublicKey
    until: WallMs


@dataclass(frozen=True, slots=True)
class Trust:
    """A verified trust document.

    Attributes:
        body: What was signed.
        sha256: Its digest, hex.
        keys: Public keys by role, revoked ones left out.
        revoked: Key ids that sign nothing any more.
        raw: The envelope, to be stored and passed on. Another set of signatures over the same body
            is the same document.
        former: Keys that documents before this one gave a role of orders and this one does not,
            revoked ones left out; known to whoever walked there.
    """

    body: Body
    sha256: str
    keys: Mapping[Role, Mapping[KeyId, PublicKey]] = field(repr=False)
    revoked: frozenset[str]
    raw: bytes = field(repr=False, compare=False)
    former: Mapping[Role, Mapping[KeyId, Former]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def version(self) -> int:
        """The version number, from 1."""
        return self.body.version

    @property
    def domain(self) -> str:
        """The name that every object of this fleet carries."""
        return self.body.domain

    def expired(self, now: WallMs) -> bool:
        """Whether no lease may be granted under this document any more."""
        return now >= self.body.expires

    def role(self, role: Role) -> RoleKeys:
        """Key ids and threshold of a role."""
        keys: RoleKeys = getattr(self.body.roles, role.value)
        return keys

    def changed(self, successor: "Trust", role: Role) -> bool:
        """Whether the keys that may act in a role are others under the next document.

        A mark that the old keys set may be a lie of a stolen one, and falls back to the floor of
        the successor. Asked at each step of a chain: a key may leave and come back.
        """
        return self.keys[role] != successor.keys[role]

    def rotate(self, raw: bytes, now: WallMs) -> "Trust":
        """The next document, if these bytes are one that may follow this one.

        Whether it has expired is not asked: it may be a step on the way to one that has not.

        Args:
            raw: An untrusted envelope.
            now: Wall clock, for the root keys' own expiry.

        Raises:
            ProtocolError: TRUST_CHAIN_BREAK when it is not the next version of this document, else
                why it is no document or who did not sign it.
        """
        sealed, unverified = _read(raw)
        at = _signed_at(unverified, now)
        # First the threshold of the keys that are trusted already: what they did not sign costs
        # and says nothing more. It is the root role as this document has it, less what this
        # document revoked. Keys that only the successor revokes still count, as in TUF: revocations
        # hold once they are in force. Else two keys of which both must sign could never lose one.
        self.open(sealed, Role.ROOT, PAYLOAD_TYPE, at)
        if unverified.domain != self.domain:
            raise ProtocolError(Reason.TYPE_CONFUSION, f"trust of domain {unverified.domain}")
        self._check_follows(unverified)
        successor = _build(unverified, canonical.digest(sealed.unverified_payload), raw)
        successor.open(sealed, Role.ROOT, PAYLOAD_TYPE, at)
        return replace(successor, former=self._remembered_by(successor))

    def _remembered_by(self, successor: "Trust") -> dict[Role, dict[KeyId, Former]]:
        # Orders outlive the keys that signed them. Without these, a pod that starts after a key was
        # replaced could read neither an old halt nor the clear that ended it.
        found: dict[Role, dict[KeyId, Former]] = {}
        until = WallMs(successor.body.issued_at)
        for role in _ORDERING:
            left = {key: Former(public, until) for key, public in self.keys[role].items()}
            both = {**left, **self.former.get(role, {})}
            gone = successor.keys[role].keys() | successor.revoked
            found[role] = {key: item for key, item in both.items() if key not in gone}
        return found

    def _check_follows(self, body: Body) -> None:
        if body.version != self.version + 1:
            raise ProtocolError(
                Reason.TRUST_CHAIN_BREAK, f"version {body.version} does not follow {self.version}"
            )
        if body.prev_sha256 != self.sha256:
            raise ProtocolError(
                Reason.TRUST_CHAIN_BREAK, f"version {body.version} follows another {self.version}"
            )
        # Root keys are judged by this time. As it never goes back, keys that had lapsed before a
        # document was made can sign nothing that follows it, however they date it.
        if body.issued_at < self.body.issued_at:
            raise ProtocolError(
                Reason.TRUST_CHAIN_BREAK, f"version {body.version} was issued before {self.version}"
            )

    def open(self, sealed: Envelope, role: Role, payload_type: str, now: WallMs) -> Payload:
        """Check who signed, and hand out the signed bytes.

        Args:
            sealed: A parsed, unverified envelope.
            role: The role whose threshold must be met.
            payload_type: What the caller is about to parse.
            now: Wall clock, for the keys' own expiry.

        Raises:
            ProtocolError: TYPE_CONFUSION, SIG_INVALID, KEY_REVOKED, KEY_UNKNOWN or
                THRESHOLD_NOT_MET.
        """
        return self.open_any(sealed, (role,), payload_type, now)

    def open_single(self, sealed: Envelope, role: Role, payload_type: str, now: WallMs) -> Payload:
        """`open` where one key of the role is enough, whatever the role's threshold.

        For beats: a replica signs its own stream alone, and the threshold of role beat counts how
        many streams a lease needs.
        """
        return self._open(sealed, ((role, 1),), payload_type, now)

    def open_any(
        self, sealed: Envelope, roles: tuple[Role, ...], payload_type: str, now: WallMs
    ) -> Payload:
        """`open` for objects that several roles may sign: the first role that is satisfied wins."""
        needs = tuple((role, self.role(role).threshold) for role in roles)
        return self._open(sealed, needs, payload_type, now)

    def open_order(
        self, sealed: Envelope, roles: tuple[Role, ...], payload_type: str, signed_at: WallMs
    ) -> Payload:
        """`open_any` for orders: keys that had the role when it was signed count as well."""
        needs = tuple((role, self.role(role).threshold) for role in roles)
        return self._open(sealed, needs, payload_type, signed_at, history=True)

    def _open(
        self,
        sealed: Envelope,
        needs: tuple[tuple[Role, int], ...],
        payload_type: str,
        now: WallMs,
        *,
        history: bool = False,
    ) -> Payload:
        if sealed.payload_type != payload_type:
            raise ProtocolError(Reason.TYPE_CONFUSION, f"is {sealed.payload_type[:64]}")
        failure = Reason.KEY_UNKNOWN
        for role, threshold in needs:
            keys = self.usable(role, now)
            if history:
                keys |= self._had(role, now)
            signers = envelope.signed_by(sealed, keys)
            if len(signers) >= threshold:
                body = sealed.unverified_payload
                return Payload(body, payload_type, canonical.digest(body), signers, sealed)
            failure = _worse(failure, self._why(sealed, role, keys, signers))
        raise ProtocolError(failure, f"not signed by enough keys of role {needs[0][0].value}")

    def usable(self, role: Role, now: WallMs) -> dict[KeyId, PublicKey]:
        """The keys of a role that sign now: neither revoked nor past their own end."""
        return {
            key: public
            for key, public in self.keys[role].items()
            if (limit := self.body.keys[key].not_after) is None or now < limit
        }

    def _had(self, role: Role, at: WallMs) -> dict[KeyId, PublicKey]:
        found = self.former.get(role, {})
        return {key: item.public for key, item in found.items() if at <= item.until}

    def _why(
        self,
        sealed: Envelope,
        role: Role,
        keys: Mapping[KeyId, PublicKey],
        signers: tuple[KeyId, ...],
    ) -> Reason:
        named = {key for key, _ in sealed.signatures}
        if named & keys.keys() - set(signers):
            return Reason.SIG_INVALID
        if signers:
            return Reason.THRESHOLD_NOT_MET
        if named & (self.revoked | self.keys[role].keys()):
            return Reason.KEY_REVOKED
        return Reason.KEY_UNKNOWN


_ORDERING = (Role.HALT, Role.EPOCH, Role.ROOT, Role.RESUME)  # roles that sign halts and clears

_RANK = (
    Reason.KEY_UNKNOWN,
    Reason.KEY_REVOKED,
    Reason.THRESHOLD_NOT_MET,
    Reason.SIG_INVALID,
)


def _worse(a: Reason, b: Reason) -> Reason:
    return max(a, b, key=_RANK.index)


def parse(raw: bytes, now: WallMs) -> Trust:
    """Read and verify a pinned trust document: signed by the threshold of its own root keys.

    Args:
        raw: The envelope bytes of the pinned file.
        now: Wall clock, for the root keys' own expiry.

    Raises:
        ProtocolError: with the reason why it is not a usable trust document.
    """
    sealed, unverified = _read(raw)
    trust = _build(unverified, canonical.digest(sealed.unverified_payload), raw)
    trust.open(sealed, Role.ROOT, PAYLOAD_TYPE, _signed_at(unverified, now))
    return trust


def unsigned(body: Body) -> Trust:
    """What a document would be once signed, for ceremonies: trust nothing that it opens.

    Raises:
        ProtocolError: its parts contradict each other, so nobody should sign it.
    """
    raw = canonical.dump(body)
    # Read again: what was made by replacing fields may have any shape.
    return _build(canonical.load(raw, Body, MAX_BYTES), canonical.digest(raw), b"")


def reread(raw: bytes) -> Body:
    """What an envelope says, its signatures not counted: to see which document it is.

    Raises:
        ProtocolError: it is no trust document.
    """
    return _read(raw)[1]


def _read(raw: bytes) -> tuple[Envelope, Body]:
    sealed = envelope.parse(raw, MAX_BYTES)
    if sealed.payload_type != PAYLOAD_TYPE:
        raise ProtocolError(Reason.TYPE_CONFUSION, f"is {sealed.payload_type[:64]}, not trust")
    return sealed, canonical.load(sealed.unverified_payload, Body, MAX_BYTES)


def _signed_at(unverified: Body, now: WallMs) -> WallMs:
    # As for orders: a document outlives the root keys that made it. Else a sidecar that starts
    # after they lapsed could neither read what it trusts nor walk to what followed.
    return WallMs(min(unverified.issued_at, now))


def _build(body: Body, sha256: str, raw: bytes) -> Trust:
    if body.type != TYPE:
        raise ProtocolError(Reason.TYPE_CONFUSION, f"is {body.type[:64]}, not trust")
    for key, description in body.keys.items():
        if (description.keytype, description.scheme) != ("ed25519", "ed25519"):
            raise ProtocolError(Reason.TYPE_CONFUSION, f"key {key[:16]} is not Ed25519")
        if envelope.key_id(_public(description)) != key:
            raise ProtocolError(Reason.TYPE_CONFUSION, f"key {key[:16]} has another id")
    revoked = frozenset(item.keyid for item in body.revoked)
    keys = {role: _role_keys(body, role, revoked) for role in Role}
    quorum = body.quorum
    if quorum.r > quorum.n or quorum.w > quorum.n or quorum.r + quorum.w <= quorum.n:
        raise ProtocolError(
            Reason.TYPE_CONFUSION,
            f"quorum n={quorum.n} r={quorum.r} w={quorum.w}: need r, w <= n and r + w > n, or a "
            "written epoch can be missed by every read",
        )
    return Trust(body, sha256, keys, revoked, raw)


def _role_keys(body: Body, role: Role, revoked: frozenset[str]) -> dict[KeyId, PublicKey]:
    named: RoleKeys = getattr(body.roles, role.value)
    if len(set(named.keyids)) != len(named.keyids):
        raise ProtocolError(Reason.TYPE_CONFUSION, f"role {role.value} names a key twice")
    missing = [key for key in named.keyids if key not in body.keys]
    if missing:
        raise ProtocolError(Reason.TYPE_CONFUSION, f"role {role.value}: no key {missing[0][:16]}")
    if named.keyids and named.threshold > len(named.keyids):
        raise ProtocolError(Reason.TYPE_CONFUSION, f"role {role.value}: threshold out of reach")
    return {KeyId(key): _public(body.keys[key]) for key in named.keyids if key not in revoked}


def _public(key: Key) -> PublicKey:
    return PublicKey(bytes.fromhex(key.public))
