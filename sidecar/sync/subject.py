"""One file or folder that is measured, and what is known of the files in it.

Rules:

* A digest is known for a stamp, not for a name: a file whose stamp is another by now is unknown.
* What is known of a file outlives a look that fails: when a server is back and the stamp is the
  same, nothing has to be read again.
* A file that was changed in the moment before it was read is to be read once more: two changes
  within a tick of the clock leave the same stamp.

Source: protocol b.8 item 4.
"""

from dataclasses import dataclass

from sidecar.core.instant import NS_PER_MS, BootNs, Now
from sidecar.sync import digest
from sidecar.sync.digest import Stamp, Tree, UnreadableError

AGAIN_SHARE = 10  # of the time, reading again what seems unchanged takes one part at most
TICK_MS = 2_000  # the coarsest dates of any file system in use


@dataclass(frozen=True, slots=True)
class _Known:
    """One file as it was read.

    Attributes:
        ended: When, on the boot clock.
        took_ns: How long it took.
        settled: Whether a change after it would have left another stamp.
    """

    stamp: Stamp
    sha256: str
    ended: BootNs
    took_ns: int
    settled: bool


class Subject:
    """A tree, and what is known of its files.

    Args:
        name: What people call it.
        tree: Where it is.

    Attributes:
        seen: Relative path -> stamp, as of the last look.
        total_bytes: Size of all files.
        known_bytes: Size of those with a digest.
        wanted: Files to be read now, because nothing is known of them as they are.
    """

    def __init__(self, name: str, tree: Tree) -> None:
        self.name = name
        self.tree = tree
        self.seen: dict[str, Stamp] = {}
        self.total_bytes = self.known_bytes = 0
        self.wanted: set[str] = set()
        self._missing: set[str] = set()
        self._known: dict[str, _Known] = {}
        self._failed: dict[str, str] = {}
        self._unseen = "was not looked at yet"
        self._whole: str | None = None

    def look(self) -> None:
        """Compare with the disk; what failed before may be tried again."""
        try:
            seen = self.tree.look()
        except (OSError, UnreadableError) as error:
            self._unseen, self.wanted = why(error), set()
            return
        self._unseen = ""
        if seen != self.seen:
            self._take(seen)
        self.wanted = set(self._missing)

    def _take(self, seen: dict[str, Stamp]) -> None:
        self.seen, self._whole = seen, None
        self._known = {name: known for name, known in self._known.items() if name in seen}
        self._failed = {name: text for name, text in self._failed.items() if name in seen}
        known = {name for name, known in self._known.items() if known.stamp == seen[name]}
        self._missing = seen.keys() - known
        self.total_bytes = sum(stamp.size for stamp in seen.values())
        self.known_bytes = sum(seen[name].size for name in known)

    def overdue(self, now: BootNs, period_ns: int) -> list[str]:
        """Files that are known, and to be read again nevertheless."""
        return [
            name
            for name, known in self._known.items()
            if name not in self._missing
            and now - known.ended
            > max(period_ns * known.settled, (AGAIN_SHARE - 1) * known.took_ns)
        ]

    def learn(self, name: str, stamp: Stamp, sha256: str, began: Now, ended: Now) -> None:
        """A file was read."""
        settled = stamp.ctime_ns < (began.wall - TICK_MS) * NS_PER_MS
        took_ns = ended.boot - began.boot
        self._known[name] = _Known(stamp, sha256, ended.boot, took_ns, settled)
        self._failed.pop(name, None)
        self._whole = None
        self.wanted.discard(name)
        if name in self._missing and self.seen[name] == stamp:
            self._missing.remove(name)
            self.known_bytes += stamp.size

    def fail(self, name: str, text: str) -> None:
        """A file could not be read: what was known of it does not count any more."""
        self._known.pop(name, None)
        self._whole = None
        self.wanted.discard(name)
        if name in self.seen:
            self._failed[name] = text
            self.known_bytes -= 0 if name in self._missing else self.seen[name].size
            self._missing.add(name)

    @property
    def sha256(self) -> str | None:
        """The digest of the whole, or None while any of it is unknown."""
        if self._unseen or self._missing:
            return None
        if self._whole is None:
            self._whole = digest.whole({name: self._known[name].sha256 for name in self.seen})
        return self._whole

    @property
    def problem(self) -> str:
        """Why it has no digest; empty: it has one, or is being read."""
        return self._unseen or "; ".join(
            f"{name}: {text}" if name != digest.ALONE else text
            for name, text in self._failed.items()
        )

    @property
    def took_ns(self) -> int:
        """How long reading all of it took."""
        return sum(known.took_ns for known in self._known.values())


def why(error: OSError | UnreadableError) -> str:
    """What is wrong, for people."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
