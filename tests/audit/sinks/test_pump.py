"""From journal to outlet: in order, at least once, whatever fails in between."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from sidecar.audit import segments
from sidecar.audit.sinks import cursor, pump
from sidecar.audit.sinks.outlet import RefusedError, SinkError, TooLargeError
from tests.audit.journals import ORIGIN, open_journal, write_checkpoint
from tests.audit.sinks.parts import Clock, Kept, Line


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses and batches as short as tests are."""
    monkeypatch.setattr(pump, "BATCH_RECORDS", 8)
    monkeypatch.setattr(pump, "PAUSE_MIN_S", 0.001)
    monkeypatch.setattr(pump, "PAUSE_MAX_S", 0.004)


async def test_it_sends_what_is_signed_and_remembers_it(
    folder: Path, kept: Kept, clock: Clock
) -> None:
    line = Line(folder, kept, clock)
    await line.run()
    assert kept.seqs == list(range(10))
    assert cursor.load(line.path, ORIGIN) == line.pump.cursor
    assert (line.pump.records, line.pump.failures, line.pump.lag_ms()) == (10, 0, 0)


async def test_another_process_goes_on_where_it_ended(
    folder: Path, kept: Kept, clock: Clock
) -> None:
    await Line(folder, kept, clock).run()
    lines = [entry for path in segments.find(folder) for entry in path.read_bytes().splitlines()]
    write_checkpoint(folder, lines)
    await Line(folder, kept, clock).run()
    assert kept.seqs == list(range(20))


async def test_it_wakes_up_when_more_is_signed(folder: Path, kept: Kept, clock: Clock) -> None:
    line = Line(folder, kept, clock)
    lines = [entry for path in segments.find(folder) for entry in path.read_bytes().splitlines()]

    def more() -> bool:
        if len(kept.seqs) == 10:
            write_checkpoint(folder, lines)
            line.look()
        return len(kept.seqs) == 20

    await line.run(more)
    assert kept.seqs == list(range(20))


async def test_a_process_that_dies_before_it_stored_repeats_and_loses_nothing(
    whole: Path, kept: Kept, clock: Clock
) -> None:
    """The clock stands still, so nothing is stored on the way; killed in the third batch."""
    line = Line(whole, kept, clock)
    task = asyncio.get_running_loop().create_task(line.pump.run())
    async with asyncio.timeout(10):
        while len(kept.seqs) < 8:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not line.path.exists()
    await Line(whole, kept, clock).run()
    again = kept.seqs.index(0, 1)
    assert kept.seqs[again:] == list(range(40))
    assert kept.seqs[:again] == list(range(again))


async def test_progress_is_stored_once_a_second(whole: Path, kept: Kept, clock: Clock) -> None:
    line = Line(whole, kept, clock)
    clock.ms += pump.STORE_MS
    kept.hang_at = 16
    task = asyncio.get_running_loop().create_task(line.pump.run())
    async with asyncio.timeout(10):
        while not line.path.exists():
            await asyncio.sleep(0.001)
    stored = cursor.load(line.path, ORIGIN).seq
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 8 <= stored <= 16


@pytest.mark.parametrize(
    "error",
    [SinkError("down"), RefusedError("answered 400"), OSError("disk"), ValueError("a bug")],
    ids=str,
)
async def test_a_batch_that_fails_is_sent_again_and_nothing_behind_it_before(
    whole: Path, kept: Kept, clock: Clock, error: Exception
) -> None:
    line = Line(whole, kept, clock)
    kept.fail = [error] * 3
    await line.run()
    assert kept.seqs == list(range(40))
    assert line.pump.failures == 3
    assert line.pump.refused == (3 if isinstance(error, RefusedError) else 0)
    assert [what for what, _ in line.told] == ["failing", "sending"], "said once"
    assert line.pump.why == ""
    assert line.pump.dropped == 0


async def test_a_batch_that_is_too_large_is_halved_until_it_fits(whole: Path, clock: Clock) -> None:
    class Small(Kept):
        async def send(self, log, entries):  # type: ignore[no-untyped-def]
            if len(entries) > 3:
                raise TooLargeError("answered 413")
            return await super().send(log, entries)

    kept = Small()
    line = Line(whole, kept, clock)
    await line.run()
    assert kept.seqs == list(range(40))
    assert max(kept.sizes) <= 3
    assert max(kept.sizes) > 1, "not one by one for ever"
    assert line.pump.failures == 0


async def test_one_record_that_is_too_large_is_a_refusal(
    folder: Path, kept: Kept, clock: Clock
) -> None:
    kept.always = TooLargeError("answered 413")
    line = Line(folder, kept, clock)
    await line.run(lambda: line.pump.refused == 2)
    assert kept.seqs == []
    assert line.pump.why == "answered 413"
    assert line.pump.cursor is not None
    assert line.pump.cursor.seq == 0


async def test_no_answer_in_time_is_a_failure(folder: Path, clock: Clock) -> None:
    class Silent(Kept):
        async def send(self, log, entries):  # type: ignore[no-untyped-def]
            await asyncio.Event().wait()

    line = Line(folder, Silent(), clock, timeout_ms=5)
    await line.run(lambda: line.pump.failures >= 2)
    assert line.pump.why == "no answer within 0.005 s"


async def test_a_receiver_that_asks_to_be_left_alone_is(
    folder: Path, kept: Kept, clock: Clock
) -> None:
    kept.fail = [SinkError("answered 429", 0.05)]
    line = Line(folder, kept, clock)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await line.run()
    assert loop.time() - began >= 0.05
    assert kept.seqs == list(range(10))


async def test_pauses_double_up_to_a_limit_and_vary(
    folder: Path, kept: Kept, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(pause_s: float) -> None:
        slept.append(pause_s)

    line = Line(folder, kept, clock)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for drawn in (b"\0", b"\xff", b"\0", b"\xff", b"\0"):
        line.pump._draw = lambda _, drawn=drawn: drawn  # type: ignore[misc]
        await line.pump._rest(0)
    assert [round(pause / 0.001, 1) for pause in slept] == [0.5, 2.0, 2.0, 4.0, 2.0]


async def test_what_the_receiver_threw_away_is_counted_and_not_sent_again(
    folder: Path, kept: Kept, clock: Clock
) -> None:
    kept.lose = 3
    line = Line(folder, kept, clock)
    await line.run()
    assert line.pump.dropped == 6
    assert kept.seqs == list(range(10))
    assert line.told == [("lost", {"records": 3, "from": seq}) for seq in (0, 8)]


async def test_records_that_were_pruned_are_counted_once(
    whole: Path, kept: Kept, clock: Clock
) -> None:
    paths = segments.find(whole)
    paths[0].unlink()
    oldest = msgspec.json.decode(paths[1].read_bytes().splitlines()[0])["seq"]
    kept.fail = [SinkError("down")] * 2
    line = Line(whole, kept, clock)
    await line.run()
    assert line.pump.dropped == oldest
    assert kept.seqs == list(range(oldest, 40))
    assert [what for what, _ in line.told] == ["skipped", "failing", "sending"]


async def test_a_broken_log_is_said_and_what_is_behind_the_break_is_not_sent(
    folder: Path, kept: Kept, clock: Clock
) -> None:
    path = folder / segments.name(0)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], *lines[5:]]))
    line = Line(folder, kept, clock)
    await line.run(lambda: line.pump.failures >= 2)
    assert kept.seqs == []
    assert line.told[0][0] == "failing"
    assert "does not continue" in line.pump.why


async def test_a_damaged_cursor_stops_the_pump_and_says_why(
    folder: Path, kept: Kept, clock: Clock
) -> None:
    (folder.parent / "cursor.json").write_bytes(b"{")
    line = Line(folder, kept, clock)
    async with asyncio.timeout(5):
        await line.pump.run()
    await line.pump.close()
    assert kept.tries == 0
    assert (line.pump.lag_ms(), line.pump.cursor) == (None, None)
    assert line.told[0][0] == "stopped"
    assert "cursor.json" in str(line.told[0][1]["why"])
    assert (folder.parent / "cursor.json").read_bytes() == b"{", "kept for whoever looks"


async def test_a_log_that_is_shorter_than_what_was_sent_stops_the_pump(
    folder: Path, kept: Kept, clock: Clock
) -> None:
    """The folder was put back to an older state: what follows would be another history."""
    await Line(folder, kept, clock).run()
    lines = (folder / segments.name(0)).read_bytes().splitlines()
    write_checkpoint(folder, lines[:5])
    line = Line(folder, kept, clock)
    assert line.pump.cursor is None
    assert "10 records were sent, but the log is signed up to 5" in str(line.told[0][1]["why"])


async def test_the_lag_counts_from_when_a_record_was_seen(
    folder: Path, kept: Kept, clock: Clock
) -> None:
    """The records of the test's journal were written at 0 to 19 ms."""
    clock.ms = 5000
    line = Line(folder, kept, clock)
    assert line.pump.lag_ms() == 5000, "what was there before counts from when it was written"
    kept.always = SinkError("down")
    clock.ms = 7000
    await line.run(lambda: line.pump.failures >= 1)
    assert line.pump.lag_ms() == 7000
    kept.always = None
    await line.run()
    assert line.pump.lag_ms() == 0


async def test_a_log_without_a_record_is_waited_for(
    tmp_path: Path, kept: Kept, clock: Clock
) -> None:
    open_journal(tmp_path / "audit").close()
    line = Line(tmp_path / "audit", kept, clock)
    await line.run()
    assert (kept.tries, line.pump.lag_ms()) == (0, 0)
