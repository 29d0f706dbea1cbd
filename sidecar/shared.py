"""Bytes that one process writes and others read, through memory: the one owner of such a mapping.

Two places for a frame (core/share.py) and, before them, the number of the newest one. A writer
fills the place that is not the newest, then says that it is; so a reader is disturbed only if it is
overtaken twice while it copies, and the digest of the frame shows that.

Rules:

* The memory has no name, and its size is sealed: nobody can cut it under somebody who reads.
* One writer. With `alone=True` the kernel refuses every other way to write, also to those who
  inherit the descriptor.
* A writer may die or stop anywhere, also in the middle: readers keep what they have.

Source: memfd_create(2), fcntl(2) on seals; hardening E-G9.
"""

import fcntl
import mmap
import os

from sidecar.core import share

_NEWEST = 8  # bytes: the number of the newest frame, at the beginning
_SEAL_FUTURE_WRITE = 0x0010  # Linux 5.1; not among Python's names


def create(name: str, capacity_bytes: int) -> int:
    """Make the memory.

    Args:
        name: For people who look at a process; has no meaning.
        capacity_bytes: Longest body.

    Returns:
        Its descriptor, not inherited unless somebody passes it on.

    Raises:
        OSError: there is none left, or this system cannot do it.
    """
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, _NEWEST + 2 * (share.FRAME_BYTES + capacity_bytes))
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Writer:
    """The one who writes.

    Args:
        descriptor: From `create`.
        alone: Whether to let nobody else write from now on.

    Raises:
        OSError: it cannot be mapped or sealed.
    """

    __slots__ = ("_memory", "_place_bytes", "generation")

    def __init__(self, descriptor: int, *, alone: bool) -> None:
        self._memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self._place_bytes = _place_bytes(self._memory)
        self.generation = int.from_bytes(self._memory[:_NEWEST], "little")
        if alone:
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL)

    def publish(self, body: bytes) -> int:
        """Replace what readers see; returns its number, from 1.

        Raises:
            ValueError: longer than there is room for.
        """
        generation = self.generation + 1
        frame = share.frame(generation, body)
        if len(frame) > self._place_bytes:
            raise ValueError(f"{len(body)} bytes to share, room for {self._place_bytes}")
        at = _place(generation, self._place_bytes)
        self._memory[at : at + len(frame)] = frame
        self._memory[:_NEWEST] = generation.to_bytes(_NEWEST, "little")
        self.generation = generation
        return generation

    def close(self) -> None:
        """Give the mapping back; readers keep theirs."""
        self._memory.close()


class Reader:
    """One who reads.

    Args:
        descriptor: From `create`, perhaps inherited.

    Attributes:
        generation: Number of what was read last; 0 before.

    Raises:
        OSError: it cannot be mapped.
    """

    __slots__ = ("_memory", "_place_bytes", "generation")

    def __init__(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        self._memory = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
        self._place_bytes = _place_bytes(self._memory)
        self.generation = 0

    def read(self) -> bytes | None:
        """What is newer than what was read last; None when nothing is, or it is not whole."""
        newest = int.from_bytes(self._memory[:_NEWEST], "little")
        if newest <= self.generation:
            return None
        at = _place(newest, self._place_bytes)
        head = self._memory[at : at + share.FRAME_BYTES]
        size = min(share.body_bytes(head), self._place_bytes)
        at += share.FRAME_BYTES
        found = share.unframe(head, self._memory[at : at + size])
        if found is None or found[0] <= self.generation:
            return None
        self.generation, body = found
        return body

    def close(self) -> None:
        """Give the mapping back."""
        self._memory.close()


def _place_bytes(memory: mmap.mmap) -> int:
    return (len(memory) - _NEWEST) // 2


def _place(generation: int, place_bytes: int) -> int:
    return _NEWEST + generation % 2 * place_bytes
