"""Agents that call agents: two real sidecars, in two pods, that have one key in common."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar import clock
from sidecar.core import canonical
from sidecar.core.parent import Tokens
from sidecar.core.reason import Reason
from tests import builders
from tests.integration.forks import Forks
from tests.integration.harness import LIMIT_S, Sidecar, World
from tests.integration.reasons import produces

KEY = bytes(range(32))
MAX_AGE_MS = 30_000
CHAT, TOOL = "/v1/chat/completions", "/v1/tool"
TOKEN, PARENT = "x-epochgate-token", "parent-decision"


def asking(*, required: bool) -> bytes:
    """A policy that permits everything under /v1 but /v1/secret, and asks for parents."""
    rule = {"methods": [], "headers": [], "in_flight": "cut"}
    return canonical.encode({
        **json.loads(builders.POLICY),
        "parent": {"max_age_ms": MAX_AGE_MS, "required": required},
        "rules": [
            {**rule, "name": "no-secret", "action": "deny", "paths": ["/v1/secret"]},
            {**rule, "name": "rest", "action": "permit", "paths": ["/v1/**"]},
        ],
    })  # fmt: skip


@pytest.fixture
async def tools(world: World, forks: Forks, tmp_path: Path) -> AsyncIterator[World]:
    """The gate of another pod; the same authority, and the same key."""
    for folder in (world.sidecar.folder, tmp_path / "tools"):
        folder.mkdir(exist_ok=True)
        (folder.parent / "parent.key").write_text(KEY.hex() + "\n")
    parent = {"keyFile": str(tmp_path / "parent.key")}
    there = Sidecar(tmp_path / "tools" / "sidecar", world.hand, parent=parent)
    there.forks = forks
    yield World(world.hand, world.service, there, world.session)
    there.end()
    ours = there.permits()
    for decision_id in ours:  # what is left is for `world` to account for
        world.service.seen.remove(decision_id)
    assert sum(ours.values()) == len(ours)


async def ask(world: World, path: str = TOOL, parent: str | None = None) -> tuple[int, str, str]:
    """Status, reason and token of one request that descends from a decision."""
    headers = {} if parent is None else {PARENT: parent}
    async with world.session.post(world.sidecar.url + path, json={}, headers=headers) as response:
        await response.read()
        said = response.headers
        return response.status, said.get("x-epochgate-reason", ""), said.get(TOKEN, "")


async def until(world: World, status: int, reason: str = "", parent: str | None = None) -> str:
    """Ask until that comes; the token of the answer."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            got = await ask(world, parent=parent)
            if got[:2] == (status, reason):
                return got[2]
            await asyncio.sleep(0.01)


def decided(world: World, token: str) -> dict[str, Any]:
    """The record of the decision that a token is for."""
    found = [line for line in world.sidecar.records() if line["type"] == "decision"]
    [line] = [line for line in found if line["decision_id"] == token.partition(".")[0]]
    return line


@produces(Reason.PARENT_DENIED)
@pytest.mark.sidecar(parent={"keyFile": "../parent.key"})
async def test_a_child_in_another_pod_goes_as_far_as_its_parent(world: World, tools: World) -> None:
    world.hand.put_epoch(routes=world.routes, policy=asking(required=False))
    await asyncio.gather(world.open(), tools.open())

    # Permitted there, and so here; the record of the child names the parent.
    status, _, permitted = await ask(world, CHAT)
    assert status == 200
    assert world.service.requests[-1].headers[TOKEN] == permitted, "the agent can call on at once"
    status, _, child = await ask(tools, parent=permitted)
    assert status == 200
    assert world.service.requests[-1].headers[PARENT] == permitted
    said = decided(tools, child)
    assert (said["decision"], said["parent_id"]) == ("permit", permitted.partition(".")[0])
    assert decided(world, permitted)["parent_id"] is None

    # A child of a child, back in the first pod.
    status, _, grandchild = await ask(world, parent=child)
    assert status == 200
    assert decided(world, grandchild)["parent_id"] == said["decision_id"]

    # Denied there, and so here; the record says whose child it was.
    status, _, denied = await ask(world, "/v1/secret")
    assert status == 403
    seen = len(world.service.requests)
    status, reason, orphan = await ask(tools, parent=denied)
    assert (status, reason) == (403, "EG207")
    said = decided(tools, orphan)
    assert (said["reason"], said["parent_id"]) == ("EG207", denied.partition(".")[0])
    assert (await ask(world, parent=orphan))[:2] == (403, "EG207"), "nor may its children"

    # Altered, of another fleet, too old, twice.
    old = clock.now().wall - MAX_AGE_MS - 1
    wrong = [
        denied.replace(".deny.", ".permit."),
        permitted[:-1] + ("0" if permitted[-1] != "0" else "1"),
        denied.rpartition(".")[0].replace("deny", "permit") + "." + permitted.rpartition(".")[2],
        Tokens([bytes(32)], 0).make("0" * 16 + "-1", "permit", clock.now().wall).decode(),
        Tokens([KEY], 0).make("0" * 16 + "-1", "permit", old).decode(),
        f"{permitted}, {permitted}",
        "",
    ]
    for token in wrong:
        assert (await ask(tools, parent=token))[:2] == (403, "EG207"), token
    assert len(world.service.requests) == seen

    # None at all is enough until one is required.
    assert (await ask(tools))[0] == 200
    world.hand.put_epoch(routes=world.routes, policy=asking(required=True))
    await until(tools, 403, "EG207")
    await until(tools, 200, parent=permitted)


async def test_a_sidecar_without_a_key_serves_no_policy_that_asks_for_parents(world: World) -> None:
    await world.open()
    world.hand.put_epoch(routes=world.routes, policy=asking(required=False))
    state = await world.until_cause("EG205")
    assert state["epoch"]["seq"] == 1, "the lease under the older epoch runs out"
    await world.until(503, "EG102")
    world.hand.put_epoch(routes=world.routes)
    await world.until(200)
