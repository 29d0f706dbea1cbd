"""The two chains over the records, as far as they have been read.

Running and recovering share it: one definition of what follows what.
"""

import hashlib

from sidecar.audit.beginning import BEGINNING, Cut
from sidecar.core.log import merkle, record
from sidecar.core.log.record import Decision, Record
from sidecar.core.reason import ProtocolError, Reason


class Chain:
    """Where a log stands.

    Args:
        begins: What is there of it begins here.

    Attributes:
        tree: Over all records so far.
        prev: SHA-256 of the last record, hex: what the next one must name.
    """

    __slots__ = ("prev", "tree")

    def __init__(self, begins: Cut = BEGINNING) -> None:
        self.tree = merkle.Tree(begins.size, begins.subtrees)
        self.prev = begins.prev

    def cut(self, segment: int) -> Cut:
        """This place, as the beginning of a segment."""
        return Cut(segment, self.tree.size, self.prev, self.tree.subtrees)

    def check(self, line: bytes) -> Record:
        """Take the next record after checking everything about it.

        Args:
            line: Untrusted, without its newline.

        Raises:
            ProtocolError: NONCANONICAL, OVERSIZE, TYPE_CONFUSION, or AUDIT_CHAIN_BREAK when it
                does not follow. Nothing has been taken then.
        """
        said = record.parse(line)
        if said.seq != self.tree.size:
            detail = f"seq is {said.seq}, expected {self.tree.size}"
            raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
        if said.prev != self.prev:
            raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, "prev is not the record before")
        if isinstance(said, Decision) and said.decision_id != record.decision_id(
            said.boot, said.seq
        ):
            raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, "decision id is not that of its place")
        self.extend(line)
        return said

    def extend(self, line: bytes) -> None:
        """Take the next record unread: for lines that a signed root will vouch for."""
        self.tree.append(merkle.leaf_hash(line))
        self.prev = hashlib.sha256(line).hexdigest()
