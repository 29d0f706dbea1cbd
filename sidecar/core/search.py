"""The search for the epoch to vouch for: one look after the other.

`succession` judges the candidates of one look; what it needs is fetched step by step, and what was
fetched is kept for the next looks, within bounds.

Source: protocol b.3 steps 6 and 7.
"""

from collections.abc import Iterator, Mapping

from sidecar.core.archive import Archive
from sidecar.core.instant import WallMs
from sidecar.core.issued import Issued
from sidecar.core.issuing import Fact
from sidecar.core.objects.trust import Trust
from sidecar.core.succession import Succession

FETCHES_MAX = 8  # steps per look; a longer chain is walked on during the next looks
HEADS_MAX = 16  # names of epochs looked at per look
ARCHIVE_MAX_BYTES = 16 * 1024 * 1024  # fetched and not yet adopted


class Search:
    """Finds epochs, and adopts them.

    Args:
        trust: The trust document in force.
        issued: What is vouched for; takes what is adopted.

    Attributes:
        archive: What was fetched.
        judged: The candidates of this look.
    """

    def __init__(self, trust: Trust, issued: Issued) -> None:
        self._trust = trust
        self._issued = issued
        self.archive = Archive(trust)
        self._archived_bytes = 0
        self._found: dict[str, dict[bytes, None]] = {}
        self._fetches = 0
        self.begin(frozenset())

    def renew(self, trust: Trust) -> None:
        """Another trust document is in force."""
        self._trust = trust
        self.archive.renew(trust)

    def begin(self, heads: frozenset[str | None]) -> None:
        """Start over.

        Args:
            heads: Digests that peers name as newest; None: some peer names nothing.
        """
        current, mark = self._issued.epoch, self._issued.mark
        sha256 = None if current is None else current.sha256
        named = {head for head in heads if head is not None and head != sha256}
        chosen = sorted(named)[:HEADS_MAX]
        if current is None and mark is not None:
            chosen = [mark.sha256, *chosen]  # the floor: no peer needs to name it
        self._found, self._fetches = {}, 0
        self.judged = Succession(
            self._trust.domain,
            self.archive,
            self._issued,
            chosen,
            complete=bool(heads - {sha256}),
        )

    def add(self, found: Mapping[str, tuple[bytes, ...]]) -> None:
        """Take what one peer answered to a step."""
        for key, values in found.items():
            self._found.setdefault(key, {}).update(dict.fromkeys(values))

    def step(self, now: WallMs) -> tuple[str, ...]:
        """Judge what was fetched. Returns what to fetch next; nothing: no more can be learnt."""
        self._archived_bytes += sum(len(raw) for values in self._found.values() for raw in values)
        found = {key: tuple(values) for key, values in self._found.items()}
        learned = any(found.values()) or self._fetches == 0
        wanted = self.judged.step(found, now)
        if not wanted or not learned or self._fetches >= FETCHES_MAX:
            return ()
        self._fetches += 1
        self._found = {}
        return wanted

    def finish(self, *, informed: bool) -> Iterator[tuple[Fact, str]]:
        """Adopt what was found, and say how matters stand.

        Args:
            informed: Whether enough peers answered; else nothing is adopted.
        """
        judged = self.judged
        chosen = judged.chosen
        if chosen is not None and informed and judged.conflict is None:
            self._issued.adopt(chosen, self.archive.envelope(chosen.sha256))
            yield Fact.EPOCH_ADOPTED, f"{chosen.seq} {chosen.sha256[:16]}"
        yield Fact.EPOCH_DENIED, _lines(judged.denied)
        yield Fact.EPOCH_PENDING, _lines(judged.waiting)
        yield Fact.EPOCH_CONFLICT, str(judged.conflict or "")
        self._forget()

    def _forget(self) -> None:
        # Half a chain is kept for the next looks. What a hostile peer makes us fetch is not kept
        # for ever.
        current = self._issued.epoch
        if self._archived_bytes > ARCHIVE_MAX_BYTES or not self.judged.waiting:
            self._archived_bytes = 0
            if current is None:
                self.archive = Archive(self._trust)
            else:
                self.archive.keep(current)


def _lines(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{sha256[:16]}: {why}" for sha256, why in sorted(reasons.items()))
