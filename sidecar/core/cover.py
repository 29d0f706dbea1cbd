"""What is written beside a beat: proofs of whom it covers, and what nobody need hold any more.

Rules:

* Proofs go before the beat, in the same batch: who sees the beat finds its proofs.
* Proofs of instances that left are taken away. What an earlier process left behind is unknown, so
  the first beat of a process begins with an empty hash.

Source: protocol b.1 (`fleet.root`), b.2.
"""

from collections.abc import Iterable

from sidecar.core import layout
from sidecar.core.envelope import KeyId
from sidecar.core.events import WriteCommand
from sidecar.core.fleet import Census


class Cover:
    """The hash of proofs of one authority replica, the same on every peer.

    Args:
        domain: Of the fleet.
        key_id: Of the replica's beat key.
    """

    def __init__(self, domain: str, key_id: KeyId) -> None:
        self._domain = domain
        self._key_id = key_id
        self._names: set[str] | None = None  # None: who knows

    def lines(
        self, census: Census, beat_sha256: str, unlisted: Iterable[str]
    ) -> list[WriteCommand]:
        """What to write before a beat.

        Args:
            census: Whom it covers.
            beat_sha256: Its digest, hex.
            unlisted: Names whose reports the peers may forget.
        """
        key = layout.proofs_key(self._domain, self._key_id)
        proofs = census.proofs(beat_sha256)
        names = {name for name, _ in proofs}
        lines: list[WriteCommand] = []
        if self._names is None:
            lines.append(("DEL", key))
        elif gone := sorted(self._names - names):
            lines.append(("HDEL", key, *gone))
        self._names = names
        if proofs:
            lines.append(("HSET", key, *(part for proof in proofs for part in proof)))
        if forgotten := tuple(unlisted):
            lines.append(("HDEL", layout.reports_key(self._domain), *forgotten))
        return lines
