"""The ten steps: told once for each way they came out."""

from sidecar.core import lifecycle as steps
from sidecar.core.events import Passage
from sidecar.core.lifecycle import Course, Trail
from sidecar.core.reason import Reason
from tests.builders import now

GROUND: steps.Evidence = {"epoch": "e", "trust": "t"}
MIDDLE = range(steps.SYNCHRONIZATION, steps.EVALUATION)


def through(course: Course, ms: int = 0, until: int = steps.TELEMETRY) -> Trail:
    """A round that came as far as that step; each step took ten milliseconds."""
    course.begin(now(ms), {})
    for step in range(steps.SYNCHRONIZATION, until + 1):
        course.passed(step, now(ms + 10 * (step - 1)), {"of": step})
    return course.trail


def told(passages: list[Passage]) -> list[tuple[int, bool]]:
    """Of one passage: its steps, and whether each held."""
    (passage,) = passages
    return [(step.number, step.ok) for step in passage.steps]


def test_a_first_lease_is_told_with_its_eight_steps_in_order() -> None:
    course = Course()
    trail = through(course)
    passages = course.approved(trail, now(80), GROUND)
    assert told(passages) == [(number, True) for number in range(1, 9)]
    assert [step.spent_ms for step in passages[0].steps] == [0, 10, 10, 10, 10, 10, 30, 0]
    assert passages[0].steps[3].evidence == {"of": steps.INTEGRITY}
    assert (course.latest.step, course.latest.ok) == (steps.APPROVAL, True)


def test_a_renewal_of_the_same_is_not_told() -> None:
    course = Course()
    for ms in (0, 300, 600):
        passages = course.approved(through(course, ms), now(ms + 80), GROUND)
        assert bool(passages) == (ms == 0)


def test_another_epoch_or_trust_document_is_told() -> None:
    course = Course()
    for other in (GROUND, {**GROUND, "epoch": "f"}, {**GROUND, "trust": "u"}, GROUND):
        assert told(course.approved(through(course), now(80), other))


def test_other_evidence_of_the_same_is_not_told() -> None:
    course = Course()
    course.approved(through(course), now(80), {**GROUND, "marks": 1})
    assert course.approved(through(course), now(80), {**GROUND, "marks": 2}) == []


def test_a_step_that_failed_ends_the_passage_with_its_reasons() -> None:
    course = Course()
    through(course, until=steps.COORDINATION)
    passages = course.failed(now(90), [Reason.CODE_DIGEST_MISMATCH])
    assert told(passages) == [(1, True), (2, True), (3, True), (4, False)]
    last = passages[0].steps[-1]
    assert (last.spent_ms, last.evidence) == (70, {"reasons": ["EG401"]})
    assert (course.latest.step, course.latest.ok) == (steps.INTEGRITY, False)


def test_the_same_failure_is_told_once_and_another_again() -> None:
    course = Course()
    for reasons, tells in (
        ([Reason.QUORUM_LOST], True),
        ([Reason.QUORUM_LOST], False),
        ([Reason.QUORUM_LOST, Reason.ROLLBACK], True),
        ([Reason.QUORUM_LOST], True),
    ):
        course.begin(now(), {})
        assert bool(course.failed(now(9), reasons)) == tells


def test_recovery_is_told_although_the_lease_is_for_the_same_epoch() -> None:
    course = Course()
    course.approved(through(course), now(80), GROUND)
    course.begin(now(300), {})
    course.failed(now(310), [Reason.QUORUM_LOST])
    assert told(course.approved(through(course, 600), now(680), GROUND))


def test_steps_that_were_skipped_or_come_again_do_not_count() -> None:
    course = Course()
    course.begin(now(), {})
    course.passed(steps.INTEGRITY, now(5), {})
    course.passed(steps.SYNCHRONIZATION, now(6), {"first": 1})
    course.passed(steps.SYNCHRONIZATION, now(7), {"second": 1})
    assert [evidence for _, evidence in course.trail.steps] == [{}, {"first": 1}]


def test_a_lease_keeps_its_steps_although_another_round_has_begun() -> None:
    """A disk that answers after the next poll must not take half of a passage from the log."""
    course = Course()
    trail = through(course)
    course.begin(now(300), {})
    assert len(told(course.approved(trail, now(310), GROUND))) == steps.APPROVAL


def test_a_failure_after_an_approval_in_the_same_round_names_the_step_after_the_sixth() -> None:
    course = Course()
    course.approved(through(course), now(80), GROUND)
    assert told(course.failed(now(90), [Reason.EPOCH_SUPERSEDED]))[-1] == (steps.EVALUATION, False)


def test_a_disk_that_fails_denies_the_approval() -> None:
    course = Course()
    through(course)
    passages = course.failed(now(90), [Reason.STATE_UNWRITABLE])
    assert told(passages)[-2:] == [(steps.EVALUATION, True), (steps.APPROVAL, False)]


def test_a_process_begins_at_the_first_step() -> None:
    assert (Course().latest.step, Course().latest.ok) == (steps.INITIALIZATION, True)
    assert list(MIDDLE) == [2, 3, 4, 5, 6]
