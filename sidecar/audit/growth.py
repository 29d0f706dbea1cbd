"""Proves, again and again, that a log has only grown: reads each record once, as it comes.

Whoever was told of a log before wants the proof from there to the newest checkpoint. Its hashes are
the roots of the perfect subtrees that the older tree is made of, which are noted when the reading
passes by, and roots over what came since, whose leaves are kept. Only for a size that was not
noted, or lies too far back, the records are read once more from the beginning.

Nothing is held up for it: after every `STEP` records everybody else has a turn.

Source: RFC 6962 section 2.1.2.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from sidecar.audit import beginning, segments
from sidecar.audit.beginning import UNPRUNED, Base
from sidecar.audit.prover import PrunedError
from sidecar.core.log import merkle, proof
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import Tree
from sidecar.core.log.proof import Run
from sidecar.core.reason import ProtocolError, Reason

STEP = 512  # records; hashed in about a millisecond
LEAVES_MAX = 16_384  # kept, up to twice as many: 3 MB
NOTED_MAX = 256  # sizes; whoever was told of one before these has been away for long


class Growth:
    """One log.

    Args:
        folder: Of the journal; it may be in use by another process.
        noted: Sizes from which proofs will be asked for.
    """

    def __init__(self, folder: Path, noted: Iterable[int] = ()) -> None:
        self._folder = folder
        self._wanted = set(noted)
        self._begin(UNPRUNED)

    def _begin(self, base: Base) -> None:
        self._tree = Tree(base.cut.size, base.cut.subtrees)
        self._noted: dict[int, tuple[bytes, ...]] = {}  # size -> roots of its perfect subtrees
        self._leaves: list[bytes] = []  # the last ones
        # The segment that is being read, and how far.
        self._path = self._folder / segments.name(base.cut.segment)
        self._offset = 0
        self._begun = False

    async def prove(self, old: int, signed: Checkpoint) -> list[bytes]:
        """The proof that the log extends an older state of it.

        Args:
            old: Its size then; at most that of the checkpoint.
            signed: A checkpoint of this log, of no smaller size than the one before.

        Raises:
            ProtocolError: AUDIT_CHAIN_BREAK: the records are not those of the checkpoint.
            PrunedError: so little was there before what was pruned, and nobody can prove it.
            OSError: they cannot be read.
        """
        await self._read_to(signed)
        runs = proof.consistency(old, signed.size)
        if not runs:
            return []
        low = self._tree.size - len(self._leaves)
        if old in self._noted and low <= old:
            return [self._root(run, old, low) for run in runs]
        return await self._from_the_beginning(runs, old, signed.size)

    def _root(self, run: Run, old: int, low: int) -> bytes:
        if run[1] <= old:
            return self._noted[old][_place(run, old)]
        tree = Tree()
        for leaf in self._leaves[run[0] - low : run[1] - low]:
            tree.append(leaf)
        return tree.root()

    async def _read_to(self, signed: Checkpoint) -> None:
        self._wanted.add(signed.size)
        self._note()
        if not self._begun:
            self._begin(await asyncio.to_thread(beginning.read, self._folder))
            self._begun = True
            self._note()
        while self._tree.size < signed.size:
            before = self._tree.size
            try:
                await asyncio.to_thread(self._step, min(STEP, signed.size - before))
            except FileNotFoundError:
                self._begun = False  # pruned before it was read: once more from what is left
                raise
            if self._tree.size == before:
                detail = f"{before} records, but the checkpoint says {signed.size}"
                raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
        if self._tree.size == signed.size and self._tree.root() != signed.root:
            detail = "the records are not those of the checkpoint"
            raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
        self._forget()

    def _step(self, count: int) -> None:
        """In a thread: take so many records, or as many as there are in this segment."""
        taken = 0
        for line in islice(segments.read(self._path, self._offset), count):
            if not line.endswith(b"\n"):
                break
            self._take(merkle.leaf_hash(line[:-1]))
            self._offset += len(line)
            taken += 1
        after = self._folder / segments.name(segments.number_of(self._path) + 1)
        # Whatever is wanted is on the disk: where this segment has no more, the next one has it.
        if taken == 0 and after.exists():
            self._path, self._offset = after, 0
            self._step(count)

    def _take(self, leaf: bytes) -> None:
        self._tree.append(leaf)
        self._leaves.append(leaf)
        if len(self._leaves) > 2 * LEAVES_MAX:
            del self._leaves[:LEAVES_MAX]
        self._note()

    def _note(self) -> None:
        if self._tree.size in self._wanted:
            self._wanted.discard(self._tree.size)
            self._noted[self._tree.size] = self._tree.subtrees

    def _forget(self) -> None:
        low = self._tree.size - len(self._leaves)
        self._wanted = {size for size in self._wanted if size > self._tree.size}
        kept = [size for size in sorted(self._noted) if size >= low][-NOTED_MAX:]
        self._noted = {size: self._noted[size] for size in kept}

    async def _from_the_beginning(self, runs: list[Run], old: int, size: int) -> list[bytes]:
        cut = (await asyncio.to_thread(beginning.read, self._folder)).cut
        if old < cut.size:
            raise PrunedError(f"of {old} records nothing can be proved: {cut.size} were pruned")
        roots = proof.Roots(runs, cut.size, cut.subtrees)
        found = segments.whole(self._folder, cut.segment, size - cut.size)
        leaves = map(merkle.leaf_hash, found)
        for _ in range(cut.size, size, STEP):
            await asyncio.to_thread(_feed, roots, leaves)
        return roots.hashes()


def _feed(roots: proof.Roots, leaves: Iterator[bytes]) -> None:
    for leaf in islice(leaves, STEP):
        roots.take(leaf)


def _place(run: Run, old: int) -> int:
    """Which of the perfect subtrees of a tree a run is, the largest first."""
    return (old & ~((run[1] - run[0] << 1) - 1)).bit_count()
