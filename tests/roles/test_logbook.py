"""The audit log of a process is opened, or says why not."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from sidecar import clock
from sidecar.audit import beginning, reader, segments
from sidecar.audit.sinks import cursor
from sidecar.audit.sinks.cursor import Cursor
from sidecar.config.sections import Audit, Sink, WitnessAddress
from sidecar.core import recording
from sidecar.core.gate import Gate
from sidecar.core.instant import BootNs, WallMs
from sidecar.core.lease import Lease
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Snapshot
from sidecar.roles import logbook
from sidecar.roles.logbook import Keys, Logbook
from sidecar.roles.start import StartError
from sidecar.signer import FileSigner
from sidecar.telemetry import logs
from tests import builders

KEY = FileSigner(b"k" * 32)
ORIGIN = "epochgate/test/chat-worker-0"


def opened(folder: Path, gate: Gate, *witnesses: WitnessAddress) -> Logbook:
    log = logs.setup("info", io.StringIO(), lambda _: None)
    settings = Audit(folder, witnesses=witnesses)
    return logbook.open_logbook(settings, Keys(KEY, bytes(32)), ORIGIN, gate, log, worker=0)


def test_the_instance_key_is_made_once(tmp_path: Path) -> None:
    first = logbook.instance_key(tmp_path)
    assert logbook.instance_key(tmp_path).key_id == first.key_id


def test_the_key_of_digests_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    key = logbook.digest_key(tmp_path, None)
    assert (len(key), logbook.digest_key(tmp_path, None)) == (recording.KEY_BYTES, key)
    assert (tmp_path / logbook.DIGEST_KEY).stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_given_is_used_and_never_made(tmp_path: Path) -> None:
    given = tmp_path / "shared.key"
    with pytest.raises(StartError, match=r"No such file.*audit\.digestKeyFile"):
        logbook.digest_key(tmp_path, given)
    given.write_text("ab" * 31)
    with pytest.raises(StartError, match=r"is not 64 hex digits"):
        logbook.digest_key(tmp_path, given)
    given.write_text("ab" * 32 + "\n")
    assert logbook.digest_key(tmp_path, given) == b"\xab" * 32
    assert not (tmp_path / logbook.DIGEST_KEY).exists()


async def test_a_log_of_its_own_is_whole_after_its_end(tmp_path: Path) -> None:
    gate = Gate()
    book = opened(tmp_path / "worker-0", gate)
    book.end()
    await book.run()
    book.journal.close()
    report = reader.verify(tmp_path / "worker-0", NoteKey(ORIGIN, KEY.public))
    assert (report.verified, report.records, report.tail_records) == (True, 2, 0)
    assert gate.snapshot.holds == ()


async def test_a_folder_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    book = opened(tmp_path, Gate())
    with pytest.raises(StartError, match="another process writes it"):
        opened(tmp_path, Gate())
    book.journal.close()


async def test_a_damaged_journal_holds_the_gate(tmp_path: Path) -> None:
    book = opened(tmp_path, Gate())
    book.recorder.state("sync", {"x": 1}, clock.now())
    book.journal.close()
    path = tmp_path / segments.name(0)
    path.write_bytes(path.read_bytes().replace(b'"x":1', b'"x":2').replace(b'"start"', b'"stop"'))
    gate = Gate()
    opened(tmp_path, gate).journal.close()
    assert gate.snapshot.closed is Reason.AUDIT_CHAIN_BREAK


class Lines:
    """Log lines with one event."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.log = logs.setup("info", self.stream, lambda _: None)

    def of(self, event: str) -> list[dict[str, object]]:
        said = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [line for line in said if line["event"] == event]


def under_a_lease(gate: Gate, issued_ms: int) -> None:
    """Publish a lease on a beat of that time."""
    trust = builders.make_trust()
    beat = builders.make_beat(trust, builders.make_epoch(trust), issued_at=issued_ms)
    far = 2**62
    gate.publish(Snapshot(lease=Lease(1, "0" * 64, beat, (), BootNs(far), WallMs(far), "clock")))


def announced(folder: Path) -> bool:
    return any(b'"type":"prune"' in line for line in segments.lines(folder))


SINKS = (Sink("must", "stdout", required=True, max_lag_ms=1000), Sink("may", "stdout"))


async def test_old_segments_are_pruned_while_the_log_is_written(tmp_path: Path) -> None:
    gate, said = Gate(), Lines()
    settings = Audit(
        tmp_path, segment_bytes=2000, sync_period_ms=1, checkpoint_period_ms=20,
        retention_ms=3_600_000, sinks=SINKS,
    )  # fmt: skip
    book = logbook.open_logbook(
        settings, Keys(KEY, bytes(32)), ORIGIN, gate, said.log, state_dir=tmp_path
    )
    now = clock.now().wall
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(book.run())
        while book.journal.number < 5:
            book.recorder.state("sync", {"x": "y" * 300}, clock.now())
            await asyncio.sleep(0.002)
        await book.watch.look()
        assert not announced(tmp_path), "nobody says what time it is"
        under_a_lease(gate, now)
        await book.watch.look()
        assert not announced(tmp_path), "nothing is an hour old"
        under_a_lease(gate, now + 2 * 3_600_000)
        await book.watch.look()
        assert not announced(tmp_path), "a required sink has none of them"
        sent = cursor.where(tmp_path / cursor.FOLDER, "must", ORIGIN)
        sent.parent.mkdir(parents=True)
        cursor.store(sent, Cursor(log=ORIGIN, number=9, offset=0, prev="0" * 64, seq=10_000))
        async with asyncio.timeout(10):
            while beginning.held(tmp_path) is None:
                await book.watch.look()
                await asyncio.sleep(0.01)
        await book.watch.look()
        book.end()
    pruned = book.state()["pruned"]
    assert pruned > 5
    assert book.state()["disk_bytes"] > 0
    book.journal.close()
    report = reader.verify(tmp_path, NoteKey(ORIGIN, KEY.public))
    assert (report.verified, report.pruned, report.tail_records) == (True, pruned, 0)
    assert said.of("audit_pruned")[-1]["records"] == pruned
    again = opened(tmp_path, Gate())
    assert again.state()["pruned"] == pruned
    again.journal.close()


async def test_a_full_budget_denies_and_says_so(tmp_path: Path) -> None:
    gate, said = Gate(), Lines()
    settings = Audit(tmp_path, segment_bytes=100_000, sync_period_ms=1, disk_budget_bytes=1)
    book = logbook.open_logbook(settings, Keys(KEY, bytes(32)), ORIGIN, gate, said.log)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(book.run())
        async with asyncio.timeout(10):
            while gate.snapshot.closed is not Reason.AUDIT_BACKPRESSURE:
                await asyncio.sleep(0.005)
        book.end()
    book.journal.close()
    assert [line["level"] for line in said.of("audit_room")] == ["warning"]
    assert said.of("audit_room")[0]["budget_bytes"] == 1


async def test_a_damaged_journal_is_never_pruned(tmp_path: Path) -> None:
    book = opened(tmp_path, Gate())
    book.recorder.state("sync", {"x": 1}, clock.now())
    book.journal.close()
    (tmp_path / "checkpoint").unlink()
    book = opened(tmp_path, Gate())
    assert book.pruner is None
    await book.watch.look()
    book.journal.close()


async def test_with_witnesses_nothing_is_pruned_that_they_have_not_acknowledged(
    tmp_path: Path,
) -> None:
    """A witness wants the proof from what it has cosigned: no proof reaches back beyond a prune."""
    for folder, witnesses, signed in (("a", (), 2), ("b", (WitnessAddress("http://w"),), 0)):
        book = opened(tmp_path / folder, Gate(), *witnesses)
        book.end()
        await book.run()
        assert book.pruner is not None
        assert book.pruner._signed() == signed
        book.journal.close()
