"""Lines on a real pipe, a real file and a real socket; and a reader that is gone."""

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest

from sidecar.audit.sinks.feed import Entry
from sidecar.audit.sinks.stdout import PIECE_BYTES, StandardOutput
from sidecar.roles.sinks import in_thread
from tests.audit.journals import ORIGIN
from tests.audit.sinks.parts import entries, invented


def output(descriptor: int) -> StandardOutput:
    return StandardOutput(in_thread("test"), descriptor)


async def test_each_record_is_a_line_that_no_log_line_looks_like(folder: Path) -> None:
    sent = entries(folder, 10)
    with (folder / "out").open("wb") as file:
        assert await output(file.fileno()).send(ORIGIN, sent) == 0
    lines = (folder / "out").read_bytes().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"event": "audit", "log": ORIGIN, "record": json.loads(entry.line)} for entry in sent
    ]
    assert all(entry.line in line for entry, line in zip(sent, lines, strict=True))


async def test_a_pipe_that_nobody_reads_keeps_room_for_log_lines() -> None:
    """The event loop writes those: it must never wait for a reader that is gone."""
    sent = invented(400)
    reading, writing = os.pipe()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await output(writing).send(ORIGIN, sent)
    os.set_blocking(writing, False)
    line = b"x" * 500 + b"\n"
    for _ in range(16):  # would raise BlockingIOError
        assert os.write(writing, line) == len(line)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        found = file.read().splitlines()
    records = [json.loads(line) for line in found if line.startswith(b"{")]
    assert [item["record"]["seq"] for item in records] == list(range(len(records)))
    assert 0 < len(records) < 400


async def test_a_reader_that_is_slow_gets_everything_in_order() -> None:
    sent = invented(300)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    loop, found = asyncio.get_running_loop(), bytearray()
    loop.add_reader(reading, lambda: found.extend(os.read(reading, 5000)))
    async with asyncio.timeout(10):
        await output(writing).send(ORIGIN, sent)
        while found.count(b"\n") < 300:
            await asyncio.sleep(0.01)
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)
    assert [json.loads(line)["record"]["seq"] for line in found.splitlines()] == list(range(300))


async def test_a_line_longer_than_a_piece_waits_for_an_empty_pipe() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"somebody else\n")
    long = Entry(0, 0, b'"' + b"x" * (2 * PIECE_BYTES) + b'"')
    task = asyncio.get_running_loop().create_task(output(writing).send(ORIGIN, [long]))
    await asyncio.sleep(0.05)
    assert not task.done()
    assert os.read(reading, 100) == b"somebody else\n"
    async with asyncio.timeout(5):
        await task
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert len(json.loads(file.read())["record"]) == 2 * PIECE_BYTES


async def test_a_socket_that_nobody_reads_is_not_filled() -> None:
    sent = invented(400)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            while True:
                await output(ours.fileno()).send(ORIGIN, sent)
