"""Counting votes. A peer is one vote; a signature needs no majority, freshness does."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.objects.beat import Beat
from sidecar.core.objects.trust import Mark
from sidecar.core.quorum import Agreement, PeerId, Split, TooFew, Vote, tally
from tests import builders

TRUST = builders.make_trust()
FIRST = builders.make_epoch(TRUST)
SECOND = builders.make_epoch(TRUST, FIRST)
ONE = builders.make_beat(TRUST, FIRST)
ONE_LATER = builders.make_beat(TRUST, FIRST, seq=2)
ONE_OTHER_KEY = builders.make_beat(TRUST, FIRST, number=2)
TWO = builders.make_beat(TRUST, SECOND, seq=3)
FORK = builders.make_beat(TRUST, FIRST, seq=4, epoch=Mark(seq=1, sha256="0" * 64))


def votes(**peers: tuple[Beat, ...]) -> dict[PeerId, Vote]:
    return {PeerId(name): Vote(beats) for name, beats in peers.items()}


def test_enough_peers_behind_one_epoch_agree() -> None:
    result = tally(votes(a=(ONE,), b=(ONE_LATER,), c=()), 2)
    assert isinstance(result, Agreement)
    assert (result.epoch_seq, result.epoch_sha256) == (1, FIRST.sha256)
    assert result.peers == ("a", "b")
    assert set(result.beats) == {ONE, ONE_LATER}


def test_minority_is_too_few_however_many_beats_it_serves() -> None:
    """One peer cannot vote twice by serving the beats of two replicas."""
    assert tally(votes(a=(ONE, ONE_LATER, ONE_OTHER_KEY)), 2) == TooFew(1)


def test_nobody_is_too_few() -> None:
    assert tally({}, 1) == TooFew(0)
    assert tally(votes(a=(), b=()), 1) == TooFew(0)


def test_highest_epoch_with_enough_peers_wins_over_one_with_more() -> None:
    result = tally(votes(a=(ONE, TWO), b=(ONE, TWO), c=(ONE,)), 2)
    assert isinstance(result, Agreement)
    assert result.epoch_seq == 2
    assert result.beats == (TWO,)


def test_epoch_that_too_few_serve_does_not_hide_the_one_that_enough_serve() -> None:
    result = tally(votes(a=(ONE,), b=(ONE,), c=(TWO,)), 2)
    assert isinstance(result, Agreement)
    assert result.epoch_seq == 1


def test_peers_that_are_split_between_epochs_are_too_few() -> None:
    assert tally(votes(a=(ONE,), b=(TWO,)), 2) == TooFew(1)


def test_two_digests_for_one_number_is_a_split_whatever_the_count() -> None:
    for case in (
        votes(a=(ONE,), b=(ONE,), c=(ONE, FORK)),
        votes(a=(FORK,), b=(ONE,)),
        votes(a=(ONE, FORK)),
        votes(a=(TWO, ONE), b=(TWO,), c=(FORK,)),
    ):
        result = tally(case, 2)
        assert isinstance(result, Split)
        assert {result.one.says.epoch.sha256, result.other.says.epoch.sha256} == {
            FIRST.sha256,
            "0" * 64,
        }


beats = st.lists(st.sampled_from([ONE, ONE_LATER, ONE_OTHER_KEY, TWO, FORK]), max_size=4)
rounds = st.dictionaries(st.sampled_from("abcde").map(PeerId), beats.map(tuple).map(Vote))


@given(rounds, st.integers(1, 5))
def test_agreement_always_has_enough_distinct_peers_that_serve_it(
    case: dict[PeerId, Vote], need: int
) -> None:
    result = tally(case, need)
    if isinstance(result, Agreement):
        assert len(set(result.peers)) == len(result.peers) >= need
        for peer in result.peers:
            named = {beat.says.epoch.sha256 for beat in case[peer].beats}
            assert result.epoch_sha256 in named
        assert {beat.says.epoch.sha256 for beat in result.beats} == {result.epoch_sha256}
    if isinstance(result, TooFew):
        assert result.most < need


@given(rounds, st.integers(1, 5), st.randoms(use_true_random=False))
def test_order_of_the_answers_changes_nothing(
    case: dict[PeerId, Vote], need: int, random: st.DataObject
) -> None:
    names = list(case)
    random.shuffle(names)  # type: ignore[attr-defined]
    shuffled = {name: case[name] for name in names}
    one, other = tally(case, need), tally(shuffled, need)
    assert one == other
