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


def test_why_no_lease_is_granted_is_a_fault_as_well(this: Round) -> None:
    this.deny(Reason.TELEMETRY_UNACKED)
    this.fault(Reason.BEAT_STALE)
    assert this.sorted_unmet == (Reason.TELEMETRY_UNACKED,)
    assert this.sorted_faults == (Reason.BEAT_STALE, Reason.TELEMETRY_UNACKED)


def test_a_lease_after_all_leaves_only_what_was_wrong(this: Round) -> None:
    """What the first replies lacked is no reason for anything once the last one brought it."""
    this.deny(Reason.TELEMETRY_UNACKED)
    this.fault(Reason.BEAT_STALE)
    this.grant()
    assert (this.sorted_unmet, this.sorted_faults) == ((), (Reason.BEAT_STALE,))


def test_where_there_is_no_quorum_everything_wrong_is_why(this: Round) -> None:
    this.fault(Reason.BEAT_STALE)
    this.finish(2)
    assert this.sorted_unmet == (Reason.BEAT_STALE, Reason.QUORUM_LOST)


def test_peers_that_are_of_two_epochs_and_too_few_for_either_diverge(this: Round) -> None:
    above = builders.make_epoch(TRUST, EPOCH)
    this.votes = {A: Vote((beat(),)), B: Vote((beat(above),))}
    this.finish(2)
    assert this.sorted_unmet == (Reason.QUORUM_LOST, Reason.PEER_DIVERGENCE)


def test_peers_of_two_epochs_are_no_fault_where_enough_are_of_one(this: Round) -> None:
    above = builders.make_epoch(TRUST, EPOCH)
    this.votes = {A: Vote((beat(),)), B: Vote((beat(above),)), C: Vote((beat(above),))}
    this.finish(2)
    assert this.sorted_unmet == ()


def test_a_new_round_may_grant(this: Round) -> None:
    assert not this.void
