"""That what a sidecar evaluates is CEL: the library and our closures agree, also on errors."""

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.expressions import texts
from tests.expressions.oracle import Oracle, Verdict

ORACLE = Oracle(texts.NAMES)

# What chooses: for the expression, and for the values of all names.
TAPES = st.binary(min_size=120, max_size=120)
WORLDS = st.lists(st.binary(min_size=80, max_size=80), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(TAPES, WORLDS)
def test_agrees_on_any_expression(tape: bytes, worlds: list[bytes]) -> None:
    text = texts.expression(tape)
    for answers in ORACLE.ask(text, [texts.world(world) for world in worlds]):
        event(answers.verdict.value)
        assert answers.verdict is not Verdict.DIFFER, (text, answers)
