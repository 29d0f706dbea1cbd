"""Parts of a policy as short text."""

import msgspec
import pytest

from sidecar.cli.workbench.spelling import differing, spelled
from sidecar.core import recording
from sidecar.core.policy_body import (
    AnnotationBody,
    ConditionBody,
    DrainBody,
    ExpressionBody,
    HeaderEquals,
    RuleBody,
)

ASKS = ExpressionBody(code=[["bool", True]], text="true  ||\n false")


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (msgspec.UNSET, ""), ("a", "a"), (("a", "b"), "a, b"), (HeaderEquals("a", "b"), "a: b"),
        (ASKS, "true || false"), (ConditionBody(ASKS, "c"), "c: true || false"),
        (AnnotationBody("k", ASKS), "k: true || false"), (DrainBody(5), "drain 5 ms"),
        (recording.Body(receipts=True), '{"receipts":true}'), (7, "7"),
        (
            RuleBody("r", "deny", ("GET",), ("/a",), (HeaderEquals("h", "v"),), "cut",
                     (ConditionBody(ASKS, "c"),)),
            "deny GET /a with h: v when c: true || false",
        ),
    ],
)  # fmt: skip
def test_a_part_is_spelled(part: object, text: str) -> None:
    assert spelled(part) == text


def test_lists_show_what_the_other_lacks_or_all_of_them() -> None:
    assert differing(("a", "b"), ("b", "c")) == ("a", "c")
    assert differing(("a", "b"), ("b", "a")) == ("a, b", "b, a")
    assert differing(msgspec.UNSET, ("a",)) == ("", "a")
