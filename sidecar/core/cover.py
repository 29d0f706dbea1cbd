"""What is written beside beats: proofs of whom they cover; and what nobody need hold any more.

Rules:

* Proofs go before the beat, in the same batch: who sees the beat finds its proofs.
* What is stale is taken away before the next read of the reports. A peer that refuses that, by its
  ACL for one, keeps some rubbish; neither the read nor a beat fails for it.
* What an earlier process left behind is unknown, so the first time the whole hash goes.

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
        self._names: set[str] | None = None  # whose proofs the peers hold; None: who knows
        self._gone: set[str] = set()

    def tidy(self, unlisted: Iterable[str]) -> tuple[WriteCommand, ...]:
        """What to take away now.

        Args:
            unlisted: Names whose reports the peers may forget.
        """
        key = layout.proofs_key(self._domain, self._key_id)
        lines: list[WriteCommand] = []
        if self._names is None:
            lines.append(("DEL", key))
        elif self._gone:
            lines.append(("HDEL", key, *sorted(self._gone)))
        self._gone = set()
        if forgotten := tuple(unlisted):
            lines.append(("HDEL", layout.reports_key(self._domain), *forgotten))
        return tuple(lines)

    def lines(self, census: Census, beat_sha256: str) -> tuple[WriteCommand, ...]:
        """What to write before a beat.

        Args:
            census: Whom it covers.
            beat_sha256: Its digest, hex.
        """
        proofs = census.proofs(beat_sha256)
        names = {name for name, _ in proofs}
        self._gone |= (self._names or set()) - names
        self._gone -= names
        self._names = names
        if not proofs:
            return ()
        key = layout.proofs_key(self._domain, self._key_id)
        return (("HSET", key, *(part for proof in proofs for part in proof)),)
