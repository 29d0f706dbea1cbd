"""Freshness without clocks: a beat counts from when the report was made that it covers."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core import events as ev
from sidecar.core import layout
from sidecar.core.instant import NS_PER_MS, Now, WallMs
from sidecar.core.objects import report
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Telemetry
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from tests import builders, covering
from tests.builders import now
from tests.core.test_follower import (
    FIRST,
    FIRST_RAW,
    HALT,
    NEXT,
    PEERS,
    TRUST,
    A,
    B,
    C,
    Rig,
    beat,
    fetchable,
    only,
    outcome,
    shown,
)

WHO = covering.identity()
WORTH_NS = 4000 * NS_PER_MS * 998_000 // 1_000_000  # what is left of a ttl at the report
STRANGER = "5" * 64  # somebody else's report


class Reporting(Rig):
    """A rig that reports, and peers that serve what an authority made of it."""

    def begin(self, ms: int) -> list[ev.Command]:
        self.round += 1
        return self.feed(ev.RoundDue(0.5, bytes(32)), now(ms))

    @property
    def reports(self) -> list[report.Report]:
        """Every report made so far, once each."""
        raws = [write[3] for read in only(self.told, ev.ReadPeer) for write in read.writes]
        found = [report.open_report(raw, "test") for raw in raws if isinstance(raw, bytes)]
        return list({one.sha256: one for one in found}.values())

    def made(self, ms: int) -> str:
        """Digest of a report made in a round of that time, in which no peer answers."""
        self.whole(ms, peers=0)
        return self.reports[-1].sha256

    def serve(
        self, peer: PeerId, ms: int, raw: bytes, proof: bytes | None = None, *, wrote: bool = True
    ) -> list[ev.Command]:
        """One peer answers with a beat and a proof."""
        found = shown(raw)
        if proof is not None:
            key = layout.proofs_key("test", opened(raw).issuer)
            found[layout.field_name(key, WHO.instance)] = (proof,)
        return self.feed(ev.PeerReplied(peer, self.round, found, wrote), now(ms))

    def covered(self, ms: int, raw: bytes, *reports: str, **options: Any) -> ev.RoundEnded:
        """A round in which all peers serve a beat and the proof of the last of its reports."""
        commands = self.begin(ms)
        for peer in PEERS:
            commands += self.serve(peer, ms, raw, proof(raw, *reports), **options)
        return outcome(commands)


def opened(raw: bytes) -> Beat:
    return builders.open_beat(raw, TRUST)


def covers(*reports: str, seq: int = 1, at_ms: int = 0, **changes: Any) -> bytes:
    """A beat over these reports."""
    fleet = covering.fleet(reports, **changes.pop("fleet", {}))
    epoch = changes.pop("epoch", FIRST)
    return beat(epoch, seq, at_ms, fleet=fleet, **changes)


def proof(raw: bytes, *reports: str, **changes: Any) -> bytes:
    """Of the last of them."""
    return covering.proof(opened(raw).sha256, reports, reports[-1], **changes)


@pytest.fixture
def rig() -> Reporting:
    return Reporting(freshness="nonce", identity=WHO)


@pytest.fixture
def both() -> Reporting:
    return Reporting(freshness="both", identity=WHO)


# -- the lease


def test_a_lease_counts_from_the_report_and_not_from_the_read(rig: Reporting) -> None:
    mine = rig.made(0)
    rig.covered(3000, covers(mine, at_ms=2900), mine)
    assert rig.lease is not None
    assert rig.lease.deadline == now().boot + WORTH_NS
    assert rig.lease.wall_deadline == now(4000).wall


def test_the_latest_report_that_a_beat_covers_is_not_the_latest_that_was_made(
    rig: Reporting,
) -> None:
    first = rig.made(0)
    rig.made(1000)
    rig.covered(1300, covers(first), first)
    assert rig.lease is not None
    assert rig.lease.deadline == now().boot + WORTH_NS


def test_a_report_older_than_ttl_gives_nothing(rig: Reporting) -> None:
    mine = rig.made(0)
    ended = rig.covered(4000, covers(mine, at_ms=3999), mine)
    assert rig.lease is None
    assert Reason.NONCE_MISSING in ended.faults


def test_a_beat_that_covers_nobody_gives_nothing_and_says_so(rig: Reporting) -> None:
    rig.whole(0, beat(FIRST, 1))
    assert rig.lease is None
    assert Reason.NONCE_MISSING in rig.gate.unmet


def test_a_sidecar_that_is_left_out_of_the_tree_is_contained_within_ttl(rig: Reporting) -> None:
    mine = rig.made(0)
    rig.covered(300, covers(mine), mine)
    assert rig.lease is not None
    before = rig.lease
    for number in range(2, 20):
        rig.whole(300 * number, covers(STRANGER, seq=number, at_ms=300 * number))
    assert rig.gate.lease == before
    assert not rig.gate.lease.live(now(4000))
    assert Reason.NONCE_MISSING in rig.gate.unmet


def test_a_new_process_leans_on_no_beat_that_covers_what_the_one_before_reported(
    rig: Reporting,
) -> None:
    mine = rig.made(0)
    after = rig.restarted()
    after.identity = replace(WHO, boot_id="cd" * 16)
    after.covered(100, covers(mine, seq=2), mine)
    assert after.lease is None


@pytest.mark.parametrize("off_ms", [-(10**12), -60_000, 60_000, 10**9])
def test_wall_clocks_may_show_what_they_like(rig: Reporting, off_ms: int) -> None:
    """Ours against that of the authority: neither the grant nor the end of a lease moves."""
    mine = rig.made(0)
    rig.covered(300, covers(mine, at_ms=off_ms), mine)
    assert rig.lease is not None
    assert rig.lease.deadline == now().boot + WORTH_NS


def test_a_wall_clock_that_is_set_back_takes_nothing_away(rig: Reporting) -> None:
    mine = rig.made(0)
    rig.covered(300, covers(mine), mine)
    rig.feed(ev.Ticked(), now(300))
    assert rig.feed(ev.Ticked(), Now(now(400).boot, WallMs(builders.NOW - 3_600_000))) == []
    assert rig.lease is not None


def test_both_needs_both_and_keeps_the_earlier_end_of_each(both: Reporting) -> None:
    mine = both.made(0)
    both.covered(300, covers(mine, at_ms=-1000), mine)
    assert both.lease is not None
    assert both.lease.deadline == now(300).boot + (2200 - 1) * NS_PER_MS * 998_000 // 1_000_000
    assert both.lease.wall_deadline == now(2500).wall


def test_both_gives_nothing_for_a_fresh_beat_that_covers_nobody(both: Reporting) -> None:
    both.whole(0, beat(FIRST, 1))
    assert both.lease is None
    assert Reason.NONCE_MISSING in both.gate.unmet


def test_both_gives_nothing_for_a_covered_beat_that_its_clock_says_is_old(both: Reporting) -> None:
    mine = both.made(0)
    both.covered(300, covers(mine, at_ms=-4000), mine)
    assert both.lease is None


# -- reports


def test_every_peer_gets_the_same_report_and_is_asked_for_its_proof(rig: Reporting) -> None:
    reads = only(rig.begin(0), ev.ReadPeer)
    assert len({read.writes for read in reads}) == 1
    assert {field for read in reads for field in read.fields} == {
        (layout.proofs_key("test", issuer), WHO.instance)
        for issuer in (builders.signer(builders.Role.BEAT, n).key_id for n in (1, 2))
    }


def test_hints_without_end_make_no_more_than_one_report_per_poll(rig: Reporting) -> None:
    for ms in range(0, 200, 20):
        rig.feed(ev.Hinted(0.5, peer=A), now(ms))
        assert only(rig.feed(ev.PeerFailed(A, 0, "timeout"), now(ms)), ev.WakeAfter)
        rig.feed(ev.RoundDue(0.5, bytes([ms]) * 32), now(ms))
        rig.round += 1
        for peer in PEERS:
            rig.fail(peer, ms)
    assert len(rig.reports) == 1


def test_each_round_that_is_due_makes_a_report_also_the_early_ones(rig: Reporting) -> None:
    """Else every second one would be skipped, and what they cover would be twice as old."""
    rig.made(0)
    rig.made(225)
    assert len(rig.reports) == 2


def test_without_a_nonce_nothing_is_reported(rig: Reporting) -> None:
    (read, *_) = only(rig.feed(ev.RoundDue(0.5), now()), ev.ReadPeer)
    assert (read.writes, read.fields) == ((), ())


def test_a_report_tells_the_step_that_was_reached_and_what_is_held(rig: Reporting) -> None:
    mine = rig.made(0)
    rig.covered(300, covers(mine), mine)
    rig.made(600)
    says = rig.reports[-1].says
    assert (says.state, says.lifecycle.step, says.lifecycle.ok) == ("running", 8, True)
    assert says.epoch is not None
    assert (says.epoch.sha256, says.lease_ms_left) == (FIRST.sha256, 3392)


# -- peers that lie


def test_one_lying_peer_contains_nobody_and_is_named(rig: Reporting) -> None:
    mine = rig.made(0)
    for number in range(1, 12):
        raw = covers(mine, STRANGER, seq=number, at_ms=number * 300)
        good = covering.proof(opened(raw).sha256, (mine, STRANGER), mine)
        bad = proof(raw, STRANGER, mine, path=())
        commands = rig.begin(number * 300)
        for peer, shows in zip(PEERS, (bad, good, good), strict=True):
            commands += rig.serve(peer, number * 300, raw, shows)
        assert outcome(commands).results[A] == Reason.NONCE_PROOF_INVALID.code
        assert rig.gate.unmet == ()
        assert rig.lease is not None
        assert rig.lease.live(now(number * 300))
        mine = rig.reports[-1].sha256


def test_a_lying_peer_does_not_count_for_the_quorum(rig: Reporting) -> None:
    mine = rig.made(0)
    raw = covers(mine)
    rig.begin(300)
    rig.serve(A, 300, raw, proof(raw, mine, path=("0" * 64,)))
    rig.serve(B, 300, raw, proof(raw, mine))
    assert rig.lease is None
    rig.serve(C, 300, raw, proof(raw, mine))
    assert rig.lease is not None


def test_a_beat_for_a_newer_epoch_that_covers_nobody_here_forbids_nothing(rig: Reporting) -> None:
    """Its time proves nothing where only a nonce counts: it may be of last year."""
    mine = rig.made(0)
    rig.covered(300, covers(mine), mine)
    rig.begin(600)
    raw = covers(rig.reports[-1].sha256, seq=2, at_ms=500)
    rig.serve(A, 600, beat(NEXT, 1, number=2))
    rig.serve(B, 600, raw, proof(raw, rig.reports[-1].sha256))
    rig.serve(C, 600, raw, proof(raw, rig.reports[-1].sha256))
    assert rig.lease is not None
    assert rig.lease.beat.seq == 2


def test_a_halt_stops_although_nothing_is_covered(rig: Reporting) -> None:
    mine = rig.made(0)
    rig.covered(300, covers(mine), mine)
    rig.whole(600, orders=[HALT], peers=1)
    assert rig.gate.closed is Reason.HALT_GLOBAL


# -- what an epoch asks of reports


def asking(**changes: Any) -> tuple[Reporting, Any]:
    """A rig whose clock is good, and an epoch that wants reports."""
    said = Telemetry(**{"max_unacked_ms": 0, "max_diverged": None, **changes})
    raw = builders.epoch_bytes(TRUST, telemetry=said)
    rig = Reporting(identity=WHO, objects=fetchable(FIRST_RAW, raw))
    return rig, builders.open_epoch(raw, TRUST)


def test_no_lease_while_no_report_is_acknowledged() -> None:
    rig, epoch = asking(max_unacked_ms=1000)
    rig.whole(0, beat(epoch, 1))
    assert (rig.gate.lease, rig.gate.unmet) == (None, (Reason.TELEMETRY_UNACKED,))
    mine = rig.reports[-1].sha256
    ended = rig.covered(300, covers(mine, seq=2, at_ms=250, epoch=epoch), mine)
    assert rig.lease is not None
    assert (rig.gate.unmet, ended.faults) == ((), ())


def test_no_renewal_once_the_newest_acknowledged_report_is_too_old() -> None:
    rig, epoch = asking(max_unacked_ms=1000)
    mine = rig.made(0)
    rig.covered(300, covers(mine, epoch=epoch), mine)
    before = rig.lease
    rig.whole(1001, beat(epoch, 2, 1000))
    assert rig.lease == before
    assert rig.gate.unmet == (Reason.TELEMETRY_UNACKED,)


def test_no_lease_while_too_few_peers_take_reports() -> None:
    rig, epoch = asking(max_unacked_ms=1000)
    mine = rig.made(0)
    ended = rig.covered(300, covers(mine, epoch=epoch), mine, wrote=False)
    assert rig.lease is None
    assert ended.faults == (Reason.TELEMETRY_BACKPRESSURE,)


def test_what_the_first_replies_lacked_and_the_last_brought_is_no_fault() -> None:
    """A peer that takes no reports is no reason to say that reports are not taken."""
    rig, epoch = asking(max_unacked_ms=1000)
    mine = rig.made(0)
    raw = covers(mine, epoch=epoch)
    commands = rig.begin(300)
    for peer in PEERS:
        commands += rig.serve(peer, 300, raw, proof(raw, mine), wrote=peer != A)
    assert rig.lease is not None
    assert (rig.gate.unmet, outcome(commands).faults) == ((), ())
    (passage,) = only(rig.told[-len(commands) :], ev.Passage)
    assert all(step.ok for step in passage.steps)


def diverged(rig: Reporting, epoch: Any, seq: int, ms: int, **fleet: int) -> ev.RoundEnded:
    raw = covers(STRANGER, seq=seq, at_ms=ms, epoch=epoch, fleet=fleet)
    return outcome(rig.whole(ms, raw))


def test_a_fleet_that_differs_contains_only_once_it_has_had_time_to_settle() -> None:
    rig, epoch = asking(max_diverged=1)
    diverged(rig, epoch, 1, 0, diverged=9)
    diverged(rig, epoch, 2, 8000, diverged=9)
    assert rig.lease is not None
    assert rig.lease.beat.seq == 2
    ended = diverged(rig, epoch, 3, 8001, diverged=2)
    assert rig.lease.beat.seq == 2
    assert ended.faults == (Reason.FLEET_DIVERGENCE,)
    assert diverged(rig, epoch, 4, 8300, diverged=1).faults == ()
    assert rig.lease.beat.seq == 4


def test_instances_that_are_missing_count_as_diverged() -> None:
    rig, epoch = asking(max_diverged=1)
    diverged(rig, epoch, 1, 0)
    ended = diverged(rig, epoch, 2, 8001, diverged=1, expected=2)
    assert ended.faults == (Reason.FLEET_DIVERGENCE,)


def test_orders_are_heard_in_reports(rig: Reporting) -> None:
    rig.whole(0, orders=[HALT])
    rig.made(300)
    says = rig.reports[-1].says
    assert (says.halts.seq, says.state) == (1, "halted")
