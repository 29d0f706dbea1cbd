"""The verifier's verdict on a journal that differs from a known one from some record on, without
reading all of it again.

`audit verify` reads records in order. Up to the first byte that differs it goes through the same
states as on the undamaged journal, so a verdict may begin there. It goes on with `Chain.check`,
which is what the verifier itself asks about a line, and is over as soon as a line is refused. If
none is, the log is what it was but for one leaf: then the inclusion proof of that leaf has to fail
under the signed root, or nobody notices.

What is left out is what the verifier checks besides (ends of requests): it can only find more.
`tamper` holds both against each other on real files.
"""

from collections.abc import Sequence
from enum import Enum
from itertools import accumulate

from sidecar.audit.chain import Chain
from sidecar.core.log import merkle
from sidecar.core.reason import ProtocolError
from tests.evidence.specimen import Specimen


class Verdict(Enum):
    """How it comes out."""

    LINE = "refused where it stands"
    NEXT = "refused one record later, which names another one before it"
    ROOT = "found by the signed checkpoint alone"
    MISSED = "not found"


class Judge:
    """Judges changes of one journal, record after record.

    Args:
        specimen: Undamaged.
        start: First record that is to be judged.

    Attributes:
        index: Of the record at which a change begins.
    """

    def __init__(self, specimen: Specimen, start: int = 0) -> None:
        self._lines, self._signed = specimen.lines, specimen.signed
        self._ends = set(accumulate(len(part) for part in specimen.parts))
        leaves = [merkle.leaf_hash(line[:-1]) for line in self._lines[: self._signed]]
        self._levels = merkle.levels(leaves)
        self._chain = Chain()
        self.index = 0
        self._settle()
        while self.index < start:
            self.advance()

    def advance(self) -> None:
        """Go on to the next record."""
        self._chain.extend(self._lines[self.index][:-1])
        self.index += 1
        self._settle()

    def altered(self, raw: bytes) -> Verdict:
        """Verdict on other bytes in the place of the record and its newline."""
        lines = _split(raw)
        following = self._lines[self.index + 1 : self.index + 2]
        if not lines[-1].endswith(b"\n"):
            if self.index + 1 in self._ends:  # the segment now ends within a record
                last = self.index + 1 == len(self._lines)
                return Verdict.MISSED if last and self.index >= self._signed else Verdict.LINE
            lines[-1] += self._lines[self.index + 1]
            following = []
        return self.judge([*lines, *following], ends=self.index + 1 == len(self._lines))

    def judge(self, lines: Sequence[bytes], *, ends: bool) -> Verdict:
        """Verdict when these lines stand from the record on.

        Args:
            lines: With their newlines.
            ends: Whether the log ends with them; else old ones follow.
        """
        for place, line in enumerate(lines):
            try:
                self._chain.check(line[:-1])
            except ProtocolError:
                if place:
                    self._restore()
                return Verdict.NEXT if place else Verdict.LINE
        size = self._chain.tree.size
        self._restore()
        if ends and size < self._signed:
            return Verdict.ROOT
        unknown = self.index >= self._signed or not lines or self.proves(lines[0])
        return Verdict.MISSED if unknown else Verdict.ROOT

    def proves(self, line: bytes) -> bool:
        """Whether a line in the place of the record leads to the signed root."""
        leaf, root = merkle.leaf_hash(line[:-1]), self._levels[-1][0]
        return merkle.included(self.index, self._signed, leaf, self._proof, root)

    def _settle(self) -> None:
        tree = self._chain.tree
        self._state, self._prev = (tree.size, tree.subtrees), self._chain.prev
        signed = self.index < self._signed
        self._proof = merkle.path(self._levels, self.index) if signed else []

    def _restore(self) -> None:
        self._chain.tree, self._chain.prev = merkle.Tree(*self._state), self._prev


def _split(raw: bytes) -> list[bytes]:
    if raw.endswith(b"\n") and raw.count(b"\n") == 1:
        return [raw]
    *whole, rest = raw.split(b"\n")
    return [*(piece + b"\n" for piece in whole), *([rest] if rest else [])]
