"""The trust document that an authority vouches under, and the next one.

Rules:

* Each look asks for the one version that would follow. One valid copy on one peer is enough: root
  signed it, and whoever hides it wins nothing once any peer shows it.
* It is stored before it is used; until then nothing is signed, neither under it nor under the one
  before. Several versions in a row are walked one look at a time.
* Two valid successors of one document: root keys signed both. Vouching under either, or going on
  as if there were none, would be taking sides. It stays so until somebody restarts the process.
* Peers are given the documents that they lack, now and then: a sidecar that comes back walks them.

Source: protocol b.3 step 2, b.11.
"""

from collections.abc import Iterable, Mapping

from sidecar.core import layout
from sidecar.core.instant import WallMs
from sidecar.core.issued import Issued
from sidecar.core.issuing import Contradiction, WriteCommand
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError

CHECK_MS = 60_000  # from one look for missing documents to the next


class Rotation:
    """Walks trust documents.

    Args:
        trust: The one in force.
        issued: Holds the documents up to it.

    Attributes:
        trust: The one in force.
        successor: The next one, verified and not durable yet, or None.
        conflict: Two successors, or None.
    """

    def __init__(self, trust: Trust, issued: Issued) -> None:
        self.trust = trust
        self.successor: Trust | None = None
        self.conflict: Contradiction | None = None
        self._issued = issued
        self._checked: WallMs | None = None
        self._asked = False

    def keys(self, now: WallMs, *, check: bool) -> tuple[str, ...]:
        """String keys to read in this look.

        Args:
            now: Wall clock.
            check: Whether to look for missing documents although it is not time yet.
        """
        # A clock that was set back must not put the check off.
        due = self._checked is None or not self._checked <= now < self._checked + CHECK_MS
        self._asked = due or check
        if self._asked:
            self._checked = now
        return (self._key(self.trust.version + 1), *(self._held() if self._asked else ()))

    def lacking(
        self, found: Mapping[str, tuple[bytes, ...]], *, empty: bool
    ) -> tuple[WriteCommand, ...]:
        """What gives a peer the documents that it does not hold.

        Args:
            found: What it answered to `keys`.
            empty: Whether it looks as if it held nothing at all.
        """
        if not self._asked and not empty:
            return ()
        return tuple(
            ("SET", key, raw) for key, raw in self._held().items() if found.get(key) != (raw,)
        )

    def take(self, answers: Iterable[Mapping[str, tuple[bytes, ...]]], now: WallMs) -> None:
        """Judge what the peers hold under the name of the next version."""
        if self.conflict is not None:
            return
        key = self._key(self.trust.version + 1)
        raws = dict.fromkeys(raw for found in answers for raw in found.get(key, ()))
        known = {self.successor.sha256: self.successor} if self.successor else {}
        for raw in raws:
            try:
                next_one = self.trust.rotate(raw, now)
            except ProtocolError:
                continue  # as good as absent
            known.setdefault(next_one.sha256, next_one)
        if len(known) > 1:
            self.conflict = Contradiction("trust", self.trust.version + 1, tuple(sorted(known)))
        elif known:
            (self.successor,) = known.values()
            self._issued.rotate(self.trust, self.successor)

    def adopt(self) -> Trust:
        """The successor is durable: it is in force from now on."""
        assert self.successor is not None, "there is one"
        self.trust, self.successor = self.successor, None
        return self.trust

    def _held(self) -> dict[str, bytes]:
        return {self._key(version): raw for version, raw in self._issued.documents.items()}

    def _key(self, version: int) -> str:
        return layout.trust_key(self.trust.domain, version)
