"""Finding and counting records: what fits is found, whatever else stands in the line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.audit import query, segments
from sidecar.audit.query import Stats, Wanted, search
from sidecar.core.gate import Denial, Gate, Permit
from sidecar.core.head import RequestHead
from sidecar.core.log.record import Decision, Outcome
from sidecar.core.reason import Reason
from sidecar.core.routes import Route
from sidecar.core.snapshot import CLOSED
from tests import builders
from tests.audit import journals

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten denials a second apart, every second one for a halt; then one permit and its end."""
    folder = tmp_path_factory.mktemp("query") / "audit"
    journal = journals.open_journal(folder, 1500)
    recorder = journals.make_recorder(journal, Gate())
    for number in range(10):
        reason = Reason.HALT_GLOBAL if number % 2 else Reason.STARTING
        # What a client writes into a path must not look like what we write.
        path = b'/"reason":"EG901"' if number == 0 else b"/v1/chat"
        head = RequestHead(b"POST", path, path, ())
        trace = TRACE if number == 4 else None
        recorder.decision(Denial(reason, CLOSED), head, trace, builders.now(1000 * number))
        flush = journal.flush()
        journal.flushed(flush, flush.run())
    decision_id = recorder.decision(permit(), journals.HEAD, None, builders.now(10_000))
    assert decision_id is not None
    recorder.outcome(
        decision_id, "permit", None, builders.now(10_005), dur_ns=5_000_000, sent=True, status=200
    )
    journal.close()
    assert len(segments.find(folder)) > 2, "in several segments"
    return folder


def permit() -> Permit:
    return journals.make_permit(journals.make_snapshot())


def found(folder: Path, **wanted: object) -> list[int]:
    return [said.seq for _, said in search(folder, Wanted(**wanted))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        ({}, list(range(12))),
        ({"reason": "EG901"}, [1, 3, 5, 7, 9]),
        ({"decision": "deny", "reason": "EG905"}, [0, 2, 4, 6, 8]),
        ({"decision": "permit"}, [10]),
        ({"types": frozenset({"outcome"})}, [11]),
        ({"since": builders.NOW + 7000}, [7, 8, 9, 10, 11]),
        ({"since": builders.NOW + 2000, "until": builders.NOW + 4000}, [2, 3]),
        ({"trace": TRACE}, [4]),
        ({"request": f"{journals.BOOT}-10"}, [10, 11]),
        ({"request": f"{journals.BOOT}-1"}, [1]),
        ({"route": "nowhere"}, []),
        ({"trace": '"'}, []),
    ],
)
def test_what_fits_every_filter_is_found(
    folder: Path, wanted: dict[str, object], seqs: list[int]
) -> None:
    assert found(folder, **wanted) == seqs


def test_the_route_of_a_permit_is_found(folder: Path) -> None:
    route = permit().route
    assert isinstance(route, Route)
    assert found(folder, route=route.name) == [10]


def test_the_line_is_the_record_itself(folder: Path) -> None:
    for line, said in search(folder, Wanted()):
        assert f'"seq":{said.seq}'.encode() in line
        assert not line.endswith(b"\n")


def test_lines_that_are_no_records_are_counted_and_the_rest_is_found(tmp_path: Path) -> None:
    journals.make_journal(tmp_path, 3, 3)
    path = tmp_path / segments.name(0)
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(b'"v":1', b'"v":2') + third + b'{"half')
    stats = Stats()
    assert [said.seq for _, said in search(tmp_path, Wanted(), None, stats)] == [0, 2]
    assert stats.unreadable == 1, "the record that is being written is none of them"


def test_records_are_counted_by_decision_reason_and_route(folder: Path) -> None:
    stats = Stats()
    for _, said in search(folder, Wanted()):
        assert isinstance(said, (Decision, Outcome))
        stats.add(said)
    route = permit().route
    assert isinstance(route, Route)
    assert stats.decisions == {
        ("deny", "EG905", ""): 5, ("deny", "EG901", ""): 5, ("permit", "", route.name): 1,
    }  # fmt: skip
    assert stats.ended == {"deny": 10, "permit": 1}
    assert (stats.first, stats.last) == (builders.NOW, builders.NOW + 10_005)
    assert stats.percentile_us(0.5) is not None


def test_without_a_permit_there_is_no_duration() -> None:
    assert Stats().percentile_us(0.5) is None


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_never_too_low_and_at_most_a_quarter_too_high(
    durations: list[int], share: float
) -> None:
    stats = Stats()
    for value in durations:
        stats.buckets[query._bucket(value)] += 1
    rank = next(n for n in range(1, len(durations) + 1) if n >= share * len(durations))
    exact = sorted(durations)[rank - 1]
    said = stats.percentile_us(share)
    assert said is not None
    assert exact <= said <= max(exact * 1.25 + 1, 1)
