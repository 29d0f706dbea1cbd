"""Arithmetic on spans of time, and when the promise's preconditions held.

A time is a whole number of milliseconds, a span is [begin, end). Pure functions.

Source: protocol b.0 (goal A), b.5.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from tests.chaos.history import History, Span

Time = tuple[int, int]
FOREVER = 2**62
LOST = ("peer empty", "peer old", "peer flushed")
PEER_KINDS = (*LOST, "peer stopped", "majority stopped")
PROCESS_KINDS = (
    "authority killed", "authority stopped", "authorities silent", "sidecar killed",
    "sidecar stopped", "sidecar stopped long",
)  # fmt: skip


def merged(times: Iterable[Time]) -> list[Time]:
    """The same times as few spans, in order."""
    found: list[Time] = []
    for begin, end in sorted(times):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif begin < end:
            found.append((begin, end))
    return found


def free(bad: Iterable[Time], begin: int, end: int) -> list[Time]:
    """What is left of [begin, end) without the bad times."""
    found: list[Time] = []
    for start, stop in merged(bad):
        if begin < min(start, end):
            found.append((begin, min(start, end)))
        begin = max(begin, stop)
    return [*found, (begin, end)] if begin < end else found


def within(at: int, times: Iterable[Time]) -> bool:
    return any(begin <= at < end for begin, end in times)


def time(span: Span, after_ms: int = 0) -> Time:
    return span.begin, FOREVER if span.end is None else span.end + after_ms


def peer_bad(history: History, peer: str, settle_ms: int = 0) -> list[Time]:
    """When a peer was gone, or had lost what it held; `settle_ms` longer for the latter."""
    return [
        time(span, settle_ms if span.kind in LOST else 0)
        for span in history.spans
        if span.kind in PEER_KINDS and peer in span.who
    ]


def process_bad(history: History, process: str) -> list[Time]:
    """When a process was dead or stopped."""
    kinds = PROCESS_KINDS
    return [time(s) for s in history.spans if s.kind in kinds and process in s.who]


def link_bad(history: History, process: str, peer: str) -> list[Time]:
    """When anything was done to the connections of a process to a peer."""
    return [time(s) for s in history.spans if s.mode and process in s.who and peer in s.peers]


def lost_at(history: History, peer: str, begin: int, end: int) -> bool:
    """Whether a peer may have lost what it was given at `begin`, by `end`."""
    losses = [s for s in history.spans if s.kind in LOST and peer in s.who]
    return any(s.begin <= end and (s.end is None or s.end >= begin) for s in losses)


def halted(history: History) -> list[Time]:
    """From when a halt may have been known until everybody may know that it is over."""
    found = []
    for order in history.named("halt"):
        clears = [c for c in history.named("clear") if c["json"]["clears"] == halt_id(order)]
        end = max((c["ended"] for c in clears), default=FOREVER)
        found.append((order["began"], min(end + settle_ms(history), FOREVER)))
    return found


def halt_id(order: dict[str, object]) -> object:
    said = order["json"]
    assert isinstance(said, dict)
    return said["halt_id"]


def settle_ms(history: History) -> int:
    """How long everything may take to be as it should, once its causes are."""
    return history.ttl_ms


def promised(history: History, sidecar: str, authorities: Sequence[str]) -> list[Time]:
    """When this sidecar should have permitted, by the promise.

    A majority of peers and one authority are up, all of them can reach each other and the sidecar,
    and it has been so for long enough; the sidecar runs; nothing is halted, and no epoch has just
    ended the one before at once. While our own process stood still, no link was well.
    """
    begin, end = history.chaos_from, history.calm_to
    never = [*process_bad(history, sidecar), *halted(history), *history.stalls]
    never += [
        (c["began"], c["ended"] + settle_ms(history))
        for c in history.commands
        if c["words"][0] == "epoch" and c.get("at_once")
    ]
    ways = {
        authority: [
            _both_bad(history, sidecar, authority, peer) + process_bad(history, authority)
            for peer in history.peers
        ]
        for authority in authorities
    }
    cuts = {begin, end, *(edge for edge in _edges(never) if begin < edge < end)}
    for bads in ways.values():
        cuts |= {edge for bad in bads for edge in _edges(bad) if begin < edge < end}
    points = sorted(cuts)
    good = [
        (a, b)
        for a, b in pairwise(points)
        if not within(a, never) and any(_enough(history, bads, a) for bads in ways.values())
    ]
    settled = settle_ms(history)
    return [(a + settled, b) for a, b in merged(good) if a + settled < b]


def _both_bad(history: History, sidecar: str, authority: str, peer: str) -> list[Time]:
    return [
        *peer_bad(history, peer, settle_ms(history)),
        *link_bad(history, sidecar, peer),
        *link_bad(history, authority, peer),
    ]


def _enough(history: History, bads: Sequence[Sequence[Time]], at: int) -> bool:
    return sum(not within(at, bad) for bad in bads) >= history.quorum


def _edges(times: Iterable[Time]) -> set[int]:
    return {edge for begin, end in times for edge in (begin, end)}
