"""A few kills and faults of each kind; and what is judged afterwards is seen to fail."""

import json
from pathlib import Path

import pytest

from sidecar.audit import segments
from tests.audit import journals
from tests.evidence import aftermath, faults, specimen, syscalls
from tests.evidence.report import Part
from tests.late.pauses import strace_missing

pytestmark = pytest.mark.slow


@pytest.fixture
def part() -> Part:
    missing = strace_missing()
    if missing:
        pytest.skip(missing)
    return Part("short")


def test_what_was_promised_survives_a_kill_at_a_call(part: Part) -> None:
    lines = syscalls.run(part, lambda _: None, ("pwrite64", "rename"), step=13)
    assert not [why for line in lines for why in line.wrong]
    assert all(line.count for line in lines)


def test_a_failing_call_closes_the_gate(part: Part) -> None:
    lines = faults.run(part, lambda _: None, ("pwrite64", "fdatasync"), ("ENOSPC",))
    assert not [why for line in lines for why in line.wrong]
    assert all(line.count for line in lines)


def test_a_lost_record_and_a_gap_are_told(tmp_path: Path) -> None:
    made = specimen.make(tmp_path / "journal", 6, 6, 100_000)
    known = aftermath.ids(aftermath.plainly(made.folder))
    assert len(known) == 4
    assert not aftermath.judge(made.folder, known)
    assert not aftermath.goes_on(made.folder, known)
    assert aftermath.judge(made.folder, ["other"]) == ["other was promised, and is lost"]
    assert aftermath.judge(tmp_path / "none", known)
    path = segments.find(made.folder)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    told = aftermath.judge(made.folder, known)
    assert [why.partition(":")[0] for why in told] == ["the reader", "read plainly"]
    assert "does not open" in aftermath.goes_on(made.folder, known)[0]


def test_the_plain_reading_knows_nothing_of_the_product(tmp_path: Path) -> None:
    made = specimen.make(tmp_path / "journal", 6, 6, 100_000)
    records = aftermath.plainly(made.folder)
    assert records == [json.loads(line) for line in made.lines]
    assert aftermath.ids(records, "permit") < aftermath.ids(records)
    assert journals.BOOT in next(iter(aftermath.ids(records)))
