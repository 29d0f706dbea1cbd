"""The lint of the timing: can a healthy authority keep a lease alive although beats are lost?

What a fresh beat is worth must exceed what may pass until the next one is read, when `MISSES` beats
in a row are lost,

    ttl * (1 - drift) - skew  >  (MISSES + 1) * interval + 2 * publish + poll + timeout.

With nonce freshness nothing is taken off for skew, but the nonce has to go there and back:

    ttl * (1 - drift)  >  poll + (MISSES + 1) * interval + 2 * publish + poll + 2 * timeout.

Numbers that are not known count as 0, so what is reported is certainly too tight.

Source: protocol b.6.
"""

from dataclasses import dataclass

from sidecar.core.lease import PPM, Freshness, Terms

MISSES = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, and how long each step may take; milliseconds, 0: not known.

    Attributes:
        interval_ms: Of an authority, from beat to beat.
        publish_ms: It takes so long at most to read the peers, and again to write them.
        poll_ms: Of a sidecar, from round to round.
        timeout_ms: It waits so long at most for a peer.
    """

    interval_ms: int = 0
    publish_ms: int = 0
    poll_ms: int = 0
    timeout_ms: int = 0


def problem(terms: Terms, pace: Pace) -> str | None:
    """Why a lease under these terms would lapse without a fault, and by how much; None: it lasts.

    Of two anchors that are both too tight only the first is told.
    """
    once = pace.poll_ms + pace.timeout_ms
    wanted: list[tuple[Freshness, int, int]] = [
        ("clock", terms.skew_ms, once), ("nonce", 0, 2 * once),
    ]  # fmt: skip
    for anchor, skew_ms, rest_ms in wanted:
        if terms.freshness in (anchor, "both"):
            short = _short(terms, skew_ms, pace, rest_ms + 2 * pace.publish_ms)
            if short is not None:
                return short
    return None


def _short(terms: Terms, skew_ms: int, pace: Pace, rest_ms: int) -> str | None:
    worth = terms.ttl_ms * (PPM - terms.drift_ppm) // PPM - skew_ms
    needed = (MISSES + 1) * pace.interval_ms + rest_ms
    if worth > needed:
        return None
    return (
        f"is too short: ttl {terms.ttl_ms} ms, less drift {terms.drift_ppm} ppm and skew {skew_ms} "
        f"ms, leaves {worth} ms of a beat, but {needed} ms may pass until the next is read "
        f"({MISSES + 1} x interval {pace.interval_ms} ms + {rest_ms} ms for publish, poll and "
        f"timeout): {needed - worth + 1} ms are missing"
    )
