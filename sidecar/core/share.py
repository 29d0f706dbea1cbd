"""A snapshot as bytes, for processes of one sidecar that share memory; and what proves them whole.

Rules:

* What is shared was verified by the process that shares it. Nothing is verified again here but that
  the bytes are the ones that were written: the digest of a frame covers every byte of it.
* Whoever reads compares the deadlines with its own clocks. What is shared is never "open" or
  "closed", only until when.
* A reader that gets no whole frame, or one that it cannot decode, keeps what it has, and that runs
  out.
* Policy, routes and profile are compiled again only when their digest changed: as long as an object
  is the same one, running exchanges need not be judged anew.
* What expressions know of the place, and which half of a rollout is taken, follow from names and a
  key id that are shared, too: each process reckons alike.
* Orders are left out: what they forbid is in the holds, and in the compiled set of what some
  requests are denied for.

Not canonical JSON: a deadline in nanoseconds of boot time may be beyond what that can carry.

Source: hardening E-G9.
"""

import hashlib
import struct
from dataclasses import replace
from itertools import accumulate

import msgspec

from sidecar.core import canonical, policy, profile, routes
from sidecar.core.canonical import Strict
from sidecar.core.envelope import PublicKey
from sidecar.core.facts import Workload
from sidecar.core.instant import BootNs, WallMs
from sidecar.core.lease import Freshness, Lease
from sidecar.core.log.cosignature import Witnesses
from sidecar.core.objects import beat, epoch
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.policy import DENY_ALL, Policy
from sidecar.core.profile import BASELINE, Profile
from sidecar.core.quorum import PeerId
from sidecar.core.reason import BY_CODE, ProtocolError, Reason
from sidecar.core.routes import NO_ROUTES, Routes
from sidecar.core.scoped import Scoped
from sidecar.core.snapshot import Hold, HoldKind, Snapshot

HOLDS_MAX = 256  # the hardest ones; the first decides, the others are for people
SCOPED_MAX_BYTES = 256 * 1024  # of the compiled set, as JSON; a larger one is shared as a hold
# Blobs, and what stands beside them: epoch, beat, holds and names, written as JSON.
MAX_BYTES = policy.MAX_BYTES + routes.MAX_BYTES + profile.MAX_BYTES + 1024 * 1024

_FRAME = struct.Struct("<QQ32s")  # generation, length of the body, digest
_NUMBERS = struct.Struct("<QQ")
FRAME_BYTES = _FRAME.size


class _Blob(Strict, frozen=True):
    sha256: str
    size: int


class _Workload(Strict, frozen=True):
    service: str
    region: str
    instance: str
    key_id: str


class _Lease(Strict, frozen=True):
    epoch_seq: int
    epoch_sha256: str
    beat_sha256: str
    beat: beat.Body
    peers: tuple[str, ...]
    deadline: int
    wall_deadline: int
    anchor: Freshness


class _Epoch(Strict, frozen=True):
    sha256: str
    says: epoch.Predicate


class _Hold(Strict, frozen=True):
    reason: str
    kind: int
    evidence: str


class _Scoped(Strict, frozen=True):
    routes: frozenset[str]
    models: frozenset[bytes]
    tenants: frozenset[bytes]
    served: frozenset[bytes] | None
    offered: frozenset[bytes] | None


class _Shared(Strict, frozen=True):
    lease: _Lease | None
    absent: str
    epoch: _Epoch | None
    trust_version: int
    witnesses: dict[str, int | None]
    witnesses_needed: int
    policy: _Blob
    here: _Workload
    routes: _Blob
    profile: _Blob
    scoped: _Scoped | None
    holds: tuple[_Hold, ...]
    faults: tuple[str, ...]


def encode(snapshot: Snapshot) -> bytes:
    """A snapshot as one line of JSON, and after it the bytes of policy, route table and profile."""
    snapshot = _within_bounds(snapshot)
    lease, said, here = snapshot.lease, snapshot.epoch, snapshot.policy.here
    line = msgspec.json.encode(
        _Shared(
            lease=None if lease is None else _from_lease(lease),
            absent=snapshot.absent.code,
            epoch=None if said is None else _Epoch(sha256=said.sha256, says=said.says),
            trust_version=snapshot.trust_version,
            witnesses={key.hex(): end for key, end in snapshot.witnesses.keys.items()},
            witnesses_needed=snapshot.witnesses.threshold,
            policy=_Blob(sha256=snapshot.policy.sha256, size=len(snapshot.policy.raw)),
            here=_Workload(
                service=here.service,
                region=here.region,
                instance=here.instance,
                key_id=here.key_id,
            ),
            routes=_Blob(sha256=snapshot.routes.sha256, size=len(snapshot.routes.raw)),
            profile=_Blob(sha256=snapshot.profile.sha256, size=len(snapshot.profile.raw)),
            scoped=None if snapshot.scoped is None else _from_scoped(snapshot.scoped),
            holds=tuple(
                _Hold(reason=hold.reason.code, kind=hold.kind, evidence=hold.evidence)
                for hold in snapshot.holds[:HOLDS_MAX]
            ),
            faults=tuple(fault.code for fault in snapshot.faults),
        )
    )
    blobs = (snapshot.policy.raw, snapshot.routes.raw, snapshot.profile.raw)
    return b"%b\n%b%b%b" % (line, *blobs)


def decode(raw: bytes, before: Snapshot) -> Snapshot:
    """The snapshot that was encoded.

    Args:
        raw: From a whole frame.
        before: The one decoded before, or `CLOSED`: what did not change is taken from it.

    Raises:
        ProtocolError: STATE_CORRUPT, or what is wrong with policy, routes or profile.
    """
    line, _, blobs = raw.partition(b"\n")
    try:
        said = msgspec.json.decode(line, type=_Shared)
        ends = tuple(accumulate(blob.size for blob in (said.policy, said.routes, said.profile)))
        if ends[-1] != len(blobs):
            raise ProtocolError(Reason.STATE_CORRUPT, "shared snapshot: blobs of another size")
        return Snapshot(
            lease=None if said.lease is None else _to_lease(said.lease),
            absent=BY_CODE[said.absent],
            epoch=None if said.epoch is None else Epoch(said.epoch.sha256, said.epoch.says),
            trust_version=said.trust_version,
            witnesses=_to_witnesses(said),
            policy=_policy(said, blobs[: ends[0]], before.policy),
            routes=_routes(said.routes, blobs[ends[0] : ends[1]], before.routes),
            profile=_profile(said.profile, blobs[ends[1] :], before.profile),
            scoped=None if said.scoped is None else _to_scoped(said.scoped, before.scoped),
            holds=tuple(
                Hold(BY_CODE[hold.reason], HoldKind(hold.kind), hold.evidence)
                for hold in said.holds
            ),
            faults=tuple(BY_CODE[code] for code in said.faults),
        )
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        detail = f"shared snapshot: {type(error).__name__}: {error}"
        raise ProtocolError(Reason.STATE_CORRUPT, detail) from None


def frame(generation: int, body: bytes) -> bytes:
    """A body with its number, its length, and a digest over all three."""
    numbers = _NUMBERS.pack(generation, len(body))
    digest = hashlib.sha256(numbers + body).digest()
    return _FRAME.pack(generation, len(body), digest) + body


def unframe(head: bytes, body: bytes) -> tuple[int, bytes] | None:
    """Number and body of a frame, or None when it is not whole.

    Args:
        head: Its first `FRAME_BYTES`.
        body: As much after them as `body_bytes` says.
    """
    generation, size, digest = _FRAME.unpack(head)
    if size != len(body):
        return None
    whole = hashlib.sha256(_NUMBERS.pack(generation, size) + body).digest() == digest
    return (generation, body) if whole else None


def body_bytes(head: bytes) -> int:
    """How long the body of a frame says that it is."""
    size: int = _FRAME.unpack(head)[1]
    return size


def _from_lease(lease: Lease) -> _Lease:
    return _Lease(
        epoch_seq=lease.epoch_seq,
        epoch_sha256=lease.epoch_sha256,
        beat_sha256=lease.beat.sha256,
        beat=lease.beat.says,
        peers=lease.peers,
        deadline=lease.deadline,
        wall_deadline=lease.wall_deadline,
        anchor=lease.anchor,
    )


def _to_lease(said: _Lease) -> Lease:
    return Lease(
        said.epoch_seq,
        said.epoch_sha256,
        Beat(said.beat_sha256, said.beat),
        tuple(PeerId(peer) for peer in said.peers),
        BootNs(said.deadline),
        WallMs(said.wall_deadline),
        said.anchor,
    )


def _to_witnesses(said: _Shared) -> Witnesses:
    keys = {PublicKey(bytes.fromhex(key)): end for key, end in said.witnesses.items()}
    return Witnesses(keys, said.witnesses_needed)


def _within_bounds(snapshot: Snapshot) -> Snapshot:
    scoped = snapshot.scoped
    if scoped is None or len(msgspec.json.encode(_from_scoped(scoped))) <= SCOPED_MAX_BYTES:
        return snapshot
    # Whoever holds a halt key can make orders without end. None of them may be lost on the way.
    return replace(snapshot.held(Hold(Reason.HALT_SCOPED, HoldKind.STICKY)), scoped=None)


def _from_scoped(scoped: Scoped) -> _Scoped:
    return _Scoped(
        routes=scoped.routes, models=scoped.models, tenants=scoped.tenants, served=scoped.served,
        offered=scoped.offered,
    )  # fmt: skip


def _to_scoped(said: _Scoped, before: Scoped | None) -> Scoped:
    found = Scoped(said.routes, said.models, said.tenants, said.served, said.offered)
    return before if before is not None and found == before else found


def _policy(said: _Shared, raw: bytes, before: Policy) -> Policy:
    here = Workload(said.here.service, said.here.region, said.here.instance, said.here.key_id)
    if not said.policy.sha256:
        return DENY_ALL
    if said.policy.sha256 == before.sha256 and here == before.here:
        return before
    _check(said.policy, raw)
    return policy.parse(raw, here)


def _routes(said: _Blob, raw: bytes, before: Routes) -> Routes:
    if not said.sha256:
        return NO_ROUTES
    if said.sha256 == before.sha256:
        return before
    _check(said, raw)
    return routes.parse(raw)


def _profile(said: _Blob, raw: bytes, before: Profile) -> Profile:
    if said.sha256 == BASELINE.sha256:
        return BASELINE
    if said.sha256 == before.sha256:
        return before
    _check(said, raw)
    return profile.parse(raw)


def _check(said: _Blob, raw: bytes) -> None:
    if canonical.digest(raw) != said.sha256:
        raise ProtocolError(Reason.STATE_CORRUPT, "shared snapshot: a blob with another digest")
