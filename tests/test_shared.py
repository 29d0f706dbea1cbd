"""Memory that one writes and others read: whole or not at all, whatever happens to the writer."""

import mmap
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar import shared
from sidecar.core import share
from sidecar.shared import Reader, Writer

CAPACITY = 4096
NEWEST = 8
PLACE = share.FRAME_BYTES + CAPACITY


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = shared.create("test", CAPACITY)
    yield descriptor
    os.close(descriptor)


def lowest_free() -> int:
    with Path(os.devnull).open("rb") as file:
        return file.fileno()


def test_nothing_is_read_before_something_was_written(memory: int) -> None:
    assert Reader(memory).read() is None


def test_memory_that_could_not_be_made_leaves_no_descriptor_behind() -> None:
    limits, free = resource.getrlimit(resource.RLIMIT_FSIZE), lowest_free()
    resource.setrlimit(resource.RLIMIT_FSIZE, (CAPACITY, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            shared.create("test", CAPACITY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert lowest_free() == free


def test_each_body_is_read_once_and_only_the_newest(memory: int) -> None:
    writer, reader = Writer(memory, alone=True), Reader(memory)
    assert [writer.publish(body) for body in (b"one", b"two", b"three")] == [1, 2, 3]
    assert (reader.read(), reader.read(), reader.generation) == (b"three", None, 3)
    writer.publish(b"")
    assert reader.read() == b""


def test_a_body_beyond_the_room_is_refused_and_the_last_one_stands(memory: int) -> None:
    writer, reader = Writer(memory, alone=True), Reader(memory)
    writer.publish(b"x" * CAPACITY)
    with pytest.raises(ValueError, match="to share"):
        writer.publish(b"y" * (CAPACITY + 1))
    assert reader.read() == b"x" * CAPACITY


@pytest.mark.parametrize("at", range(share.FRAME_BYTES + 5))
def test_a_flipped_byte_is_never_read(memory: int, at: int) -> None:
    writer, reader = Writer(memory, alone=False), Reader(memory)
    writer.publish(b"whole")
    other = mmap.mmap(memory, 0)
    other[NEWEST + PLACE + at] ^= 0x10
    assert (reader.read(), reader.generation) == (None, 0)
    other[NEWEST + PLACE + at] ^= 0x10
    assert reader.read() == b"whole"


def test_a_writer_that_dies_in_the_middle_leaves_the_one_before(memory: int) -> None:
    """Half of the next frame is there, and even its number: what was read stays."""
    writer, reader = Writer(memory, alone=False), Reader(memory)
    writer.publish(b"first")
    assert reader.read() == b"first"
    half = share.frame(2, b"second" * 100)[:200]
    other = mmap.mmap(memory, 0)
    other[NEWEST : NEWEST + len(half)] = half
    assert reader.read() is None
    other[:NEWEST] = (2).to_bytes(NEWEST, "little")
    assert (reader.read(), reader.generation) == (None, 1)


def test_a_number_that_is_seen_before_its_frame_brings_back_nothing(memory: int) -> None:
    """Its place still holds an older frame, and that one is whole."""
    writer, reader = Writer(memory, alone=False), Reader(memory)
    for body in (b"one", b"two"):
        writer.publish(body)
    assert reader.read() == b"two"
    mmap.mmap(memory, 0)[:NEWEST] = (3).to_bytes(NEWEST, "little")
    assert (reader.read(), reader.generation) == (None, 2)


def test_an_older_frame_is_never_read_again(memory: int) -> None:
    writer, reader = Writer(memory, alone=False), Reader(memory)
    for body in (b"one", b"two", b"three"):
        writer.publish(body)
    assert reader.read() == b"three"
    mmap.mmap(memory, 0)[:NEWEST] = (2).to_bytes(NEWEST, "little")
    assert reader.read() is None


def test_nobody_else_can_write_or_cut(memory: int) -> None:
    writer = Writer(memory, alone=True)
    size = os.fstat(memory).st_size
    with pytest.raises(PermissionError):
        mmap.mmap(memory, size)
    with pytest.raises(PermissionError):
        os.pwrite(memory, b"x", 0)
    for cut in (0, size - 1, size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(memory, cut)
    writer.publish(b"still ours")
    assert Reader(memory).read() == b"still ours"


def test_another_process_reads_it(memory: int) -> None:
    Writer(memory, alone=True).publish(b"over there")
    code = f"from sidecar.shared import Reader; print(Reader({memory}).read().decode())"
    out = subprocess.check_output([sys.executable, "-c", code], pass_fds=(memory,))
    assert out == b"over there\n"


def test_a_reader_beside_a_writer_sees_only_whole_bodies_in_order(memory: int) -> None:
    """The writer is another process, as fast as it can be; bodies differ in every byte."""
    code = (
        "from sidecar.shared import Writer\n"
        f"writer = Writer({memory}, alone=True)\n"
        "for n in range(1, 20001): writer.publish(bytes([n % 251]) * (n % 4000))\n"
    )
    reader = Reader(memory)
    with subprocess.Popen([sys.executable, "-c", code], pass_fds=(memory,)) as child:
        seen = 0
        while reader.generation < 20_000:
            body = reader.read()
            if body is not None:
                n = reader.generation
                assert body == bytes([n % 251]) * (n % 4000)
                seen += 1
            else:
                assert child.poll() in (None, 0)
    assert seen > 1
