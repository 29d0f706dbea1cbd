"""Fetched objects: epochs, policies, route tables and profiles, by the digest that named them.

Rules:

* Hash first. Bytes are looked at only if they are what the digest says; so nobody can make us parse
  anything that the authority did not name.
* An epoch is threshold-checked, and must follow the marked epoch link by link. For the links in
  between the hash suffices: the epoch at the end was signed by the threshold and names them.
* An epoch from before a rotation stays valid without the keys that signed it, where its digest is
  vouched for otherwise: it is the one marked here, or the floor that root signed. Any other needs
  the threshold of today's keys.
* Below the floor that root signed, and beside it, there are no epochs.
* What is missing is a value (`Missing`), not an error: the follower asks for it.

Source: protocol b.3 steps 6 and 7, b.11.
"""

from dataclasses import dataclass

from sidecar.core import canonical, envelope, layout, policy, profile, routes
from sidecar.core.envelope import Envelope, Payload
from sidecar.core.facts import NOWHERE, Workload
from sidecar.core.instant import WallMs
from sidecar.core.marks import ObjectMark
from sidecar.core.objects import epoch
from sidecar.core.objects.epoch import Epoch, PolicyRef, Predicate, ProfileRef, RoutesRef
from sidecar.core.objects.trust import Mark, Role, Trust, TrustRef
from sidecar.core.policy import Policy
from sidecar.core.profile import BASELINE, Profile
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.routes import Routes

LINKS_MAX = 1024  # epochs that one sidecar may have missed; TUF clients use the same bound


@dataclass(frozen=True, slots=True)
class Missing:
    """Something has to be fetched first.

    Attributes:
        key: Where it is kept on the peers.
        reason: What to say if no peer has it.
        mismatch: What to say of a peer that keeps other bytes there.
    """

    key: str
    reason: Reason
    mismatch: Reason


class Archive:
    """Holds what was fetched, verified, until the next epoch replaces it.

    Args:
        trust: The trust document in force.
        here: Where policies are to be in force; whoever only vouches for them is nowhere.
    """

    def __init__(self, trust: Trust, here: Workload = NOWHERE) -> None:
        self._trust = trust
        self._here = here
        self._raw: dict[str, bytes] = {}  # payload or blob digest -> envelope or blob bytes
        self._epochs: dict[str, Epoch] = {}
        self._policies: dict[str, Policy] = {}
        self._routes: dict[str, Routes] = {}
        self._profiles: dict[str, Profile] = {}

    def renew(self, trust: Trust) -> None:
        """Another trust document is in force: every epoch is judged anew, nothing fetched again."""
        self._trust = trust
        self._epochs.clear()

    def add(self, key: str, raw: bytes) -> bool:
        """Take fetched bytes if they are what their key names; say whether they were."""
        sha256 = key.rpartition(":")[2]
        if key == layout.blob_key(self._trust.domain, sha256):
            found = canonical.digest(raw)
        else:
            try:
                sealed = envelope.parse(raw, epoch.MAX_BYTES)
            except ProtocolError:
                return False
            found = canonical.digest(sealed.unverified_payload)
        # An epoch that was verified keeps the envelope that proved it: a copy of its payload under
        # stripped signatures must not take its place.
        if found == sha256 and sha256 not in self._epochs:
            self._raw[sha256] = raw
        return found == sha256

    def envelope(self, sha256: str) -> bytes:
        """The envelope of an epoch that was obtained."""
        return self._raw[sha256]

    def epoch(self, named: Mark, marked: ObjectMark | None, now: WallMs) -> Epoch | Missing:
        """The epoch that the beats name, verified and following the marked one.

        Args:
            named: Number and digest as a beat binds them.
            marked: The highest epoch accepted before, or None on a first boot.
            now: Wall clock, for the signers' own expiry.

        Raises:
            ProtocolError: why it must not be accepted.
        """
        if named.sha256 not in self._raw:
            return self._missing(named.sha256)
        known = self._epochs.get(named.sha256)
        if known is None:
            try:
                known = self._epochs[named.sha256] = self._open(named, marked, now)
            except ProtocolError:
                del self._raw[named.sha256]  # another peer may hold a better envelope: ask again
                raise
        if marked is None or known.seq <= marked.seq:
            return known
        return self._follow(known, marked)

    def policy(self, said: PolicyRef) -> Policy | Missing:
        """The compiled policy of an epoch."""
        known = self._policies.get(said.sha256)
        if known is not None:
            return known
        raw = self._blob(said.sha256, said.size, Reason.POLICY_DIGEST_MISMATCH)
        if raw is None:
            return self._missing_blob(
                said.sha256, Reason.POLICY_MISSING, Reason.POLICY_DIGEST_MISMATCH
            )
        if said.media_type != policy.MEDIA_TYPE:
            raise ProtocolError(Reason.POLICY_INVALID, f"is {said.media_type[:64]}")
        known = self._policies[said.sha256] = policy.parse(raw, self._here)
        return known

    def routes(self, said: RoutesRef) -> Routes | Missing:
        """The compiled route table of an epoch."""
        known = self._routes.get(said.sha256)
        if known is not None:
            return known
        raw = self._blob(said.sha256, said.size, Reason.ROUTE_DIGEST_MISMATCH)
        if raw is None:
            return self._missing_blob(
                said.sha256, Reason.ROUTE_DIGEST_MISMATCH, Reason.ROUTE_DIGEST_MISMATCH
            )
        known = self._routes[said.sha256] = routes.parse(raw)
        return known

    def profile(self, said: ProfileRef) -> Profile | Missing:
        """The profile of an epoch."""
        if said == epoch.BASELINE:
            return BASELINE
        known = self._profiles.get(said.sha256)
        if known is None:
            raw = self._raw.get(said.sha256)
            if raw is None:
                unknown = Reason.PROFILE_UNSUPPORTED
                return self._missing_blob(said.sha256, unknown, unknown)
            known = self._profiles[said.sha256] = profile.parse(raw)
        if known.name != said.name:
            detail = f"epoch calls {said.name!r} what calls itself {known.name!r}"
            raise ProtocolError(Reason.PROFILE_UNSUPPORTED, detail)
        return known

    def route_bytes(self, sha256: str) -> bytes:
        """The route table as fetched, to be stored with the marks."""
        return self._raw[sha256]

    def keep(self, current: Epoch) -> None:
        """Forget everything but the epoch in force and what it names."""
        wanted = {current.sha256, *epoch.blobs(current.says)}
        self._raw = {key: raw for key, raw in self._raw.items() if key in wanted}
        self._epochs = {current.sha256: current}
        self._policies = {key: item for key, item in self._policies.items() if key in wanted}
        self._routes = {key: item for key, item in self._routes.items() if key in wanted}
        self._profiles = {key: item for key, item in self._profiles.items() if key in wanted}

    def _open(self, named: Mark, marked: ObjectMark | None, now: WallMs) -> Epoch:
        sealed = envelope.parse(self._raw[named.sha256], epoch.MAX_BYTES)
        unverified = self._link(named.sha256)
        # Before the signatures: the keys of a newer document need not be in ours.
        self._check_trust(unverified.trust)
        opened = epoch.parse(self._payload(sealed, named, marked, now))
        says = opened.says
        if says.domain != self._trust.domain or says.seq != named.seq:
            raise ProtocolError(Reason.TYPE_CONFUSION, "epoch of another domain or number")
        floor = self._trust.body.floors.epoch
        if floor is not None and says.seq < floor.seq:
            raise ProtocolError(Reason.ROLLBACK, f"epoch {says.seq}, below the floor {floor.seq}")
        if floor is not None and says.seq == floor.seq and named.sha256 != floor.sha256:
            raise ProtocolError(Reason.ROLLBACK, f"another epoch {says.seq} than the floor")
        return opened

    def _check_trust(self, said: TrustRef) -> None:
        ours = self._trust
        if said.version > ours.version:
            raise ProtocolError(
                Reason.TRUST_WITHHELD, f"epoch names trust version {said.version}, this is older"
            )
        if said.version == ours.version and said.sha256 != ours.sha256:
            raise ProtocolError(Reason.TRUST_WITHHELD, "epoch names another trust document")

    def _payload(
        self, sealed: Envelope, named: Mark, marked: ObjectMark | None, now: WallMs
    ) -> Payload:
        try:
            return self._trust.open(sealed, Role.EPOCH, epoch.PAYLOAD_TYPE, now)
        except ProtocolError:
            ours = marked is not None and marked.sha256 == named.sha256
            floor = self._trust.body.floors.epoch
            if not ours and (floor is None or floor.sha256 != named.sha256):
                raise
        if marked is not None and ours and marked.envelope:
            # What was verified then is better evidence than what a peer serves now.
            self._raw[named.sha256] = marked.envelope.encode()
        return Payload(sealed.unverified_payload, epoch.PAYLOAD_TYPE, named.sha256, (), sealed)

    def removed(self, newest: Epoch, marked: ObjectMark) -> frozenset[str]:
        """What the epochs after the marked one took away by name, up to one that follows it."""
        found, said = set(newest.says.removes), newest.says
        while said.prev_sha256 is not None and said.prev_sha256 != marked.sha256:
            said = self._link(said.prev_sha256)
            found.update(said.removes)
        return frozenset(found)

    def _follow(self, newest: Epoch, marked: ObjectMark) -> Epoch | Missing:
        seq, link = newest.seq, newest.says.prev_sha256
        if seq - marked.seq > LINKS_MAX:
            raise ProtocolError(Reason.EPOCH_CHAIN_BREAK, f"more than {LINKS_MAX} epochs missed")
        while seq - 1 > marked.seq:
            if link is None:
                raise ProtocolError(Reason.EPOCH_CHAIN_BREAK, f"epoch {seq} has no predecessor")
            if link not in self._raw:
                return self._missing(link)
            before = self._link(link)
            if before.seq != seq - 1:
                raise ProtocolError(Reason.EPOCH_CHAIN_BREAK, f"epoch {seq} follows {before.seq}")
            seq, link = before.seq, before.prev_sha256
        if link != marked.sha256:
            raise ProtocolError(Reason.EPOCH_CHAIN_BREAK, "does not follow the epoch we accepted")
        return newest

    def _link(self, sha256: str) -> Predicate:
        # The signatures of a link are not counted: the signed epoch after it names its digest.
        return epoch.reread(self._raw[sha256])

    def _blob(self, sha256: str, size: int, mismatch: Reason) -> bytes | None:
        raw = self._raw.get(sha256)
        if raw is not None and len(raw) != size:
            raise ProtocolError(mismatch, f"{len(raw)} bytes, epoch says {size}")
        return raw

    def _missing(self, sha256: str) -> Missing:
        broken = Reason.EPOCH_CHAIN_BREAK
        return Missing(layout.epoch_key(self._trust.domain, sha256), broken, broken)

    def _missing_blob(self, sha256: str, reason: Reason, mismatch: Reason) -> Missing:
        return Missing(layout.blob_key(self._trust.domain, sha256), reason, mismatch)
