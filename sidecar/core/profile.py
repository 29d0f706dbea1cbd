"""The profile: what an epoch demands of a deployment beyond its policy and routes.

A blob like these two, named by digest in the epoch. Each of its numbers can only tighten what trust
document and local configuration say (`core/bounds.py`); none can be switched off by a sidecar.

Rules:

* `baseline` is built in and demands nothing. No bundle can have its name.
* What the epoch calls the profile and what the bundle calls itself are the same, or it is refused.
* Its own numbers have to keep a lease alive (`core/timing.py`); a bundle in which they do not is
  refused by whoever reads it, so nobody can sign one by mistake. `interval_ms`, `publish_ms` and
  `timeout_ms` are for this arithmetic; the others bind sidecars as well.

Source: protocol b.1 (`profile`), b.6, b.15 section 10.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.core import canonical, timing
from sidecar.core.canonical import Name, Strict
from sidecar.core.lease import Freshness, Terms
from sidecar.core.objects import epoch
from sidecar.core.policy_body import DrainBody, DurationMs
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.timing import Pace

TYPE = "urn:epochgate:profile:v1"
MAX_BYTES = 16 * 1024  # bytes; a blob
DRIFT_PPM = 2000  # the timing is reckoned with this rate error; limits.drift_ppm signs the real one
PEERS_MAX = 100

Peers = Annotated[int, msgspec.Meta(ge=1, le=PEERS_MAX)]


class LeaseBody(Strict, frozen=True):
    """How long a lease lives and what it leans on; `skew_ms` only where a wall clock counts."""

    freshness: Freshness
    ttl_ms: DurationMs
    skew_ms: DurationMs | UnsetType = UNSET


class TimingBody(Strict, frozen=True):
    """What `ttl_ms` was reckoned with, and how often a sidecar looks (`poll_ms`) at least."""

    interval_ms: DurationMs
    poll_ms: DurationMs
    publish_ms: DurationMs
    timeout_ms: DurationMs


class QuorumBody(Strict, frozen=True):
    """At least so many peers there are (n), agree (r), and take what is written (w)."""

    n: Peers
    r: Peers
    w: Peers


class AuditBody(Strict, frozen=True):
    """What the log has to do.

    Attributes:
        durability: No answer before its decision is on the disk, whatever the policy says.
        max_checkpoint_age_ms: How long a record may go without a signed checkpoint over it.
        max_unacked_ms: Without one that enough witnesses have cosigned.
        paths: Records do not say which path was asked for, whatever the policy says.
        witnesses: How many at least; only together with `max_unacked_ms`.
    """

    durability: Literal["strict"] | UnsetType = UNSET
    max_checkpoint_age_ms: DurationMs | UnsetType = UNSET
    max_unacked_ms: DurationMs | UnsetType = UNSET
    paths: Literal["none"] | UnsetType = UNSET
    witnesses: Annotated[int, msgspec.Meta(ge=1, le=PEERS_MAX)] | UnsetType = UNSET


class Body(Strict, frozen=True):
    """A profile as it is signed.

    Attributes:
        type: Always `TYPE`.
        name: As the epoch calls it.
        in_flight: Running exchanges are cut at containment, or drain for so long at most.
        lease: Bounds of every lease.
        quorum: Of peers.
        timing: What these were reckoned with.
        audit: What the log has to do.
        parent: A request has to come from a decision that was made before.
    """

    type: str = msgspec.field(name="_type")
    name: Name
    in_flight: Literal["cut"] | DrainBody
    lease: LeaseBody
    quorum: QuorumBody
    timing: TimingBody
    audit: AuditBody | UnsetType = UNSET
    parent: Literal["required"] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile demands; the defaults demand nothing.

    Attributes:
        name: As epochs call it.
        sha256: Digest of the bundle, hex.
        raw: The bundle; empty for the one that is built in.
        freshness: What a lease has to lean on; None: what local configuration says.
        ttl_ms: Longest life of a lease; None: likewise.
        skew_ms: Least difference of wall clocks to reckon with.
        interval_ms: Longest time from beat to beat that it was reckoned with; None: any.
        poll_ms: Longest time from round to round; None: what local configuration says.
        peers: How many there have to be.
        read: How many have to agree.
        write: How many have to take what is written.
        drain_max_ms: Longest drain of a running exchange; 0: it is cut; None: what its rule says.
        strict: Whether an answer waits until its decision is on the disk.
        pathless: Whether records leave out the path.
        checkpoint_age_ms: How long a record may go unsigned; 0: for ever.
        unacked_ms: Without enough witnesses; likewise.
        witnesses: How many of them at least.
        parent_required: Whether a request without a parent decision is denied.
    """

    name: str
    sha256: str
    raw: bytes = b""
    freshness: Freshness | None = None
    ttl_ms: int | None = None
    skew_ms: int = 0
    interval_ms: int | None = None
    poll_ms: int | None = None
    peers: int = 0
    read: int = 0
    write: int = 0
    drain_max_ms: int | None = None
    strict: bool = False
    pathless: bool = False
    checkpoint_age_ms: int = 0
    unacked_ms: int = 0
    witnesses: int = 0
    parent_required: bool = False


BASELINE = Profile(epoch.BASELINE.name, epoch.BASELINE.sha256)


def parse(raw: bytes) -> Profile:
    """Read a bundle.

    Raises:
        ProtocolError: PROFILE_UNSUPPORTED with everything that is wrong with it.
    """
    try:
        body = canonical.load(raw, Body, MAX_BYTES)
    except ProtocolError as error:
        raise ProtocolError(Reason.PROFILE_UNSUPPORTED, f"profile: {error.detail}") from None
    found = [f"{key}: {why}" for key, why in problems(body)]
    if found:
        raise ProtocolError(Reason.PROFILE_UNSUPPORTED, "profile: " + "; ".join(found))
    return _compiled(body, raw)


def looser(before: Profile, after: Profile) -> bool:
    """Whether anything that one profile demands is demanded less by the one that follows it."""
    anchors = {"both": {"clock", "nonce"}, "clock": {"clock"}, "nonce": {"nonce"}, None: set[str]()}
    return (
        any(
            _wider(getattr(before, name), getattr(after, name))
            for name in ("ttl_ms", "poll_ms", "drain_max_ms")
        )
        or any(
            _wider(getattr(before, name) or None, getattr(after, name) or None)
            for name in ("checkpoint_age_ms", "unacked_ms")
        )
        or any(
            getattr(after, name) < getattr(before, name)
            for name in (
                "skew_ms", "peers", "read", "write", "strict", "pathless", "witnesses",
                "parent_required",
            )
        )
        or not anchors[before.freshness] <= anchors[after.freshness]
    )  # fmt: skip


def _wider(before: int | None, after: int | None) -> bool:
    return before is not None and (after is None or after > before)


def problems(body: Body) -> list[tuple[str, str]]:
    """Everything that is wrong with a bundle: (field, why), for the person who wrote it."""
    found = [] if body.type == TYPE else [("_type", f"is {body.type!r}, not {TYPE!r}")]
    if body.name == BASELINE.name:
        found.append(("name", f"{body.name!r} is the profile that is built in"))
    return [*found, *_quorum(body.quorum), *_lease(body), *_audit(body.audit)]


def _quorum(said: QuorumBody) -> list[tuple[str, str]]:
    found = [
        (f"quorum.{key}", f"{value} of {said.n} peers cannot be asked for")
        for key, value in (("r", said.r), ("w", said.w))
        if value > said.n
    ]
    if not found and said.r + said.w <= said.n:
        why = f"read {said.r} + write {said.w} must exceed peers {said.n}, or news may be missed"
        found.append(("quorum", why))
    return found


def _lease(body: Body) -> list[tuple[str, str]]:
    said, pace = body.lease, body.timing
    if said.freshness == "nonce" and said.skew_ms is not UNSET:
        return [("lease.skew_ms", "means nothing where only a nonce counts")]
    if said.freshness != "nonce" and said.skew_ms is UNSET:
        return [("lease.skew_ms", f"is missing: freshness {said.freshness} reads a wall clock")]
    terms = Terms(said.ttl_ms, _number(said.skew_ms), DRIFT_PPM, said.freshness)
    short = timing.problem(
        terms, Pace(pace.interval_ms, pace.publish_ms, pace.poll_ms, pace.timeout_ms)
    )
    return [] if short is None else [("lease.ttl_ms", short)]


def _audit(said: AuditBody | UnsetType) -> list[tuple[str, str]]:
    if not isinstance(said, AuditBody):
        return []
    if said.witnesses is not UNSET and said.max_unacked_ms is UNSET:
        return [
            ("audit.witnesses", "need a limit for records that they have not cosigned (maxUnacked)")
        ]
    return []


def _compiled(body: Body, raw: bytes) -> Profile:
    lease, drain = body.lease, body.in_flight
    audit = body.audit if isinstance(body.audit, AuditBody) else AuditBody()
    return Profile(
        name=body.name,
        sha256=canonical.digest(raw),
        raw=raw,
        freshness=lease.freshness,
        ttl_ms=lease.ttl_ms,
        skew_ms=_number(lease.skew_ms),
        interval_ms=body.timing.interval_ms,
        poll_ms=body.timing.poll_ms,
        peers=body.quorum.n,
        read=body.quorum.r,
        write=body.quorum.w,
        drain_max_ms=drain.drain_ms if isinstance(drain, DrainBody) else 0,
        strict=audit.durability == "strict",
        pathless=audit.paths == "none",
        checkpoint_age_ms=_number(audit.max_checkpoint_age_ms),
        unacked_ms=_number(audit.max_unacked_ms),
        witnesses=_number(audit.witnesses),
        parent_required=body.parent == "required",
    )


def _number(said: int | UnsetType) -> int:
    return said if isinstance(said, int) else 0
