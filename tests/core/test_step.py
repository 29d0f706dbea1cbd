"""What counts as an answer to a step of a beat."""

from sidecar.core.events import PeerFailed, PeerReplied
from sidecar.core.issuing import PeerWrote
from sidecar.core.quorum import PeerId
from sidecar.core.step import Phase, Step

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")


def test_each_peer_answers_once_and_each_answer_lands_where_it_belongs() -> None:
    step = Step()
    step.enter(Phase.READING, (A, B, C))
    assert step.take(PeerReplied(A, 1, {"k": (b"v",)}))
    assert step.take(PeerFailed(B, 1, "timeout"))
    assert step.take(PeerWrote(C, 1))
    assert not step.waiting
    assert (step.answers, step.failed, step.acks) == ({A: {"k": (b"v",)}}, {B: "timeout"}, [C])
    assert not step.take(PeerWrote(C, 1))
    assert step.acks == [C]


def test_an_answer_to_the_step_before_is_no_answer_to_this_one() -> None:
    step = Step()
    step.enter(Phase.READING, (A,))
    step.enter(Phase.WRITING, (A, B))
    assert not step.take(PeerWrote(A, 1))
    assert (step.waiting, step.acks) == ({A, B}, [])


def test_a_peer_that_was_not_asked_answers_nothing() -> None:
    step = Step()
    step.enter(Phase.REPAIRING, (A,))
    assert not step.take(PeerWrote(B, 1))
    assert step.waiting == {A}


def test_a_new_step_forgets_what_came_before() -> None:
    step = Step()
    step.enter(Phase.READING, (A,))
    step.take(PeerFailed(A, 1, "timeout"))
    step.enter(Phase.FETCHING, (B,))
    assert (step.phase, step.number, step.failed) == (Phase.FETCHING, 2, {})
