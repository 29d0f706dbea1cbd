"""The way through the rules that is shown, held against the policy that decides."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.cli.cases import Expected
from sidecar.cli.given import Given
from sidecar.cli.workbench.trace import End, Trace, known_of, unasked
from sidecar.core import canonical, policy, routes
from sidecar.core.facts import NOWHERE, Facts, Workload
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.parent import Claim
from sidecar.core.policy_body import TYPE, Body, HeaderEquals, ParentBody, RolloutBody, RuleBody
from sidecar.core.reason import Reason
from sidecar.core.routes import NO_ROUTES
from tests import builders
from tests.cli.workbench.policies import HEADS, policies

ROUTE = {"name": "a", "paths": ["/a"], "upstream": "model"}


def known(head: RequestHead) -> Facts:
    return Facts(head, NO_ROUTES, None, None, NOWHERE, Now(BootNs(0), WallMs(0)))


@settings(deadline=None, max_examples=50)  # compiles a policy each time
@given(policies, st.sampled_from(HEADS))
def test_what_is_shown_is_what_decides(body: Body, head: RequestHead) -> None:
    compiled = policy.parse(canonical.dump(body))
    verdict = compiled.judge(known(head))
    steps = Trace(compiled).steps(known(head))
    last = steps[-1] if steps else None
    if last is None or last.end is End.PASSED_OVER:
        assert (verdict.rule, verdict.reason) == (None, Reason.POLICY_DENY)
        assert len(steps) == len(body.rules)
        return
    assert verdict.rule is not None
    assert verdict.rule.name == last.rule.name
    assert (verdict.reason is None) is last.permits
    assert (verdict.reason is Reason.POLICY_INVALID) is (last.end is End.FAILED)
    assert (None if verdict.clause is None else verdict.clause.name) == last.clause


def body(*rules: RuleBody, **more: object) -> Body:
    return Body(type=TYPE, name="p", rules=rules, **more)  # type: ignore[arg-type]


def test_a_rule_is_left_at_its_first_question_that_fails() -> None:
    rule = RuleBody("r", "permit", ("POST",), ("/a", "/b"), (HeaderEquals("h", "v"),), "cut")
    trace = Trace(policy.parse(canonical.dump(body(rule))))
    for head, what, found, wanted in (
        (RequestHead(b"POST", b"/c", b"/c", ()), "path", "/c", "/a, /b"),
        (RequestHead(b"GET", b"/a", b"/a", ()), "method", "GET", "POST"),
        (RequestHead(b"POST", b"/a", b"/a", ()), "header", "not sent", "h: v"),
        (
            RequestHead(b"POST", b"/a", b"/a", ((b"h", b"v"), (b"h", b"v"))),
            "header",
            "v, v",
            "h: v",
        ),
    ):
        (step,) = trace.steps(known(head))
        last = step.asked[-1]
        assert (last.what, last.found, last.wanted, step.end) == (
            what, found, wanted, End.PASSED_OVER,
        )  # fmt: skip


def test_of_a_rollout_the_half_that_is_in_force_is_walked() -> None:
    old, new = (RuleBody(name, "permit", (), ("/a",), (), "cut") for name in ("old", "new"))
    raw = canonical.dump(body(new, rollout=RolloutBody(otherwise=body(old), percent=0)))
    head = RequestHead(b"GET", b"/a", b"/a", ())
    for here, name in ((NOWHERE, "new"), (Workload(key_id="k"), "old")):
        compiled = policy.parse(raw, here)
        assert Trace(compiled).steps(known(head))[-1].rule.name == name


def test_rules_are_not_asked_by_everything() -> None:
    compiled = policy.parse(canonical.dump(body()))
    table = routes.NO_ROUTES
    assert "exempt" in unasked(compiled, table, Given(), Expected("exempt"))
    assert "EG905" in unasked(compiled, table, Given(lease="none"), Expected("deny"))
    assert "no route" in unasked(compiled, table, Given(), Expected("deny"))


def test_without_the_parent_that_it_needs_no_rule_is_asked() -> None:
    asks = ParentBody(max_age_ms=1000, required=True)
    rule = RuleBody("r", "permit", (), ("/a",), (), "cut")
    compiled = policy.parse(canonical.dump(body(rule, parent=asks)))
    table = routes.parse(builders.routes_bytes(routes=[ROUTE]))
    start = Given(path="/a")
    assert "EG207 parent-denied" in unasked(compiled, table, start, Expected("deny"))
    child = replace(start, parent=Claim("permit", "0123456789abcdef-1"))
    assert unasked(compiled, table, child, Expected("permit")) == ""
    assert known_of(compiled, table, child).parent == "0123456789abcdef-1"
