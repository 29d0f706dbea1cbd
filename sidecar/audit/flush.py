"""One trip to the disk, as values: what to make durable, and what to make ready.

It runs in a thread and touches nothing of the journal: full segments first, then the current one,
so that what is on the disk is always a beginning of the log. Source: hardening E-J1, E-J3, J09.
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from sidecar.audit import segments
from sidecar.audit.segments import NoSpaceError


@dataclass(frozen=True, slots=True)
class Flush:
    """One trip to the disk.

    Attributes:
        count: Records that are durable once it is done.
        retired: Descriptors of full segments.
        current: Descriptor of the segment being written.
        seen: What the trip before saw of the current segment; bytes.
        offset: What the current segment holds at least; bytes.
        number: Of the current segment.
        folder: Of the journal.
        prepare: Number of a segment to make in advance, or None.
        segment_bytes: How much space to take for it.
    """

    count: int
    retired: tuple[int, ...]
    current: int
    seen: int
    offset: int
    number: int
    folder: Path
    prepare: int | None
    segment_bytes: int

    def run(self) -> int | None:
        """Make the records durable.

        Returns:
            The descriptor of the prepared segment; None when none was asked for, or there was no
            room for it.

        Raises:
            OSError: the disk failed, or the file is no longer what was written.
        """
        for descriptor in self.retired:
            os.fdatasync(descriptor)
            segments.give_back(descriptor)
        os.fdatasync(self.current)
        if not self._is_whole():
            raise OSError(errno.EIO, "journal file was removed, moved or cut", str(self.folder))
        return None if self.prepare is None else self._made(self.prepare)

    def _is_whole(self) -> bool:
        # Writing into a file that is no longer there succeeds for ever; nobody would read it again.
        try:
            named = (self.folder / segments.name(self.number)).lstat()
        except FileNotFoundError:
            return False
        # One that was cut is filled up with zeros by the next write, from its new end on. A record
        # holds none; and whoever cuts a file takes its last byte.
        start = max(self.seen - 1, 0)
        fresh = os.pread(self.current, self.offset - start, start)
        whole = len(fresh) == self.offset - start and b"\0" not in fresh
        return whole and os.path.samestat(os.fstat(self.current), named)

    def _made(self, number: int) -> int | None:
        try:
            return segments.prepare(self.folder, number, self.segment_bytes)
        except NoSpaceError:
            return None
