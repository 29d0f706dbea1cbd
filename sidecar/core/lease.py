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

The nonce anchor (a beat that provably answers this sidecar's own report) will add a second way to
compute the deadline; `Lease.anchor` says which one was used.

Source: Gray & Cheriton 1989 section 2; protocol b.6; hardening E-G3, E-G4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.objects.beat import Beat
from sidecar.core.quorum import Agreement, PeerId
from sidecar.core.reason import Reason

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """The bounds that every lease keeps.

    Attributes:
        ttl_ms: Longest life of a lease, from issue; milliseconds.
        skew_ms: Largest difference between this wall clock and the authority's; milliseconds.
        drift_ppm: Largest rate error of the boot-time clock; parts per million.
    """

    ttl_ms: int
    skew_ms: int
    drift_ppm: int


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
    """

    epoch_seq: int
    epoch_sha256: str
    beat: Beat
    peers: tuple[PeerId, ...]
    deadline: BootNs
    wall_deadline: WallMs
    anchor: Literal["clock"]

    def live(self, now: Now) -> bool:
        """Whether both clocks are still before their deadlines."""
        return now.boot < self.deadline and now.wall < self.wall_deadline


def grant(agreement: Agreement, beat: Beat, sent: Now, terms: Terms) -> Lease | Reason:
    """Turn an agreement into the right to serve, or say why the beat is too old.

    Args:
        agreement: Enough peers behind one epoch.
        beat: One of its beats.
        sent: Both clocks, read before the first read of the round left.
        terms: Bounds, all in milliseconds.

    Returns:
        A lease, or BEAT_STALE when nothing of the beat is left.
    """
    ttl_ms = min(beat.says.ttl_ms, terms.ttl_ms)
    wall_deadline = WallMs(beat.says.issued_at + ttl_ms - terms.skew_ms)
    left_ms = min(ttl_ms, wall_deadline - sent.wall - 1)  # 1: the part that `wall` leaves out
    if left_ms <= 0:
        return Reason.BEAT_STALE
    left_ns = left_ms * NS_PER_MS * (PPM - terms.drift_ppm) // PPM
    return Lease(
        agreement.epoch_seq,
        agreement.epoch_sha256,
        beat,
        agreement.peers,
        BootNs(sent.boot + left_ns),
        wall_deadline,
        "clock",
    )


def best(
    agreement: Agreement, beats: Sequence[Beat], sent: Now, terms: Terms, latest: WallMs
) -> Lease | Reason | None:
    """The longest lease that any of the beats gives.

    Args:
        agreement: Enough peers behind one epoch.
        beats: Those of its beats that are strictly newer than any used before.
        sent: Both clocks, read before the first read of the round left.
        terms: Bounds.
        latest: Wall time that no lease may outlive: the end of the epoch and of the trust document.

    Returns:
        A lease; BEAT_STALE when nothing is left of any beat; None when there are no beats.
    """
    granted = [grant(agreement, beat, sent, terms) for beat in beats]
    leases = [lease for lease in granted if isinstance(lease, Lease)]
    if not leases:
        return Reason.BEAT_STALE if granted else None
    longest = max(leases, key=lambda lease: lease.deadline)
    return replace(longest, wall_deadline=WallMs(min(longest.wall_deadline, latest)))


def judge(beat: Beat, terms: Terms, now: WallMs) -> Reason | None:
    """Why a verified beat is not acceptable by its own times, or None.

    Args:
        beat: Verified.
        terms: Bounds.
        now: Wall clock, read after the beat arrived: one issued while our read was under way is
            not from the future.
    """
    if beat.says.issued_at > now + terms.skew_ms:
        return Reason.BEAT_FROM_FUTURE
    if beat.says.issued_at + min(beat.says.ttl_ms, terms.ttl_ms) - terms.skew_ms <= now:
        return Reason.BEAT_STALE
    return None
