"""What a follower is told once."""

from dataclasses import dataclass

from sidecar.core.facts import Workload
from sidecar.core.lease import Terms
from sidecar.core.quorum import PeerId
from sidecar.core.reporter import Identity

JITTER = 0.1  # of the poll interval: sidecars that started together drift apart


@dataclass(frozen=True, slots=True)
class Setting:
    """What a follower is told once.

    Attributes:
        service: The service behind, as epochs name it.
        region: Where it runs, as epochs name it.
        peers: All of them, in a fixed order.
        quorum: Peers that must agree; the signed number may be higher.
        terms: Bounds of every lease; the signed ones may be tighter.
        poll_ms: From the start of one round to the start of the next.
        step_ms: How far the two clocks may part between two looks.
        integrity_max_age_ms: How old a measurement of what runs here may be (EG404).
        instance: Name of this sidecar, as halts name it; empty: unknown.
        identity: Who reports; None: no reports are made.
        parent_key: Whether parent decisions can be told and believed here.
    """

    service: str
    region: str
    peers: tuple[PeerId, ...]
    quorum: int
    terms: Terms
    poll_ms: int
    step_ms: int = 250
    integrity_max_age_ms: int = 120_000
    instance: str = ""
    identity: Identity | None = None
    parent_key: bool = False

    @property
    def here(self) -> Workload:
        """What policies are told of the place."""
        key_id = "" if self.identity is None else self.identity.key_id
        return Workload(self.service, self.region, self.instance, key_id)


def report_ms(poll_ms: int) -> int:
    """From one report to the next: each round that nobody hurried along makes one."""
    return int(poll_ms * (1 - JITTER))
