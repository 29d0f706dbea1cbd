"""Segment files: `NNNNNNNN.jsonl`, one canonical record per line, numbered from 00000000.

Plain lines, so that `tail`, `grep` and `jq` read them.

* The blocks of a whole segment are taken when it is made, and its size stays what was written
  (fallocate with FALLOC_FL_KEEP_SIZE). So a full disk is met in the background, a segment early,
  and a file of exact size shows a torn write as a last line without its newline. What a segment
  did not need is given back when it is full or closed. A process that was killed leaves it taken,
  until the journal is opened again.
* A file system that cannot do this still reserves the space of a write before `pwrite` returns, so
  nothing is lost but the warning.
* A line is read up to `LINE_MAX` bytes, whatever the file holds.
* Old segments may have been pruned: then `base` says with which number they begin.

Source: hardening E-J1; fallocate(2), ftruncate(2).
"""

import ctypes
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sidecar import durable
from sidecar.audit import beginning
from sidecar.core.log.record import MAX_BYTES
from sidecar.core.reason import ProtocolError, Reason

LINE_MAX = MAX_BYTES + 1  # bytes, with the newline
READ_BYTES = 1024 * 1024
FILE_MODE = 0o640
ROUNDING_BYTES = 16 * 1024  # what a file system may take more for a file than it holds
SLACK_BYTES = 64 * 1024  # what the last write of a segment may go over its size

# A quota, a full disk, and a limit on the size of a file: all of them may pass.
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM})
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE, linux/falloc.h

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)

_NAME = re.compile(r"[0-9]{8}\.jsonl")


@dataclass(frozen=True, slots=True)
class Torn:
    """What stands after the last newline: a write that never returned, so nobody relied on it.

    Attributes:
        path: The segment.
        offset: Where it starts; bytes.
        size: How long it is; bytes.
        sha256: Of those bytes, hex.
    """

    path: Path
    offset: int
    size: int
    sha256: str


class NoSpaceError(OSError):
    """There is no room for another segment; everything is as it was before."""


def name(number: int) -> str:
    """File name of a segment."""
    return f"{number:08}.jsonl"


def number_of(path: Path) -> int:
    """Which segment a file is."""
    return int(path.name.partition(".")[0])


def find(folder: Path, first: int | None = None) -> list[Path]:
    """All segments that count, in order; pruned ones that are still there do not.

    Args:
        folder: Of the journal.
        first: Number of the first that counts; None: as `base` says.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK when one is missing in the middle or at the beginning.
        OSError: the folder cannot be read.
    """
    if first is None:
        first = beginning.first_segment(folder)
    found = [path for path in _all(folder) if number_of(path) >= first]
    for number, path in enumerate(found, first):
        if path.name != name(number):
            raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, f"{name(number)} is missing")
    if first and not found:
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, f"{name(first)} is missing")
    return found


def pruned(folder: Path, first: int) -> list[Path]:
    """Segments before the first that counts, which nobody has removed yet; in order."""
    return [path for path in _all(folder) if number_of(path) < first]


def _all(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def create(folder: Path, number: int) -> int:
    """Make a new, empty segment that is in its folder even after a power loss.

    Returns:
        Its descriptor, for writing.

    Raises:
        OSError: also when it exists already.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / name(number), flags, FILE_MODE)
    try:
        durable.sync_folder(folder)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def prepare(folder: Path, number: int, size: int) -> int:
    """Make a new segment and take the space for it.

    Args:
        folder: Of the journal.
        number: Of the segment.
        size: What it may grow to; bytes.

    Returns:
        Its descriptor, for writing.

    Raises:
        NoSpaceError: there is no room; no file was left.
        OSError: anything else.
    """
    descriptor = -1
    try:
        descriptor = create(folder, number)
        reserve(descriptor, size)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        if error.errno not in _NO_SPACE:
            raise
        (folder / name(number)).unlink(missing_ok=True)  # with what it has got so far
        raise NoSpaceError(error.errno, error.strerror, str(folder)) from None
    return descriptor


def reserve(descriptor: int, size: int) -> bool:
    """Take the blocks of a segment before they are needed; its size stays what it is.

    Args:
        descriptor: Of the segment.
        size: What it may grow to; bytes.

    Returns:
        False where the file system cannot do that.

    Raises:
        NoSpaceError: there is no room.
        OSError: anything else.
    """
    while _fallocate(descriptor, _KEEP_SIZE, 0, size + SLACK_BYTES) != 0:
        number = ctypes.get_errno()
        if number in _CANNOT:
            return False
        if number in _NO_SPACE:
            raise NoSpaceError(number, os.strerror(number))
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


def give_back(descriptor: int) -> None:
    """Free the blocks after the end of a segment; its bytes stay as they are.

    Raises:
        OSError: the disk failed.
    """
    found = os.fstat(descriptor)
    if found.st_blocks * 512 > found.st_size + ROUNDING_BYTES:
        os.ftruncate(descriptor, found.st_size)


def resume(path: Path) -> int:
    """Open an existing segment for writing; returns its descriptor, which can be read, too."""
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


def read(path: Path, start: int) -> Iterator[bytes]:
    """Lines from the byte `start` on, each with its newline.

    The last may lack it (torn), and so may one that is longer than a record can be.
    """
    with path.open("rb", buffering=READ_BYTES) as file:
        file.seek(start)
        while line := file.readline(LINE_MAX):
            yield line


def lines(folder: Path, first: int | None = None) -> Iterator[bytes]:
    """All lines of a journal, each with its newline; a segment pruned meanwhile is left out.

    Args:
        folder: Of the journal.
        first: As for `find`.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK when a segment is missing.
        OSError: one cannot be read.
    """
    for path in find(folder, first):
        try:
            yield from read(path, 0)
        except FileNotFoundError:
            if number_of(path) >= beginning.first_segment(folder):
                raise


def whole(folder: Path, first: int, count: int) -> Iterator[bytes]:
    """The first `count` whole lines of a journal, without their newlines; fewer if there are fewer.

    Args:
        folder: Of the journal.
        first: Number of the segment to begin with.
        count: Of lines.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK when a segment is missing.
        OSError: one cannot be read.
    """
    found = (line for path in find(folder, first) for line in read(path, 0))
    return islice((line[:-1] for line in found if line.endswith(b"\n")), count)


def torn(path: Path, offset: int) -> Torn | None:
    """What stands from `offset` to the end of a segment, or None if a newline is among it.

    Then it is no torn write: one write holds one newline, at its very end.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        file.seek(offset)
        while piece := file.read(READ_BYTES):
            if b"\n" in piece:
                return None
            digest.update(piece)
            size += len(piece)
    return Torn(path, offset, size, digest.hexdigest())
