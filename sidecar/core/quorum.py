"""Counting votes: does one epoch have enough peers behind it?

Rules:

* A vote is one peer's acceptable beats: verified, unexpired, under our trust. A peer that answered
  nothing acceptable has no vote. A peer counts once per epoch however many beats it serves.
* Of all epochs with at least `need` peers the highest number wins. A signature needs no majority;
  the majority is for freshness and against minority partitions.
* Two digests for the highest number are no matter of counting: that is `Split`, and it latches.

Source: protocol b.3 step 5, b.5; hardening E-R3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType

from sidecar.core.objects.beat import Beat

PeerId = NewType("PeerId", str)


@dataclass(frozen=True, slots=True)
class Vote:
    """What one peer contributes to a round: its acceptable beats."""

    beats: tuple[Beat, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Enough peers serve a live beat for one epoch.

    Attributes:
        epoch_seq: Its number.
        epoch_sha256: Its digest, hex.
        peers: Who agrees, sorted.
        beats: The distinct beats that they serve for it.
    """

    epoch_seq: int
    epoch_sha256: str
    peers: tuple[PeerId, ...]
    beats: tuple[Beat, ...]


@dataclass(frozen=True, slots=True)
class TooFew:
    """No epoch has enough peers; `most` is the best count there was."""

    most: int


@dataclass(frozen=True, slots=True)
class Split:
    """Two live beats name one epoch number with different digests."""

    one: Beat
    other: Beat


def tally(votes: Mapping[PeerId, Vote], need: int) -> Agreement | TooFew | Split:
    """Count which epoch the peers agree on.

    Args:
        votes: One vote per peer that answered in this round.
        need: Peers that must serve the same epoch; at least 1.
    """
    assert need >= 1, "a quorum of nobody would always agree"
    behind: dict[tuple[int, str], dict[PeerId, tuple[Beat, ...]]] = {}
    named: dict[int, Beat] = {}
    for peer in sorted(votes):
        for beat in votes[peer].beats:
            epoch = beat.says.epoch
            known = named.setdefault(epoch.seq, beat)
            if known.says.epoch.sha256 != epoch.sha256:
                return Split(known, beat)
            peers = behind.setdefault((epoch.seq, epoch.sha256), {})
            peers[peer] = (*peers.get(peer, ()), beat)
    enough = [epoch for epoch, peers in behind.items() if len(peers) >= need]
    if not enough:
        return TooFew(max((len(peers) for peers in behind.values()), default=0))
    seq, sha256 = max(enough)
    peers = behind[seq, sha256]
    beats = {beat.sha256: beat for served in peers.values() for beat in served}
    return Agreement(seq, sha256, tuple(peers), tuple(beats[key] for key in sorted(beats)))
