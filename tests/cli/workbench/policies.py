"""Random policies with every kind of clause, and every request that they can tell apart."""

from itertools import product

from hypothesis import strategies as st

from sidecar.core.head import RequestHead
from sidecar.core.policy_body import (
    TYPE,
    Body,
    ConditionBody,
    ExpressionBody,
    HeaderEquals,
    RuleBody,
    ValidationBody,
)

# True, false, and without a value for some requests.
TRUE = ExpressionBody(code=[["bool", True]], text="true")
IS_A = ExpressionBody(
    code=[["name", "request.query"], ["string", "a"], ["equals", 0, 1]],
    text="request.query == 'a'",
)
FAILS = ExpressionBody(
    code=[
        ["name", "request.headers"], ["string", "h"], ["index_map", 0, 1], ["string", "1"],
        ["equals", 2, 3],
    ],
    text="request.headers['h'] == '1'",
)  # fmt: skip
expressions = st.sampled_from([TRUE, IS_A, FAILS])


def listed(kind: type[ConditionBody] | type[ValidationBody]) -> st.SearchStrategy[object]:
    return st.lists(expressions, max_size=2, unique_by=lambda one: one.text).map(
        lambda found: tuple(
            kind(expression=one, name=f"{kind.__name__.lower()[0]}{number}")
            for number, one in enumerate(found)
        )
    )


def rules(name: str) -> st.SearchStrategy[RuleBody]:
    return st.sampled_from(["permit", "permit", "deny"]).flatmap(
        lambda action: st.builds(
            RuleBody,
            st.just(name),
            st.just(action),
            st.sampled_from([(), ("GET",), ("GET", "POST")]),
            st.sampled_from([("/a",), ("/b",), ("/*",), ("/a", "/b")]),
            st.sampled_from([(), (HeaderEquals(name="h", value="1"),)]),
            st.just("cut"),
            listed(ConditionBody),
            listed(ValidationBody) if action == "permit" else st.just(()),
        )
    )


policies = (
    st.lists(st.sampled_from(["r", "s", "t"]), unique=True, max_size=3)
    .flatmap(lambda names: st.tuples(*(rules(name) for name in names)))
    .map(lambda found: Body(type=TYPE, name="p", rules=found))
)

HEADS = [
    RequestHead(method, path + query, path, lines)
    for method, path, query, lines in product(
        (b"GET", b"POST"), (b"/a", b"/b"), (b"?a", b"?b"), ((), ((b"h", b"1"),), ((b"h", b"2"),))
    )
]
