"""RFC 6962 Merkle tree: leaf, node, append, root; inclusion made and verified.

The tree is kept as a compact range: the roots of the perfect subtrees that make up the current
size, largest first. Appending costs one or two hashes on average and the memory is logarithmic.

Source: RFC 6962 section 2.1 (0x00 before leaves, 0x01 before nodes: a node can never pass as a
leaf).
"""

import hashlib
from collections.abc import Iterable, Sequence

LEAF = b"\x00"
NODE = b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()  # 32 bytes; the root of a tree without leaves


def leaf_hash(record: bytes) -> bytes:
    """Hash of one leaf, 32 bytes."""
    return hashlib.sha256(LEAF + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over two 32-byte hashes."""
    return hashlib.sha256(NODE + left + right).digest()


class Tree:
    """A growing tree that remembers only what it needs to grow.

    Args:
        size: Leaves so far.
        subtrees: Roots (32 bytes each) of its perfect subtrees, largest first: as many as `size`
            has bits set.
    """

    __slots__ = ("_subtrees", "size")

    def __init__(self, size: int = 0, subtrees: Iterable[bytes] = ()) -> None:
        self.size = size
        self._subtrees = list(subtrees)
        assert len(self._subtrees) == size.bit_count(), "subtrees do not belong to that size"

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash, 32 bytes."""
        # Each trailing one bit of the old size is a perfect subtree that the new leaf completes.
        size = self.size
        while size & 1:
            leaf = node_hash(self._subtrees.pop(), leaf)
            size >>= 1
        self._subtrees.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Root hash over all leaves, 32 bytes."""
        if not self._subtrees:
            return EMPTY_ROOT
        root = self._subtrees[-1]
        for subtree in reversed(self._subtrees[:-1]):
            root = node_hash(subtree, root)
        return root

    @property
    def subtrees(self) -> tuple[bytes, ...]:
        """What to store so that the tree can go on growing later."""
        return tuple(self._subtrees)

    def __repr__(self) -> str:
        return f"<Tree size {self.size} root {self.root().hex()[:12]}>"


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All hashes of a whole tree, leaves first, the root alone in the last; [[]] without leaves.

    A node without a sibling is passed up as it is: that is the split of RFC 6962 at the largest
    power of two, read from below.
    """
    found = [list(leaves)]
    while len(found[-1]) > 1:
        below = found[-1]
        above = [node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
        if len(below) % 2:
            above.append(below[-1])
        found.append(above)
    return found


def path(tree: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """The sibling hashes from a leaf up to the root.

    Args:
        tree: From `levels`.
        index: Of the leaf, from 0.
    """
    siblings = []
    for level in tree[:-1]:
        if (sibling := index ^ 1) < len(level):
            siblings.append(level[sibling])
        index >>= 1
    return siblings


def included(index: int, size: int, leaf: bytes, siblings: Sequence[bytes], root: bytes) -> bool:
    """Whether a path proves that a leaf lies in a tree.

    Args:
        index: Of the leaf, from 0.
        size: Leaves of the tree.
        leaf: Its hash, 32 bytes.
        siblings: From the leaf up, 32 bytes each.
        root: Of the tree, 32 bytes.

    Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    last = size - 1
    for sibling in siblings:
        if last == 0:
            return False
        if index & 1 or index == last:
            leaf = node_hash(sibling, leaf)
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            leaf = node_hash(leaf, sibling)
        index >>= 1
        last >>= 1
    return last == 0 and leaf == root
