"""Clauses of a policy: true, false or an error; and what is told and written down about them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import clauses
from sidecar.core.clauses import Annotation, Clause
from sidecar.core.expression import EvaluationError
from sidecar.core.facts import NOWHERE, Ask, Facts
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.routes import NO_ROUTES

KNOWN = Facts(
    RequestHead(b"GET", b"/", b"/", ()), NO_ROUTES, None, None, NOWHERE, Now(BootNs(0), WallMs(0))
)


def gives(value: object) -> Ask:
    return lambda facts: value


def fails(error: Exception) -> Ask:
    def ask(facts: Facts) -> object:
        raise error

    return ask


ERRORS = [EvaluationError("no such key"), KeyError("x"), RecursionError()]


def test_a_clause_is_true_or_false() -> None:
    assert Clause("a", gives(value=True)).holds(KNOWN) is True
    assert Clause("a", gives(value=False)).holds(KNOWN) is False


@pytest.mark.parametrize("value", [None, 0, 1, "", "true", [], {}])
def test_what_is_neither_is_an_error(value: object) -> None:
    with pytest.raises(EvaluationError):
        Clause("a", gives(value)).holds(KNOWN)


def test_a_made_message_wins_over_a_plain_one() -> None:
    assert Clause("a", gives(value=False), "plain").told(KNOWN) == "plain"
    assert Clause("a", gives(value=False), "plain", gives("made")).told(KNOWN) == "made"


@pytest.mark.parametrize(
    "value", ["", "x" * 257, "a\nb", "a\tb", "\x1b[2J", "zoë", "\udcff", 7, None]
)
def test_a_made_message_that_cannot_be_told_is_the_plain_one(value: object) -> None:
    assert Clause("a", gives(value=False), "plain", gives(value)).told(KNOWN) == "plain"


@pytest.mark.parametrize("error", ERRORS)
def test_a_message_that_fails_is_the_plain_one(error: Exception) -> None:
    assert Clause("a", gives(value=False), "plain", fails(error)).told(KNOWN) == "plain"


@pytest.mark.parametrize("error", ERRORS)
def test_an_annotation_that_fails_is_left_out(error: Exception) -> None:
    wanted = (Annotation("a", gives("1")), Annotation("b", fails(error)), Annotation("c", gives(2)))
    assert clauses.written(wanted, KNOWN) == {"a": "1"}


@given(st.text(max_size=400))
def test_attack_by_an_annotation_on_whoever_reads_a_record(value: str) -> None:
    found = clauses.written((Annotation("a", gives(value)),), KNOWN)["a"]
    assert found.isascii()
    assert not found or found.isprintable()
    assert len(found) <= clauses.ANNOTATION_MAX
    if value.isascii() and value.isprintable() and "\\" not in value:
        assert found == value[: clauses.ANNOTATION_MAX]
