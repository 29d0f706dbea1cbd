"""The fleet for people: one row for each instance, from the reports that peers hold.

Rules:

* Every row comes from a report that its instance signed. What nobody signed is not shown.
* Peers are read as the authority reads them, and nothing is written.

Source: protocol b.1 (report), b.10 (halt readiness).
"""

import asyncio
from collections.abc import Container, Sequence

from sidecar.authority.publisher import PeerLike
from sidecar.core import canonical, layout
from sidecar.core.fault import PeerError
from sidecar.core.fleet import KEEP_MIN_MS, Fleet, Member
from sidecar.core.instant import Now
from sidecar.core.issuer import REPORTS_MAX_BYTES
from sidecar.core.objects.epoch import Epoch

Row = dict[str, object]


class Watch:
    """Reads the fleet from peers, again and again.

    Args:
        peers: Whom to ask.
        domain: Of the fleet.

    Attributes:
        fleet: Who reports.
        failed: Peer -> why it did not answer the latest look.
    """

    def __init__(self, peers: Sequence[PeerLike], domain: str) -> None:
        self.fleet = Fleet(domain, KEEP_MIN_MS)
        self.failed: dict[str, str] = {}
        self._peers = peers
        self._key = layout.reports_key(domain)
        self._looks = 0

    async def look(self, now: Now) -> list[Member]:
        """Read all peers once. Returns who reported lately, by name."""
        self._looks += 1
        tag = canonical.digest(b"%d" % self._looks).encode()

        async def one(peer: PeerLike) -> tuple[bytes, ...] | str:
            try:
                found = await peer.read((), (self._key,), REPORTS_MAX_BYTES, tag)
            except PeerError as error:
                return str(error)
            return found[self._key]

        answers = await asyncio.gather(*(one(peer) for peer in self._peers))
        pairs = zip(self._peers, answers, strict=True)
        self.failed = {peer.id: found for peer, found in pairs if isinstance(found, str)}
        self.fleet.look([found for found in answers if not isinstance(found, str)], now)
        return self.fleet.members


def row(member: Member, age_ms: int, *, included: bool) -> Row:
    """What one instance says about itself.

    Args:
        member: Its newest report.
        age_ms: Of that report.
        included: Whether the latest beat covers it.
    """
    said = member.report.says
    return {
        "instance": said.instance,
        "service": said.service,
        "region": said.region,
        "state": said.state,
        "epoch": None if said.epoch is None else said.epoch.seq,
        "policy": said.policy_sha256,
        "trust": said.trust.version,
        "reasons": list(said.reasons),
        "age_ms": age_ms,
        "lease_ms_left": said.lease_ms_left,
        "build": said.build,
        "included": included,
    }


def rows(fleet: Fleet, covered: Container[str], now: Now) -> list[Row]:
    """Everybody who reports to an authority, aged by its clock.

    Args:
        fleet: Whom it knows.
        covered: Names that its latest beat covers.
        now: Both clocks.
    """
    return [
        row(member, member.age_ms(now.boot), included=member.name in covered)
        for member in fleet.members
    ]


def admitted(members: Sequence[Member], current: Epoch | None) -> list[Member]:
    """Those that an epoch's roster names; all while it is open."""
    roster = frozenset(() if current is None else current.says.scope.instances)
    return [member for member in members if not roster or member.key_id in roster]
