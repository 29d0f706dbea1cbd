"""Pruning on real files: against a twin that was never pruned, and cut short at each step."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.audit import beginning, past, prover, prune, reader, recovery, segments
from sidecar.audit.beginning import UNPRUNED, Base
from sidecar.audit.prover import PrunedError
from sidecar.audit.prune import Pruner
from sidecar.core.canonical import Json
from sidecar.core.gate import Gate
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import Tree, leaf_hash
from sidecar.core.reason import ProtocolError, Reason
from tests import builders
from tests.audit import journals
from tests.audit.journals import KEY, ORIGIN

RECORDS = 36
SEGMENT_BYTES = 1500


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """A journal of some ten segments that nobody touches, and its lines."""
    folder = tmp_path_factory.mktemp("prune") / "audit"
    lines = journals.make_journal(folder, RECORDS, RECORDS, SEGMENT_BYTES)
    assert len(segments.find(folder)) > 8
    return folder, lines


@pytest.fixture
def lines(folder: Path, made: tuple[Path, list[bytes]]) -> list[bytes]:
    """A copy of it, in `folder`."""
    shutil.copytree(made[0], folder)
    return list(made[1])


def there(folder: Path) -> list[int]:
    """Numbers of the segments in a folder, whether they count or not."""
    return sorted(segments.number_of(path) for path in folder.glob("*.jsonl"))


def remembered(lines: list[bytes], size: int) -> Checkpoint:
    tree = Tree()
    for line in lines[:size]:
        tree.append(leaf_hash(line))
    return Checkpoint(ORIGIN, size, tree.root())


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=3, unique=True).map(sorted))
def test_a_pruned_journal_says_the_same_as_a_twin_that_was_not(
    made: tuple[Path, list[bytes]], tmp_path_factory: pytest.TempPathFactory, points: list[int]
) -> None:
    folder, twin = (tmp_path_factory.mktemp("twins") / name for name in ("audit", "twin"))
    shutil.copytree(made[0], folder)
    lines = list(made[1])
    begins, bases = UNPRUNED, list[Base]()
    for segment in points:
        begins = journals.announce(folder, lines, segment)
        bases.append(begins)
        journals.write_checkpoint(folder, lines)
        shutil.copytree(folder, twin, dirs_exist_ok=True)
        prune.carry_out(folder, begins)
    (twin / beginning.BASE).unlink(missing_ok=True)

    ours, theirs = recovery.examine(folder, KEY), recovery.examine(twin, KEY)
    assert (ours.chain.tree.root(), ours.chain.prev) == (
        theirs.chain.tree.root(),
        theirs.chain.prev,
    )
    assert (ours.number, ours.offset) == (theirs.number, theirs.offset)
    assert ours.cuts == theirs.cuts[points[-1] :]
    report, whole = reader.verify(folder, KEY), reader.verify(twin, KEY)
    assert report.verified
    assert (report.size, report.tail_records) == (whole.records, 0)
    first, last = begins.pruned, len(lines) - 1
    for index in {0, first - 1, first, first + 1, (first + last) // 2, last}:
        if index < first:
            with pytest.raises(PrunedError, match=f"record {begins.record}"):
                prover.prove(folder, index, KEY)
        else:
            assert prover.prove(folder, index, KEY) == prover.prove(twin, index, KEY)
    roots = {one.pruned for one in bases if one.record >= begins.pruned}
    for size in range(len(lines) + 1):
        comparable = size >= begins.pruned or size in roots
        assert past.compare(folder, remembered(lines, size), KEY) == comparable


def announced(folder: Path, begins: Base) -> None:
    """Only the record is there, signed."""


def based(folder: Path, begins: Base) -> None:
    (folder / beginning.BASE).write_bytes(beginning.encode(begins))


def half_based(folder: Path, begins: Base) -> None:
    (folder / "base.new").write_bytes(beginning.encode(begins)[:40])


def half_removed(folder: Path, begins: Base) -> None:
    based(folder, begins)
    for path in segments.pruned(folder, begins.cut.segment)[:2]:
        path.unlink()


@pytest.mark.parametrize("step", [announced, half_based, based, half_removed, prune.carry_out])
async def test_a_crash_between_any_two_steps_leaves_a_whole_journal(
    folder: Path, lines: list[bytes], step: Callable[[Path, Base], None]
) -> None:
    begins = journals.announce(folder, lines, 4)
    journals.write_checkpoint(folder, lines)
    step(folder, begins)
    report = reader.verify(folder, KEY)
    assert report.verified
    assert report.size == len(lines)
    journal = journals.open_journal(folder)
    assert journal.seq == len(lines)
    recovered = journal.recovery
    assert recovered is not None
    cuts = list(recovered.cuts)
    pruner = make_pruner(folder, recovered.base, cuts, signed=len(lines), now_ms=None)
    await pruner.turn()
    journal.close()
    assert there(folder)[0] == (0 if step in (announced, half_based) else 4)
    assert reader.verify(folder, KEY).verified


def test_a_crash_before_the_record_is_signed_changes_nothing(
    folder: Path, lines: list[bytes]
) -> None:
    begins = journals.announce(folder, lines, 4)
    assert recovery.examine(folder, KEY).base == UNPRUNED
    based(folder, begins)
    with pytest.raises(ProtocolError, match="no checkpoint covers"):
        recovery.examine(folder, KEY)


def make_pruner(
    folder: Path,
    begins: Base,
    cuts: list[beginning.Cut],
    *,
    signed: int,
    now_ms: int | None,
    write: Callable[[Mapping[str, Json]], int | None] = lambda _: None,
    told: list[Base | Exception] | None = None,
    retention_ms: int = 1,
) -> Pruner:
    return Pruner(
        folder, begins, cuts, retention_ms,
        signed=lambda: signed, signed_ms=lambda: now_ms, write=write,
        tell=(told if told is not None else []).append,
    )  # fmt: skip


FAR = builders.NOW + 10_000


def test_only_what_is_old_signed_and_not_among_the_last_two_goes(
    folder: Path, lines: list[bytes]
) -> None:
    cuts = recovery.examine(folder, KEY).cuts
    whole = prune.reach(folder, cuts, RECORDS, FAR)
    assert whole == cuts[-2]
    assert prune.reach(folder, cuts, cuts[3].size, FAR) == cuts[3]
    assert prune.reach(folder, cuts, cuts[3].size - 1, FAR) == cuts[2]
    assert prune.reach(folder, cuts, 0, FAR) is None
    # Record i was written at NOW + i ms.
    assert prune.reach(folder, cuts, RECORDS, builders.NOW + cuts[3].size) == cuts[3]
    assert prune.reach(folder, cuts, RECORDS, builders.NOW + cuts[3].size - 1) == cuts[2]
    for few in range(3):
        assert prune.reach(folder, cuts[:few], RECORDS, FAR) is None


@pytest.mark.parametrize(("now_ms", "retention_ms"), [(None, 1), (FAR, 0), (builders.NOW, 1)])
async def test_without_a_signed_time_a_retention_or_anything_old_nothing_goes(
    folder: Path, lines: list[bytes], now_ms: int | None, retention_ms: int
) -> None:
    asked: list[Mapping[str, Json]] = []
    cuts = list(recovery.examine(folder, KEY).cuts)
    pruner = make_pruner(
        folder, UNPRUNED, cuts, signed=RECORDS, now_ms=now_ms, retention_ms=retention_ms,
        write=asked.append,
    )  # fmt: skip
    await pruner.turn()
    assert asked == []


async def test_a_record_that_could_not_be_written_prunes_nothing(
    folder: Path, lines: list[bytes]
) -> None:
    cuts = list(recovery.examine(folder, KEY).cuts)
    pruner = make_pruner(folder, UNPRUNED, cuts, signed=RECORDS, now_ms=FAR)
    await pruner.turn()
    await pruner.turn()
    assert beginning.held(folder) is None
    assert len(there(folder)) == len(cuts)


async def test_segments_wait_for_the_signature_and_then_go(
    folder: Path, lines: list[bytes]
) -> None:
    journal = journals.open_journal(folder)
    assert journal.recovery is not None
    recorder = journals.make_recorder(journal, Gate())
    cuts, told = list(journal.recovery.cuts), list[Base | Exception]()
    signed = RECORDS

    def write(detail: Mapping[str, Json]) -> int | None:
        assert recorder.state("prune", detail, builders.now())
        return journal.seq - 1

    pruner = Pruner(
        folder, UNPRUNED, cuts, 1, signed=lambda: signed, signed_ms=lambda: FAR, write=write,
        tell=told.append,
    )  # fmt: skip
    last = cuts[-2]
    for _ in range(2):
        await pruner.turn()
        assert journal.seq == RECORDS + 1, "said once"
        assert beginning.held(folder) is None
    lines += journal.fresh
    journals.write_checkpoint(folder, lines)
    signed = RECORDS + 1
    await pruner.turn()
    assert told == [Base(last, RECORDS)]
    assert pruner.begins == told[0]
    assert cuts[0] == last
    assert there(folder) == [last.segment, last.segment + 1]
    await pruner.turn()
    assert journal.seq == RECORDS + 1, "nothing more is old"
    journal.close()
    assert reader.verify(folder, KEY).verified


@pytest.mark.parametrize("spoilt", [0, 3])
async def test_what_is_not_as_it_was_written_is_kept(
    folder: Path, lines: list[bytes], spoilt: int
) -> None:
    """Damage is evidence: it must not be pruned away."""
    cuts, told = list(recovery.examine(folder, KEY).cuts), list[Base | Exception]()
    path = folder / segments.name(spoilt)
    path.write_bytes(path.read_bytes().replace(b"EG905", b"EG904"))
    asked: list[Mapping[str, Json]] = []
    pruner = make_pruner(
        folder, UNPRUNED, cuts, signed=RECORDS, now_ms=FAR, told=told,
        write=asked.append,
    )  # fmt: skip
    await pruner.turn()
    await pruner.turn()
    assert asked == []
    assert [type(one) for one in told] == [ProtocolError]


def test_a_journal_never_begins_with_another_segment_than_was_said(
    folder: Path, lines: list[bytes]
) -> None:
    begins = journals.announce(folder, lines, 4)
    journals.write_checkpoint(folder, lines)
    path = folder / segments.name(4)
    path.write_bytes(path.read_bytes().partition(b"\n")[2])  # one record less
    with pytest.raises(ProtocolError, match="is not what was written"):
        prune.carry_out(folder, begins)
    assert beginning.held(folder) is None
    assert (folder / segments.name(0)).exists()


async def test_a_folder_that_refuses_is_told_once_and_left_alone(
    folder: Path, lines: list[bytes]
) -> None:
    """A folder in the place of the temporary file makes the replacing fail."""
    (folder / "base.new").mkdir()
    journal = journals.open_journal(folder)
    assert journal.recovery is not None
    recorder, told = journals.make_recorder(journal, Gate()), list[Base | Exception]()
    pruner = make_pruner(
        folder, UNPRUNED, list(journal.recovery.cuts), signed=RECORDS + 1, now_ms=FAR, told=told,
        write=lambda detail: recorder.state("prune", detail, builders.now()) and journal.seq - 1,
    )  # fmt: skip
    for _ in range(4):
        await pruner.turn()
    journal.close()
    assert [type(one) for one in told] == [IsADirectoryError]
    assert (folder / segments.name(0)).exists()


def test_a_shrunken_log_is_found_after_pruning_too(folder: Path, lines: list[bytes]) -> None:
    begins = journals.announce(folder, lines, 4)
    journals.write_checkpoint(folder, lines)
    prune.carry_out(folder, begins)
    for size, other in ((len(lines) + 1, [*lines, b"more"]), (len(lines), [*lines[:-1], b"else"])):
        with pytest.raises(ProtocolError) as caught:
            past.compare(folder, remembered(other, size), KEY)
        expected = Reason.AUDIT_TRUNCATED if size > len(lines) else Reason.AUDIT_INCONSISTENT
        assert caught.value.reason is expected
    with pytest.raises(ProtocolError) as caught:
        past.compare(folder, remembered([b"x", *lines[1:]], begins.pruned), KEY)
    assert caught.value.reason is Reason.AUDIT_INCONSISTENT
    assert not past.compare(folder, remembered(lines, begins.pruned - 1), KEY)


def test_a_copy_of_what_is_left_is_refused(
    folder: Path, tmp_path: Path, lines: list[bytes]
) -> None:
    begins = journals.announce(folder, lines, 4)
    journals.write_checkpoint(folder, lines)
    prune.carry_out(folder, begins)
    with pytest.raises(PrunedError, match=f"records 0 to {begins.pruned - 1}"):
        prover.export(folder, tmp_path / "to", KEY)
    assert not (tmp_path / "to").exists()
