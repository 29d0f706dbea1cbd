"""Where a journal begins when its oldest segments were pruned: the file `base` beside them.

The file itself is signed by nobody, and needs not be. It claims: before this segment stood so many
records, with this root, and the last of them had this digest; and that record K says so. It is
believed when a signed checkpoint covers record K and vouches for all records that are left, with
that beginning. So nobody can take away old segments without a signed record that says which.

* A base that no prune record agrees with, or whose record lies beyond the checkpoint, is damage.
* `base` replaces the one before; what it says of older prunes is in its root.
* It is read before the checkpoint and the segments. Who reads a journal that is in use goes through
  `steady`: a prune may come in between.

Source: hardening E-J10.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from sidecar.core import canonical
from sidecar.core.canonical import Count, Json, Sha256, Strict
from sidecar.core.log import record
from sidecar.core.log.merkle import Tree
from sidecar.core.log.record import FIRST_PREV, StateChange
from sidecar.core.reason import ProtocolError, Reason

BASE = "base"
MAX_BYTES = 16 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cut:
    """The place between two segments.

    Attributes:
        segment: Number of the one after it.
        size: Records before it.
        prev: SHA-256 of the last of them, hex.
        subtrees: Of the tree over them; see `merkle.Tree`.
    """

    segment: int
    size: int
    prev: str
    subtrees: tuple[bytes, ...]

    @property
    def root(self) -> str:
        """Over the records before it, hex."""
        return Tree(self.size, self.subtrees).root().hex()


BEGINNING = Cut(0, 0, FIRST_PREV, ())


@dataclass(frozen=True, slots=True)
class Base:
    """Where a journal begins.

    Attributes:
        cut: The place.
        record: Index of the prune record that says so; 0 for a journal that was never pruned.
    """

    cut: Cut = BEGINNING
    record: int = 0

    @property
    def pruned(self) -> int:
        """How many records are not there any more."""
        return self.cut.size

    def confirm(self, line: bytes) -> None:
        """Hold the record that should say so against what it says.

        Args:
            line: Record number `record`, without its newline.

        Raises:
            ProtocolError: AUDIT_CHAIN_BREAK.
        """
        said = record.parse(line)
        ours = claim(self.cut, 0, 0)
        if isinstance(said, StateChange) and said.type == "prune" and said.seq == self.record:
            last = said.detail.get("segments")
            agrees = all(said.detail.get(name) == ours[name] for name in ("prev", "root", "size"))
            if agrees and isinstance(last, list) and last[-1:] == [self.cut.segment - 1]:
                return
        raise ProtocolError(
            Reason.AUDIT_CHAIN_BREAK, f"record {self.record} does not say what {BASE} says"
        )


UNPRUNED = Base()


class Body(Strict, frozen=True):
    """The file: attributes as in `Cut` and `Base`."""

    prev: Sha256
    record: Count
    segment: Count
    size: Count
    subtrees: tuple[Sha256, ...]
    v: Literal[1]


def claim(cut: Cut, first: int, before_ms: int) -> dict[str, Json]:
    """What a prune record says of the records before a cut.

    Args:
        cut: Everything before it goes.
        first: Number of the oldest segment that is there.
        before_ms: All of them were written before this; ms since 1970.
    """
    return {
        "before": before_ms, "prev": cut.prev, "root": cut.root,
        "segments": [first, cut.segment - 1], "size": cut.size,
    }  # fmt: skip


def encode(base: Base) -> bytes:
    """The bytes of the file."""
    cut = base.cut
    body = Body(
        prev=cut.prev,
        record=base.record,
        segment=cut.segment,
        size=cut.size,
        subtrees=tuple(one.hex() for one in cut.subtrees),
        v=1,
    )
    return canonical.dump(body) + b"\n"


def held(folder: Path) -> bytes | None:
    """The file as it stands, unverified; None when nothing was pruned."""
    try:
        with (folder / BASE).open("rb") as file:
            return file.read(MAX_BYTES + 1)  # one too many is refused as oversize
    except FileNotFoundError:
        return None


def parse(raw: bytes | None) -> Base:
    """Read the file; believed only after `confirm`.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK.
    """
    if raw is None:
        return UNPRUNED
    try:
        body = canonical.load(raw.removesuffix(b"\n"), Body, MAX_BYTES)
    except ProtocolError as error:
        raise _break(error.detail) from None
    if len(body.subtrees) != body.size.bit_count():
        raise _break("subtrees do not belong to that size")
    if not body.segment or not body.size or body.record < body.size:
        raise _break("nothing was pruned, or the record that says so, too")
    subtrees = tuple(bytes.fromhex(one) for one in body.subtrees)
    return Base(Cut(body.segment, body.size, body.prev, subtrees), body.record)


def read(folder: Path) -> Base:
    """Where a journal says that it begins; believed only after `confirm`, or with its root.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK.
        OSError: the file cannot be read.
    """
    return parse(held(folder))


def first_segment(folder: Path) -> int:
    """Number of the first segment that counts.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK.
        OSError: the file cannot be read.
    """
    return read(folder).cut.segment


def steady(folder: Path, read: Callable[[Base], T]) -> T:
    """Read a journal that may be pruned meanwhile: anew when that made the reading fail.

    Args:
        folder: Of the journal.
        read: Reads it, given where it begins.

    Raises:
        ProtocolError, OSError: as `read` does, and `parse`.
    """
    while True:
        raw = held(folder)
        try:
            return read(parse(raw))
        except (ProtocolError, FileNotFoundError):
            if held(folder) == raw:
                raise


def _break(detail: str) -> ProtocolError:
    return ProtocolError(Reason.AUDIT_CHAIN_BREAK, f"{BASE}: {detail}")
