"""What an authority makes of reports: read, covered by a beat, proved; or lied about.

The real authority does the same with `core/fleet`; this one does what a test says.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from redis import Redis

from sidecar.core import canonical, envelope, layout
from sidecar.core.objects import beat, report
from sidecar.core.objects.report import Report
from tests import covering

Choose = Callable[[str, list[Report]], str | None]
Lie = Callable[[int, bytes], bytes | None]


def latest(_name: str, made: list[Report]) -> str:
    """What an honest authority covers: the newest report."""
    return made[-1].sha256


class Covering:
    """The fleet as a hand sees it.

    Attributes:
        choose: Name of an instance, and all that it reported -> digest to cover; None: nothing.
        lie: Number of a peer, and a proof -> what that peer gets; None: nothing.
        said: Fields of the beat's `fleet` to replace.
        made: Name of an instance -> its reports, each once, in their order.
    """

    def __init__(self) -> None:
        self.choose: Choose = latest
        self.lie: Lie = lambda _, proof: proof
        self.said: dict[str, Any] = {}
        self.made: dict[str, list[Report]] = {}
        self._covered: dict[str, str] = {}

    def look(self, clients: Sequence[Redis], domain: str) -> beat.Fleet:
        """Read every report, and say what the next beat says of them."""
        for client in clients:
            for raw in client.hvals(layout.reports_key(domain)):
                assert isinstance(raw, bytes)
                self._take(report.open_report(raw, domain))
        chosen = {name: self.choose(name, made) for name, made in sorted(self.made.items())}
        self._covered = {name: sha256 for name, sha256 in chosen.items() if sha256 is not None}
        return covering.fleet(list(self._covered.values()), **self.said)

    def prove(self, clients: Sequence[Redis], key: str, raw: bytes) -> None:
        """Give each peer the proofs of a beat, before it gets the beat."""
        sealed = envelope.parse(raw, beat.MAX_BYTES)
        sha256, digests = canonical.digest(sealed.unverified_payload), list(self._covered.values())
        for index, client in enumerate(clients):
            for name, one in self._covered.items():
                shown = self.lie(index, covering.proof(sha256, digests, one))
                if shown is not None:
                    client.hset(key, name, shown)

    def _take(self, found: Report) -> None:
        made = self.made.setdefault(found.says.instance, [])
        if found.sha256 not in {one.sha256 for one in made}:
            made.append(found)
            # What a sidecar says about the time decides nothing; processes follow one another.
            boots = list(dict.fromkeys(one.says.boot_id for one in made))
            made.sort(key=lambda one: (boots.index(one.says.boot_id), one.says.seq))


def forged(_peer: int, proof: bytes) -> bytes:
    """A proof that leads nowhere."""
    said = msgspec.json.decode(proof, type=report.Proof)
    return canonical.dump(msgspec.structs.replace(said, path=("0" * 64,)))
