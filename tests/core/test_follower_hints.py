"""A hint brings a look forward. Orders are read at once; nothing else is believed sooner."""

import pytest

from sidecar.core import events as ev
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from tests.builders import now
from tests.core.test_follower import FIRST, HALT, PEERS, A, B, C, Rig, beat, only, shown

GLANCE = 0


@pytest.fixture
def waiting() -> Rig:
    """Serves; in its second round A has answered, B and C have not."""
    rig = Rig()
    rig.whole(0, beat(FIRST, 1))
    rig.begin(300)
    rig.reply(A, 310, beat(FIRST, 2, 290))
    return rig


def hint(rig: Rig, ms: int, peer: PeerId | None = A) -> list[ev.ReadPeer]:
    return only(rig.feed(ev.Hinted(0.5, peer=peer), now(ms)), ev.ReadPeer)


def glanced(rig: Rig, ms: int, peer: PeerId = A) -> None:
    rig.feed(ev.PeerReplied(peer, GLANCE, shown(orders=[HALT])), now(ms))


def test_a_hint_between_rounds_reads_the_orders_of_that_peer_and_then_begins_one() -> None:
    """A round reads all of all peers: a halt does not wait for that."""
    rig = Rig()
    rig.whole(0, beat(FIRST, 1))
    (read,) = hint(rig, 100)
    assert (read.peer, read.round, read.strings) == (A, GLANCE, ())
    commands = rig.feed(ev.PeerReplied(A, GLANCE, shown(orders=[HALT])), now(110))
    assert rig.gate.closed is Reason.HALT_GLOBAL
    assert only(commands, ev.WakeAfter) == [ev.WakeAfter(0)]


def test_a_round_begins_although_the_glance_before_it_failed() -> None:
    rig = Rig()
    rig.whole(0)
    hint(rig, 100)
    assert rig.feed(ev.PeerFailed(A, GLANCE, "timeout"), now(110)) == [ev.WakeAfter(0)]


def test_a_hint_of_nobody_between_rounds_begins_one() -> None:
    rig = Rig()
    rig.whole(0)
    assert [read.peer for read in hint(rig, 100, None)] == list(PEERS)


def test_a_hint_of_a_peer_that_has_answered_reads_its_orders_out_of_round(waiting: Rig) -> None:
    """Two slow peers must not keep a halt from taking effect."""
    (read,) = hint(waiting, 320)
    assert (read.peer, read.round, read.strings, read.writes) == (A, GLANCE, (), ())
    assert read.hashes == ("eg:{test}:halts",)
    glanced(waiting, 330)
    assert waiting.gate.closed is Reason.HALT_GLOBAL


def test_a_hint_of_a_peer_that_owes_an_answer_reads_nothing_more(waiting: Rig) -> None:
    assert hint(waiting, 320, B) == []


def test_a_hint_of_nobody_reads_nothing_more(waiting: Rig) -> None:
    assert hint(waiting, 320, None) == []


def test_one_glance_at_a_time(waiting: Rig) -> None:
    hint(waiting, 320)
    assert hint(waiting, 330) == []
    glanced(waiting, 340)
    assert len(hint(waiting, 350)) == 1


def test_a_glance_that_failed_may_be_asked_for_again(waiting: Rig) -> None:
    hint(waiting, 320)
    assert waiting.feed(ev.PeerFailed(A, GLANCE, "timeout"), now(330)) == []
    assert len(hint(waiting, 340)) == 1


def test_an_answer_to_a_glance_that_nobody_asked_for_is_ignored(waiting: Rig) -> None:
    glanced(waiting, 320)
    glanced(waiting, 320, B)
    assert waiting.gate.holds == ()


def test_the_second_answer_to_a_glance_is_ignored(waiting: Rig) -> None:
    hint(waiting, 320)
    waiting.feed(ev.PeerReplied(A, GLANCE, shown()), now(330))
    glanced(waiting, 340)
    assert waiting.gate.holds == ()


def test_a_glance_is_no_vote(waiting: Rig) -> None:
    """It was not sent with the round, and counts for no lease."""
    before = waiting.lease
    hint(waiting, 320)
    waiting.feed(ev.PeerReplied(A, GLANCE, shown(beat(FIRST, 3, 310))), now(330))
    waiting.fail(B, 340)
    waiting.fail(C, 340)
    assert waiting.lease == before


def test_a_round_follows_at_once(waiting: Rig) -> None:
    hint(waiting, 320)
    waiting.fail(B, 330)
    assert only(waiting.fail(C, 330), ev.WakeAfter) == [ev.WakeAfter(0)]
