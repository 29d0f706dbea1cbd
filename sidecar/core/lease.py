"""The lease: the right to serve until a deadline on this machine's boot-time clock.

The bound, for a beat issued at `issued_at` (authority clock) with `ttl_ms`:

    Let M, W be boot and wall time, read together before the round's reads were sent (M first).
    |W - true time| <= skew. Boot time may run wrong by drift_ppm. The beat's true age at M is at
    most W - issued_at + skew, so at least issued_at + ttl - skew - W of it is left, and the lease
    may last, from M,

        left = min(ttl, issued_at + ttl - skew - W) * (1 - drift).

    At the deadline true time is at most issued_at + ttl, whatever the reply took to arrive.
    W is read in whole milliseconds, rounded down, so the millisecond that has begun counts as gone.

Rules:

* Counted from the *send*: a slow reply can only shorten a lease. Counting from the receipt is the
  classic bug, and one of the bugs that the simulation must catch.
* A second deadline on the wall clock, `issued_at + ttl - skew`, catches a machine whose boot clock
  stood still. Every permit needs both.
* A beat that extends a lease is strictly newer than the one behind it; the caller checks that
  (`extends`). Re-reading one beat must not stretch it by clock noise.
* `ttl` is the smallest of what the beat, the trust document and the local configuration say.

The nonce anchor: a beat whose fleet tree covers a report of this sidecar was signed after that
report was made, at M0 on this boot clock. So it was issued no earlier than M0, and a lease of

    M0 + ttl * (1 - drift)

ends by issued_at + ttl in true time, whatever the wall clocks, the peers and the network do. With
`freshness: both` a lease needs both anchors and keeps the earlier of each deadline.

A threshold of role beat above 1 wants so many issuers: the lease is as long as the worst of the
best ones of that many (`Grants`).

Source: Gray & Cheriton 1989 section 2; protocol b.1 (streams), b.6; hardening E-G3, E-G4.
"""

from dataclasses import dataclass, replace
from typing import Literal

from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.trust import Limits
from sidecar.core.quorum import Agreement, PeerId
from sidecar.core.reason import Reason

PPM = 1_000_000

Freshness = Literal["clock", "nonce", "both"]


@dataclass(frozen=True, slots=True)
class Terms:
    """The bounds that every lease keeps.

    Attributes:
        ttl_ms: Longest life of a lease, from issue; milliseconds.
        skew_ms: Largest difference between this wall clock and the authority's; milliseconds.
        drift_ppm: Largest rate error of the boot-time clock; parts per million.
        freshness: What has to prove that a beat is fresh.
    """

    ttl_ms: int
    skew_ms: int
    drift_ppm: int
    freshness: Freshness = "clock"

    def within(self, limits: Limits) -> "Terms":
        """These terms under signed limits: of each number the tighter one."""
        return replace(
            self,
            ttl_ms=min(self.ttl_ms, limits.ttl_max_ms),
            skew_ms=max(self.skew_ms, limits.skew_max_ms),
            drift_ppm=max(self.drift_ppm, limits.drift_ppm),
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """Permission to serve under one epoch until both deadlines.

    Attributes:
        epoch_seq: Number of the epoch.
        epoch_sha256: Its digest, hex.
        beat: The beat that it leans on.
        peers: Who agreed, sorted.
        deadline: Boot time, exclusive.
        wall_deadline: Wall time, exclusive.
        anchor: How the deadline was derived.
        issuers: Whose beats it leans on; known to whoever grants it, and to nobody else.
    """

    epoch_seq: int
    epoch_sha256: str
    beat: Beat
    peers: tuple[PeerId, ...]
    deadline: BootNs
    wall_deadline: WallMs
    anchor: Freshness
    issuers: tuple[str, ...] = ()

    def live(self, now: Now) -> bool:
        """Whether both clocks are still before their deadlines."""
        return now.boot < self.deadline and now.wall < self.wall_deadline


def grant(
    agreement: Agreement, beat: Beat, sent: Now, terms: Terms, nonce: Now | None = None
) -> Lease | Reason:
    """Turn an agreement into the right to serve, or say why the beat is not fresh.

    Args:
        agreement: Enough peers behind one epoch.
        beat: One of its beats.
        sent: Both clocks, read before the first read of the round left.
        terms: Bounds, all in milliseconds.
        nonce: Both clocks when the report was made that the beat covers, or None.

    Returns:
        A lease; BEAT_STALE when nothing of the beat is left, NONCE_MISSING when it covers no report
        and the terms ask for one.
    """
    ttl_ms = min(beat.says.ttl_ms, terms.ttl_ms)
    ends: list[tuple[BootNs, WallMs]] = []
    if terms.freshness != "nonce":
        wall_deadline = WallMs(beat.says.issued_at + ttl_ms - terms.skew_ms)
        left_ms = min(ttl_ms, wall_deadline - sent.wall - 1)  # 1: the part that `wall` leaves out
        ends.append((_after(sent.boot, left_ms, terms), wall_deadline))
    if terms.freshness != "clock":
        if nonce is None:
            return Reason.NONCE_MISSING
        ends.append((_after(nonce.boot, ttl_ms, terms), WallMs(nonce.wall + ttl_ms)))
    deadline, wall_deadline = min(end for end, _ in ends), min(end for _, end in ends)
    if deadline <= sent.boot:
        return Reason.BEAT_STALE
    return Lease(
        agreement.epoch_seq,
        agreement.epoch_sha256,
        beat,
        agreement.peers,
        deadline,
        wall_deadline,
        terms.freshness,
    )


def _after(start: BootNs, left_ms: int, terms: Terms) -> BootNs:
    return BootNs(start + left_ms * NS_PER_MS * (PPM - terms.drift_ppm) // PPM)


class Grants:
    """The best lease that each issuer's beats have given, and what enough issuers give together.

    A candidate is replaced by a strictly newer beat only: reading one again must not stretch it.
    """

    def __init__(self) -> None:
        self._known: dict[str, Lease] = {}

    def offer(self, lease: Lease) -> None:
        """Take what one beat gives."""
        known = self._known.get(lease.beat.issuer)
        if known is None or lease.beat.seq > known.beat.seq:
            self._known[lease.beat.issuer] = lease

    def best(self, agreement: Agreement, need: int) -> tuple[Lease, ...]:
        """The `need` longest for the agreed epoch, longest first; empty when there are fewer."""
        fit = [item for item in self._known.values() if item.epoch_sha256 == agreement.epoch_sha256]
        fit.sort(key=lambda item: item.deadline, reverse=True)
        return tuple(fit[:need]) if len(fit) >= need else ()

    def forget(self) -> None:
        """What beats gave so far counts no more."""
        self._known.clear()


def together(granted: tuple[Lease, ...], agreement: Agreement, latest: WallMs) -> Lease:
    """What several issuers' leases are worth together: as long as the shortest.

    Args:
        granted: At least one, longest first.
        agreement: Who agrees now.
        latest: Wall time that no lease may outlive: the end of the epoch and of the trust document.
    """
    wall_deadline = min(latest, *(item.wall_deadline for item in granted))
    issuers = tuple(item.beat.issuer for item in granted)
    return replace(
        granted[-1], peers=agreement.peers, wall_deadline=WallMs(wall_deadline), issuers=issuers
    )


def judge(beat: Beat, terms: Terms, now: WallMs) -> Reason | None:
    """Why a verified beat is not acceptable by its own times, or None.

    Where only a nonce counts, the times of a beat prove nothing and are not looked at.

    Args:
        beat: Verified.
        terms: Bounds.
        now: Wall clock, read after the beat arrived: one issued while our read was under way is
            not from the future.
    """
    if terms.freshness == "nonce":
        return None
    if beat.says.issued_at > now + terms.skew_ms:
        return Reason.BEAT_FROM_FUTURE
    if beat.says.issued_at + min(beat.says.ttl_ms, terms.ttl_ms) - terms.skew_ms <= now:
        return Reason.BEAT_STALE
    return None


def covers(beat: Beat, nonce: Now, terms: Terms, now: Now) -> bool:
    """Whether a beat that covers a report still gives anything by that.

    Args:
        beat: Verified.
        nonce: Both clocks when the report was made.
        terms: Bounds.
        now: Both clocks.
    """
    ttl_ms = min(beat.says.ttl_ms, terms.ttl_ms)
    return now.boot < _after(nonce.boot, ttl_ms, terms) and now.wall < nonce.wall + ttl_ms
