"""What a policy with expressions says, as clients, the log and the figures see it."""

import json
from dataclasses import replace

from sidecar.core import canonical, policy
from sidecar.core.canonical import Json
from sidecar.core.gate import Denial, Permit
from sidecar.core.policy import Policy
from sidecar.core.reason import Reason
from tests import clauses
from tests.builders import make_epoch, make_trust
from tests.proxy.streams import CHAT
from tests.proxy.world import World, made_policy, request, running

SMALL: list[Json] = [
    {
        "expression": clauses.header("x-model", "small"), "message": "only small models here",
        "message_expression": clauses.header_value("x-why"), "name": "small",
    }
]  # fmt: skip


def asking(**changes: Json) -> Policy:
    """The policy of these tests, and a validation."""
    body = canonical.parse(made_policy().raw, policy.MAX_BYTES)
    assert isinstance(body, dict)
    return policy.parse(canonical.encode({**body, "validations": SMALL, **changes}))


def serve(world: World, made: Policy) -> None:
    epoch = make_epoch(make_trust(), policy_blob=made.raw)
    lease = world.gate.snapshot.lease
    assert lease is not None
    held = replace(lease, epoch_sha256=epoch.sha256)
    world.gate.publish(replace(world.base, lease=held, epoch=epoch, policy=made))


def asked(*headers: tuple[str, str]) -> bytes:
    return request(headers="".join(f"{name}: {value}\r\n" for name, value in headers))


async def test_a_client_is_told_what_the_policy_wants_said_and_nothing_else() -> None:
    async with running() as world:
        serve(world, asking())
        assert (await world.ask(asked(("x-model", "small")))).status == 200
        for why, said in (
            ("", "only small models here"),
            ("use m7", "use m7"),
            ("caf\xc3\xa9", "only small models here"),
        ):
            lines = [("x-model", "large"), *([("x-why", why)] if why else [])]
            response = await world.ask(asked(*lines))
            assert (response.status, response.headers[b"x-epochgate-reason"]) == (403, b"EG204")
            answer = json.loads(response.body)
            assert answer["detail"] == f"Denied by epochgate: policy-deny (EG204): {said}"
            assert answer["error"]["message"].endswith(f": {said}")
            assert b"x-model" not in response.body
        decision = world.recorder.decisions[-1][0]
        assert isinstance(decision, Denial)
        assert decision.verdict is not None
        assert decision.verdict.clause is not None
        assert (decision.rule and decision.rule.name, decision.verdict.clause.name) == (
            "rest",
            "small",
        )


async def test_an_expression_that_fails_denies_and_tells_the_client_no_more_than_that() -> None:
    async with running() as world:
        serve(world, asking())
        response = await world.ask(CHAT)
        assert (response.status, response.headers[b"x-epochgate-reason"]) == (503, b"EG203")
        assert json.loads(response.body)["detail"] == "Denied by epochgate: policy-invalid (EG203)."
        assert response.headers[b"x-should-retry"] == b"false"
        assert world.service.received == []


async def test_what_a_policy_only_observes_is_relayed_and_says_what_would_have_come() -> None:
    async with running() as world:
        serve(world, asking(mode="observe"))
        for lines, code, reason in (
            ((), b"EG203", Reason.POLICY_INVALID),
            ((("x-model", "large"),), b"EG204", Reason.POLICY_DENY),
        ):
            response = await world.ask(asked(*lines))
            assert (response.status, response.headers[b"x-epochgate-observed"]) == (200, code)
            assert response.headers[b"x-epochgate-decision"] == b"permit"
            assert world.observer.observed[-1] is reason
            decision = world.recorder.decisions[-1][0]
            assert isinstance(decision, Permit)
            assert decision.verdict is not None
            assert decision.verdict.clause is not None
            assert decision.verdict.clause.name == "small"
        assert b"x-epochgate-observed" not in (await world.ask(asked(("x-model", "small")))).headers
