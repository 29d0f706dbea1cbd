"""Checks of the audit log: kill -9, edits, cut tails, a full disk, other keys.

Source: protocol b.15 sections 2.5, 3.7, 4.5, 5.6, 6.1, 6.5, 8.5, 9.9, 9.10.
"""

import asyncio
import contextlib
import resource
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sidecar.cli.conformance.check import covers, expect, settle
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.parts import changed
from sidecar.cli.conformance.signs import contained, until_contained, until_open
from sidecar.cli.conformance.view import View
from sidecar.cli.text import VERIFICATION_FAILED

LOAD_S = 0.4
CLIENTS = 8
FILL = 130  # records, so that the journal is longer than every other file of the process


@covers("6.5", "7.5", "9.9")
async def killed_gate(deployment: Deployment) -> str:
    """A sidecar is killed under load: every request that reached the service is on record."""
    gate = deployment.there
    async with asyncio.TaskGroup() as tasks:
        clients = [tasks.create_task(_load(gate.view)) for _ in range(CLIENTS)]
        await asyncio.sleep(LOAD_S)
        await gate.end(signal.SIGKILL)
        for client in clients:
            client.cancel()
    await gate.start()
    await until_open(gate.view)
    permits = {
        line["decision_id"]
        for each in deployment.gates
        for line in each.view.records("decision")
        if line["decision"] == "permit"
    }
    arrived = Counter(deployment.arrived())
    expect(arrived, "nothing reached the service")
    expect(not arrived.keys() - permits, f"{len(arrived.keys() - permits)} without a record")
    expect(max(arrived.values()) == 1, "a permit was used twice")
    return f"{arrived.total()} requests reached the service, each on record"


@covers("2.5", "4.5", "5.6", "6.1", "6.7", "8.5")
async def edited_log(deployment: Deployment) -> str:
    """A record is edited, the tail is cut, another key is given: each is found out."""
    gate = deployment.there
    await gate.end()
    assert gate.view.journal is not None
    whole = await deployment.succeed("audit", "verify", str(gate.view.journal))
    said = []
    for what, spoil in (("edited", _edit), ("cut", _cut)):
        with _copied(gate.view.journal, deployment.folder / what) as copy:
            line = spoil(_segments(copy)[0])
            said.append(await _refused(deployment, what, str(copy)))
            expect(what != "edited" or str(line) in said[-1], f"not record {line}: {said[-1]}")
    other = deployment.here.view.journal
    assert other is not None
    key = ("--key-file", str(other / "log.vkey"))
    await _refused(deployment, "under another key", str(gate.view.journal), *key)
    segment = _segments(gate.view.journal)[0]
    with changed(segment, segment.read_bytes().replace(b'"permit"', b'"Permit"', 1)):
        await gate.start()
        await settle(lambda: contained(gate.view, 7, "EG701", "EG701"), deployment.limit_s)
        await gate.end()
    await gate.start()
    await until_open(gate.view)
    expect(whole, "verify said nothing of the whole log")
    return f"edited: {said[0]}; cut: {said[1]}; other key: refused; at start: EG701"


@covers("3.7", "4.5", "9.9", "9.10")
async def full_disk(deployment: Deployment) -> str:
    """The journal cannot grow: denied before anything is forwarded."""
    gate = deployment.there
    for _ in range(FILL):
        await gate.view.ask()
    assert gate.view.journal is not None
    size = max(path.stat().st_size for path in _segments(gate.view.journal))
    resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE, (size, size))
    said = await until_contained(gate.view, 7, "EG702", "EG702")
    arrived = len(deployment.arrived())
    for _ in range(20):
        expect((await gate.view.ask()).code == "EG702", "not denied for it any more")
    expect(len(deployment.arrived()) == arrived, "a request reached the service")
    await gate.restart(signal.SIGKILL)
    await until_open(gate.view)
    await gate.end()
    await deployment.succeed("audit", "verify", str(gate.view.journal))
    await gate.start()
    await until_open(gate.view)
    return f"{said}; nothing forwarded; open after a restart with room, and the log verifies"


async def _refused(deployment: Deployment, what: str, *arguments: str) -> str:
    done = await deployment.command("audit", "verify", *arguments)
    expect(done.status == VERIFICATION_FAILED, f"{what}: exit {done.status}: {done.out}{done.err}")
    return " ".join((done.out or done.err).split())[:160]


async def _load(view: View) -> None:
    while (await view.ask()).status:
        pass


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


@contextlib.contextmanager
def _copied(folder: Path, to: Path) -> Iterator[Path]:
    shutil.copytree(folder, to)
    try:
        yield to
    finally:
        shutil.rmtree(to)


def _edit(segment: Path) -> int:
    """Change one record; the number of the next, which does not name it any more."""
    lines = segment.read_bytes().splitlines(keepends=True)
    at = next(index for index, line in enumerate(lines) if b'"/v1/chat' in line)
    lines[at] = lines[at].replace(b'"/v1/chat', b'"/v1/chap', 1)
    segment.write_bytes(b"".join(lines))
    return at + 1


def _cut(segment: Path) -> int:
    """Take the second half away, checkpointed records among it."""
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[: len(lines) // 2]))
    return len(lines) // 2


CHECKS = (killed_gate, edited_log, full_disk)
