"""Which epoch an authority should vouch for next, judged from names that peers gave.

Rules:

* A name is a hint. The epoch behind it is fetched by digest, and counts once enough epoch keys have
  signed it and it follows the current one link by link.
* Several peers may hold several envelopes around one payload, some with signatures stripped. Each
  is tried; one good envelope is enough, a bad one spoils nothing.
* An epoch with a lower number than the current one is older, whoever signed it: its digest is what
  its bytes hash to. So a peer that slept through a rotation is put right although nobody can check
  those signatures any more.
* What is not valid yet, or lacks its policy, routes or profile, waits. Vouching for it would
  contain a fleet that has no other fault.

Source: protocol b.1, b.3 steps 6 and 7.
"""

from collections.abc import Iterable, Mapping

from sidecar.core import canonical, envelope, layout
from sidecar.core.archive import Archive, Missing
from sidecar.core.instant import WallMs
from sidecar.core.issued import Issued
from sidecar.core.issuing import Contradiction
from sidecar.core.objects import epoch
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Mark
from sidecar.core.reason import ProtocolError, Reason

Found = Mapping[str, tuple[bytes, ...]]  # key -> the distinct values that peers gave


class Succession:
    """The candidates of one look at the peers.

    Args:
        domain: Of the fleet.
        archive: Holds what was fetched, also during earlier looks.
        issued: What is vouched for now.
        heads: Digests that peers name as newest, other than the current one.
        complete: Whether the blobs of the current epoch are wanted too, to repair a peer.

    Attributes:
        denied: Digest -> why it will not be adopted.
        older: Digests of epochs that come before the current one.
        conflict: Two verified epochs with one number, or None.
    """

    def __init__(
        self, domain: str, archive: Archive, issued: Issued, heads: Iterable[str], *, complete: bool
    ) -> None:
        self._domain = domain
        self._archive = archive
        self._current = issued.epoch
        self._mark = issued.mark
        self._undecided = dict.fromkeys(sorted(heads), "")
        self._complete = complete
        self._pending: dict[str, str] = {}
        self._ready: dict[int, Epoch] = {}
        self.denied: dict[str, str] = {}
        self.older: set[str] = set()
        self.conflict: Contradiction | None = None

    def step(self, found: Found, now: WallMs) -> tuple[str, ...]:
        """Take what was fetched and judge as far as that goes.

        Args:
            found: Answers to the keys that the step before asked for.
            now: Wall clock.

        Returns:
            Keys to fetch for the next step; empty when there is nothing left to learn.
        """
        names = {layout.epoch_key(self._domain, sha256) for sha256 in self._undecided}
        for key, values in found.items():
            if key not in names:
                for raw in values:
                    self._archive.add(key, raw)
        wanted: list[str] = []
        for sha256 in tuple(self._undecided):
            missing = self._judge(sha256, found, now)
            if missing is None:
                del self._undecided[sha256]
            else:
                self._undecided[sha256] = missing.key
                wanted.append(missing.key)
        if self._complete:
            wanted += [missing.key for missing in self.lacking()]
        return tuple(dict.fromkeys(wanted))

    def lacking(self) -> list[Missing]:
        """Blobs of the current epoch that are not at hand."""
        try:
            return [] if self._current is None else self._blobs(self._current)
        except ProtocolError:
            return []  # adopted by a build that compiled it; sidecars judge it, not we

    @property
    def chosen(self) -> Epoch | None:
        """The highest epoch to vouch for from now on, or None when the current one stays."""
        return self._ready[max(self._ready)] if self._ready else None

    @property
    def waiting(self) -> dict[str, str]:
        """Digest -> what its epoch waits for."""
        return {
            **self._pending,
            **{sha256: f"no peer serves {key}" for sha256, key in self._undecided.items()},
        }

    def _judge(self, sha256: str, found: Found, now: WallMs) -> Missing | None:
        key = layout.epoch_key(self._domain, sha256)
        problem: ProtocolError | None = None
        for raw in found.get(key, (None,)):
            if raw is not None and not self._archive.add(key, raw):
                continue
            try:
                return self._weigh(sha256, now)
            except ProtocolError as error:
                problem = error
                if error.reason is Reason.ROLLBACK:  # below the floor, or beside it
                    self.older.add(sha256)
        if problem is None:
            return Missing(key, Reason.EPOCH_CHAIN_BREAK, Reason.EPOCH_CHAIN_BREAK)
        self.denied[sha256] = str(problem)
        return None

    def _weigh(self, sha256: str, now: WallMs) -> Missing | None:
        named, current = self._named(sha256), self._current
        if current is not None and 0 < named.seq < current.seq:
            self.older.add(sha256)
            return None
        known = self._archive.epoch(named, self._mark, now)
        if isinstance(known, Missing):
            return known
        if current is not None and known.seq == current.seq:
            self._split(current, known)
        elif now < known.says.not_before:
            self._pending[sha256] = f"epoch {known.seq} begins at {known.says.not_before} ms"
        else:
            lacking = self._blobs(known)
            if lacking:
                return lacking[0]
            rival = self._ready.setdefault(known.seq, known)
            if rival is not known:
                self._split(rival, known)
        return None

    def _split(self, one: Epoch, other: Epoch) -> None:
        self.conflict = Contradiction("epoch", one.seq, (one.sha256, other.sha256))

    def _named(self, sha256: str) -> Mark:
        # The number is the unverified one: whoever follows a name has only the digest. The archive
        # then verifies the whole.
        try:
            raw = self._archive.envelope(sha256)
        except KeyError:
            return Mark(seq=0, sha256=sha256)
        sealed = envelope.parse(raw, epoch.MAX_BYTES)
        said = canonical.load(sealed.unverified_payload, epoch.Statement, epoch.MAX_BYTES)
        return Mark(seq=said.predicate.seq, sha256=sha256)

    def _blobs(self, of: Epoch) -> list[Missing]:
        says, held = of.says, self._archive
        found = (held.policy(says.policy), held.routes(says.routes), held.profile(says.profile))
        return [item for item in found if isinstance(item, Missing)]
