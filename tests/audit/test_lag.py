"""How far a log is behind: whose age counts, what is held, and what lets go."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.audit import checkpoints, lag
from sidecar.audit.journal import Journal
from sidecar.audit.lag import Ages, Lag
from sidecar.core.gate import Gate, lapsed
from sidecar.core.instant import NS_PER_MS, BootNs, Now
from sidecar.core.log import cosignature
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.cosignature import Cosignature, Witnesses, WitnessKey
from sidecar.core.log.merkle import Tree, leaf_hash
from sidecar.core.objects.epoch import Audit
from sidecar.core.objects.trust import Role
from sidecar.core.profile import BASELINE
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Snapshot
from sidecar.signer import FileSigner
from tests import builders
from tests.audit import journals
from tests.audit.journals import DENIAL, HEAD, KEY, SIGNER

WITNESS = builders.signer(Role.WITNESS)
BY = Witnesses({WITNESS.public: None}, 1)


def at(ms: int) -> BootNs:
    return builders.now(ms).boot


def test_a_record_is_as_old_as_the_look_before_it_was_seen() -> None:
    ages = Ages(0, at(0))
    ages.look(0, at(100))
    assert ages.oldest(0) is None
    ages.look(3, at(200))
    ages.look(5, at(300))
    assert ages.oldest(0) == at(100)
    assert ages.oldest(2) == at(100)
    assert ages.oldest(3) == at(200)
    assert ages.oldest(5) is None


def test_what_was_left_behind_is_as_old_as_is_said() -> None:
    ages = Ages(4, at(0))
    ages.look(4, at(900))
    ages.look(5, at(1000))
    assert (ages.oldest(3), ages.oldest(4)) == (at(0), at(900))


def test_what_is_skipped_makes_nothing_late_until_more_comes() -> None:
    ages = Ages(0, at(0))
    ages.skip(2)
    ages.look(2, at(100))
    assert ages.oldest(0) is None
    ages.look(3, at(200))
    assert ages.oldest(0) == at(100)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50)), min_size=20, max_size=60))
def test_no_record_ever_looks_younger_than_it_is(steps: list[tuple[int, int]]) -> None:
    """Also where marks were put together because there were too many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lag, "MARKS_MAX", 8)
        ages, now, born = Ages(0, at(0)), 0, list[BootNs]()
        for more, pause in steps:
            # Between two looks: right after the first of them, for all that anybody knows.
            born += [at(now)] * more
            now += pause
            ages.look(len(born), at(now))
            assert len(ages._marks) <= 9
        for covered in range(len(born) + 1):
            oldest = ages.oldest(covered)
            assert (oldest is None) == (covered == len(born))
            assert oldest is None or oldest <= born[covered]


class Rig:
    """A journal, a gate under an epoch that demands something, and what watches both."""

    def __init__(self, folder: Path, checkpoint_ms: int, unacked_ms: int) -> None:
        self.ms = 0
        self.noted = False
        self.journal = journals.open_journal(folder)
        self.head: Checkpoint | None = None
        self.gate = Gate(self.changed)
        self.recorder = journals.make_recorder(self.journal, self.gate)
        demands = Audit(
            max_checkpoint_age_ms=checkpoint_ms, max_unacked_ms=unacked_ms, overflow="contain"
        )
        snapshot = journals.make_snapshot()
        epoch = builders.make_epoch(builders.make_trust(), audit=demands)
        self.gate.publish(replace(snapshot, epoch=epoch, witnesses=BY))
        self.lag = Lag(
            self.journal, KEY, head=lambda: self.head, snapshot=lambda: self.gate.snapshot,
            place=self.gate.place, lift=self.gate.lift, clock=self.now, watched=False,
        )  # fmt: skip
        self.noted = True

    def now(self) -> Now:
        return builders.now(self.ms)

    def changed(self, snapshot: Snapshot) -> None:
        """As in a sidecar: each change of state is a record."""
        if self.noted:
            held = [hold.reason.code for hold in snapshot.holds]
            self.recorder.state("transition", {"holds": list(held)}, self.now())

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.recorder.decision(DENIAL, HEAD, None, self.now()) is not None

    def sign(self, size: int | None = None) -> Checkpoint:
        tree = Tree()
        for line in list(self.journal.fresh)[: self.journal.seq if size is None else size]:
            tree.append(leaf_hash(line))
        self.head = Checkpoint(KEY.name, tree.size, tree.root())
        return self.head

    def cosign(self, *keys: FileSigner, size: int | None = None) -> None:
        made = self.sign(size)
        lines = ""
        for key in keys:
            signature = key.sign(cosignature.message(made.text(), 1))
            lines += Cosignature(WitnessKey("w", key.public), 1, signature).line
        raw = checkpoints.seal(made, SIGNER) + lines
        checkpoints.write_cosigned(self.journal.folder, raw.encode())

    def look(self, ms: int, *, read: bool = True) -> list[Reason]:
        """What is held then."""
        self.ms = ms
        if read:
            self.lag._read(BY, self.now().wall)
        self.lag.look(self.now())
        return [hold.reason for hold in self.gate.snapshot.holds]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def rigs(folder: Path) -> Iterator[dict[str, Rig]]:
    made: dict[str, Rig] = {}
    yield made
    for rig in made.values():
        rig.journal.close()


def rig_of(rigs: dict[str, Rig], folder: Path, signed_ms: int, acked_ms: int) -> Rig:
    rigs["it"] = rig = Rig(folder, signed_ms, acked_ms)
    return rig


@pytest.mark.parametrize(
    ("limits", "reason"),
    [((1000, 0), Reason.CHECKPOINT_STALE), ((0, 1000), Reason.CHECKPOINT_UNACKED)],
)
def test_a_record_that_waits_too_long_holds_the_gate_until_it_is_covered(
    rigs: dict[str, Rig], folder: Path, limits: tuple[int, int], reason: Reason
) -> None:
    rig = rig_of(rigs, folder, *limits)
    assert rig.look(100) == []
    rig.write()
    assert rig.look(200) == []
    assert rig.look(1100) == []
    assert rig.look(1101) == [reason], "a thousand milliseconds after the look before it came"
    assert lapsed(rig.gate.snapshot, rig.now()) is reason
    rig.cosign(WITNESS, size=1)
    assert rig.look(1200) == []
    assert lapsed(rig.gate.snapshot, rig.now()) is None


def test_the_records_of_a_hold_do_not_keep_it_up_nor_bring_it_back(
    rigs: dict[str, Rig], folder: Path
) -> None:
    rig = rig_of(rigs, folder, 1000, 1000)
    rig.write()
    assert len(rig.look(5000)) == 2
    rig.cosign(WITNESS, size=1)
    assert rig.journal.seq > 1, "that it is held is a record"
    assert rig.look(5100) == []
    for ms in range(6000, 600_000, 500):
        assert rig.look(ms) == [], "nobody asks for anything, and nothing is late"


def test_an_idle_log_lags_nothing(rigs: dict[str, Rig], folder: Path) -> None:
    rig = rig_of(rigs, folder, 1, 1)
    rig.write()
    rig.cosign(WITNESS)
    for ms in (1, 1000, 10**9):
        assert rig.look(ms) == []


def test_who_demands_nothing_waits_for_nothing(rigs: dict[str, Rig], folder: Path) -> None:
    rig = rig_of(rigs, folder, 0, 0)
    rig.write()
    assert rig.look(10**9) == []


def test_a_profile_demands_as_an_epoch_does_and_may_want_more_witnesses(
    rigs: dict[str, Rig], folder: Path
) -> None:
    rig = rig_of(rigs, folder, 0, 0)
    said = replace(BASELINE, checkpoint_age_ms=2000, unacked_ms=1000, witnesses=2)
    rig.gate.publish(replace(rig.gate.snapshot, profile=said))
    rig.write()
    assert rig.look(1500, read=False) == [Reason.CHECKPOINT_UNACKED]
    assert rig.look(2500, read=False) == [Reason.CHECKPOINT_STALE, Reason.CHECKPOINT_UNACKED]
    rig.cosign(WITNESS)
    cosigners = rig.gate.snapshot.cosigners
    assert (BY.threshold, cosigners.threshold) == (1, 2)
    rig.lag._read(cosigners, rig.now().wall)
    assert rig.look(2600, read=False) == [Reason.CHECKPOINT_UNACKED]


def test_a_demand_that_ends_lets_go(rigs: dict[str, Rig], folder: Path) -> None:
    rig = rig_of(rigs, folder, 0, 1000)
    rig.write()
    assert rig.look(5000) == [Reason.CHECKPOINT_UNACKED]
    rig.gate.publish(replace(journals.make_snapshot(), witnesses=BY))
    assert rig.look(5001) == []


@pytest.mark.parametrize("spoilt", ["witness", "nobody", "log", "rubbish", "other log"])
def test_only_the_log_and_its_witnesses_together_acknowledge(
    rigs: dict[str, Rig], folder: Path, spoilt: str
) -> None:
    rig = rig_of(rigs, folder, 0, 1000)
    rig.write()
    other = FileSigner(bytes(32))
    rig.cosign(*{"witness": [other], "nobody": []}.get(spoilt, [WITNESS]))
    path = folder / checkpoints.COSIGNED
    raw = path.read_text()
    if spoilt == "log":
        forged = checkpoints.seal(rig.sign(), other)
        path.write_text(forged + raw.splitlines()[-1] + "\n")
    if spoilt == "rubbish":
        path.write_bytes(b"\xff")
    if spoilt == "other log":
        path.write_text(raw.replace("pod-1", "pod-2"))
    assert rig.look(5000) == [Reason.CHECKPOINT_UNACKED]
    rig.cosign(WITNESS)
    assert rig.look(5100) == []


def test_two_witnesses_are_two(rigs: dict[str, Rig], folder: Path) -> None:
    rig = rig_of(rigs, folder, 0, 1000)
    second = builders.signer(Role.WITNESS, 2)
    both = Witnesses({WITNESS.public: None, second.public: None}, 2)
    rig.write()
    rig.cosign(WITNESS, WITNESS)
    rig.lag._read(both, rig.now().wall)
    assert rig.lag.acked == 0
    rig.cosign(WITNESS, second)
    rig.lag._read(both, rig.now().wall)
    assert rig.lag.acked == 1


@pytest.mark.parametrize(("age_ms", "held"), [(900, False), (1100, True), (None, True)])
def test_what_an_earlier_process_left_behind_is_as_old_as_its_last_acknowledgement(
    rigs: dict[str, Rig],
    folder: Path,
    age_ms: int | None,
    held: bool,  # noqa: FBT001
) -> None:
    journals.make_journal(folder, records=5, signed=5)
    if age_ms is not None:
        (folder / checkpoints.COSIGNED).write_bytes(b"")
        when_ns = (builders.now().wall - age_ms) * NS_PER_MS
        os.utime(folder / checkpoints.COSIGNED, ns=(when_ns, when_ns))
    rig = rig_of(rigs, folder, 0, 1000)
    assert rig.look(0) == ([Reason.CHECKPOINT_UNACKED] if held else [])


async def test_it_looks_by_itself_and_at_once_when_an_epoch_changes(
    rigs: dict[str, Rig], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "LOOK_S", 30)
    rig = rig_of(rigs, folder, 0, 1000)
    rig.write()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(rig.lag.run())
        while rig.lag._cosigned._count == 0:
            await asyncio.sleep(0.001)
        rig.ms = 5000
        strict = Audit(max_checkpoint_age_ms=0, max_unacked_ms=1, overflow="contain")
        epoch = builders.make_epoch(builders.make_trust(), audit=strict)
        rig.gate.publish(replace(rig.gate.snapshot, epoch=epoch, holds=()))
        rig.lag.changed(rig.gate.snapshot)
        while not rig.gate.snapshot.holds:
            await asyncio.sleep(0.001)
        task.cancel()


async def test_a_disk_that_hangs_makes_the_log_older(
    rigs: dict[str, Rig], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the acknowledgement never comes back: the gate is held all the same."""
    monkeypatch.setattr(lag, "LOOK_S", 0.01)
    rig = rig_of(rigs, folder, 0, 1000)
    rig.write()
    hanging = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(
        asyncio.get_running_loop(), "run_in_executor", lambda *_: hanging, raising=False
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(rig.lag.run())
        rig.ms = 5000
        while not rig.gate.snapshot.holds:
            await asyncio.sleep(0.001)
        task.cancel()
    hanging.cancel()


def test_a_journal_that_failed_is_watched_without_harm(folder: Path) -> None:
    """It is latched for another reason; that it cannot be watched must not end the process."""
    journal = Journal(folder, journals.SEGMENT_BYTES)
    gate = Gate()
    watching = Lag(
        journal, KEY, head=lambda: None, snapshot=lambda: gate.snapshot, place=gate.place,
        lift=gate.lift, clock=builders.now, watched=True,
    )  # fmt: skip
    watching.look(builders.now(10**9))
    assert gate.snapshot.holds == ()
    journal.close()
