"""What was accepted only grows, is kept across restarts, and contradictions with it are found."""

from dataclasses import replace

import msgspec
import pytest

from sidecar.core import accepted, canonical, layout, marks
from sidecar.core.accepted import Accepted
from sidecar.core.archive import Archive
from sidecar.core.events import Conflict
from sidecar.core.objects import halt
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Halts
from sidecar.core.objects.trust import Mark, Role
from sidecar.core.reason import Reason
from sidecar.core.scoped import Scoped
from sidecar.core.snapshot import CLOSED, Hold, HoldKind
from tests import builders
from tests.builders import DAY_MS, NOW, now

TRUST = builders.make_trust()
EPOCH_RAW = builders.epoch_bytes(TRUST)
EPOCH = builders.open_epoch(EPOCH_RAW, TRUST)
HALT = builders.make_order(TRUST)
CLEAR = builders.make_order(TRUST, number=2, clears=HALT.says.halt_id)


def heard(seq: int, number: int = 1, **changes: object) -> tuple[Beat, bytes]:
    raw = builders.beat_bytes(TRUST, EPOCH, seq=seq, number=number, **changes)
    return builders.open_beat(raw, TRUST), raw


def archive(current: Epoch = EPOCH, raw: bytes = EPOCH_RAW) -> Archive:
    filled = Archive(TRUST)
    filled.add(layout.epoch_key("test", current.sha256), raw)
    for blob in (builders.POLICY, builders.ROUTES):
        filled.add(layout.blob_key("test", canonical.digest(blob)), blob)
    return filled


@pytest.fixture
def fresh() -> Accepted:
    return Accepted(TRUST, None)


@pytest.fixture
def leaning(fresh: Accepted) -> Accepted:
    """A lease leans on beat 5 of issuer 1."""
    beat, raw = heard(5)
    fresh.witness(beat, raw)
    fresh.accept(EPOCH, [beat], archive(), now())
    return fresh


def restarted(before: Accepted) -> Accepted:
    return Accepted(TRUST, marks.decode(before.encode(), "test"))


def contradiction(memory: Accepted) -> Conflict:
    memory.witness(*heard(5))
    conflict = memory.witness(*heard(5, interval_ms=501))
    assert conflict is not None
    return conflict


# -- numbers only grow


def test_a_beat_is_newer_only_above_the_mark_of_its_issuer(leaning: Accepted) -> None:
    assert [leaning.newer(heard(seq)[0]) for seq in (4, 5, 6)] == [False, False, True]
    assert [leaning.behind(heard(seq)[0]) for seq in (4, 5, 6)] == [True, False, False]


def test_each_issuer_has_a_stream_of_its_own(leaning: Accepted) -> None:
    assert leaning.newer(heard(1, number=2)[0])


def test_marks_survive_a_restart(leaning: Accepted) -> None:
    after = restarted(leaning)
    assert not after.newer(heard(5)[0])
    assert after.epoch is not None
    assert (after.epoch.seq, after.epoch.envelope) == (1, EPOCH_RAW.decode())


def test_exempt_targets_survive_a_restart(leaning: Accepted) -> None:
    """Health checks must pass while no quorum can be read."""
    assert restarted(leaning).routes.exempt.keys() == {b"/health"}


def test_every_store_has_a_higher_generation_restarts_included(leaning: Accepted) -> None:
    leaning.encode()
    after = restarted(leaning)
    after.encode()
    assert after.generation == leaning.generation + 1


def test_what_was_handed_out_to_be_stored_is_not_dirty(leaning: Accepted) -> None:
    assert leaning.dirty
    leaning.encode()
    assert not leaning.dirty


# -- contradictions


def test_the_same_beat_again_is_no_contradiction(fresh: Accepted) -> None:
    assert fresh.witness(*heard(5)) is None
    assert fresh.witness(*heard(5)) is None


def test_the_same_number_of_another_issuer_is_no_contradiction(fresh: Accepted) -> None:
    assert fresh.witness(*heard(5)) is None
    assert fresh.witness(*heard(5, number=2)) is None


def test_two_beats_with_one_number_are_both_evidence_in_either_order() -> None:
    pair = (heard(5), heard(5, interval_ms=501))
    found = []
    for one, other in (pair, pair[::-1]):
        memory = Accepted(TRUST, None)
        memory.witness(*one)
        conflict = memory.witness(*other)
        assert conflict is not None
        assert set(conflict.envelopes) == {one[1], other[1]}
        found.append(conflict.evidence)
    assert found[0] == found[1]


def test_a_beat_contradicts_the_mark_also_after_a_restart(leaning: Accepted) -> None:
    after = restarted(leaning)
    conflict = after.witness(*heard(5, interval_ms=501))
    assert conflict is not None
    assert conflict.reason is Reason.EQUIVOCATION


def test_the_beat_that_is_marked_does_not_contradict_itself_after_a_restart(
    leaning: Accepted,
) -> None:
    assert restarted(leaning).witness(*heard(5)) is None


def test_a_beat_from_before_a_restart_is_remembered_although_newer_ones_followed(
    leaning: Accepted,
) -> None:
    after = restarted(leaning)
    beat, raw = heard(6)
    after.witness(beat, raw)
    after.accept(EPOCH, [beat], archive(), now())
    assert after.witness(*heard(5, interval_ms=501)) is not None


def test_one_fork_is_one_contradiction_however_many_beats_vouch_for_it(fresh: Accepted) -> None:
    """Otherwise an operator would have to clear one id per beat."""
    forked = builders.make_epoch(TRUST, reason="signed twice")
    named = Mark(seq=forked.seq, sha256=forked.sha256)
    pairs = [(heard(seq), heard(seq, number=2, epoch=named)) for seq in (1, 2)]
    conflicts = []
    for one, other in pairs:
        fresh.witness(*one)
        fresh.witness(*other)
        conflicts.append(fresh.split(one[0], other[0]))
    assert fresh.latch(conflicts[0])
    assert not fresh.latch(conflicts[1])


def test_memory_for_contradictions_is_bounded(
    fresh: Accepted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "HEARD_MAX", 4)
    for seq in range(1, 10):
        fresh.witness(*heard(seq))
    assert len(fresh._heard) == len(fresh._raws) == 4


def test_a_beat_heard_again_and_again_is_not_forgotten(
    fresh: Accepted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "HEARD_MAX", 4)
    for seq in range(1, 10):
        fresh.witness(*heard(99))
        fresh.witness(*heard(seq))
    assert fresh.witness(*heard(99, interval_ms=501)) is not None


def test_a_contradiction_latches_once(fresh: Accepted) -> None:
    conflict = contradiction(fresh)
    assert fresh.latch(conflict)
    assert not fresh.latch(conflict)
    assert fresh.holds() == (Hold(Reason.EQUIVOCATION, HoldKind.LATCHED, conflict.evidence),)


def test_a_latch_survives_a_restart_with_its_evidence(fresh: Accepted) -> None:
    conflict = contradiction(fresh)
    fresh.latch(conflict)
    stored = marks.decode(fresh.encode(), "test")
    assert stored.latches[0].envelopes == tuple(raw.decode() for raw in conflict.envelopes)
    assert Accepted(TRUST, stored).holds() == fresh.holds()


def test_a_latch_ends_with_a_clear_that_names_it_and_stays_ended(fresh: Accepted) -> None:
    conflict = contradiction(fresh)
    fresh.latch(conflict)
    fresh.add_orders([builders.make_order(TRUST, clears=conflict.evidence)])
    assert fresh.holds() == ()
    assert not fresh.latch(conflict), "the same evidence again changes nothing"
    assert restarted(fresh).holds() == ()


def test_latches_are_bounded_and_the_gate_stays_held(
    fresh: Accepted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "LATCHES_MAX", 2)
    for number in range(5):
        fresh.latch(Conflict(Reason.EQUIVOCATION, f"{number:032x}", (b"a", b"b")))
    assert len(fresh.holds()) == 2


# -- orders


def test_orders_only_accumulate(fresh: Accepted) -> None:
    assert fresh.add_orders([HALT])
    assert not fresh.add_orders([HALT])
    assert not fresh.add_orders([])
    assert fresh.halts.orders == (HALT,)


@pytest.mark.parametrize("orders", [(HALT, CLEAR), (CLEAR, HALT)])
def test_a_halt_holds_exactly_while_it_is_not_cleared_in_whatever_order_they_came(
    fresh: Accepted, orders: tuple[builders.Order, ...]
) -> None:
    for order in orders:
        fresh.add_orders([order])
    assert fresh.holds() == ()


def test_a_halt_is_a_sticky_hold_that_names_it(fresh: Accepted) -> None:
    fresh.add_orders([HALT])
    assert fresh.holds() == (Hold(Reason.HALT_GLOBAL, HoldKind.STICKY, HALT.says.halt_id),)


def scoped(kind: str, value: str, number: int = 5) -> builders.Order:
    scope = msgspec.convert({"kind": kind, "value": value}, halt.Scope)
    return builders.make_order(TRUST, scope=scope, number=number)


@pytest.mark.parametrize("kind", ["service", "instance"])
def test_a_halt_of_a_part_holds_those_it_names_and_nobody_else(kind: str) -> None:
    order = scoped(kind, "here")
    hold = Hold(Reason.HALT_SCOPED, HoldKind.STICKY, order.says.halt_id)
    for service, instance, held in (
        ("here", "here", (hold,)), ("elsewhere", "elsewhere", ()), ("", "", (hold,)),
    ):  # fmt: skip
        memory = Accepted(TRUST, None, service, instance)
        memory.add_orders([order])
        assert memory.holds() == held
        again = Accepted(TRUST, marks.decode(memory.encode(), "test"), service, instance)
        assert again.holds() == held


def test_a_halt_of_a_route_leaves_the_gate_open_for_the_rest(fresh: Accepted) -> None:
    fresh.add_orders([scoped("route", "chat")])
    assert fresh.holds() == ()


def test_what_is_known_is_imposed_on_a_snapshot_and_nothing_else_changes(fresh: Accepted) -> None:
    passing = Hold(Reason.HALT_WITHHELD, HoldKind.PASSING)
    fresh.add_orders([HALT, scoped("route", "chat")])
    found = fresh.imposed(replace(CLOSED, trust_version=7), passing)
    assert (found.trust_version, found.halts) == (7, fresh.halts)
    assert found.scoped == Scoped(routes=frozenset({"chat"}))
    assert found.holds == fresh.holds(passing)


def test_the_harder_halt_is_named_first(fresh: Accepted) -> None:
    fresh.add_orders([scoped("service", "chat"), HALT])
    assert [hold.reason for hold in fresh.holds()] == [Reason.HALT_GLOBAL, Reason.HALT_SCOPED]


def test_a_stored_halt_outlives_the_key_that_signed_it() -> None:
    """Else the expiry of a short-lived key would resume what it stopped."""
    short = builders.make_trust(not_after={Role.HALT: NOW + 1})
    before = Accepted(short, None)
    before.add_orders([builders.make_order(short)])
    stored = marks.decode(before.encode(), "test")
    later = builders.make_trust(not_after={Role.HALT: NOW + 1}, issued_at=NOW, expires=NOW + DAY_MS)
    assert len(Accepted(later, stored).holds()) == 1


# -- what beats demand


def demanded(memory: Accepted, halts: Halts, state: str = "run") -> list[Reason]:
    beat, _ = heard(9, halts=halts, state=state)
    return [hold.reason for hold in memory.demanded([beat])]


def test_a_beat_that_pins_what_we_know_demands_nothing(fresh: Accepted) -> None:
    fresh.add_orders([HALT])
    assert demanded(fresh, Halts((HALT,)), state="halt") == []


def test_a_beat_that_pins_more_than_we_know_contains(fresh: Accepted) -> None:
    assert demanded(fresh, Halts((HALT,))) == [Reason.HALT_WITHHELD]


def test_a_beat_that_pins_as_many_others_contains(fresh: Accepted) -> None:
    fresh.add_orders([HALT])
    other = builders.make_order(TRUST, number=7)
    assert demanded(fresh, Halts((other,))) == [Reason.HALT_WITHHELD]


def test_a_beat_that_pins_less_than_we_know_is_only_older(fresh: Accepted) -> None:
    fresh.add_orders([HALT, CLEAR])
    assert demanded(fresh, Halts((HALT,)), state="halt") == []
    assert demanded(fresh, NO_HALTS) == []


def test_a_beat_that_says_halt_stops_although_a_halt_of_a_part_is_known(fresh: Accepted) -> None:
    """The part is not the whole: what the beat repeats is a global halt that is not among ours."""
    order = scoped("route", "chat")
    fresh.add_orders([order])
    found = demanded(fresh, Halts((order,)), state="halt")
    assert found == [Reason.HALT_GLOBAL]


def test_a_beat_that_says_halt_stops_without_any_order(fresh: Accepted) -> None:
    assert demanded(fresh, NO_HALTS, state="halt") == [Reason.HALT_GLOBAL]
