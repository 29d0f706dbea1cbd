"""The books of one round."""

import pytest

from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.quorum import Agreement, PeerId, Split, TooFew, Vote
from sidecar.core.reason import Reason
from sidecar.core.round import AGREED, Round
from tests import builders

A, B, C = (PeerId(name) for name in "abc")
TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
OTHER = builders.make_epoch(TRUST, reason="another")


def beat(current: Epoch = EPOCH) -> Beat:
    return builders.make_beat(TRUST, current)


@pytest.fixture
def this() -> Round:
    return Round(3, builders.now(100), 0.5, (A, B, C))


def test_every_peer_owes_a_vote_at_first(this: Round) -> None:
    assert this.waiting == {A: None, B: None, C: None}
    assert isinstance(this.tally(2), TooFew)


def test_agrees_once_enough_peers_voted(this: Round) -> None:
    this.votes[A] = this.votes[B] = Vote((beat(),))
    assert isinstance(this.tally(2), Agreement)
    assert this.finish(2) == AGREED
    assert this.sorted_faults == ()


def test_a_round_without_agreement_ends_with_quorum_lost(this: Round) -> None:
    this.votes[A] = Vote((beat(),))
    assert this.finish(2) == Reason.QUORUM_LOST.code
    assert this.sorted_faults == (Reason.QUORUM_LOST,)


def test_a_round_with_two_digests_for_one_number_ends_with_authority_conflict(this: Round) -> None:
    this.votes = {A: Vote((beat(),)), B: Vote((beat(OTHER),))}
    assert isinstance(this.tally(2), Split)
    assert this.finish(2) == Reason.AUTHORITY_CONFLICT.code
    assert this.sorted_faults == (Reason.AUTHORITY_CONFLICT,)


def test_faults_are_told_once_and_by_code_in_whatever_order_they_came(this: Round) -> None:
    for reason in (Reason.ROLLBACK, Reason.BEAT_STALE, Reason.ROLLBACK):
        this.fault(reason)
    assert this.sorted_faults == (Reason.BEAT_STALE, Reason.ROLLBACK)


def test_time_is_counted_from_the_send_on_the_boot_clock(this: Round) -> None:
    later = Now(BootNs(this.sent.boot + 41 * NS_PER_MS + 999_999), WallMs(0))
    assert this.spent_ms(later) == 41
