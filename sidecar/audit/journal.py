"""The one writer of a journal folder.

Rules:

* `append`: one `pwrite`, at a tracked offset. When it returned, the record survives the death of
  this process; after the next `flush`, a power loss.
* `defer` is for records that nothing waits for: chained now, written with the next one or by
  `settle`, in order.
* `pwrite`, not a mapping: a full, read-only or broken disk is an error here and now, not a signal.
* The first error of any kind latches: `failed` is set and nothing is written again. Whether an
  unsynced page was lost after a failed fsync cannot be known, so it is never retried.
* A journal that was not recovered is as closed as one that failed.
* One process: `flock` on `lock`. A second one is refused, not made to wait.
* The next segment is made while the current one fills, with all the space that it may need. Where
  there is no room for it, nothing is wrong yet: `cramped` says so, and it is tried again. Only a
  write that fails ends writing.

Slow work is in `flush.py`, which runs in a thread and touches nothing of the journal; `flushed`
takes its result over in the event loop.

Source: hardening E-J1 to E-J6.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from sidecar.audit import checkpoints, segments
from sidecar.audit.flush import Flush
from sidecar.audit.recovery import Recovery, examine
from sidecar.audit.segments import NoSpaceError
from sidecar.core import canonical
from sidecar.core.instant import Now
from sidecar.core.log import record
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import EMPTY_ROOT
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import StateChange
from sidecar.signer import Signer

LOCK = "lock"
PATIENCE = 64  # flushes from one attempt to make a segment to the next, where there was no room

_pwrite = os.pwrite
_sha256 = hashlib.sha256


class Journal:
    """An open journal folder, exclusively ours.

    Args:
        folder: Made when it does not exist.
        segment_bytes: Size from which on the next segment is begun, once one is prepared.

    Attributes:
        seq: Index of the next record.
        prev: SHA-256 of the last record, hex.
        fresh: Lines that the sequencer has not taken yet, oldest first.
        durable: Records that survive a power loss.
        failed: The error that ended writing, or None.
        recovery: What `recover` found, or None.
        hurry: Called when somebody waits for the disk.
        cramped: Whether there was no room for a segment, the last time one was made.
        reserves: Whether the file system takes space in advance.
        begun: Segments begun since the sequencer looked: number, index of its first record, and the
            `prev` that this one names.
        waiting: Called when a record comes and none was waiting in `fresh`.

    Raises:
        BlockingIOError: another process writes it.
        OSError: the folder cannot be used.
    """

    __slots__ = (
        "_awaited", "_current", "_deferred", "_lock", "_next", "_offset", "_patience", "_retired",
        "_seen", "_segment_bytes", "_synced", "begun", "cramped", "durable", "failed", "folder",
        "fresh", "hurry", "number", "prev", "recovery", "reserves", "seq", "waiting",
    )  # fmt: skip

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._lock = _lock(folder / LOCK)
        self.folder = folder
        self.seq = self.durable = 0
        self.prev = record.FIRST_PREV
        self.fresh: deque[bytes] = deque()
        self.failed: OSError | None = OSError(errno.EBADF, "journal was not recovered", str(folder))
        self.recovery: Recovery | None = None
        self.hurry = self.waiting = _nobody
        self._awaited: deque[tuple[int, Callable[[], None]]] = deque()
        self._segment_bytes = segment_bytes
        self._current = -1
        self._deferred = b""
        self._next: int | None = None
        self.number = -1  # of the segment being written
        self.begun: deque[tuple[int, int, str]] = deque()
        self.cramped = False
        self.reserves = True
        self._patience = 0
        self._offset = self._seen = self._synced = (
            0  # the latter counts every segment before as full
        )
        self._retired: list[int] = []

    @property
    def unsynced_bytes(self) -> int:
        """What a power loss may cost, to within what segments exceed their size by."""
        return self.number * self._segment_bytes + self._offset - self._synced

    def recover(
        self, signer: Signer, origin: str, boot_id: str, instance: str, now: Now
    ) -> Recovery:
        """Check what the folder holds and make the journal writable.

        A new folder first gets a signed checkpoint of size 0. So records without a checkpoint are
        always damage, and deleting the checkpoint does not make old records unsigned again.

        Args:
            signer: The instance key.
            origin: Name of the log.
            boot_id: Of this process; for the `recovered` record.
            instance: Likewise.
            now: Both clocks.

        Raises:
            ProtocolError: AUDIT_CHAIN_BREAK; the folder is untouched and nothing can be written.
            OSError: the disk failed; nothing can be written.
        """
        key = NoteKey(origin, signer.public)
        found = examine(self.folder, key)
        if found.checkpoint is None:
            empty = Checkpoint(origin, 0, EMPTY_ROOT)
            checkpoints.write(self.folder, checkpoints.seal(empty, signer))
        checkpoints.write_vkey(self.folder, key)
        self._resume(found)
        if found.torn is not None:
            self.append(_recovered(self, found, boot_id, instance, now))
        self.recovery = found
        return found

    def _resume(self, found: Recovery) -> None:
        if found.torn is not None:
            _cut(found.torn.path, found.torn.offset)
        # The process before us may have died between writing and flushing.
        for cut in found.cuts:
            _sync(self.folder / segments.name(cut.segment))
        if found.number < 0:
            self.number, self._current = 0, segments.create(self.folder, 0)
            self.begun.append((0, 0, record.FIRST_PREV))
        else:
            self.number = found.number
            self._current = segments.resume(self.folder / segments.name(found.number))
        try:
            self.reserves = segments.reserve(self._current, self._segment_bytes)
        except NoSpaceError:
            self.cramped = True
        self._offset = self._seen = found.offset
        self._synced = self.number * self._segment_bytes + self._offset
        self.seq = self.durable = found.chain.tree.size
        self.prev = found.chain.prev
        self.failed = None

    def append(self, line: bytes) -> None:
        """Hand the next record to the kernel.

        Args:
            line: Canonical, without newline, naming `seq` and `prev`.

        Raises:
            OSError: it was not written and nothing will be; see `failed`.
        """
        self._write(self._deferred + line + b"\n")
        self._chain(line)
        if self._next is not None and self._offset >= self._segment_bytes:
            self._begin_segment(self._next)

    def defer(self, line: bytes) -> None:
        """Take the next record, to be written with the one after it or by `settle`.

        Args:
            line: As for `append`.

        Raises:
            OSError: nothing will be written any more; see `failed`.
        """
        self._refuse_if_failed()
        self._deferred += line + b"\n"
        self._chain(line)

    def settle(self) -> None:
        """Hand what was deferred to the kernel.

        Raises:
            OSError: it was not written and nothing will be; see `failed`.
        """
        if self._deferred:
            self._write(self._deferred)
            if self._next is not None and self._offset >= self._segment_bytes:
                self._begin_segment(self._next)

    def _write(self, data: bytes) -> None:
        self._refuse_if_failed()
        size = len(data)
        try:
            written = _pwrite(self._current, data, self._offset)
        except OSError as error:
            self.failed = error
            raise
        if written != size:
            self.failed = OSError(errno.ENOSPC, "short write", str(self.folder))
            raise self.failed
        self._offset += size
        self._deferred = b""

    def _chain(self, line: bytes) -> None:
        self.seq += 1
        self.prev = _sha256(line).hexdigest()
        if not self.fresh:
            self.waiting()
        self.fresh.append(line)

    def _refuse_if_failed(self) -> None:
        if self.failed is not None:
            raise OSError(self.failed.errno, self.failed.strerror, str(self.folder))

    def _begin_segment(self, prepared: int) -> None:
        # Only ever a prepared one: making a file here would cost a request an fsync. Until the next
        # flush has brought one, the full segment simply grows on. Nothing is deferred here, so the
        # next record is the first of the new one, and the sequencer has not seen it yet.
        self._retired.append(self._current)
        self._current, self._next = prepared, None
        self.number += 1
        self._offset = self._seen = 0
        self.begun.append((self.number, self.seq, self.prev))

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for the disk."""
        return bool(self._awaited)

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call `then` in the event loop once all records so far are durable; never, if that fails.

        Args:
            then: Must not raise.
        """
        if self.durable >= self.seq:
            then()
            return
        self._awaited.append((self.seq, then))
        self.hurry()

    def flush(self) -> Flush:
        """What has to be done to make all records so far durable; run it in a thread.

        Raises:
            OSError: what was deferred could not be written.
        """
        self.settle()
        half_full = self._offset * 2 > self._segment_bytes
        prepare = self.number + 1 if half_full and self._next is None else None
        if prepare is not None and self._patience:
            self._patience, prepare = self._patience - 1, None
        return Flush(
            self.seq, tuple(self._retired), self._current, self._seen, self._offset, self.number,
            self.folder, prepare, self._segment_bytes,
        )  # fmt: skip

    def flushed(self, done: Flush, prepared: int | None) -> None:
        """Take over the result of a flush, in the event loop."""
        self.durable = max(self.durable, done.count)
        self._synced = done.number * self._segment_bytes + done.offset
        self._seen = done.offset if done.number == self.number else 0
        for descriptor in done.retired:
            self._retired.remove(descriptor)
            os.close(descriptor)
        if prepared is not None:
            self._next = prepared
        if done.prepare is not None:
            self.cramped = prepared is None
            self._patience = PATIENCE if self.cramped else 0
        while self._awaited and self._awaited[0][0] <= self.durable:
            self._awaited.popleft()[1]()

    def fail(self, error: OSError) -> None:
        """End writing because of an error outside of `append`."""
        if self.failed is None:
            self.failed = error

    def close(self) -> None:
        """Give the folder back. What was not flushed is with the kernel all the same."""
        with contextlib.suppress(OSError):  # one that failed has said so, and wrote nothing more
            self.settle()
        self.fail(OSError(errno.EBADF, "journal is closed", str(self.folder)))
        held = [*self._retired, self._current, self._next, self._lock]
        for descriptor in held:
            if descriptor is not None and descriptor >= 0:
                with contextlib.suppress(OSError):  # taken space is no damage
                    segments.give_back(descriptor)
                os.close(descriptor)
        self._retired, self._current, self._next, self._lock = [], -1, None, -1


def _nobody() -> None:
    """Waits for records."""


def _lock(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, segments.FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        what = "another process writes this journal; stop it, or give this one its own folder"
        raise BlockingIOError(errno.EWOULDBLOCK, what, str(path)) from None
    return descriptor


def _cut(path: Path, offset: int) -> None:
    descriptor = segments.resume(path)
    try:
        os.ftruncate(descriptor, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = segments.resume(path)
    try:
        os.fdatasync(descriptor)
        segments.give_back(descriptor)  # that process may have been killed before it did
    finally:
        os.close(descriptor)


def _recovered(journal: Journal, found: Recovery, boot_id: str, instance: str, now: Now) -> bytes:
    assert found.torn is not None, "nothing was cut"
    torn = found.torn
    detail = {"offset": torn.offset, "segment": torn.path.name, "sha256": torn.sha256}
    return canonical.dump(
        StateChange(
            boot=boot_id,
            detail={**detail, "size": torn.size},
            inst=instance,
            prev=journal.prev,
            seq=journal.seq,
            ts=now.wall,
            type="recovered",
            v=1,
        )
    )
