"""One authority replica, its peers in memory: each rule of the issuer and of what it leans on."""

from collections import deque
from typing import Any

import pytest

from sidecar.core import canonical, envelope, issued, issuing, layout
from sidecar.core.events import (
    PeerFailed,
    PeerReplied,
    ReadPeer,
    Store,
    Stored,
    StoreFailed,
    WakeAfter,
)
from sidecar.core.issued import RESERVED_AHEAD
from sidecar.core.issuer import Issuer
from sidecar.core.issuing import BeatEnded, Fact, Sign, Tell, WritePeer
from sidecar.core.objects import beat, epoch, halt
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.trust import Role
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.search import FETCHES_MAX
from sidecar.core.vouch import Setting
from sidecar.signer import sign
from tests import builders
from tests.builders import NOW
from tests.core.issuer_world import (
    BEAT,
    DOMAIN,
    FIRST,
    HALTS,
    HEAD,
    KEY,
    PEERS,
    RAW,
    RIVAL,
    SECOND,
    SETTING,
    THIRD,
    TRUST,
    World,
    make_epoch,
)  # fmt: skip

# --- a beat


def test_beat_names_epoch_halts_and_trust_and_is_chained_to_the_one_before() -> None:
    world = World()
    first, second = world.must_beat(), world.must_beat()
    said = second.says
    assert (said.epoch.seq, said.epoch.sha256) == (1, FIRST.sha256)
    assert (said.trust.version, said.trust.sha256) == (1, TRUST.sha256)
    assert (said.halts.seq, said.halts.sha256, said.state) == (0, NO_HALTS.sha256, "run")
    assert (said.ttl_ms, said.interval_ms, said.gov_log.origin) == (
        4000, 500, "epochgate/test/governance",
    )  # fmt: skip
    assert (first.says.prev_sha256, said.prev_sha256) == (None, first.sha256)
    assert said.seq == first.seq + 1
    assert all(peer.strings[BEAT] for peer in world.peers.values())


def test_issue_time_is_sampled_after_the_last_read_was_answered() -> None:
    """A beat must not claim to know of a halt later than it looked for one."""
    world = World()
    asked: list[int] = []
    world.before = lambda command: asked.append(world.ms) if isinstance(command, ReadPeer) else None
    made = world.must_beat()
    assert made.says.issued_at >= NOW + max(asked)


def test_ttl_is_never_above_the_signed_ceiling() -> None:
    world = World()
    world.issuer = Issuer(TRUST, Setting(KEY.key_id, KEY.public, PEERS, 60_000, 500), None)
    assert world.must_beat().says.ttl_ms == TRUST.body.limits.ttl_max_ms


def test_nothing_is_signed_while_a_peer_still_owes_its_answer() -> None:
    world = World()
    commands = world.issuer.handle(issuing.BeatDue(), world.now())
    reads = [command for command in commands if isinstance(command, ReadPeer)]
    assert len(reads) == 3
    for read in reads[:2]:
        answer = world.answer(read)
        assert answer is not None
        assert world.issuer.handle(answer, world.now()) == []


def test_answers_of_an_earlier_step_or_of_strangers_count_for_nothing() -> None:
    world = World()
    world.must_beat()
    commands = world.issuer.handle(issuing.BeatDue(), world.now())
    reads = [command for command in commands if isinstance(command, ReadPeer)]
    step = reads[0].round
    events: list[issuing.Event] = [
        *(PeerReplied(read.peer, step - 1, {}) for read in reads),
        *(PeerFailed(read.peer, step + 1, "timeout") for read in reads),
        *(issuing.PeerWrote(read.peer, step - 1) for read in reads),
        PeerReplied(PeerId("stranger"), step, {}),
        issuing.Signed(b"never asked for"),
        issuing.SignFailed("never asked for"),
        Stored(99),
        StoreFailed(99),
    ]
    for event in events:
        assert world.issuer.handle(event, world.now()) == []


def test_next_beat_is_asked_for_at_the_start_so_the_interval_does_not_stretch() -> None:
    world = World()
    commands = world.issuer.handle(issuing.BeatDue(), world.now())
    assert commands[0] == WakeAfter(SETTING.interval_ms)


def test_beat_that_is_due_while_one_is_under_way_follows_it_at_once() -> None:
    world = World()
    due = [issuing.BeatDue()]

    def once(command: issuing.Command) -> None:
        if isinstance(command, Sign) and due:
            told = world.issuer.handle(due.pop(), world.now())
            assert [command.fact for command in told if isinstance(command, Tell)] == [Fact.OVERDUE]

    world.before = once
    world.ms += 1
    todo: deque[issuing.Event] = deque([issuing.BeatDue()])
    ended = 0
    while todo:
        for command in world.issuer.handle(todo.popleft(), world.now()):
            once(command)
            ended += isinstance(command, BeatEnded)
            answer = world.answer(command)
            if answer is not None:
                todo.append(answer)
    assert ended == 2


def test_key_that_may_not_beat_is_refused_at_the_start() -> None:
    other = builders.signer(Role.HALT)
    setting = Setting(other.key_id, other.public, PEERS, 4000, 500)
    with pytest.raises(ProtocolError) as caught:
        Issuer(TRUST, setting, None)
    assert caught.value.reason is Reason.KEY_UNKNOWN


# --- the stream


def test_a_beat_needs_the_answers_of_r_peers() -> None:
    """With fewer, a later beat of our own stream, or a newer epoch, could be on the others."""
    world = World()
    world.down = {PEERS[0], PEERS[1]}
    assert world.beat() is None
    assert Fact.TOO_FEW_PEERS in world.told()
    world.down = {PEERS[0]}
    assert world.beat() is not None
    world.down = {PEERS[0], PEERS[1]}
    assert world.beat() is None, "not only the first one"


def test_an_authority_whose_reads_are_cut_off_does_not_vouch_for_what_was_before() -> None:
    """Its writes still arrive, so it could keep a superseded epoch alive without end."""
    world = World()
    world.must_beat()
    answer = world.answer

    def deaf(command: issuing.Command) -> issuing.Event | None:
        if isinstance(command, ReadPeer) and command.peer != PEERS[0]:
            return PeerFailed(command.peer, command.round, "timeout")
        return answer(command)

    world.answer = deaf  # type: ignore[method-assign]
    world.put_epoch(SECOND, PEERS[1:])
    assert world.beat() is None
    world.answer = answer  # type: ignore[method-assign]
    assert world.must_beat().says.epoch.sha256 == SECOND.sha256


def test_numbers_are_on_the_disk_before_the_first_of_them_is_used() -> None:
    world = World()
    world.before = lambda command: (
        _check_reserved(world, command) if isinstance(command, Sign) else None
    )
    for _ in range(RESERVED_AHEAD + 5):
        world.must_beat()
    assert sum(isinstance(command, Store) for command in world.log) == 2


def _check_reserved(world: World, command: Sign) -> None:
    assert world.disk is not None
    seq = canonical.load(command.payload, beat.Body, beat.MAX_BYTES).seq
    assert seq <= issued.decode(world.disk, DOMAIN, KEY.key_id).reserved


def test_disk_that_fails_stops_the_beats_until_it_works() -> None:
    world = World()
    world.disk_full = True
    assert world.beat() is None
    assert world.beat() is None
    world.disk_full = False
    assert world.beat() is not None
    facts = [(c.fact, c.over) for c in world.log if isinstance(c, Tell)]
    assert facts.count((Fact.STORE_FAILED, False)) == 1
    assert facts.count((Fact.STORE_FAILED, True)) == 1


def test_restart_begins_above_everything_that_was_reserved() -> None:
    world = World()
    last = world.must_beat().seq
    world.restart()
    for peer in world.peers.values():
        peer.strings.pop(BEAT)
    made = world.must_beat()
    assert made.seq == RESERVED_AHEAD + 1 > last


def test_restored_old_state_never_uses_a_number_again() -> None:
    """Somebody restores a backup of the state folder: the peers know better."""
    world = World()
    world.must_beat()
    backup = world.disk
    for _ in range(RESERVED_AHEAD * 2):
        world.must_beat()
    last = world.must_beat()
    world.disk = backup
    world.restart()
    made = world.must_beat()
    assert made.seq > last.seq
    assert made.says.prev_sha256 == last.sha256
    assert Fact.STREAM_AHEAD in world.told()


def test_own_beat_far_ahead_on_one_peer_is_enough_to_jump() -> None:
    world = World()
    ahead = builders.beat_bytes(TRUST, FIRST, seq=10_000)
    world.peers[PEERS[2]].strings[BEAT] = ahead
    assert world.must_beat().seq == 10_001


def test_another_beat_under_our_latest_number_is_told_and_its_number_is_left_alone() -> None:
    world = World()
    mine = world.must_beat()
    twin = builders.beat_bytes(TRUST, FIRST, seq=mine.seq, ttl_ms=1)
    world.peers[PEERS[1]].strings[BEAT] = twin
    assert world.must_beat().seq == mine.seq + 1
    assert Fact.STREAM_FORKED in world.told()


def test_rubbish_or_the_beat_of_another_key_under_our_name_changes_nothing() -> None:
    world = World()
    mine = world.must_beat()
    other = builders.beat_bytes(TRUST, FIRST, number=2, seq=10_000)
    stolen = sign("application/x-other", canonical.dump(builders.beat_body(TRUST, FIRST)), KEY)
    for raw in (b"", b"\xff" * 100, other, stolen):
        world.peers[PEERS[0]].strings[BEAT] = raw
        made = world.must_beat()
        assert made.seq == mine.seq + 1
        mine = made


def test_stream_without_numbers_left_stops_and_says_so() -> None:
    world = World()
    top = canonical.INTEGER_LIMIT - 1
    world.peers[PEERS[0]].strings[BEAT] = builders.beat_bytes(TRUST, FIRST, seq=top)
    assert world.beat() is None
    assert world.beat() is None
    assert Fact.STREAM_FULL in world.told()


def test_key_that_cannot_sign_is_told_and_its_number_is_not_used_again() -> None:
    world = World()
    first = world.must_beat()
    honest = world.answer
    world.answer = lambda command: (  # type: ignore[method-assign]
        issuing.SignFailed("no network") if isinstance(command, Sign) else honest(command)
    )
    world.beat()
    world.answer = honest  # type: ignore[method-assign]
    assert world.must_beat().seq == first.seq + 2
    assert Fact.SIGN_FAILED in world.told()


# --- peers


def test_w_acknowledgements_commit_and_fewer_are_told_once() -> None:
    world = World()
    world.must_beat()
    world.readonly = {PEERS[0]}
    world.must_beat()
    world.readonly = {PEERS[0], PEERS[1]}
    world.must_beat()
    world.must_beat()
    world.readonly = set()
    world.must_beat()
    ended = [command for command in world.log if isinstance(command, BeatEnded)]
    assert [(one.acks, one.committed) for one in ended] == [
        (3, True), (2, True), (1, False), (1, False), (3, True),
    ]  # fmt: skip
    facts = [(c.detail, c.over) for c in world.log if isinstance(c, Tell)
             and c.fact is Fact.UNCOMMITTED]  # fmt: skip
    text = "1 of 2 peers took the beat"
    assert facts == [(text, False), (text, True)]


# --- halts


def test_halt_on_one_peer_is_pinned_stored_and_given_to_the_others_before_the_beat() -> None:
    world = World()
    world.must_beat()
    order = builders.make_order(TRUST)
    world.put_order(PEERS[1], order.raw, layout.order_field(order.sha256))
    start = len(world.log)
    made = world.must_beat()
    assert (made.says.halts.seq, made.says.state) == (1, "halt")
    assert made.says.halts.sha256 == NO_HALTS.union([order]).sha256
    kinds = [type(command) for command in world.log[start:]]
    signed = kinds.index(Sign)
    assert kinds.index(Store) < signed
    assert kinds.index(WritePeer) < signed
    for peer in world.peers.values():
        assert list(peer.hashes[HALTS].values()) == [order.raw]


def test_halt_survives_a_restart_with_peers_that_forgot_it() -> None:
    world = World()
    world.put_order(PEERS[0], builders.order_bytes(TRUST))
    world.must_beat()
    for peer in world.peers.values():
        peer.hashes.clear()
    world.restart()
    assert world.must_beat().says.state == "halt"
    assert all(peer.hashes[HALTS] for peer in world.peers.values())


def test_halt_is_taken_and_passed_on_while_there_is_no_epoch() -> None:
    world = World(empty=True)
    world.put_order(PEERS[0], builders.order_bytes(TRUST))
    assert world.beat() is None
    assert all(peer.hashes[HALTS] for peer in world.peers.values())


def test_cleared_halt_lets_beats_say_run_and_both_orders_stay_pinned() -> None:
    world = World()
    order = builders.make_order(TRUST)
    world.put_order(PEERS[0], order.raw)
    assert world.must_beat().says.state == "halt"
    world.put_order(PEERS[1], builders.order_bytes(TRUST, clears=order.says.halt_id, number=2), "y")
    said = world.must_beat().says
    assert (said.state, said.halts.seq) == ("run", 2)


@pytest.mark.parametrize("kind", ["drill", "service"])
def test_only_a_global_halt_makes_the_state_halt(kind: Any) -> None:
    world = World()
    scope = halt.Scope(kind=kind, value="x")
    world.put_order(PEERS[0], builders.order_bytes(TRUST, scope=scope))
    said = world.must_beat().says
    assert (said.state, said.halts.seq) == ("run", 1)


def test_forged_orders_are_ignored_and_the_real_one_is_put_back() -> None:
    world = World()
    order = builders.make_order(TRUST)
    field = layout.order_field(order.sha256)
    world.put_order(PEERS[0], order.raw, field)
    world.must_beat()
    forged = builders.order_bytes(TRUST, keys=builders.signers(Role.BEAT, 1))
    world.put_order(PEERS[1], forged, field)
    world.put_order(PEERS[2], b"\xff", "rubbish")
    assert world.must_beat().says.halts.seq == 1
    assert world.peers[PEERS[1]].hashes[HALTS][field] == order.raw


# --- epochs


def test_no_epoch_no_beat_told_once() -> None:
    world = World(empty=True)
    for _ in range(3):
        assert world.beat() is None
    assert world.told().count(Fact.NO_EPOCH) == 1


def test_new_epoch_on_one_peer_is_adopted_stored_and_brought_to_the_others() -> None:
    world = World()
    world.must_beat()
    world.put_epoch(SECOND, (PEERS[1],))
    made = world.must_beat()
    assert made.says.epoch.sha256 == SECOND.sha256
    world.must_beat()
    for peer in world.peers.values():
        assert peer.strings[HEAD] == SECOND.sha256.encode()
        assert layout.epoch_key(DOMAIN, SECOND.sha256) in peer.strings
    world.restart()
    for peer in world.peers.values():
        peer.strings.clear()
    assert world.must_beat().says.epoch.sha256 == SECOND.sha256


def test_peer_that_names_an_older_epoch_moves_nothing_back() -> None:
    """One peer is restored from an old backup."""
    world = World()
    world.put_epoch(SECOND)
    world.must_beat()
    world.put_epoch(FIRST, (PEERS[0],))
    assert world.must_beat().says.epoch.sha256 == SECOND.sha256
    world.must_beat()
    assert world.peers[PEERS[0]].strings[HEAD] == SECOND.sha256.encode()


def test_epochs_that_were_missed_are_walked_link_by_link() -> None:
    world = World()
    world.must_beat()
    world.put_epoch(SECOND)
    world.put_epoch(THIRD)
    assert world.must_beat().says.epoch.sha256 == THIRD.sha256


def test_long_chain_is_walked_over_several_beats_and_none_of_them_is_missed() -> None:
    world = World()
    world.must_beat()
    newest = FIRST
    for _ in range(FETCHES_MAX * 2):
        newest = make_epoch(newest)
        world.put_epoch(newest)
    seen = [world.must_beat().says.epoch.sha256 for _ in range(4)]
    assert seen[0] == FIRST.sha256
    assert seen[-1] == newest.sha256


def test_epoch_that_does_not_follow_ours_is_not_adopted() -> None:
    world = World()
    world.must_beat()
    stray = make_epoch(RIVAL)  # number 3, after another number 2
    world.put_epoch(SECOND)
    world.must_beat()
    world.put_epoch(RIVAL, (PEERS[0],))
    world.put_epoch(stray, (PEERS[0],))
    assert world.must_beat().says.epoch.sha256 == SECOND.sha256
    assert Fact.EPOCH_DENIED in world.told()


@pytest.mark.parametrize(
    "raw",
    [
        builders.epoch_bytes(TRUST, FIRST, signed_by=1),
        builders.epoch_bytes(TRUST, FIRST, domain="other"),
        builders.epoch_bytes(builders.make_trust(version=2), FIRST),
        builders.order_bytes(TRUST),
        b"rubbish",
        b"",
    ],
)
def test_head_that_names_no_epoch_of_ours_is_not_followed(raw: bytes) -> None:
    world = World()
    world.must_beat()
    strings = world.peers[PEERS[0]].strings
    try:
        sealed = envelope.parse(raw, epoch.MAX_BYTES)
        sha256 = canonical.digest(sealed.unverified_payload)
    except ProtocolError:
        sha256 = "0" * 64
    strings[HEAD] = sha256.encode()
    strings[layout.epoch_key(DOMAIN, sha256)] = raw
    assert world.must_beat().says.epoch.sha256 == FIRST.sha256
    assert {Fact.EPOCH_DENIED, Fact.EPOCH_PENDING} & set(world.told())
    assert strings[HEAD] == sha256.encode(), "a name that cannot be judged is not overwritten"


@pytest.mark.parametrize("head", [b"", b"not hex", b"0" * 63, b"\xff" * 64, b"A" * 64, b"0" * 65])
def test_head_that_is_no_digest_is_not_followed(head: bytes) -> None:
    world = World()
    world.must_beat()
    world.peers[PEERS[0]].strings[HEAD] = head
    assert world.must_beat().says.epoch.sha256 == FIRST.sha256


def test_envelope_with_stripped_signatures_on_one_peer_does_not_hide_the_good_one() -> None:
    world = World()
    world.must_beat()
    world.put_epoch(SECOND)
    bad = builders.epoch_bytes(TRUST, FIRST, signed_by=1)
    for peer in (PEERS[0], PEERS[2]):
        world.put_epoch(SECOND, (peer,), raw=bad)
    assert world.must_beat().says.epoch.sha256 == SECOND.sha256
    state = issued.decode(world.disk or b"", DOMAIN, KEY.key_id)
    assert state.epoch is not None
    assert state.epoch.envelope.encode() == RAW[SECOND.sha256]


def test_epoch_that_is_not_valid_yet_waits_and_its_name_stays() -> None:
    world = World()
    world.must_beat()
    later = make_epoch(FIRST, not_before=NOW + 60_000, reason="later")
    world.put_epoch(later)
    assert world.must_beat().says.epoch.sha256 == FIRST.sha256
    assert Fact.EPOCH_PENDING in world.told()
    assert world.peers[PEERS[0]].strings[HEAD] == later.sha256.encode()
    world.ms += 60_000
    assert world.must_beat().says.epoch.sha256 == later.sha256


def test_epoch_whose_policy_is_missing_or_broken_is_not_vouched_for() -> None:
    """It would contain a fleet that has no other fault."""
    world = World()
    world.must_beat()
    bad = make_epoch(FIRST, policy_blob=b"{}", reason="bad policy")
    world.put_epoch(bad)
    assert world.must_beat().says.epoch.sha256 == FIRST.sha256
    for peer in world.peers.values():
        peer.strings[layout.blob_key(DOMAIN, bad.says.policy.sha256)] = b"{}"
    assert world.must_beat().says.epoch.sha256 == FIRST.sha256
    assert Fact.EPOCH_DENIED in world.told()


def test_two_epochs_with_one_number_stop_the_beats_until_one_of_them_is_built_upon() -> None:
    world = World()
    world.put_epoch(SECOND)
    world.must_beat()
    world.put_epoch(RIVAL, (PEERS[2],))
    assert world.beat() is None
    assert world.beat() is None
    assert world.told().count(Fact.EPOCH_CONFLICT) == 1
    world.put_epoch(THIRD)
    assert world.must_beat().says.epoch.sha256 == THIRD.sha256


def test_rival_epochs_on_a_first_boot_are_not_chosen_between() -> None:
    world = World(empty=True)
    world.put_epoch(FIRST)
    world.put_epoch(SECOND, (PEERS[0],))
    world.put_epoch(RIVAL, (PEERS[1],))
    assert world.beat() is None
    assert Fact.EPOCH_CONFLICT in world.told()


def test_first_boot_takes_the_highest_epoch_among_enough_peers() -> None:
    world = World(empty=True)
    world.put_epoch(FIRST)
    world.put_epoch(SECOND, PEERS[1:])
    world.down = {PEERS[1], PEERS[2]}
    assert world.beat() is None, "one peer may be the one that lags"
    world.down = {PEERS[2]}
    assert world.must_beat().says.epoch.sha256 == SECOND.sha256


def test_empty_peer_is_given_epoch_blobs_and_head() -> None:
    world = World()
    world.must_beat()
    before = dict(world.peers[PEERS[1]].strings)
    world.peers[PEERS[1]].strings.clear()
    world.must_beat()
    after = world.peers[PEERS[1]].strings
    assert {key: after[key] for key in before if key != BEAT} == {
        key: value for key, value in before.items() if key != BEAT
    }


def test_clock_that_steps_back_does_not_stop_the_stream() -> None:
    world = World()
    first = world.must_beat()
    world.ms -= 10_000
    second = world.must_beat()
    assert second.seq == first.seq + 1
    assert second.says.issued_at < first.says.issued_at
