"""The fleet as one authority sees it: the newest report of every instance, and the tree over them.

Rules:

* A report is verified by the key that it carries, each distinct byte string once. One peer's
  forgeries and one peer's flood of new reports are bounded for each look: they must not delay the
  beat of everybody. What is left over has its turn in the next look.
* Per key the newest report counts. Within one process its own numbers decide, between processes
  when it was sent, or which one is not silent. A replayed older one replaces nothing.
* Age is counted on the authority's boot clock from when a report was first seen here. What a
  sidecar says about the time decides nothing: its clock may be the thing that is wrong.
* What was dropped is remembered for some time: an old copy on a peer must not bring it back.
* A log that became shorter, or another of the same length, is told: see `_log_after`.
* A closed roster counts the keys that the epoch lists, and nobody else. An instance that a halt
  names is left out of the tree: nothing proves freshness to it any more.

Source: protocol b.1 (`fleet.root`, instance identity), b.3, b.10.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sidecar.core import canonical
from sidecar.core.envelope import KeyId
from sidecar.core.instant import NS_PER_MS, BootNs, Now
from sidecar.core.log import merkle
from sidecar.core.objects import beat, report
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import Halts
from sidecar.core.objects.report import AuditHead, Report
from sidecar.core.objects.trust import Mark, TrustRef
from sidecar.core.reason import ProtocolError

INSTANCES_MAX = 4096  # of one domain; what one reply of a peer may hold
FORGERIES_MAX = 16  # reports that fail to verify, per peer and look
NEW_MAX = 1536  # reports that are new, per look, in equal shares for the peers: 0.3 s of work
KEEP_TTLS = 5  # an instance is kept for so many lives of a beat without a new report
KEEP_MIN_MS = 10_000
GONE_KEEPS = 6  # and remembered for so many times that


@dataclass(frozen=True, slots=True)
class Member:
    """The newest report of one instance.

    Attributes:
        report: Verified.
        key_id: Of the instance's key, in full.
        seen_at: Boot clock of the authority when it first saw this report.
        log: Head of the longest audit log that it has reported, or None.
        shrunk: How its log came to be less than that, or other than it was; empty: it did not.
    """

    report: Report
    key_id: KeyId
    seen_at: BootNs
    log: AuditHead | None = None
    shrunk: str = ""

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.report.says.instance

    def age_ms(self, now: BootNs) -> int:
        """How long ago this report was first seen, milliseconds."""
        return (now - self.seen_at) // NS_PER_MS


@dataclass(frozen=True, slots=True)
class Census:
    """What one beat says about the fleet, and how to prove it.

    Attributes:
        members: Whom the tree covers, by name; leaves in this order.
        tree: All its hashes, leaves first.
        said: What the beat says.
    """

    members: tuple[Member, ...]
    tree: Sequence[Sequence[bytes]]
    said: beat.Fleet

    def proofs(self, beat_sha256: str) -> list[tuple[str, bytes]]:
        """Each instance's name, and the proof that a beat covers its report.

        Args:
            beat_sha256: Digest of the beat that carries `said`, hex.
        """
        # Written by hand: a thousand of them are made for each beat. The bytes are those of
        # `canonical.dump(report.Proof(...))`; a test holds that.
        words = [[f'"{item.hex()}"' for item in level] for level in self.tree]
        return [
            (
                member.name,
                f'{{"beat":"{beat_sha256}","index":{index},"path":[{_path(words, index)}],'
                f'"report":"{member.report.sha256}"}}'.encode(),
            )
            for index, member in enumerate(self.members)
        ]


class Fleet:
    """Everybody who reports.

    Args:
        domain: Of the fleet.
        keep_ms: Without a new report an instance is dropped after this long.

    Attributes:
        verified: How many reports were verified since the start.
    """

    def __init__(self, domain: str, keep_ms: int) -> None:
        self._domain = domain
        self._keep_ns = keep_ms * NS_PER_MS
        self._silent_ns = self._keep_ns // KEEP_TTLS
        self._members: dict[KeyId, Member] = {}
        self._gone: dict[KeyId, Member] = {}
        self._judged: dict[str, None] = {}  # digests of what peers held in the latest look
        self._unlisted: dict[str, None] = {}  # names whose reports the peers may forget
        self._turn = 0
        self.verified = 0

    @property
    def members(self) -> list[Member]:
        """Everybody who reported lately, sorted by name; also who is not counted."""
        return sorted(self._members.values(), key=lambda member: member.name)

    def look(self, answers: Iterable[Sequence[bytes]], now: Now) -> None:
        """Take what the peers hold, one answer per peer, and drop who went silent."""
        held = list(answers)
        share = NEW_MAX // max(1, len(held))
        judged: dict[str, None] = {}
        for raws in held:
            self._merge(raws, share, judged, now)
        self._judged = judged
        self._turn += share
        self._drop(now.boot)

    def unlisted(self) -> tuple[str, ...]:
        """Names that were dropped since the last call: peers need not hold their reports."""
        names, self._unlisted = tuple(self._unlisted), {}
        return names

    @property
    def shrunk(self) -> str:
        """Whose audit log is less than it was, or another, for people; empty: nobody's."""
        return ", ".join(f"{one.name}: {one.shrunk}" for one in self.members if one.shrunk)

    def census(self, current: Epoch, under: TrustRef, halts: Halts) -> Census:
        """Whom the next beat covers.

        Args:
            current: The epoch that it vouches for.
            under: The trust document that it names.
            halts: Every order known.
        """
        roster = frozenset(current.says.scope.instances)
        named = {o.says.scope.value for o in halts.active if o.says.scope.kind == "instance"}
        members = tuple(
            member
            for member in self.members
            if member.name not in named and (not roster or member.key_id in roster)
        )
        tree = merkle.levels([report.leaf(member.report.sha256) for member in members])
        epoch = Mark(seq=current.seq, sha256=current.sha256)
        said = beat.Fleet(
            root=(tree[-1][0] if members else merkle.EMPTY_ROOT).hex(),
            size=len(members),
            expected=len(roster) or len(members),
            diverged=sum(_diverged(member.report.says, epoch, under) for member in members),
        )
        return Census(members, tree, said)

    def _merge(self, raws: Sequence[bytes], share: int, judged: dict[str, None], now: Now) -> None:
        # Each look begins elsewhere, or those at the end of a long answer would never be read.
        begin = self._turn % len(raws) if raws else 0
        forgeries = 0
        for raw in (*raws[begin:], *raws[:begin]):
            key = canonical.digest(raw)
            if key in judged:
                continue
            if key not in self._judged:
                if share == 0 or forgeries == FORGERIES_MAX:
                    continue
                share -= 1
                forgeries += not self._take(raw, now.boot)
            judged[key] = None

    def _take(self, raw: bytes, now: BootNs) -> bool:
        try:
            found = report.open_report(raw, self._domain)
        except ProtocolError:
            return False
        self.verified += 1
        held = self._members.get(found.key_id) or self._gone.get(found.key_id)
        new = Member(found, found.key_id, now, *_log_after(held, found.says))
        if held is not None and not _newer(found.says, held.report.says):
            # A process that began with its clock set back: it counts once the one before is silent.
            same = found.says.boot_id == held.report.says.boot_id
            if same or new.key_id in self._gone or now - held.seen_at <= self._silent_ns:
                return True
        if new.key_id not in self._members and len(self._members) >= INSTANCES_MAX:
            return True
        if held is not None and held.name != new.name:
            self._unlisted[held.name] = None
        self._gone.pop(new.key_id, None)
        self._unlisted.pop(new.name, None)
        self._members[new.key_id] = new
        return True

    def _drop(self, now: BootNs) -> None:
        for key_id, member in tuple(self._members.items()):
            if now - member.seen_at > self._keep_ns:
                self._gone[key_id] = self._members.pop(key_id)
                self._unlisted[member.name] = None
        for key_id, member in tuple(self._gone.items()):
            if now - member.seen_at > GONE_KEEPS * self._keep_ns:
                del self._gone[key_id]
        while len(self._gone) > INSTANCES_MAX:
            del self._gone[next(iter(self._gone))]


def _log_after(held: Member | None, says: report.Body) -> tuple[AuditHead | None, str]:
    # A log only grows. A sidecar whose folder was emptied or put back does not know what it has
    # lost: whoever remembers the longest one does. It stays so: more records do not bring back any.
    was, shrunk = (None, "") if held is None else (held.log, held.shrunk)
    now = says.audit
    if now is None or was is None or now.origin != was.origin:
        return now or was, shrunk
    if now.size < was.size:
        return was, f"{now.size} records, had {was.size}"
    if now.size == was.size and now.root != was.root:
        return was, f"other records under number {was.size}"
    return now, shrunk


def _newer(one: report.Body, other: report.Body) -> bool:
    if one.boot_id == other.boot_id:
        return one.seq > other.seq
    return (one.sent_at, one.seq) > (other.sent_at, other.seq)


def _diverged(says: report.Body, epoch: Mark, under: TrustRef) -> bool:
    return says.epoch != epoch or says.trust != under


def _path(words: Sequence[Sequence[str]], index: int) -> str:
    siblings = []
    for level in words[:-1]:
        if (sibling := index ^ 1) < len(level):
            siblings.append(level[sibling])
        index >>= 1
    return ",".join(siblings)
