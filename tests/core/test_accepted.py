"""What was accepted only grows, is kept across restarts, and contradictions with it are found."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar.core import accepted, canonical, layout, marks
from sidecar.core.accepted import Accepted
from sidecar.core.archive import Archive
from sidecar.core.events import Conflict
from sidecar.core.instant import Now
from sidecar.core.lease import Terms
from sidecar.core.objects import halt
from sidecar.core.objects import trust as trusts
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Halts
from sidecar.core.objects.trust import Floors, Mark, Revoked, Role, Trust
from sidecar.core.reason import Reason
from sidecar.core.scoped import Scoped
from sidecar.core.snapshot import CLOSED, Hold, HoldKind
from sidecar.signer import sign
from tests import builders
from tests.builders import DAY_MS, NOW, now

TERMS = Terms(ttl_ms=4000, skew_ms=500, drift_ppm=2000)
TRUST = builders.make_trust()
EPOCH_RAW = builders.epoch_bytes(TRUST)
EPOCH = builders.open_epoch(EPOCH_RAW, TRUST)
HALT = builders.make_order(TRUST)
OTHER = builders.make_order(TRUST, number=8, keys=builders.signers(Role.ROOT, 2))
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
    fresh.accept(EPOCH, [beat], archive(), now(), TERMS)
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
    after.accept(EPOCH, [beat], archive(), now(), TERMS)
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


def known_to_a_later_trust(restart: bool) -> Accepted:  # noqa: FBT001
    """It holds two orders; the key of the first was revoked since."""
    memory = Accepted(TRUST, None)
    memory.add_orders([HALT, OTHER])
    memory.successor = revoking(Role.HALT, 1)
    if not restart:
        memory.adopt()
        return memory
    return Accepted(memory.successor, marks.decode(memory.encode(), "test"))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("pinned", "found"),
    [
        ((1, 2), []),  # by an authority that has not walked to the next document yet
        ((2,), []),
        ((), []),
        ((1,), [Reason.HALT_WITHHELD]),
        ((2, 3), [Reason.HALT_WITHHELD]),  # as many as we hold, and one that we do not
        ((3,), [Reason.HALT_WITHHELD]),
    ],
)
def test_a_voided_order_hides_no_other(
    restart: bool,  # noqa: FBT001
    pinned: tuple[int, ...],
    found: list[Reason],
) -> None:
    """Authorities name it no more, and it must not stand for one that we were not shown."""
    memory = known_to_a_later_trust(restart)
    obeyed = {hold.evidence for hold in memory.holds()}
    assert obeyed == {HALT.says.halt_id, OTHER.says.halt_id}
    orders = {1: HALT, 2: OTHER, 3: builders.make_order(TRUST, number=9)}
    said = NO_HALTS.union(orders[number] for number in pinned)
    assert demanded(memory, said) == found


# -- clocks


def at(boot_ms: int, wall_ms: int) -> Now:
    return Now(now(boot_ms).boot, now(wall_ms).wall)


def test_a_wall_clock_is_corrected_to_what_an_accepted_beat_proves(leaning: Accepted) -> None:
    """It was issued at 0, and ten seconds have passed since; less drift, and twice the skew."""
    assert leaning.corrected(at(10_000, 0), TERMS).wall == now(10_000 - 20 - 1000).wall
    assert leaning.corrected(at(10_000, 9_000), TERMS) == at(10_000, 9_000)


def test_where_only_a_nonce_counts_no_clock_is_corrected(leaning: Accepted) -> None:
    terms = replace(TERMS, freshness="nonce")
    assert leaning.corrected(at(10_000, -(10**9)), terms) == at(10_000, -(10**9))


def test_the_beat_that_proves_most_is_kept(leaning: Accepted) -> None:
    """One that was held back is newer, and proves less."""
    for seq, issued_ms in ((6, 100), (7, 200)):
        beat, raw = heard(seq, issued_at=now(issued_ms).wall)
        leaning.witness(beat, raw)
        leaning.accept(EPOCH, [beat], archive(), at(5000 * (seq - 5), 200), TERMS)
    assert leaning.corrected(at(10_000, 0), TERMS).wall == now(10_000 - 20 - 1000).wall
    beat, raw = heard(8, issued_at=now(9_990).wall)
    leaning.witness(beat, raw)
    leaning.accept(EPOCH, [beat], archive(), at(10_000, 9_990), TERMS)
    assert leaning.corrected(at(10_000, 0), TERMS).wall == now(9_990 - 1000).wall


def test_the_wall_clock_is_stored_with_each_lease(leaning: Accepted) -> None:
    assert marks.decode(leaning.encode(), "test").last_wall == now().wall


def test_how_long_an_epoch_was_leaned_on_counts_from_its_first_lease(leaning: Accepted) -> None:
    beat, raw = heard(6)
    leaning.witness(beat, raw)
    leaning.accept(EPOCH, [beat], archive(), now(700), TERMS)
    assert leaning.held_since == now()
    assert restarted(leaning).held_since is None, "of this process"


# -- a successor


def successor(**changes: Any) -> Trust:
    body = builders.trust_body(**{"version": 2, "prev_sha256": TRUST.sha256, **changes})
    raw = sign(trusts.PAYLOAD_TYPE, canonical.dump(body), *builders.signers(Role.ROOT, 2))
    return TRUST.rotate(raw, NOW)


def revoking(role: Role, number: int, **changes: Any) -> Trust:
    key = builders.signer(role, number).key_id
    return successor(revoked=(Revoked(keyid=key, reason="stolen", at=NOW),), **changes)


FLOOR = Mark(seq=7, sha256="7" * 64)
FLOORS = Floors(epoch=FLOOR, beat={}, halt=0)


@pytest.mark.parametrize(
    ("after", "seq", "issuers"),
    [
        (successor(), 1, 1),
        (revoking(Role.BEAT, 1), 1, 0),
        (revoking(Role.BEAT, 2), 1, 1),
        (revoking(Role.EPOCH, 3), 1, 1),
        (successor(floors=FLOORS), 7, 1),
        (revoking(Role.EPOCH, 3, floors=FLOORS), 7, 1),
    ],
    ids=["same", "issuer", "other issuer", "epoch key", "floor", "epoch key and floor"],
)
def test_what_is_stored_with_a_successor_is_what_holds_once_it_is_adopted(
    leaning: Accepted, after: Trust, seq: int, issuers: int
) -> None:
    """A crash in between must lead to the same."""
    leaning.successor = after
    stored = marks.decode(leaning.encode(), "test")
    leaning.adopt()
    adopted = marks.decode(leaning.encode(), "test")
    assert (stored.epoch, stored.beats, stored.trust) == (
        adopted.epoch, adopted.beats, adopted.trust,
    )  # fmt: skip
    assert stored.epoch is not None
    assert (stored.epoch.seq, len(stored.beats)) == (seq, issuers)


def test_until_it_is_adopted_the_marks_in_use_are_those_before(leaning: Accepted) -> None:
    leaning.successor = revoking(Role.BEAT, 1)
    leaning.encode()
    assert not leaning.newer(heard(5)[0])


def test_a_mark_falls_only_where_the_keys_of_role_epoch_changed() -> None:
    low = Floors(epoch=Mark(seq=1, sha256="1" * 64), beat={}, halt=0)
    for after, seq in ((successor(floors=low), 9), (revoking(Role.EPOCH, 3, floors=low), 1)):
        memory = Accepted(TRUST, None)
        memory.epoch = marks.ObjectMark(seq=9, sha256="9" * 64, envelope="")
        memory.successor = after
        memory.adopt()
        assert memory.epoch.seq == seq


def test_a_second_successor_with_other_content_is_a_contradiction(fresh: Accepted) -> None:
    one, other = successor(), successor(expires=NOW + 2 * DAY_MS)
    assert fresh.rivals(one) is None
    fresh.successor = one
    assert fresh.rivals(one) is None
    found = fresh.rivals(other)
    assert found is not None
    assert (found.reason, set(found.envelopes)) == (Reason.EQUIVOCATION, {one.raw, other.raw})


def test_an_epoch_below_the_floor_or_beside_it_is_outdated() -> None:
    memory = Accepted(builders.make_trust(floors=FLOORS), None)
    assert memory.outdated(Mark(seq=6, sha256="6" * 64))
    assert memory.outdated(Mark(seq=7, sha256="8" * 64))
    assert not memory.outdated(FLOOR)
    assert not memory.outdated(Mark(seq=8, sha256="8" * 64))


def test_numbers_far_ahead_of_a_mark_or_a_floor_jump(leaning: Accepted) -> None:
    for memory, mark in ((leaning, 5), (Accepted(TRUST, None), 0)):
        assert not memory.jumps(heard(mark + accepted.JUMP_MAX)[0])
        assert memory.jumps(heard(mark + accepted.JUMP_MAX + 1)[0])
    floor: dict[str, int] = {builders.signer(Role.BEAT).key_id: 10**12}
    high = Accepted(builders.make_trust(floors=Floors(epoch=None, beat=floor, halt=0)), None)
    assert not high.jumps(heard(10**12 + 1)[0])
    assert not high.newer(heard(10**12 - 1)[0])


def test_fewer_halts_than_root_counted_hold_the_gate() -> None:
    memory = Accepted(builders.make_trust(floors=Floors(epoch=None, beat={}, halt=1)), None)
    assert memory.holds() == (Hold(Reason.HALT_WITHHELD, HoldKind.PASSING),)
    memory.add_orders([HALT])
    assert Reason.HALT_WITHHELD not in {hold.reason for hold in memory.holds()}


def test_only_an_uncleared_contradiction_is_a_quarantine(fresh: Accepted) -> None:
    found = contradiction(fresh)
    before = fresh.quarantined
    fresh.latch(found)
    between = fresh.quarantined
    fresh.add_orders([builders.make_order(TRUST, number=3, clears=found.evidence)])
    assert (before, between, fresh.quarantined) == (False, True, False)
