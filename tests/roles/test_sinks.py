"""Sinks wired to a gate: what holds it, what lifts it, and what cannot be set up."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar import clock
from sidecar.audit import checkpoints, segments
from sidecar.audit.sinks import pump
from sidecar.config import sections
from sidecar.config.read import read_sidecar
from sidecar.core.gate import Gate
from sidecar.core.instant import Now, WallMs
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles import sinks
from sidecar.roles.sinks import OWNER, Sinks, open_sinks
from sidecar.roles.start import StartError
from sidecar.telemetry import logs
from tests import builders as world
from tests.audit.journals import ORIGIN, SIGNER, make_journal, write_checkpoint
from tests.audit.sinks.conftest import receiver
from tests.audit.sinks.parts import Receiver, settings
from tests.config import builders

__all__ = ["receiver"]

HELD = (Hold(Reason.AUDIT_BACKPRESSURE, HoldKind.PASSING),)


class Rig:
    """Sinks over one log, the gate they hold, and what they say."""

    def __init__(self, folder: Path, *configured: sections.Sink) -> None:
        self.folder = folder / "audit"
        self.gate = Gate()
        self.said = io.StringIO()
        config = read_sidecar(builders.write(folder, builders.SIDECAR), {}).config
        (folder / "state").mkdir(exist_ok=True)
        audit = replace(config.audit, sinks=configured, checkpoint_period_ms=10)
        self.sinks: Sinks = open_sinks(
            replace(config, audit=audit), "test", SIGNER.public, {ORIGIN: self.folder}, self.gate,
            logs.setup("info", self.said, lambda _: None),
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.get_running_loop().create_task(self.sinks.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.sinks.close()

    async def until(self, *holds: Hold) -> None:
        async with asyncio.timeout(10):
            while self.gate.snapshot.holds != holds:
                await asyncio.sleep(0.005)


def required(kind: str, url: str | None = None, **changes: Any) -> sections.Sink:
    return settings(kind, url, required=True, max_lag_ms=1000, **changes)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "PAUSE_MIN_S", 0.01)
    monkeypatch.setattr(pump, "PAUSE_MAX_S", 0.02)
    monkeypatch.setattr(sinks, "JUDGE_S", 0.005)


async def test_old_records_hold_the_gate_before_anything_runs_and_until_they_are_sent(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were written an hour ago: a restart must not buy a dead sink time."""
    read, hour = clock.now, WallMs(world.now().wall + 3_600_000)
    monkeypatch.setattr(clock, "now", lambda: Now(read().boot, hour))
    make_journal(tmp_path / "audit", 5, 5)
    rig = Rig(tmp_path, required("http", receiver.url))
    assert rig.gate.snapshot.holds == HELD
    receiver.always = lambda _: 503
    async with rig.running():
        await asyncio.sleep(0.05)
        assert rig.gate.snapshot.holds == HELD
        receiver.always = lambda _: 200
        await rig.until()
    assert "caught up" in rig.said.getvalue()
    assert Rig(tmp_path, required("http", receiver.url)).gate.snapshot.holds == ()


async def test_a_sink_that_is_not_required_holds_nothing(
    tmp_path: Path, receiver: Receiver
) -> None:
    make_journal(tmp_path / "audit", 5, 5)
    await receiver.stop()
    rig = Rig(tmp_path, settings("http", receiver.url))
    async with rig.running():
        async with asyncio.timeout(10):
            while rig.sinks.sinks[0].failures < 2:
                await asyncio.sleep(0.005)
        assert rig.gate.snapshot.holds == ()
    state: Any = rig.sinks.state()
    assert state["s"]["why"].startswith("cannot be reached")
    assert state["s"]["logs"] == {ORIGIN: 0}


async def test_the_journals_own_hold_for_the_same_reason_is_left_alone(
    tmp_path: Path, receiver: Receiver
) -> None:
    make_journal(tmp_path / "audit", 5, 5)
    rig = Rig(tmp_path, required("http", receiver.url))
    rig.gate.place(HELD[0])
    async with rig.running(), asyncio.timeout(10):
        while rig.sinks.sinks[0].behind:
            await asyncio.sleep(0.005)
    assert rig.gate.snapshot.holds == HELD
    rig.gate.lift(HELD[0].reason, OWNER)
    assert rig.gate.snapshot.holds == HELD
    rig.gate.lift(HELD[0].reason)
    assert not rig.gate.snapshot.holds


async def test_a_required_sink_with_a_damaged_cursor_holds_and_says_which_file(
    tmp_path: Path, receiver: Receiver
) -> None:
    make_journal(tmp_path / "audit", 5, 5)
    path = tmp_path / "state" / "sinks" / "s" / "pod-1.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{")
    rig = Rig(tmp_path, required("http", receiver.url))
    assert rig.gate.snapshot.holds == HELD
    assert str(path) in rig.said.getvalue()
    assert receiver.requests == []


async def test_a_checkpoint_that_cannot_be_read_counts_as_lag(
    tmp_path: Path, receiver: Receiver
) -> None:
    make_journal(tmp_path / "audit", 5, 5)
    rig = Rig(tmp_path, required("http", receiver.url))
    async with rig.running():
        await rig.until()
        path = rig.folder / checkpoints.CHECKPOINT
        path.write_bytes(b"nonsense")
        await rig.until(*HELD)
        assert rig.said.getvalue().count("checkpoint unreadable") == 1
        write_checkpoint(rig.folder, (rig.folder / segments.name(0)).read_bytes().splitlines())
        await rig.until()


async def test_the_last_records_are_sent_at_the_end(tmp_path: Path, receiver: Receiver) -> None:
    make_journal(tmp_path / "audit", 20, 10)
    rig = Rig(tmp_path, settings("http", receiver.url))
    async with rig.running():
        await rig.sinks.part()
        assert rig.sinks.sinks[0].records == 10
        lines = (rig.folder / segments.name(0)).read_bytes().splitlines()
        write_checkpoint(rig.folder, lines)
        await rig.sinks.part()
        assert rig.sinks.sinks[0].records == 20


async def test_a_sink_that_is_dead_does_not_keep_the_process_from_ending(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "PART_S", 0.05)
    make_journal(tmp_path / "audit", 5, 5)
    await receiver.stop()
    rig = Rig(tmp_path, settings("http", receiver.url))
    async with rig.running(), asyncio.timeout(5):
        await rig.sinks.part()


async def test_without_sinks_nothing_is_read_and_nothing_runs(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    async with asyncio.timeout(5):
        await rig.sinks.run()
        await rig.sinks.part()
        await rig.sinks.close()
    assert rig.sinks.state() == {}
    assert not (tmp_path / "state" / "sinks").exists()


def test_otlp_without_its_extra_is_said_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "sidecar.audit.sinks.otlp", raising=False)
    missing = "opentelemetry.proto.collector.logs.v1.logs_service_pb2"
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(StartError, match=r"sink s: kind otlp: .*pip install 'epochgate\[otlp\]'"):
        Rig(tmp_path, settings("otlp", "http://h/v1/logs"))


def test_certificates_and_folders_that_cannot_be_used_are_said_at_start(tmp_path: Path) -> None:
    missing = settings("http", "https://h/", ca_file=tmp_path / "none.pem")
    with pytest.raises(StartError, match=r"sink s: caFile .*none\.pem: No such file"):
        Rig(tmp_path, missing)
    (tmp_path / "state" / "sinks").touch()
    with pytest.raises(StartError, match=r"sink s: .*sinks/s: "):
        Rig(tmp_path, settings("stdout"))
