"""Reports, and what covers them: anything that a peer serves may be a lie."""

from typing import Any

import pytest

from sidecar.core import canonical, layout
from sidecar.core.events import Standing
from sidecar.core.instant import Now
from sidecar.core.objects import report
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.halt import NO_HALTS, Halts, Scope
from sidecar.core.objects.report import NOT_MEASURED, Lifecycle, Measured
from sidecar.core.reason import Reason
from sidecar.core.reporter import DRILLS_MAX, OUTSTANDING_MAX, Reporter, Said
from sidecar.core.snapshot import CLOSED
from tests import builders, covering
from tests.builders import now

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
WHO = covering.identity()
POLL_MS = 250
OTHER = canonical.digest(b"the report of somebody else")


def saying(**changes: Any) -> Said:
    said: dict[str, Any] = {
        "trust": builders.trust_ref(TRUST), "halts": NO_HALTS, "snapshot": CLOSED,
        "lifecycle": Lifecycle(step=1, ok=True), "runtime": NOT_MEASURED, "standing": Standing(),
    }  # fmt: skip
    return Said(**{**said, **changes})


class Desk:
    """A reporter, and an authority that covers what it is told to."""

    def __init__(self) -> None:
        self.reporter = Reporter(WHO, "test", POLL_MS)
        self.seq = 0

    def write(self, ms: int, **changes: Any) -> report.Report:
        """What is written at that time, read as an authority would."""
        (line,) = self.reporter.write(bytes(32), saying(**changes), now(ms))
        assert line[:3] == ("HSET", "eg:{test}:reports", WHO.instance)
        raw = line[3]
        assert isinstance(raw, bytes)
        return report.open_report(raw, "test")

    def beat(self, *reports: str, number: int = 1) -> Beat:
        """The next beat; covers these reports."""
        self.seq += 1
        fleet = covering.fleet(reports)
        return builders.make_beat(TRUST, EPOCH, seq=self.seq, fleet=fleet, number=number)

    def look(self, beat: Beat, raw: bytes | None) -> Reason | None:
        """One peer serves the beat with this proof."""
        key = layout.proofs_key("test", beat.issuer)
        values = () if raw is None else (raw,)
        return self.reporter.look({layout.field_name(key, WHO.instance): values}, beat)

    def cover(self, *reports: str, mine: str) -> Reason | None:
        """The next beat covers reports, and a peer proves it of one of them."""
        beat = self.beat(*reports)
        return self.look(beat, covering.proof(beat.sha256, reports, mine))


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- what is written


def test_a_report_says_who_what_and_when(desk: Desk) -> None:
    drill = builders.make_order(TRUST, scope=Scope(kind="drill", value=""), challenge="c-1")
    halts = Halts((drill,))
    found = desk.write(7, halts=halts, standing=Standing({"permitted": 3}))
    says = found.says
    assert (says.instance, says.boot_id, says.seq, says.prev_sha256) == (
        WHO.instance, WHO.boot_id, 1, None,
    )  # fmt: skip
    assert (says.sent_at, says.state, says.reasons) == (now(7).wall, "starting", ("EG905",))
    assert (says.counters, says.drills, says.halts.seq) == ({"permitted": 3}, ("c-1",), 1)
    assert (says.lease_ms_left, says.epoch, says.beat, says.policy_sha256) == (0, None, None, None)


def test_reports_of_one_process_are_linked(desk: Desk) -> None:
    one, two = desk.write(0), desk.write(POLL_MS)
    assert (two.says.seq, two.says.prev_sha256) == (2, one.sha256)


def test_no_more_than_one_report_per_poll_however_often_it_is_asked_for(desk: Desk) -> None:
    """A peer that hints for ever must not push out what an authority is about to cover."""
    first = desk.write(0)
    assert {desk.write(ms).sha256 for ms in range(POLL_MS)} == {first.sha256}
    assert desk.write(POLL_MS).sha256 != first.sha256


def test_only_the_newest_drills_are_quoted_and_none_that_could_not_be_read(desk: Desk) -> None:
    drills = [
        builders.make_order(
            TRUST, number=number, scope=Scope(kind="drill", value=""), challenge=text,
            issued_at=builders.NOW + number,
        )
        for number, text in enumerate([*(f"c-{number}" for number in range(12)), "two words"], 1)
    ]  # fmt: skip
    found = desk.write(0, halts=NO_HALTS.union(drills))
    assert found.says.drills == tuple(f"c-{number}" for number in range(12 - DRILLS_MAX, 12))


def test_a_report_that_would_be_too_long_leaves_out_what_was_measured_of_files(desk: Desk) -> None:
    """An authority does not read it else, and a sidecar with many files could never be fresh."""
    models: dict[str, str | None] = {f"file-{number:03}": "a" * 64 for number in range(200)}
    runtime = Measured(code_sha256="b" * 64, config_sha256=None, image_digest=None, models=models)
    found = desk.write(0, runtime=runtime)
    assert (found.says.runtime.code_sha256, found.says.runtime.models) == ("b" * 64, {})


# -- what covers them


def test_a_proof_tells_when_the_covered_report_was_made(desk: Desk) -> None:
    """Not when it came, and not when a later report was made."""
    first = desk.write(0)
    desk.write(POLL_MS)
    beat = desk.beat(first.sha256, OTHER)
    assert desk.reporter.covering(beat) is None
    proof = covering.proof(beat.sha256, (first.sha256, OTHER), first.sha256)
    assert desk.look(beat, proof) is None
    assert desk.reporter.covering(beat) == now(0)


def test_without_a_proof_nothing_is_covered_and_nothing_is_wrong(desk: Desk) -> None:
    desk.write(0)
    beat = desk.beat(OTHER)
    assert desk.look(beat, None) is None
    assert desk.reporter.covering(beat) is None


def test_the_proof_of_another_beat_proves_nothing_and_is_no_lie(desk: Desk) -> None:
    """Two values that are not written at once may be read one from before and one from after."""
    mine = desk.write(0).sha256
    one, two = desk.beat(mine), desk.beat(mine)
    assert desk.look(two, covering.proof(one.sha256, (mine,), mine)) is None
    assert desk.reporter.covering(two) is None


@pytest.mark.parametrize(
    "changes",
    [{"path": ()}, {"path": ("0" * 64,)}, {"index": 1}, {"report": OTHER}, {"index": 2**40}],
    ids=["no path", "other path", "other place", "other report", "far out"],
)
def test_a_proof_that_does_not_lead_to_the_signed_root_is_told(
    desk: Desk, changes: dict[str, Any]
) -> None:
    mine = desk.write(0).sha256
    beat = desk.beat(mine, OTHER)
    proof = covering.proof(beat.sha256, (mine, OTHER), mine, **changes)
    assert desk.look(beat, proof) is Reason.NONCE_PROOF_INVALID
    assert desk.reporter.covering(beat) is None


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'{"beat": 1}', b"\xff"])
def test_what_is_no_proof_is_told(desk: Desk, raw: bytes) -> None:
    desk.write(0)
    assert desk.look(desk.beat(OTHER), raw) is Reason.NONCE_PROOF_INVALID


def test_what_is_too_long_for_a_proof_is_told(desk: Desk) -> None:
    desk.write(0)
    assert desk.look(desk.beat(OTHER), b"0" * 5000) is Reason.OVERSIZE


def test_a_lie_after_the_proof_changes_nothing(desk: Desk) -> None:
    mine = desk.write(0).sha256
    beat = desk.beat(mine)
    desk.look(beat, covering.proof(beat.sha256, (mine,), mine))
    assert desk.look(beat, b"{}") is None
    assert desk.reporter.covering(beat) == now(0)


# -- what is acknowledged


def test_the_newest_acknowledged_report_counts_by_its_age(desk: Desk) -> None:
    first, second = desk.write(0).sha256, desk.write(POLL_MS).sha256
    assert desk.reporter.unacked_ms(now(300)) is None
    desk.cover(second, mine=second)
    desk.cover(first, mine=first)
    assert desk.reporter.unacked_ms(now(1250)) == 1000


def test_an_authority_that_goes_back_to_an_older_report_is_told(desk: Desk) -> None:
    first, second = desk.write(0).sha256, desk.write(POLL_MS).sha256
    assert desk.cover(second, mine=second) is None
    assert desk.cover(first, mine=first) is Reason.TELEMETRY_GAP


def test_an_older_beat_that_covers_an_older_report_is_no_gap(desk: Desk) -> None:
    """A lagging peer serves what was true before."""
    first, second = desk.write(0).sha256, desk.write(POLL_MS).sha256
    old, new = desk.beat(first), desk.beat(second)
    assert desk.look(new, covering.proof(new.sha256, (second,), second)) is None
    assert desk.look(old, covering.proof(old.sha256, (first,), first)) is None


def test_another_issuer_may_know_less(desk: Desk) -> None:
    first, second = desk.write(0).sha256, desk.write(POLL_MS).sha256
    desk.cover(second, mine=second)
    beat = desk.beat(first, number=2)
    assert desk.look(beat, covering.proof(beat.sha256, (first,), first)) is None


def foreign(desk: Desk, times: int = 2) -> list[Reason | None]:
    """So many peers prove that the next beat covers somebody else's report, in our name."""
    beat = desk.beat(OTHER)
    proof = covering.proof(beat.sha256, (OTHER,), OTHER)
    return [desk.look(beat, proof) for _ in range(times)]


def test_another_report_in_the_place_of_ours_is_told_once_a_second_reply_says_so(
    desk: Desk,
) -> None:
    """Two processes with one key, or an authority that lies."""
    mine = desk.write(0).sha256
    desk.cover(mine, mine=mine)
    assert foreign(desk) == [None, Reason.REPORT_MISMATCH]


def test_a_peer_that_serves_the_proof_of_somebody_else_accuses_nobody(desk: Desk) -> None:
    """It is a good proof, only not of ours: the next peer shows that ours is in the tree too."""
    mine = desk.write(0).sha256
    desk.cover(mine, mine=mine)
    both = (mine, OTHER)
    beat = desk.beat(*both)
    lie, truth = (covering.proof(beat.sha256, both, one) for one in (OTHER, mine))
    assert [desk.look(beat, raw) for raw in (lie, truth, lie)] == [None, None, None]
    assert desk.reporter.covering(beat) == now(0)


def test_the_report_of_the_process_before_us_is_no_mismatch(desk: Desk) -> None:
    desk.write(0)
    assert foreign(desk) == [None, None]


def test_what_we_made_too_long_ago_to_remember_is_no_mismatch(desk: Desk) -> None:
    """Cut off for long, and the authority still holds the last that it got."""
    first, last = desk.write(0).sha256, desk.write(POLL_MS).sha256
    desk.cover(first, mine=first)
    for number in range(2, OUTSTANDING_MAX + 3):
        desk.write(number * POLL_MS)
    beat = desk.beat(last)
    proof = covering.proof(beat.sha256, (last,), last)
    assert [desk.look(beat, proof) for _ in range(2)] == [None, None]
    assert desk.reporter.covering(beat) is None


def test_what_is_remembered_is_bounded(desk: Desk) -> None:
    for number in range(OUTSTANDING_MAX + 2):
        mine = desk.write(number * POLL_MS).sha256
        desk.cover(mine, mine=mine)
    assert len(desk.reporter._sent) == OUTSTANDING_MAX
    assert len(desk.reporter._covered) == 64


def test_where_proofs_lie_is_said_for_every_issuer(desk: Desk) -> None:
    assert desk.reporter.fields(("a" * 64, "b" * 64)) == (
        ("eg:{test}:proof:" + "a" * 16, WHO.instance),
        ("eg:{test}:proof:" + "b" * 16, WHO.instance),
    )


def test_clocks_of_a_report_are_those_it_was_made_with() -> None:
    desk = Desk()
    odd = Now(now(5).boot, now(9999).wall)
    (line,) = desk.reporter.write(bytes(32), saying(), odd)
    raw = line[3]
    assert isinstance(raw, bytes)
    mine = report.open_report(raw, "test").sha256
    desk.cover(mine, mine=mine)
    assert list(desk.reporter._covered.values()) == [odd]
