"""One step of a beat: what is under way, who was asked, and what came back so far.

Each step has a number, and only answers that name it count: one that comes late belongs to a
question that is settled.
"""

from collections.abc import Iterable, Mapping
from enum import Enum

from sidecar.core.events import PeerFailed, PeerReplied
from sidecar.core.issuing import PeerWrote
from sidecar.core.quorum import PeerId


class Phase(Enum):
    """Which answers are awaited."""

    IDLE = 0
    READING = 1
    FETCHING = 2
    STORING = 3
    REPAIRING = 4
    COLLECTING = 5
    SIGNING = 6
    WRITING = 7
    RECORDING = 8


class Step:
    """Where a beat stands.

    Attributes:
        phase: What is under way.
        number: Counts what peers were asked.
        waiting: Peers that have not answered yet.
        answers: What those said that were read.
        failed: Peer -> how it failed.
        acks: Peers that took what they were given.
    """

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self.number = 0
        self.waiting: set[PeerId] = set()
        self.answers: dict[PeerId, Mapping[str, tuple[bytes, ...]]] = {}
        self.failed: dict[PeerId, str] = {}
        self.acks: list[PeerId] = []

    def enter(self, phase: Phase, peers: Iterable[PeerId]) -> None:
        """Begin a step that asks these peers."""
        self.phase = phase
        self.number += 1
        self.waiting = set(peers)
        self.answers, self.failed, self.acks = {}, {}, []

    def take(self, event: PeerReplied | PeerWrote | PeerFailed) -> bool:
        """Count an answer; whether it belongs to this step."""
        if event.round != self.number or event.peer not in self.waiting:
            return False
        self.waiting.remove(event.peer)
        if isinstance(event, PeerWrote):
            self.acks.append(event.peer)
        elif isinstance(event, PeerReplied):
            self.answers[event.peer] = event.found
        else:
            self.failed[event.peer] = event.kind
        return True
