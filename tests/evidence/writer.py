"""A process that keeps a journal as a sidecar does, and tells at once what it has promised.

It is forked from one that has imported everything, so that a thousand of them can be ended.
"""

import asyncio
import contextlib
import multiprocessing
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import clock
from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.audit.sequencer import Sequencer
from sidecar.config import sections
from sidecar.core.gate import Gate
from tests.audit import journals

if TYPE_CHECKING:
    from sidecar.core.instant import WallMs

SEGMENT_BYTES = 4_000
SYNC_MS, CHECKPOINT_MS, UNSYNCED_MS = 2, 4, 30_000  # a slow disk alone denies nothing here
PAUSE_S = 0.001  # between two records
TOGETHER = 3  # records, then one waits for the disk: several trips for each segment
LIMIT_S = 60.0
READY, OPENED, DENIED, ENDED, BROKE = b"ready", b"opened", b"denied", b"ended", b"broke"
WORDS = (READY, OPENED, DENIED, ENDED, BROKE)


def keep(folder: Path, records: int, opens: bool, ours: socket.socket) -> None:  # noqa: FBT001
    """Write records, and tell the id of each as soon as a sidecar would act upon it.

    Words are sent with `sendto`: no call of that name is ever disturbed.

    Args:
        folder: Of the journal.
        records: How many.
        opens: Whether to wait for a word before the journal is opened, else after it.
        ours: A word comes in; ids and `WORDS` go out, one in a line.
    """
    try:
        if opens:
            ours.sendall(READY + b"\n")
            ours.recv(1)
        journal = journals.open_journal(folder, SEGMENT_BYTES)
        ours.sendall(OPENED + b"\n")
        if not opens:
            ours.recv(1)
        asyncio.run(_write(journal, records, ours))
        journal.close()
        ours.sendall(ENDED + b"\n")
    except Exception:  # noqa: BLE001 - told, and judged by who hears it
        ours.sendall(BROKE + b"\n")


async def _write(journal: Journal, records: int, ours: socket.socket) -> None:
    gate = Gate()
    recorder = journals.make_recorder(journal, gate)
    settings = sections.Audit(
        journal.folder, SEGMENT_BYTES, sync_period_ms=SYNC_MS, unsynced_max_ms=UNSYNCED_MS,
        checkpoint_period_ms=CHECKPOINT_MS,
    )  # fmt: skip
    sequencer = Sequencer(
        journal, journals.SIGNER, journals.ORIGIN, settings, clock=clock.now, place=gate.place,
        lift=gate.lift,
    )  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sequencer.run())
        for number in range(records):
            ours.sendall(_decide(gate, recorder) + b"\n")
            await asyncio.sleep(PAUSE_S)
            while (
                number % TOGETHER == 0 and journal.durable < journal.seq and not gate.snapshot.holds
            ):
                await asyncio.sleep(PAUSE_S)
        sequencer.stop()


def _settled(journal: Journal, gate: Gate) -> bool:
    return journal.durable == journal.seq or bool(gate.snapshot.holds)


def _decide(gate: Gate, recorder: Recorder) -> bytes:
    """One request, as the data plane does it: look at the gate, record, act."""
    if gate.snapshot.holds:
        return DENIED
    decision_id = recorder.decision(journals.DENIAL, journals.HEAD, None, clock.now())
    return DENIED if decision_id is None else decision_id.encode()


def forking() -> ForkServerContext:
    """Where writers come from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.evidence.writer"])
    return context


class Writer:
    """One such process, seen from outside.

    Args:
        process: It.
        words: From and to it.

    Attributes:
        told: Everything it has told so far, and when that was heard.
    """

    def __init__(self, process: ForkServerProcess, words: socket.socket) -> None:
        self.process, self._words = process, words
        self._lines = words.makefile("rb")
        words.settimeout(LIMIT_S)
        self.told: list[tuple[bytes, WallMs]] = []

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def acknowledged(self) -> list[str]:
        """Ids of records that it has promised."""
        return [said.decode() for said, _ in self.told if said not in WORDS]

    @property
    def last(self) -> bytes:
        """What it told last."""
        return self.told[-1][0] if self.told else b""

    def go(self) -> None:
        """Give it the word."""
        with contextlib.suppress(BrokenPipeError):  # it was killed before it waited
            self._words.send(b"!")

    def hear(self, until: bytes | None = None) -> bool:
        """Hear what it tells, up to a word or to its end; whether the word came."""
        with contextlib.suppress(ConnectionResetError):
            while (line := self._lines.readline()).endswith(b"\n"):
                self.told.append((line[:-1], clock.now().wall))
                if self.last == until:
                    return True
        self.process.join(LIMIT_S)
        return False

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.join(LIMIT_S)
        self._lines.close()
        self._words.close()


@contextmanager
def writing(
    context: ForkServerContext, folder: Path, records: int, *, opens: bool
) -> Iterator[Writer]:
    """A writer that waits for the word; it ends with the block."""
    words, theirs = socket.socketpair()
    process = context.Process(target=keep, args=(folder, records, opens, theirs), daemon=True)
    process.start()
    theirs.close()
    writer = Writer(process, words)
    try:
        assert writer.hear(READY if opens else OPENED)
        yield writer
    finally:
        writer.close()


def killed(writer: Writer) -> bool:
    """Whether it was ended by a signal."""
    return writer.process.exitcode == -signal.SIGKILL
