"""The rules of the follower, each by the condition or the attack that it is about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

import msgspec
import pytest

from sidecar.core import canonical, envelope, layout, marks
from sidecar.core import events as ev
from sidecar.core.follower import Follower, Setting
from sidecar.core.instant import NS_PER_MS, BootNs, Now
from sidecar.core.lease import Freshness, Lease, Terms
from sidecar.core.objects import beat as beats
from sidecar.core.objects.epoch import Activation, Epoch, Scope
from sidecar.core.objects.halt import Halts, Order
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.reporter import Identity
from sidecar.core.snapshot import HoldKind, Snapshot, State
from sidecar.signer import sign
from tests import builders
from tests.builders import now

A, B, C = PEERS = tuple(PeerId(name) for name in "abc")
TRUST = builders.make_trust()
IMMEDIATE = Activation(mode="immediate", supersedes=True)
FIRST_RAW = builders.epoch_bytes(TRUST)
FIRST = builders.open_epoch(FIRST_RAW, TRUST)
NEXT_RAW = builders.epoch_bytes(TRUST, FIRST)
NEXT = builders.open_epoch(NEXT_RAW, TRUST)
NEXT_NOW_RAW = builders.epoch_bytes(TRUST, FIRST, activation=IMMEDIATE)
NEXT_NOW = builders.open_epoch(NEXT_NOW_RAW, TRUST)
HALT = builders.make_order(TRUST)
CLEAR = builders.make_order(TRUST, number=2, clears=HALT.says.halt_id)

C_ = TypeVar("C_")


def beat(current: Epoch, seq: int, at_ms: int = 0, number: int = 1, **changes: object) -> bytes:
    """What beat key `number` signs `at_ms` after the start."""
    return builders.beat_bytes(
        TRUST, current, number=number, seq=seq, issued_at=now(at_ms).wall, **changes
    )


def fetchable(*epochs: bytes) -> dict[str, bytes]:
    """Epochs with the policy and routes that all of them name, as peers keep them."""
    found = {
        layout.blob_key("test", canonical.digest(blob)): blob
        for blob in (builders.POLICY, builders.ROUTES)
    }
    for raw in epochs:
        found[layout.epoch_key("test", builders.open_epoch(raw, TRUST).sha256)] = raw
    return found


def shown(*beats: bytes, orders: Iterable[Order] = ()) -> dict[str, tuple[bytes, ...]]:
    """What a peer serves that has these beats and orders."""
    found = {layout.halts_key("test"): tuple(order.raw for order in orders)}
    for raw in beats:
        sealed = envelope.parse(raw, 1 << 20)
        said = msgspec.json.decode(sealed.unverified_payload)
        found[layout.beat_key("test", said["issuer"])] = (raw,)
    return found


@dataclass
class Rig:
    """A follower, with peers that serve what a test says and a disk that does what it says.

    Attributes:
        objects: What fetches find.
        disk: The marks that are durable.
        stores: Whether stores are answered at once; if not, they wait in `pending`.
        told: Every command so far.
    """

    stored: bytes | None = None
    objects: dict[str, bytes] = field(default_factory=lambda: fetchable(FIRST_RAW, NEXT_RAW))
    quorum: int = 2
    trust: Trust = TRUST
    service: str = "model"
    instance: str = "model-1"
    freshness: Freshness = "clock"
    identity: Identity | None = None
    stores: bool = True
    disk: bytes | None = None
    pending: list[ev.Store] = field(default_factory=list)
    told: list[ev.Command] = field(default_factory=list)
    round: int = 0

    def __post_init__(self) -> None:
        kept = None if self.stored is None else marks.decode(self.stored, "test")
        self.disk = self.stored
        self.follower = Follower(
            self.trust,
            Setting(
                service=self.service,
                region="here",
                peers=PEERS,
                quorum=self.quorum,
                terms=Terms(4000, 500, 2000, self.freshness),
                poll_ms=250,
                instance=self.instance,
                identity=self.identity,
            ),
            kept,
        )
        self.gate: Snapshot = self.follower.snapshot

    def restarted(self) -> Self:
        """A new process from what is durable."""
        return replace(self, stored=self.disk, pending=[], told=[], round=0)

    def feed(self, event: ev.Event, at: Now) -> list[ev.Command]:
        """One event; fetches and stores that follow from it are answered at the same instant."""
        commands = self.follower.handle(event, at)
        self.told += commands
        answers: list[ev.Event] = []  # fed after every command was taken, as by the driver
        for command in commands:
            match command:
                case ev.Publish(snapshot=snapshot):
                    self.gate = snapshot
                case ev.ReadPeer(strings=(key,), hashes=()):
                    found = {key: (self.objects[key],)} if key in self.objects else {}
                    answers.append(ev.PeerReplied(command.peer, command.round, found))
                case ev.Store() if self.stores:
                    self.disk = command.body
                    answers.append(ev.Stored(command.generation))
                case ev.Store():
                    self.pending.append(command)
                case _:
                    pass
        for answer in answers:
            commands = [*commands, *self.feed(answer, at)]
        return commands

    def begin(self, ms: int) -> list[ev.Command]:
        """Start a round."""
        self.round += 1
        return self.feed(ev.RoundDue(0.5), now(ms))

    def reply(
        self, peer: PeerId, ms: int, *beats: bytes, orders: Iterable[Order] = ()
    ) -> list[ev.Command]:
        """One peer answers the current round."""
        return self.feed(ev.PeerReplied(peer, self.round, shown(*beats, orders=orders)), now(ms))

    def fail(self, peer: PeerId, ms: int) -> list[ev.Command]:
        """One peer does not."""
        return self.feed(ev.PeerFailed(peer, self.round, "timeout"), now(ms))

    def whole(
        self, ms: int, *beats: bytes, orders: Sequence[Order] = (), peers: int = 3
    ) -> list[ev.Command]:
        """A round in which the first `peers` peers serve the same, and the others nothing."""
        commands = self.begin(ms)
        for number, peer in enumerate(PEERS):
            if number < peers:
                commands += self.reply(peer, ms, *beats, orders=orders)
            else:
                commands += self.fail(peer, ms)
        return commands

    @property
    def lease(self) -> Lease | None:
        """What the gate holds."""
        return self.gate.lease


def only(commands: Iterable[ev.Command], kind: type[C_]) -> list[C_]:
    return [command for command in commands if isinstance(command, kind)]


def outcome(commands: Iterable[ev.Command]) -> ev.RoundEnded:
    return only(commands, ev.RoundEnded)[-1]


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def serving(rig: Rig) -> Rig:
    """Serves under the first epoch since 0 ms, on beat 1."""
    rig.whole(0, beat(FIRST, 1))
    assert rig.lease is not None
    return rig


# -- rule 1: a round, and what counts in it


def test_a_round_reads_every_peer_once(rig: Rig) -> None:
    reads = only(rig.begin(0), ev.ReadPeer)
    assert [(read.peer, read.round) for read in reads] == [(peer, 1) for peer in PEERS]


def test_a_lease_counts_from_the_send_and_not_from_the_reply(rig: Rig) -> None:
    rig.begin(0)
    rig.reply(A, 200, beat(FIRST, 1))
    rig.reply(B, 240, beat(FIRST, 1))
    assert rig.lease is not None
    left_ms = 4000 - 500 - 1
    assert rig.lease.deadline == now().boot + left_ms * NS_PER_MS * 998_000 // 1_000_000
    assert rig.lease.wall_deadline == now(3500).wall


def test_an_answer_to_an_earlier_round_is_dropped(rig: Rig) -> None:
    rig.whole(0)
    rig.begin(300)
    rig.reply(A, 310, beat(FIRST, 1))
    found = {layout.beat_key("test", builders.signer(Role.BEAT).key_id): (beat(FIRST, 1),)}
    assert rig.feed(ev.PeerReplied(B, 1, found), now(320)) == []
    assert rig.lease is None


def test_a_second_answer_of_one_peer_is_dropped(rig: Rig) -> None:
    """One peer must not make a quorum alone."""
    rig.begin(0)
    rig.reply(A, 10, beat(FIRST, 1))
    assert rig.reply(A, 20, beat(FIRST, 1)) == []
    assert rig.lease is None


def test_a_round_asked_for_during_a_round_follows_it_at_once(rig: Rig) -> None:
    rig.begin(0)
    assert rig.feed(ev.Hinted(0.5), now(10)) == []
    for peer in PEERS:
        rig.fail(peer, 20)
    assert only(rig.told, ev.WakeAfter) == [ev.WakeAfter(0)]


@pytest.mark.parametrize(
    ("jitter", "pause_ms"), [(0.0, 225 - 40), (0.5, 250 - 40), (1.0, 275 - 40)]
)
def test_the_next_round_starts_one_interval_after_the_start_of_this_one(
    rig: Rig, jitter: float, pause_ms: int
) -> None:
    rig.feed(ev.RoundDue(jitter), now())
    for peer in PEERS:
        rig.feed(ev.PeerFailed(peer, 1, "timeout"), now(40))
    assert only(rig.told, ev.WakeAfter) == [ev.WakeAfter(pause_ms)]


# -- rule 2: easy to stop, hard to run


def test_one_peer_is_not_enough_to_run(rig: Rig) -> None:
    assert outcome(rig.whole(0, beat(FIRST, 1), peers=1)).outcome == Reason.QUORUM_LOST.code
    assert rig.lease is None


def test_a_halt_on_one_peer_stops_before_the_others_answer(serving: Rig) -> None:
    serving.begin(300)
    commands = serving.reply(A, 310, beat(FIRST, 1), orders=[HALT])
    assert serving.gate.state(now(310)) is State.HALTED
    assert isinstance(commands[0], ev.Publish), "published before it is stored"


def test_a_halt_stops_although_the_disk_does_not_answer(serving: Rig) -> None:
    serving.stores = False
    serving.whole(300, orders=[HALT], peers=1)
    assert serving.gate.closed is Reason.HALT_GLOBAL


def test_a_halt_survives_a_restart(serving: Rig) -> None:
    serving.whole(300, orders=[HALT], peers=1)
    after = serving.restarted()
    assert after.follower.snapshot.state(now(400)) is State.HALTED


def test_a_halt_ends_with_its_clear_and_not_with_its_absence(serving: Rig) -> None:
    serving.whole(300, orders=[HALT], peers=1)
    serving.whole(600, beat(FIRST, 2, 500))
    assert serving.gate.closed is Reason.HALT_GLOBAL
    known = Halts((HALT, CLEAR)) if HALT.sha256 < CLEAR.sha256 else Halts((CLEAR, HALT))
    serving.whole(900, beat(FIRST, 3, 800, halts=known), orders=[HALT, CLEAR])
    assert serving.gate.state(now(900)) is State.RUNNING


def test_a_forged_halt_stops_nobody(serving: Rig) -> None:
    forged = builders.order_bytes(TRUST, number=9, keys=[builders.signer(Role.BEAT)])
    serving.begin(300)
    found = {layout.halts_key("test"): (forged,)}
    serving.feed(ev.PeerReplied(A, 2, found), now(300))
    assert serving.gate.holds == ()


def test_a_beat_that_pins_a_halt_nobody_serves_contains(serving: Rig) -> None:
    """The halts are withheld, but a fresh beat betrays them."""
    serving.whole(300, beat(FIRST, 2, 250, halts=Halts((HALT,))), peers=1)
    assert serving.gate.closed is Reason.HALT_WITHHELD


def test_containment_for_a_withheld_halt_ends_once_it_was_obtained_and_cleared(
    serving: Rig,
) -> None:
    both = Halts(tuple(sorted((HALT, CLEAR), key=lambda order: order.sha256)))
    serving.whole(300, beat(FIRST, 2, 250, halts=both), peers=1)
    assert serving.gate.closed is Reason.HALT_WITHHELD
    serving.whole(600, beat(FIRST, 3, 550, halts=both), orders=[HALT, CLEAR])
    assert serving.gate.state(now(600)) is State.RUNNING


def test_a_beat_that_says_halt_stops_although_no_order_is_found(serving: Rig) -> None:
    serving.whole(300, beat(FIRST, 2, 250, state="halt"), peers=1)
    assert serving.gate.closed is Reason.HALT_GLOBAL


# -- rule 3: stored before published


def test_a_lease_is_published_only_after_its_marks_are_durable(rig: Rig) -> None:
    rig.stores = False
    rig.whole(0, beat(FIRST, 1))
    assert rig.lease is None
    (store,) = rig.pending
    kept = marks.decode(store.body, "test")
    assert kept.epoch is not None
    assert kept.epoch.sha256 == FIRST.sha256
    rig.feed(ev.Stored(store.generation), now(5))
    assert rig.lease is not None


def test_no_lease_when_the_marks_cannot_be_stored(rig: Rig) -> None:
    rig.stores = False
    rig.whole(0, beat(FIRST, 1))
    rig.feed(ev.StoreFailed(rig.pending[0].generation), now(5))
    assert rig.lease is None
    assert Reason.STATE_UNWRITABLE in rig.gate.faults


def test_a_failed_store_is_tried_again_after_the_next_round(rig: Rig) -> None:
    rig.stores = False
    rig.whole(0, beat(FIRST, 1))
    rig.feed(ev.StoreFailed(rig.pending[0].generation), now(5))
    rig.stores = True
    rig.whole(300, beat(FIRST, 1))
    assert rig.disk is not None
    rig.whole(600, beat(FIRST, 2, 550))
    assert rig.lease is not None


def test_an_answer_about_an_older_store_publishes_nothing(rig: Rig) -> None:
    rig.stores = False
    rig.whole(0, beat(FIRST, 1))
    assert rig.feed(ev.Stored(rig.pending[0].generation - 1), now(5)) == []
    assert rig.lease is None


# -- rule 4: a failed round


def test_a_failed_round_neither_extends_nor_ends_the_lease(serving: Rig) -> None:
    before = serving.lease
    serving.whole(300, peers=0)
    assert serving.lease == before
    assert serving.gate.faults == (Reason.QUORUM_LOST,)


def test_without_any_lease_yet_a_failed_round_says_not_synced(rig: Rig) -> None:
    before = rig.gate.closed
    rig.whole(0, peers=0)
    assert (before, rig.gate.closed) == (Reason.STARTING, Reason.NOT_SYNCED)


# -- rule 5: strictly newer beats


def test_reading_the_same_beat_again_extends_nothing(serving: Rig) -> None:
    before = serving.lease
    serving.whole(300, beat(FIRST, 1))
    assert serving.lease == before


def test_a_newer_beat_extends_the_lease(serving: Rig) -> None:
    before = serving.lease
    serving.whole(600, beat(FIRST, 2, 500))
    assert before is not None
    assert serving.lease is not None
    assert serving.lease.deadline > before.deadline


def test_a_replayed_older_beat_extends_nothing_and_is_told(serving: Rig) -> None:
    serving.whole(600, beat(FIRST, 3, 500))
    before = serving.lease
    ended = outcome(serving.whole(900, beat(FIRST, 2, 400)))
    assert serving.lease == before
    assert Reason.ROLLBACK not in ended.faults, "a lagging peer is acceptable while its beat lives"
    assert ended.outcome == "agreed"


def test_a_restarted_sidecar_does_not_lean_on_a_beat_it_has_used(serving: Rig) -> None:
    after = serving.restarted()
    after.whole(300, beat(FIRST, 1))
    assert after.lease is None
    after.whole(600, beat(FIRST, 2, 500))
    assert after.lease is not None


# -- rule 6: newer epochs


def test_a_newer_epoch_on_one_peer_forbids_renewal_under_the_older(serving: Rig) -> None:
    before = serving.lease
    serving.begin(600)
    serving.reply(A, 600, beat(NEXT, 2, 500, number=2))
    serving.reply(B, 600, beat(FIRST, 2, 500))
    serving.reply(C, 600, beat(FIRST, 2, 500))
    assert serving.lease == before
    assert Reason.EPOCH_SUPERSEDED in serving.gate.faults


def test_an_immediate_epoch_on_one_peer_ends_the_older_lease_now(serving: Rig) -> None:
    serving.objects = fetchable(NEXT_NOW_RAW)
    serving.whole(600, beat(NEXT_NOW, 2, 500), peers=1)
    assert serving.gate.closed is Reason.EPOCH_SUPERSEDED


def test_an_immediate_epoch_ends_the_older_lease_although_its_policy_is_withheld(
    serving: Rig,
) -> None:
    """A quorum names it, nobody serves what it needs: the old lease must not run on meanwhile."""
    policy = builders.POLICY + b" "
    raw = builders.epoch_bytes(TRUST, FIRST, activation=IMMEDIATE, policy_blob=policy)
    serving.objects = fetchable(raw)
    ended = outcome(serving.whole(600, beat(builders.open_epoch(raw, TRUST), 2, 500)))
    assert serving.gate.closed is Reason.EPOCH_SUPERSEDED
    assert Reason.POLICY_MISSING in ended.faults


def test_an_immediate_epoch_that_is_not_for_us_ends_the_older_lease(serving: Rig) -> None:
    elsewhere = Scope(services=("other",), regions=(), tenants=(), instances=())
    raw = builders.epoch_bytes(TRUST, FIRST, activation=IMMEDIATE, scope=elsewhere)
    serving.objects = fetchable(raw)
    serving.whole(600, beat(builders.open_epoch(raw, TRUST), 2, 500))
    assert serving.gate.closed is Reason.EPOCH_SUPERSEDED


def test_an_immediate_epoch_that_a_quorum_agrees_on_is_entered(serving: Rig) -> None:
    serving.objects = fetchable(NEXT_NOW_RAW)
    serving.whole(600, beat(NEXT_NOW, 2, 500))
    assert serving.lease is not None
    assert serving.lease.epoch_seq == 2


def test_without_immediate_the_older_lease_runs_out(serving: Rig) -> None:
    before = serving.lease
    serving.whole(600, beat(NEXT, 2, 500), peers=1)
    assert serving.lease == before


def test_a_forged_beat_for_a_newer_epoch_forbids_nothing(serving: Rig) -> None:
    """Else anybody who can write to one peer could stop the fleet."""
    body = canonical.dump(builders.beat_body(TRUST, NEXT, seq=9, issued_at=now(500).wall))
    forged = sign(beats.PAYLOAD_TYPE, body, builders.signer(Role.HALT))
    serving.begin(600)
    found = {layout.beat_key("test", builders.signer(Role.BEAT).key_id): (forged,)}
    serving.feed(ev.PeerReplied(A, 2, found), now(600))
    serving.reply(B, 600, beat(FIRST, 2, 500))
    serving.reply(C, 600, beat(FIRST, 2, 500))
    assert serving.lease is not None
    assert serving.lease.beat.seq == 2


def test_a_lease_is_dropped_when_a_newer_epoch_shows_while_its_marks_are_stored(rig: Rig) -> None:
    rig.stores = False
    rig.begin(0)
    rig.reply(A, 0, beat(FIRST, 1))
    rig.reply(B, 0, beat(FIRST, 1))
    rig.reply(C, 0, beat(NEXT, 1, 0, number=2))
    rig.feed(ev.Stored(rig.pending[0].generation), now(5))
    assert rig.lease is None


def test_an_older_epoch_is_not_served_again_after_a_restart(serving: Rig) -> None:
    serving.whole(600, beat(NEXT, 2, 500))
    after = serving.restarted()
    ended = outcome(after.whole(900, beat(FIRST, 1, 850, number=2)))
    assert after.lease is None
    assert Reason.ROLLBACK in ended.faults


# -- rule 7: contradictions


@pytest.fixture
def twin() -> bytes:
    """Another beat with the number of beat 1."""
    return beat(FIRST, 1, interval_ms=501)


def test_two_beats_with_one_number_latch_and_are_kept_as_evidence(
    serving: Rig, twin: bytes
) -> None:
    (conflict,) = only(serving.whole(300, twin, peers=1), ev.Conflict)
    assert conflict.reason is Reason.EQUIVOCATION
    assert set(conflict.envelopes) == {beat(FIRST, 1), twin}
    assert serving.gate.state(now(300)) is State.QUARANTINED


def test_a_contradiction_is_told_once(serving: Rig, twin: bytes) -> None:
    serving.whole(300, twin, peers=1)
    assert only(serving.whole(600, twin), ev.Conflict) == []


def test_a_latched_hold_survives_a_restart(serving: Rig, twin: bytes) -> None:
    serving.whole(300, twin, peers=1)
    after = serving.restarted()
    assert after.follower.snapshot.holds[0].kind is HoldKind.LATCHED
    after.whole(600, beat(FIRST, 2, 500))
    assert after.gate.state(now(600)) is State.QUARANTINED


def test_a_contradiction_with_a_beat_from_before_a_restart_latches(
    serving: Rig, twin: bytes
) -> None:
    after = serving.restarted()
    (conflict,) = only(after.whole(300, twin, peers=1), ev.Conflict)
    assert set(conflict.envelopes) == {beat(FIRST, 1), twin}


def test_an_authority_that_forgot_its_past_latches_after_our_restart(serving: Rig) -> None:
    """Restored from a backup, it signs the old numbers again: of beat and epoch."""
    forked_raw = builders.epoch_bytes(TRUST, reason="signed twice")
    forked = builders.open_epoch(forked_raw, TRUST)
    after = serving.restarted()
    conflicts = only(after.whole(300, beat(forked, 1, 250)), ev.Conflict)
    assert conflicts[0].reason is Reason.EQUIVOCATION
    assert after.gate.state(now(300)) is State.QUARANTINED


def test_a_quorum_for_another_epoch_with_our_number_latches(serving: Rig) -> None:
    forked = builders.make_epoch(TRUST, reason="signed twice")
    raw = beat(forked, 2, 250)
    (conflict,) = only(serving.whole(300, raw), ev.Conflict)
    assert set(conflict.envelopes) == {FIRST_RAW, raw}
    assert serving.gate.state(now(300)) is State.QUARANTINED


def test_two_authorities_that_name_two_epochs_with_one_number_latch(rig: Rig) -> None:
    forked = builders.make_epoch(TRUST, reason="signed twice")
    one, other = beat(FIRST, 1), beat(forked, 1, number=2)
    rig.begin(0)
    rig.reply(A, 0, one)
    (conflict,) = only(rig.reply(B, 0, other), ev.Conflict)
    assert conflict.reason is Reason.AUTHORITY_CONFLICT
    assert set(conflict.envelopes) == {one, other}


def test_one_authority_that_names_two_epochs_under_one_number_gives_both_as_evidence(
    rig: Rig,
) -> None:
    forked = builders.make_epoch(TRUST, reason="signed twice")
    one, other = beat(FIRST, 1), beat(forked, 1)
    rig.begin(0)
    rig.reply(A, 0, one)
    conflicts = only(rig.reply(B, 0, other), ev.Conflict)
    assert [set(conflict.envelopes) for conflict in conflicts] == [{one, other}] * len(conflicts)


def test_a_latched_hold_ends_with_a_clear_that_names_its_evidence(
    serving: Rig, twin: bytes
) -> None:
    (conflict,) = only(serving.whole(300, twin, peers=1), ev.Conflict)
    clear = builders.make_order(TRUST, clears=conflict.evidence)
    serving.whole(600, beat(FIRST, 2, 500, halts=Halts((clear,))), orders=[clear])
    assert serving.gate.state(now(600)) is State.RUNNING


def test_a_clear_of_something_else_does_not_end_a_latched_hold(serving: Rig, twin: bytes) -> None:
    serving.whole(300, twin, peers=1)
    clear = builders.make_order(TRUST, clears="00" * 16)
    serving.whole(600, beat(FIRST, 2, 500, halts=Halts((clear,))), orders=[clear])
    assert serving.gate.state(now(600)) is State.QUARANTINED


# -- rule 8, and what a lease needs besides


def test_the_same_events_give_the_same_commands() -> None:
    def play() -> list[tuple[type, object]]:
        one = Rig()
        one.whole(0, beat(FIRST, 1), beat(FIRST, 1, number=2))
        one.whole(300, beat(NEXT, 2, 250), orders=[HALT])
        # Compiled policies compare by identity, so a snapshot is compared by what closes it.
        return [
            (type(item), item.snapshot.closed if isinstance(item, ev.Publish) else item)
            for item in one.told
        ]

    assert play() == play()


def test_no_lease_under_an_epoch_for_another_service() -> None:
    rig = Rig(service="other")
    raw = builders.epoch_bytes(
        TRUST, scope=Scope(services=("model",), regions=(), tenants=(), instances=())
    )
    rig.objects = fetchable(raw)
    ended = outcome(rig.whole(0, beat(builders.open_epoch(raw, TRUST), 1)))
    assert rig.lease is None
    assert Reason.SERVICE_NOT_AUTHORIZED in ended.faults


def test_no_lease_under_an_expired_trust_document() -> None:
    short = builders.make_trust(expires=now(100).wall)
    raw = builders.epoch_bytes(short)
    made = builders.open_epoch(raw, short)
    rig = Rig(trust=short)
    rig.begin(200)
    vouched = builders.beat_bytes(short, made, issued_at=now(200).wall)
    found = {layout.beat_key("test", builders.signer(Role.BEAT).key_id): (vouched,)}
    for peer in PEERS:
        rig.feed(ev.PeerReplied(peer, 1, found), now(200))
    assert rig.lease is None
    assert Reason.TRUST_EXPIRED in rig.gate.faults


def test_no_lease_outlives_its_epoch(rig: Rig) -> None:
    raw = builders.epoch_bytes(TRUST, not_after=now(700).wall)
    rig.objects = fetchable(raw)
    rig.whole(0, beat(builders.open_epoch(raw, TRUST), 1))
    assert rig.lease is not None
    assert rig.lease.wall_deadline == now(700).wall


def test_an_epoch_that_no_peer_serves_gives_no_lease(rig: Rig) -> None:
    rig.objects = {}
    ended = outcome(rig.whole(0, beat(FIRST, 1)))
    assert rig.lease is None
    assert ended.faults == (Reason.EPOCH_CHAIN_BREAK,)


def test_other_bytes_under_the_name_of_a_policy_give_no_lease_and_name_the_peers(rig: Rig) -> None:
    key = layout.blob_key("test", canonical.digest(builders.POLICY))
    rig.objects[key] = b"{}"
    ended = outcome(rig.whole(0, beat(FIRST, 1)))
    assert rig.lease is None
    assert Reason.POLICY_DIGEST_MISMATCH in ended.faults
    assert Reason.POLICY_DIGEST_MISMATCH.code in ended.results.values()


def test_a_peer_that_serves_only_expired_beats_has_no_vote(serving: Rig) -> None:
    before = serving.lease
    ended = outcome(serving.whole(3600, beat(FIRST, 2, 0)))
    assert serving.lease == before
    assert ended.outcome == Reason.QUORUM_LOST.code
    assert Reason.BEAT_STALE in ended.faults


def test_the_deadline_on_the_boot_clock_keeps_the_bound_although_wall_time_is_read_in_whole_ms(
    rig: Rig,
) -> None:
    """The wall clock may be almost one millisecond further than it shows, and `skew` behind."""
    rig.whole(1, beat(FIRST, 1))
    assert rig.lease is not None
    true_left_ns = (4000 - 500 - 2) * NS_PER_MS  # of ttl, seen at 1.999 ms on a clock 500 ms late
    assert rig.lease.deadline <= BootNs(now(1).boot + true_left_ns)


def test_a_newer_beat_that_would_end_sooner_does_not_shorten_the_lease(serving: Rig) -> None:
    """A second authority whose beats arrive late must not undo what the first one gave."""
    before = serving.lease
    serving.whole(300, beat(FIRST, 1, -1000, number=2))
    assert serving.lease == before


def test_nothing_else_is_stored_before_the_answer_to_a_store(rig: Rig) -> None:
    rig.stores = False
    rig.whole(0, beat(FIRST, 1))
    rig.whole(300, beat(FIRST, 2, 250), orders=[HALT])
    assert len(rig.pending) == 1
    rig.feed(ev.Stored(rig.pending[0].generation), now(310))
    assert len(rig.pending) == 2, "the halt that came meanwhile"
    assert marks.decode(rig.pending[1].body, "test").halts == (HALT.raw.decode(),)


def test_an_immediate_epoch_ends_the_older_lease_where_one_peer_is_a_quorum() -> None:
    """There is no round without agreement then, in which a look ahead would end it."""
    raw = builders.epoch_bytes(TRUST, FIRST, activation=IMMEDIATE, policy_blob=b"{}")
    rig = Rig(quorum=1, objects=fetchable(FIRST_RAW, raw))
    rig.whole(0, beat(FIRST, 1))
    rig.whole(600, beat(builders.open_epoch(raw, TRUST), 2, 500))
    assert rig.gate.closed is Reason.EPOCH_SUPERSEDED


def test_an_expired_beat_still_contradicts_another_with_its_number(
    serving: Rig, twin: bytes
) -> None:
    (conflict,) = only(serving.whole(60_000, twin, peers=1), ev.Conflict)
    assert set(conflict.envelopes) == {beat(FIRST, 1), twin}


def test_what_an_older_epoch_needed_is_forgotten(serving: Rig) -> None:
    serving.whole(600, beat(NEXT, 2, 500))
    assert serving.follower._granting.archive._epochs.keys() == {NEXT.sha256}


def test_a_beat_that_came_during_a_store_is_not_used_up(rig: Rig) -> None:
    rig.stores = False
    rig.whole(0, beat(FIRST, 1))
    rig.whole(300, beat(FIRST, 2, 250))
    rig.feed(ev.Stored(rig.pending[0].generation), now(310))
    rig.stores = True
    rig.whole(600, beat(FIRST, 2, 250))
    assert rig.lease is not None
    assert rig.lease.beat.seq == 2
