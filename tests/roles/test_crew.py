"""A place in the crew is filled again and again, and what was counted in it is kept."""

import asyncio
import contextlib
import io
import json
import os
import resource
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from sidecar.roles import crew
from sidecar.roles.brief import Brief
from sidecar.roles.crew import Worker
from sidecar.telemetry import logs

LIMIT_S = 20


def unfit(index: int, reports: int) -> Brief:
    """A brief that no worker can start with."""
    return Brief(index, "origin", "", {"SidecarConfig": {}}, None, (), reports, reports, ())


def heard(stream: io.StringIO, event: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in lines if line["event"] == event]


def highest_descriptor() -> int:
    return max(int(path.name) for path in Path("/proc/self/fd").iterdir())


async def test_one_that_cannot_start_is_tried_again_with_a_growing_pause(
    tmp_path: Path, capfd: object
) -> None:
    stream = io.StringIO()
    worker = Worker(0, unfit, logs.setup("info", stream, lambda _: None))
    task = asyncio.get_running_loop().create_task(worker.keep())
    async with asyncio.timeout(LIMIT_S):
        while worker.restarts < 2:
            await asyncio.sleep(0.01)
    worker.end()
    async with asyncio.timeout(LIMIT_S):
        await task
    told = heard(stream, logs.WORKER_ENDED)
    assert [line["again_ms"] for line in told[:2]] == [100, 200]
    assert all(line["status"] not in (0, None) for line in told)
    assert not worker.up
    state = worker.state()
    assert (state["pid"], state["up"]) == (None, False)


async def test_a_worker_that_was_told_to_end_is_not_replaced(tmp_path: Path) -> None:
    stream = io.StringIO()
    worker = Worker(1, unfit, logs.setup("info", stream, lambda _: None))
    task = asyncio.get_running_loop().create_task(worker.keep())
    async with asyncio.timeout(LIMIT_S):
        while worker.state()["pid"] is None:
            await asyncio.sleep(0.001)
    pid = worker.state()["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGSTOP)  # a frozen one does not hear that it shall end
    worker.end()
    worker.kill()
    async with asyncio.timeout(LIMIT_S):
        await task
    assert worker.restarts == 0
    assert heard(stream, logs.WORKER_ENDED) == []


async def test_a_worker_does_not_outlive_a_process_that_fails() -> None:
    worker = Worker(1, unfit, logs.setup("info", io.StringIO(), lambda _: None))
    task = asyncio.get_running_loop().create_task(worker.keep())
    async with asyncio.timeout(LIMIT_S):
        while (pid := worker.state()["pid"]) is None:
            await asyncio.sleep(0.001)
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGSTOP)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(ProcessLookupError):  # gone and waited for
        async with asyncio.timeout(LIMIT_S):
            while True:
                os.kill(pid, 0)
                await asyncio.sleep(0.01)


async def test_one_that_could_not_begin_leaves_no_descriptor_behind() -> None:
    """Else each attempt takes one more, until no worker can ever be replaced."""
    worker = Worker(0, unfit, logs.setup("info", io.StringIO(), lambda _: None))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = highest_descriptor()
    resource.setrlimit(resource.RLIMIT_NOFILE, (most + 3, before[1]))
    taken: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        os.close(taken.pop())
        for _ in range(2):
            with pytest.raises(OSError, match="Too many open files"):
                await worker._live()
        taken.append(os.open(os.devnull, os.O_RDONLY))  # the one is still free
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_package_in_the_working_directory_is_not_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "sidecar"
    planted.mkdir()
    (planted / "__init__.py").write_text("raise SystemExit('planted')")
    code = crew._CODE.replace("sys.exit(main(int(sys.argv[2])))", "print(main.__module__)")
    done = subprocess.run(
        [*crew._interpreter(), code, crew._ROOT], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.stdout == b"sidecar.roles.worker\n", done.stderr


def test_a_worker_that_does_not_listen_is_told_without_waiting() -> None:
    worker = Worker(0, unfit, logs.setup("info", io.StringIO(), lambda _: None))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)  # noqa: FBT003
        worker._channel = ours
        for _ in range(2_000):
            worker.notify()
        assert theirs.recv(1) == b"\0"
        theirs.close()
        worker.notify()


def test_whoever_is_not_there_is_told_and_ended_without_a_fault() -> None:
    worker = Worker(0, unfit, logs.setup("info", io.StringIO(), lambda _: None))
    worker.notify()
    worker.kill()
    worker.end()
    assert worker.look() is None
