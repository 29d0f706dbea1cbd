"""Segment files: `NNNNNNNN.jsonl`, one canonical record per line, numbered from 00000000.

Plain lines, so that `tail`, `grep` and `jq` read them. Nothing is allocated ahead: a local file
system reserves the space of a write before `pwrite` returns, so a full disk is reported before
anything happens, and a file of exact size shows a torn write as a last line without its newline.

A line is read up to `LINE_MAX` bytes, whatever the file holds.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sidecar import durable
from sidecar.core.log.record import MAX_BYTES
from sidecar.core.reason import ProtocolError, Reason

LINE_MAX = MAX_BYTES + 1  # bytes, with the newline
READ_BYTES = 1024 * 1024
FILE_MODE = 0o640

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


def name(number: int) -> str:
    """File name of a segment."""
    return f"{number:08}.jsonl"


def find(folder: Path) -> list[Path]:
    """All segments, in order.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK when one is missing in the middle or at the beginning.
    """
    found = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    for number, path in enumerate(found):
        if path.name != name(number):
            raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, f"{name(number)} is missing")
    return found


def create(folder: Path, number: int) -> int:
    """Make a new, empty segment that is in its folder even after a power loss.

    Returns:
        Its descriptor, for writing.

    Raises:
        OSError: also when it exists already.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / name(number), flags, FILE_MODE)
    try:
        durable.sync_folder(folder)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def resume(path: Path) -> int:
    """Open an existing segment for writing; returns its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def read(path: Path, start: int) -> Iterator[bytes]:
    """Lines from the byte `start` on, each with its newline.

    The last may lack it (torn), and so may one that is longer than a record can be.
    """
    with path.open("rb", buffering=READ_BYTES) as file:
        file.seek(start)
        while line := file.readline(LINE_MAX):
            yield line


def whole(folder: Path, count: int) -> Iterator[bytes]:
    """The first `count` whole lines of a journal, without their newlines; fewer if there are fewer.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK when a segment is missing.
        OSError: one cannot be read.
    """
    lines = (line for path in find(folder) for line in read(path, 0))
    return islice((line[:-1] for line in lines if line.endswith(b"\n")), count)


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
