"""The measurer: what it tells, what it reads in between, and what it survives."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sidecar import clock
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.runtime import Measurement
from sidecar.sync import digest, measure
from sidecar.sync.digest import SLICE_BYTES, Stamp, Tree
from sidecar.sync.measure import CODE, CONFIG, Measurer, Plan, Progress

LIMIT_S = 10.0
IN_EFFECT = "c" * 64


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Rig:
    """Code, a configuration, a model; a measurer that looks as fast as it may."""

    folder: Path
    said: str | None = IN_EFFECT
    told: list[Measurement] = field(default_factory=list)
    period_ms: int = 60_000

    def __post_init__(self) -> None:
        (self.folder / "code").mkdir()
        (self.folder / "code" / "gate.py").write_text("closed = True\n")
        (self.folder / "config.yaml").write_text("spec: {}\n")
        self.weights.write_bytes(b"weights")
        self.measurer = Measurer(self.plan, clock.now)

    @property
    def weights(self) -> Path:
        return self.folder / "weights"

    @property
    def plan(self) -> Plan:
        return Plan(
            code=Tree(self.folder / "code", (".py",)),
            config_file=self.folder / "config.yaml",
            config=lambda: self.said,
            image_digest="sha256:image",
            files={"weights": Tree(self.weights)},
            period_ms=self.period_ms,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.measurer.run(self.told.append))
            yield
            task.cancel()

    async def until(self, holds: Callable[[Measurement], bool]) -> Measurement:
        """The first measurement after now that is as wanted."""
        seen = len(self.told)
        async with asyncio.timeout(LIMIT_S):
            while True:
                for found in self.told[seen:]:
                    if holds(found):
                        return found
                await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "POLL_S", 0.02)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_one_measurement_says_all(rig: Rig) -> None:
    found = Measurer(rig.plan, clock.now, hurry=True).once()
    line = f"{sha256(rig.folder / 'code' / 'gate.py')}  gate.py\n"
    assert found.code_sha256 == hashlib.sha256(line.encode()).hexdigest()
    assert (found.config_sha256, found.image_digest) == (IN_EFFECT, "sha256:image")
    assert found.models == {"weights": sha256(rig.weights)}
    assert found.measured.boot <= clock.now().boot


async def test_nothing_is_told_before_the_code_was_read(rig: Rig) -> None:
    """Else each start would begin with a mismatch that is none."""
    async with rig.running():
        first = await rig.until(lambda _: True)
    assert first.code_sha256 is not None


async def test_a_change_is_told_as_unknown_and_then_as_another_digest(rig: Rig) -> None:
    async with rig.running():
        before = await rig.until(lambda found: found.models["weights"] is not None)
        rig.weights.write_bytes(b"Weights")
        await rig.until(lambda found: found.models["weights"] == sha256(rig.weights))
        told = [found.models["weights"] for found in rig.told]
    assert None in told[rig.told.index(before) :]
    rig.weights.write_bytes(b"weights")


async def test_a_change_of_the_code_is_told(rig: Rig) -> None:
    async with rig.running():
        before = await rig.until(lambda _: True)
        (rig.folder / "code" / "gate.py").write_text("closed = None\n")
        await rig.until(lambda found: found.code_sha256 not in (None, before.code_sha256))


async def test_a_configuration_file_that_says_something_else_is_told(rig: Rig) -> None:
    async with rig.running():
        await rig.until(lambda found: found.config_sha256 == IN_EFFECT)
        rig.said = None
        (rig.folder / "config.yaml").write_text("spec: {changed: true}\n")
        await rig.until(lambda found: found.config_sha256 is None)
        assert CONFIG in rig.measurer.problems
        rig.said = IN_EFFECT
        (rig.folder / "config.yaml").unlink()
        await rig.until(lambda found: found.config_sha256 is None)
        (rig.folder / "config.yaml").write_text("spec: {}\n")
        await rig.until(lambda found: found.config_sha256 == IN_EFFECT)
        assert rig.measurer.problems == {}


@pytest.mark.parametrize("what", ["gone", "fifo", "device", "loop"])
async def test_what_cannot_be_read_has_no_digest_and_is_tried_again(rig: Rig, what: str) -> None:
    async with rig.running():
        await rig.until(lambda found: found.models["weights"] is not None)
        rig.weights.unlink()
        if what == "fifo":
            os.mkfifo(rig.weights)
        elif what != "gone":
            rig.weights.symlink_to("/dev/zero" if what == "device" else "weights")
        await rig.until(lambda found: found.models["weights"] is None)
        assert set(rig.measurer.problems) == {"weights"}
        rig.weights.unlink(missing_ok=True)
        rig.weights.write_bytes(b"back")
        await rig.until(lambda found: found.models["weights"] == sha256(rig.weights))
        assert rig.measurer.problems == {}


async def test_a_link_that_is_turned_to_another_file_is_read_again(rig: Rig) -> None:
    for name in ("one", "two"):
        (rig.folder / name).write_bytes(name.encode())
    rig.weights.unlink()
    rig.weights.symlink_to("one")
    async with rig.running():
        await rig.until(lambda found: found.models["weights"] == sha256(rig.folder / "one"))
        (rig.folder / "new").symlink_to("two")
        (rig.folder / "new").rename(rig.weights)
        await rig.until(lambda found: found.models["weights"] == sha256(rig.folder / "two"))


async def test_what_changes_behind_an_unchanged_stamp_is_found_with_the_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that forgets, or somebody who writes to it beneath the file system."""
    rig, real = Rig(tmp_path, period_ms=50), digest.read
    rotten = threading.Event()

    def read(path: Path, before: Stamp, went_on: Callable[[int], None]) -> str:
        return "0" * 64 if rotten.is_set() else real(path, before, went_on)

    monkeypatch.setattr(digest, "read", read)
    async with rig.running():
        await rig.until(lambda found: found.models["weights"] == sha256(rig.weights))
        rotten.set()
        await rig.until(lambda found: found.models["weights"] == "0" * 64)


async def test_looking_and_small_files_go_on_while_a_large_one_is_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig.weights.open("wb") as file:
        file.truncate(40 * SLICE_BYTES)  # a hole: nothing is written to the disk
    going_on = threading.Event()
    real = Measurer._give_way

    def slowly(self: Measurer, in_between: int | None) -> None:
        if self._reading[-1][0].name == "weights" and len(self._reading) == 1:
            going_on.wait(0.05)
        real(self, in_between)

    monkeypatch.setattr(Measurer, "_give_way", slowly)
    async with rig.running():
        before = await rig.until(lambda _: True)
        assert before.models["weights"] is None
        (rig.folder / "code" / "gate.py").write_text("closed = None\n")
        changed = await rig.until(lambda found: found.code_sha256 not in (None, before.code_sha256))
        assert changed.models["weights"] is None
        shown = rig.measurer.progress
        assert isinstance(shown, Progress)
        assert (shown.name, shown.total_bytes) == ("weights", 40 * SLICE_BYTES)
        assert 0 < shown.done_bytes < shown.total_bytes
        going_on.set()
        await rig.until(lambda found: found.models["weights"] == sha256(rig.weights))
        assert rig.measurer.progress is None


async def test_a_large_file_that_keeps_changing_hinders_nothing_else(rig: Rig) -> None:
    done = threading.Event()

    def meddle() -> None:
        while not done.is_set():
            with rig.weights.open("ab") as file:
                file.write(b"0" * SLICE_BYTES)
            if rig.weights.stat().st_size > 64 * SLICE_BYTES:
                os.truncate(rig.weights, 0)

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        async with rig.running():
            before = await rig.until(lambda _: True)
            (rig.folder / "code" / "gate.py").write_text("closed = None\n")
            await rig.until(lambda found: found.code_sha256 not in (None, before.code_sha256))
            done.set()
            await rig.until(lambda found: found.models["weights"] is not None)
    finally:
        done.set()
        thread.join()


async def test_ends_at_once_although_a_large_file_is_being_read(rig: Rig) -> None:
    with rig.weights.open("wb") as file:
        file.truncate(2**40)  # hours
    async with asyncio.timeout(LIMIT_S):
        async with rig.running():
            await rig.until(lambda _: True)
        while any(thread.name == "measure" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)


async def test_an_error_of_ours_ends_the_task_and_is_not_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Measurer, "_look", broken)
    with pytest.raises(ZeroDivisionError):
        await rig.measurer.run(rig.told.append)


async def test_the_loop_keeps_its_turn_while_files_are_read(rig: Rig) -> None:
    """Not a bound on time: that turns happen at all in each pause of the reader, and many."""
    with rig.weights.open("wb") as file:
        file.truncate(200 * SLICE_BYTES)
    turns = 0
    async with rig.running():
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT_S):
                while not any(found.models["weights"] for found in rig.told):
                    turns += 1
                    await asyncio.sleep(0.001)
    assert turns > 50


def test_what_is_undeclared_is_not_measured_and_what_is_wrong_has_a_name(rig: Rig) -> None:
    rig.weights.unlink()
    measurer = Measurer(rig.plan, clock.now, hurry=True)
    found = measurer.once()
    assert found.models == {"weights": None}
    assert measurer.problems == {"weights": "No such file or directory"}
    assert CODE not in measurer.problems


@pytest.mark.parametrize(
    ("took_s", "period_s", "rest_s"),
    [(0.0, 60, 0.02), (1, 60, 20), (6, 60, 60), (0.5, 1, 1)],
)
def test_looks_are_never_further_apart_than_a_period(
    tmp_path: Path, took_s: float, period_s: float, rest_s: float
) -> None:
    """On a slow machine the last one would else be too old although nothing is wrong."""
    rig = Rig(tmp_path, period_ms=int(period_s * 1000))
    instants = iter([0.0, took_s])

    def turn() -> Now:
        at_s = next(instants, took_s)
        return Now(BootNs(int(at_s * 1e9)), WallMs(int(at_s * 1e3)))

    measurer = Measurer(rig.plan, turn, hurry=True)
    measurer._look()
    assert measurer._rest_s == pytest.approx(rest_s)
