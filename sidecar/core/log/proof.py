"""Which parts of a log prove that a leaf lies in it, and that it extends an older state of it.

A proof is a list of hashes, each the root over one run of leaves. `inclusion` and `consistency`
name the runs; `Roots` reckons them while the leaves pass by once, in memory that grows with the
logarithm of their number. So a proof over a million records needs no copy of their hashes.

Source: RFC 6962 sections 2.1.1 and 2.1.2; checking: RFC 9162 section 2.1.4.2.
"""

from collections.abc import Sequence

from sidecar.core.log.merkle import Tree, node_hash

Run = tuple[int, int]  # first leaf, and the one after the last


def inclusion(index: int, size: int) -> list[Run]:
    """The runs whose roots lead from a leaf up to the root of the tree.

    Args:
        index: Of the leaf, from 0.
        size: Leaves of the tree; more than `index`.
    """
    assert 0 <= index < size, "the leaf lies in the tree"
    runs: list[Run] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            runs.append((middle, high))
            high = middle
        else:
            runs.append((low, middle))
            low = middle
    return runs[::-1]


def consistency(old: int, size: int) -> list[Run]:
    """The runs whose roots prove that a tree extends an older one.

    Args:
        old: Leaves of the older tree; none or all of them need no proof.
        size: Leaves of the newer one.
    """
    assert 0 <= old <= size, "the older tree is not the larger one"
    if old in (0, size):
        return []
    runs: list[Run] = []
    low, high, whole = 0, size, True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            runs.append((middle, high))
            high = middle
        else:
            runs.append((low, middle))
            low, whole = middle, False
    # Who asks knows the older root: where that is the run itself, it is left out.
    return [*([] if whole else [(low, high)]), *runs[::-1]]


class Roots:
    """Reckons the roots of some runs in one pass over the leaves.

    Args:
        runs: Which do not overlap, in any order. None may lie among the pruned leaves, but for
            those whose root is one of `subtrees`: the runs of proofs for later leaves are such.
        pruned: Leaves that are not there any more; the first one taken comes after them.
        subtrees: Of the tree over these; see `merkle.Tree`.
    """

    def __init__(
        self, runs: Sequence[Run], pruned: int = 0, subtrees: Sequence[bytes] = ()
    ) -> None:
        self._runs = list(runs)
        self._trees = {run: _begun(run, pruned, subtrees) for run in runs}
        self._ahead = sorted((run for run in runs if run[1] > pruned), reverse=True)
        self._at = pruned

    @property
    def wanted(self) -> bool:
        """Whether the next leaf belongs to a run; one that does not may be passed by unhashed."""
        return bool(self._ahead) and self._ahead[-1][0] <= self._at

    def take(self, leaf: bytes | None) -> None:
        """Take the hash of the next leaf, or None where it is not `wanted`."""
        if self.wanted:
            assert leaf is not None, "wanted"
            run = self._ahead[-1]
            self._trees[run].append(leaf)
            if self._at + 1 == run[1]:
                self._ahead.pop()
        self._at += 1

    def hashes(self) -> list[bytes]:
        """The roots, in the order of the runs, once every leaf of them was taken."""
        assert not self._ahead, "leaves are missing"
        return [self._trees[run].root() for run in self._runs]


def _begun(run: Run, pruned: int, subtrees: Sequence[bytes]) -> Tree:
    """The tree over those leaves of a run that were pruned."""
    low, high = run
    at, inside = 0, []
    for place, subtree in zip(_bits(pruned), subtrees, strict=True):
        if low <= at and at + place <= high:
            inside.append(subtree)
        at += place
    return Tree(max(min(high, pruned) - low, 0), inside)


def _bits(size: int) -> list[int]:
    """How many leaves each perfect subtree of a tree has, largest first."""
    return [1 << bit for bit in range(size.bit_length() - 1, -1, -1) if size >> bit & 1]


def consistent(old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that a tree extends an older one.

    Args:
        old: Leaves of the older tree.
        size: Leaves of the newer one.
        old_root: 32 bytes.
        root: 32 bytes.
        proof: Hashes as `consistency` orders them, 32 bytes each.
    """
    if not 0 <= old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    if old == 0:
        return not proof
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, step)
        node, last = node >> 1, last >> 1
    return last == 0 and first == old_root and second == root


def _split(count: int) -> int:
    """The largest power of two below a count of at least 2."""
    return 1 << ((count - 1).bit_length() - 1)
