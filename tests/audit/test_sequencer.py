"""Out of band: the tree, the disk, the checkpoint, and the holds when one of them falls behind."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.audit import checkpoints, reader, recovery, sequencer
from sidecar.audit.disk import Level, Use
from sidecar.audit.flush import Flush
from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.audit.sequencer import Sequencer
from sidecar.config import sections
from sidecar.core.gate import Gate
from sidecar.core.instant import Now
from sidecar.core.log.merkle import Tree, leaf_hash
from sidecar.core.reason import Reason
from sidecar.core.snapshot import HoldKind
from tests import builders
from tests.audit import journals
from tests.audit.journals import DENIAL, HEAD, KEY, ORIGIN, SIGNER
from tests.compiled import COMPILED, WHY


class Clock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> Now:
        return builders.now(self.ms)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sequence(journal: Journal, gate: Gate, clock: Clock) -> Sequencer:
    settings = sections.Audit(dir=journal.folder, sync_period_ms=1, unsynced_max_ms=500)
    return Sequencer(
        journal, SIGNER, ORIGIN, settings, clock=clock, place=gate.place, lift=gate.lift
    )


def append(recorder: Recorder, count: int) -> None:
    for _ in range(count):
        assert recorder.decision(DENIAL, HEAD, None, builders.now()) is not None


@asynccontextmanager
async def running(sequence: Sequencer) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sequence.run())
        try:
            yield
        finally:
            sequence.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


async def test_records_are_signed_by_a_checkpoint_over_their_tree(
    folder: Path, journal: Journal, recorder: Recorder, sequence: Sequencer
) -> None:
    append(recorder, 5)
    tree = Tree()
    for line in journal.fresh:
        tree.append(leaf_hash(line))
    told: list[object] = []
    sequence.sealed = lambda: told.append(sequence.head)
    async with running(sequence):
        await until(lambda: sequence.gauges.checkpoint_size == 5)
    assert told == [sequence.head]
    signed = checkpoints.read(folder, KEY)
    assert signed is not None
    assert (signed.size, signed.root, signed.origin) == (5, tree.root(), ORIGIN)
    assert sequence.head == signed
    assert reader.verify(folder, KEY).verified


async def test_a_stop_signs_everything_up_to_it(
    folder: Path, recorder: Recorder, sequence: Sequencer
) -> None:
    """The clock stands still, so no second checkpoint is due; the stop writes one all the same."""
    async with running(sequence):
        append(recorder, 1)
        await until(lambda: sequence.gauges.checkpoint_size == 1)
        append(recorder, 1000)
    assert sequence.gauges.checkpoint_size == 1001
    assert reader.verify(folder, KEY).tail_records == 0


async def test_a_cancelled_sequencer_signs_everything_too(
    folder: Path, recorder: Recorder, sequence: Sequencer
) -> None:
    append(recorder, 10)
    task = asyncio.get_running_loop().create_task(sequence.run())
    await until(lambda: sequence.gauges.checkpoint_size == 10)
    append(recorder, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reader.verify(folder, KEY).tail_records == 0


async def test_who_waits_for_the_disk_is_told_and_does_not_wait_for_the_period(
    journal: Journal, recorder: Recorder, gate: Gate, clock: Clock
) -> None:
    settings = sections.Audit(dir=journal.folder, sync_period_ms=3_600_000, unsynced_max_ms=500)
    sequence = Sequencer(
        journal, SIGNER, ORIGIN, settings, clock=clock, place=gate.place, lift=gate.lift
    )
    durable: list[int] = []
    async with running(sequence):
        for _ in range(3):  # each of the later ones comes while the disk is at work
            append(recorder, 1)
            seq = journal.seq
            recorder.when_durable(lambda seq=seq: durable.append(journal.durable - seq))  # type: ignore[misc]
            await asyncio.sleep(0)
        assert journal.waited_for
        await until(lambda: len(durable) == 3)
        assert min(durable) >= 0, "nobody is told before the record is on the disk"
        recorder.when_durable(lambda: durable.append(0))
        assert len(durable) == 4, "what is on the disk need not be waited for"


async def test_nobody_is_told_of_a_disk_that_failed(
    journal: Journal, recorder: Recorder, gate: Gate, sequence: Sequencer
) -> None:
    told: list[bool] = []
    append(recorder, 1)
    (journal.folder / "00000000.jsonl").unlink()
    recorder.when_durable(lambda: told.append(True))
    async with running(sequence):
        await until(lambda: journal.failed is not None)
    assert not told
    assert [hold.reason for hold in gate.snapshot.holds] == [Reason.AUDIT_UNWRITABLE]


async def test_checkpoints_keep_their_period_and_need_new_records(
    recorder: Recorder, sequence: Sequencer, clock: Clock
) -> None:
    async with running(sequence):
        append(recorder, 1)
        await until(lambda: sequence.gauges.checkpoints == 1)
        append(recorder, 1)
        await until(lambda: sequence.gauges.durable == 2)
        assert sequence.gauges.checkpoints == 1, "the period has not passed"
        clock.ms += 1000
        await until(lambda: sequence.gauges.checkpoints == 2)
        clock.ms += 5000
        append(recorder, 0)
    assert sequence.gauges.checkpoints == 2, "nothing new, nothing to sign"


async def test_nothing_is_done_while_no_record_comes(
    recorder: Recorder, sequence: Sequencer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits = 0
    visit = Sequencer._visit_disk

    def count(self: Sequencer, now: Now) -> None:
        nonlocal visits
        visits += 1
        visit(self, now)

    monkeypatch.setattr(Sequencer, "_visit_disk", count)
    async with running(sequence):
        append(recorder, 1)
        await until(lambda: sequence.gauges.checkpoint_size == 1)
        await until(sequence._idle)
        await asyncio.sleep(0)
        before = visits
        await asyncio.sleep(0.2)  # ten periods
        assert visits <= before + 1
        append(recorder, 1)
        await until(lambda: sequence.gauges.durable == 2)


async def test_a_recovered_log_is_signed_on_from_where_it_was(
    folder: Path, gate: Gate, clock: Clock
) -> None:
    journals.make_journal(folder, records=7, signed=4)
    journal = journals.open_journal(folder)
    again = Sequencer(
        journal, SIGNER, ORIGIN, sections.Audit(dir=folder),
        clock=clock, place=gate.place, lift=gate.lift,
    )  # fmt: skip
    append(journals.make_recorder(journal, gate), 2)
    async with running(again):
        pass
    journal.close()
    report = reader.verify(folder, KEY)
    assert (report.records, report.tail_records, report.fault) == (9, 0, None)


class Disk:
    """A disk that can be made to hang or to fail; what it does otherwise is real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.error: OSError | None = None
        self.calls = 0
        real = Flush.run

        def run(flush: Flush) -> int | None:
            self.calls += 1
            self.entered.set()
            assert self.free.wait(10)
            if self.error is not None:
                raise self.error
            return real(flush)

        monkeypatch.setattr(Flush, "run", run)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    if COMPILED:
        pytest.skip(WHY)
    return Disk(monkeypatch)


async def test_a_disk_that_hangs_holds_the_gate_until_it_has_caught_up(
    recorder: Recorder, sequence: Sequencer, clock: Clock, gate: Gate, disk: Disk
) -> None:
    async with running(sequence):
        disk.free.clear()
        append(recorder, 1)
        await until(disk.entered.is_set)
        clock.ms += 500
        append(recorder, 1)  # the loop and the journal go on meanwhile
        await until(lambda: sequence.gauges.size == 2)
        assert not gate.snapshot.holds, "exactly the bound is still within it"
        clock.ms += 1
        await until(lambda: bool(gate.snapshot.holds))
        hold = gate.snapshot.holds[0]
        assert (hold.reason, hold.kind) == (Reason.AUDIT_BACKPRESSURE, HoldKind.PASSING)
        disk.free.set()
        await until(lambda: not gate.snapshot.holds)
        assert sequence.gauges.durable == 2


async def test_an_idle_log_is_never_behind(
    sequence: Sequencer, recorder: Recorder, clock: Clock, gate: Gate
) -> None:
    seen: list[Reason] = []
    gate._changed = lambda snapshot: seen.extend(hold.reason for hold in snapshot.holds)
    async with running(sequence):
        append(recorder, 1)
        await until(sequence._idle)
        clock.ms += 3_600_000
        append(recorder, 1)
        await until(lambda: sequence.gauges.durable == 2)
    assert seen == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
async def test_a_sync_error_holds_the_gate_for_good_and_is_never_retried(
    number: int,
    folder: Path,
    recorder: Recorder,
    sequence: Sequencer,
    gate: Gate,
    disk: Disk,
) -> None:
    disk.error = OSError(number, os.strerror(number))
    append(recorder, 1)
    async with running(sequence):
        await until(lambda: bool(gate.snapshot.holds))
        hold = gate.snapshot.holds[0]
        assert (hold.reason, hold.kind) == (Reason.AUDIT_UNWRITABLE, HoldKind.LATCHED)
        disk.error = None
        size = (folder / "00000000.jsonl").stat().st_size
        assert recorder.decision(DENIAL, HEAD, None, builders.now()) is None
    assert disk.calls == 1
    assert (folder / "00000000.jsonl").stat().st_size == size
    signed = checkpoints.read(folder, KEY)
    assert signed is not None
    assert signed.size == 0


async def test_an_error_of_the_last_sync_holds_the_gate(
    recorder: Recorder, sequence: Sequencer, gate: Gate, disk: Disk
) -> None:
    disk.error = OSError(errno.EIO, "input/output error")
    append(recorder, 1)
    sequence.stop()
    await sequence.run()
    assert gate.snapshot.holds[0].reason is Reason.AUDIT_UNWRITABLE


async def test_a_checkpoint_that_cannot_be_written_holds_the_gate(
    folder: Path, recorder: Recorder, sequence: Sequencer, gate: Gate
) -> None:
    (folder / "checkpoint.new").mkdir()
    append(recorder, 1)
    async with running(sequence):
        await until(lambda: bool(gate.snapshot.holds))
    assert gate.snapshot.holds[0].reason is Reason.AUDIT_UNWRITABLE


async def test_a_checkpoint_never_precedes_its_records(
    folder: Path, recorder: Recorder, sequence: Sequencer, disk: Disk
) -> None:
    """While the records are on their way to the disk, the old checkpoint must stand."""
    disk.free.clear()
    append(recorder, 3)
    async with running(sequence):
        await until(disk.entered.is_set)
        signed = checkpoints.read(folder, KEY)
        assert signed is not None
        assert signed.size == 0
        disk.free.set()
        await until(lambda: sequence.gauges.checkpoint_size == 3)


async def test_a_deleted_journal_file_holds_the_gate(
    folder: Path, recorder: Recorder, sequence: Sequencer, gate: Gate
) -> None:
    async with running(sequence):
        (folder / "00000000.jsonl").unlink()
        append(recorder, 1)
        await until(lambda: bool(gate.snapshot.holds))
    assert gate.snapshot.holds[0].reason is Reason.AUDIT_UNWRITABLE


async def test_a_backlog_beyond_its_bound_holds_the_gate_until_it_is_integrated(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder, sequence: Sequencer, gate: Gate
) -> None:
    seen: list[Reason] = []
    monkeypatch.setattr(sequencer, "BACKLOG_MAX", 100)
    gate._changed = lambda snapshot: seen.extend(hold.reason for hold in snapshot.holds)
    append(recorder, 101)
    async with running(sequence):
        await until(lambda: bool(seen) and not gate.snapshot.holds)
    assert set(seen) == {Reason.AUDIT_BACKPRESSURE}


async def test_an_unrecovered_journal_is_held_and_left_alone(
    folder: Path, gate: Gate, clock: Clock
) -> None:
    journal = Journal(folder, 1000)
    made = Sequencer(
        journal, SIGNER, ORIGIN, sections.Audit(dir=folder),
        clock=clock, place=gate.place, lift=gate.lift,
    )  # fmt: skip
    async with running(made):
        await until(lambda: bool(gate.snapshot.holds))
    assert gate.snapshot.holds[0].kind is HoldKind.LATCHED
    journal.close()
    assert checkpoints.read(folder, KEY) is None


async def test_segments_are_prepared_and_retired_on_the_way(folder: Path, gate: Gate) -> None:
    journal = journals.open_journal(folder, segment_bytes=20_000)
    recorder = journals.make_recorder(journal, gate)
    made = Sequencer(
        journal, SIGNER, ORIGIN, sections.Audit(dir=folder, sync_period_ms=1),
        clock=builders.now, place=gate.place, lift=gate.lift,
    )  # fmt: skip
    async with running(made):
        for _ in range(20):
            append(recorder, 10)
            await until(lambda: made.gauges.durable == journal.seq)
    journal.close()
    report = reader.verify(folder, KEY)
    assert report.segments > 3
    assert (report.records, report.fault) == (200, None)


async def test_a_full_segment_that_cannot_be_closed_holds_the_gate(
    folder: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems tell of a failed write only then. It must not end what watches the disk."""
    journal = journals.open_journal(folder, segment_bytes=1500)
    recorder = journals.make_recorder(journal, gate)
    settings = sections.Audit(dir=folder, sync_period_ms=1)
    sequence = Sequencer(
        journal, SIGNER, ORIGIN, settings, clock=Clock(), place=gate.place, lift=gate.lift
    )
    first, close = journal._current, os.close

    def refuse(descriptor: int) -> None:
        close(descriptor)
        if descriptor == first:
            raise OSError(errno.EDQUOT, "quota exceeded")

    monkeypatch.setattr(os, "close", refuse)
    async with running(sequence):
        while not gate.snapshot.holds:
            recorder.decision(DENIAL, HEAD, None, builders.now())
            await asyncio.sleep(0.002)
        assert gate.snapshot.holds[0].reason is Reason.AUDIT_UNWRITABLE
        assert recorder.decision(DENIAL, HEAD, None, builders.now()) is None
    monkeypatch.setattr(os, "close", close)
    journal.close()


async def test_syncs_are_counted_by_duration(recorder: Recorder, sequence: Sequencer) -> None:
    append(recorder, 1)
    async with running(sequence):
        await until(lambda: sequence.gauges.durable == 1)
    gauges = sequence.gauges
    assert sum(gauges.sync_counts) >= 1
    assert len(gauges.sync_counts) == len(sequencer.SYNC_BOUNDS_US) + 1
    assert (gauges.records, gauges.size, gauges.backlog) == (1, 1, 0)
    assert gauges.checkpoint_wall_ms == builders.NOW


async def test_a_full_budget_holds_the_gate_until_there_is_room(
    recorder: Recorder, sequence: Sequencer, gate: Gate, clock: Clock
) -> None:
    async with running(sequence):
        append(recorder, 1)
        await until(sequence._idle)
        sequence.see(Use(1000, 5), Level.FULL)
        await until(lambda: bool(gate.snapshot.holds))
        hold = gate.snapshot.holds[0]
        assert (hold.reason, hold.kind) == (Reason.AUDIT_BACKPRESSURE, HoldKind.PASSING)
        append(recorder, 3)  # denials are still written down
        await until(lambda: sequence.gauges.durable == 4)
        assert gate.snapshot.holds
        assert sequence.gauges.disk_bytes == 1000
        sequence.see(Use(900, 5), Level.LOW)
        await until(lambda: not gate.snapshot.holds)


async def test_room_does_not_end_a_hold_for_a_slow_disk(
    recorder: Recorder, sequence: Sequencer, gate: Gate, clock: Clock, disk: Disk
) -> None:
    """Two conditions, one hold: it ends when neither is left."""
    async with running(sequence):
        disk.free.clear()
        append(recorder, 1)
        await until(disk.entered.is_set)
        clock.ms += 501
        sequence.see(Use(1000, 5), Level.FULL)
        await until(lambda: bool(gate.snapshot.holds))
        seen = len(gate.snapshot.holds)
        sequence.see(Use(0, 5), Level.ENOUGH)
        sequence._judge_age(clock())
        assert len(gate.snapshot.holds) == seen
        sequence.see(Use(1000, 5), Level.FULL)
        disk.free.set()
        await until(lambda: sequence.gauges.durable == 1)
        sequence._judge_age(clock())
        assert gate.snapshot.holds
        sequence.see(Use(0, 5), Level.ENOUGH)
        await until(lambda: not gate.snapshot.holds)


async def test_more_bytes_than_a_power_loss_may_cost_hold_the_gate(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder, sequence: Sequencer, gate: Gate, disk: Disk
) -> None:
    monkeypatch.setattr(sequencer, "UNSYNCED_MAX", 1000)
    async with running(sequence):
        disk.free.clear()
        append(recorder, 1)
        await until(disk.entered.is_set)
        append(recorder, 1)
        sequence._judge_age(sequence._clock())
        assert not gate.snapshot.holds
        append(recorder, 5)
        await until(lambda: bool(gate.snapshot.holds))
        disk.free.set()
        await until(lambda: not gate.snapshot.holds)


async def test_the_beginning_of_each_segment_is_what_a_reader_finds(
    folder: Path, gate: Gate
) -> None:
    """Some records are deferred, and a segment never begins among those."""
    journal = journals.open_journal(folder, segment_bytes=5000)
    recorder = journals.make_recorder(journal, gate)
    made = Sequencer(
        journal, SIGNER, ORIGIN, sections.Audit(dir=folder, sync_period_ms=1),
        clock=builders.now, place=gate.place, lift=gate.lift,
    )  # fmt: skip
    permit = journals.make_permit(journals.make_snapshot())
    async with running(made):
        while journal.number < 5:
            decision_id = recorder.decision(permit, HEAD, None, builders.now())
            assert decision_id is not None
            recorder._settling = True  # nobody settles: the next decision takes it along
            recorder.outcome(
                decision_id, "permit", None, builders.now(), dur_ns=1, sent=True, status=200
            )
            await until(lambda: made.gauges.size == journal.seq)
        append(recorder, 1)  # the first of the last segment
    journal.close()
    found = recovery.examine(folder, KEY)
    assert len(found.cuts) > 5
    assert made.cuts == list(found.cuts)
