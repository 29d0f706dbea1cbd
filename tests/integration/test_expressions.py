"""A policy with expressions and one with halves, through the real sidecar and its workers."""

import asyncio
from typing import Any

import pytest

from sidecar.core import canonical, policy
from sidecar.core.canonical import Json
from sidecar.core.reason import Reason
from tests import builders, clauses
from tests.integration.harness import HOST, LIMIT_S, World
from tests.integration.reasons import produces

CHAT = "/v1/chat/completions"
SMALL: Json = [
    {
        "expression": clauses.header("x-model", "small"), "message": "only small models here",
        "name": "small",
    }
]  # fmt: skip
NOTED: Json = [
    {"key": "agent", "value_expression": clauses.value_of("request.agent")},
    {"key": "instance", "value_expression": clauses.value_of("workload.instance")},
]  # fmt: skip


def saying(**changes: Json) -> dict[str, Json]:
    body = canonical.parse(builders.POLICY, policy.MAX_BYTES)
    assert isinstance(body, dict)
    return {**body, "annotations": NOTED, **changes}


async def serve(world: World, body: dict[str, Json]) -> None:
    table = builders.routes_bytes(world.service.port, attributes={"agent": "x-agent"})
    world.hand.put_epoch(routes=table, policy=canonical.encode(body))
    world.hand.pulse()


def last(world: World) -> dict[str, Any]:
    return [line for line in world.sidecar.records() if line["type"] == "decision"][-1]


@produces(Reason.POLICY_DENY, Reason.POLICY_INVALID)
async def test_a_request_is_judged_by_expressions_and_the_record_says_which(world: World) -> None:
    await serve(world, saying(validations=SMALL))
    world.hand.start()
    await world.sidecar.start()
    failed = await world.until(503, "EG203")
    assert failed["detail"] == "Denied by epochgate: policy-invalid (EG203)."
    noted = {"agent": "", "instance": (await world.state())["instance"]}
    said = last(world)
    assert (said["reason"], said["rule"], said["clause"]) == ("EG203", "chat", "small")
    assert said["annotations"] == noted

    headers = {"x-model": "large", "x-agent": "a7"}
    status, code, body = await world.ask(headers=headers)
    assert (status, code) == (403, "EG204")
    assert body["detail"] == "Denied by epochgate: policy-deny (EG204): only small models here"
    said = last(world)
    assert (said["decision"], said["rule"], said["clause"]) == ("deny", "chat", "small")
    assert said["annotations"] == noted | {"agent": "a7"}
    assert "rollout" not in said

    assert (await world.ask(headers=headers | {"x-model": "small"}))[0] == 200
    said = last(world)
    assert (said["decision"], said["annotations"]["agent"]) == ("permit", "a7")
    assert "clause" not in said

    # The same, only observed: by the policy itself, which the epoch names.
    await serve(world, saying(validations=SMALL, mode="observe"))
    await world.until(200)
    async with world.session.post(world.sidecar.url + CHAT, json={}) as response:
        assert response.headers["x-epochgate-observed"] == "EG203"
    said = last(world)
    assert (said["decision"], said["reason"], said["clause"]) == ("permit", "EG203", "small")
    state = await world.state()
    assert (state["policy"]["mode"], state["epoch"]["enforcement"]) == ("observe", "enforce")
    async with world.session.get(f"http://{HOST}:{world.sidecar.status}/metrics") as response:
        shown = await response.text()
    assert 'epochgate_decisions_total{decision="observe",reason="EG203"}' in shown
    assert 'mode="observe"' in shown


@pytest.mark.sidecar(workers=2)
async def test_every_worker_takes_the_same_half_and_knows_the_same_place(world: World) -> None:
    rollout: Json = {"otherwise": saying(name="before"), "percent": 0}
    await serve(world, saying(rules=[], rollout=rollout))
    world.hand.start()
    await world.sidecar.start()
    await world.until(200)
    state = await world.state()
    assert (state["policy"]["name"], state["policy"]["rollout"]) == ("before", "otherwise")
    async with asyncio.timeout(LIMIT_S):
        while len(permits := by_worker(world)) < 2:
            close = {"connection": "close"}  # another connection, so any worker
            async with world.session.post(world.sidecar.url + CHAT, json={}, headers=close) as got:
                assert got.status in (200, 503)
    for said in permits.values():
        assert said["rollout"] == "otherwise"
        assert said["annotations"] == {"agent": "", "instance": state["instance"]}


def by_worker(world: World) -> dict[str, dict[str, Any]]:
    return {
        said["inst"]: said for said in world.sidecar.records() if said.get("decision") == "permit"
    }
