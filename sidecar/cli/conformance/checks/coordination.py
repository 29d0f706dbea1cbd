"""Checks of what an epoch binds: policy, routes, scope, its chain; how it spreads; and halts.

Source: protocol b.15 sections 1, 2, 3.2, 3.3, 4.3, 4.8, 6.
"""

import itertools
import json
import time

import msgspec

from sidecar.cli.conformance.check import covers, expect, settle
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.signs import (
    answered,
    until_answered,
    until_contained,
    until_failed,
    until_open,
)
from sidecar.cli.conformance.view import View
from sidecar.core import canonical
from sidecar.core.objects.epoch import PolicyRef, RoutesRef

DENIED = 403
MODELS = "/v1/models"
COMMITTED = 2  # peers that have to take it: the write quorum of the deployment


@covers("1.2", "3.2", "9.3")
async def altered_policy(deployment: Deployment) -> str:
    """The peers hold other bytes than the policy that the epoch names."""
    async with deployment.instead() as hand:
        after = len(deployment.view.records("lifecycle"))
        old = hand.newest().says.policy
        body = hand.blob(old.sha256).replace(b'"name":"chat"', b'"name":"talk"')
        sha256 = canonical.digest(body)
        hand.put_blob(sha256, body.replace(b"/v1/chat", b"/v2/chat"))
        hand.put_epoch(policy=PolicyRef(sha256=sha256, size=len(body), media_type=old.media_type))
        try:
            said = await until_contained(deployment.view, 2, "EG202", shown="EG201")
            failed = await until_failed(deployment.view, 3, "EG201", after)
        finally:
            hand.put_blob(sha256, body)
        await deployment.open()
    return f"{said}; {failed}; open with the right bytes"


@covers("1.2", "2.3", "3.3", "4.3")
async def altered_routes(deployment: Deployment) -> str:
    """The peers hold a route table that leads elsewhere than the one that the epoch names."""
    async with deployment.instead() as hand:
        old = hand.newest().says.routes
        body = hand.blob(old.sha256).replace(b'"name":"demo"', b'"name":"next"')
        sha256 = canonical.digest(body)
        hand.put_blob(sha256, body.replace(b"127.0.0.1", b"127.0.0.2"))
        hand.put_epoch(routes=RoutesRef(sha256=sha256, size=len(body)))
        try:
            said = await until_contained(deployment.view, 3, "EG301")
        finally:
            hand.put_blob(sha256, body)
        await deployment.open()
    return f"{said}; open with the right bytes"


@covers("2.6", "3.3", "4.3")
async def other_region(deployment: Deployment) -> str:
    """An epoch is for one region: the sidecar there serves, the one elsewhere does not."""
    async with deployment.instead() as hand:
        scope = hand.newest().says.scope
        hand.put_epoch(scope=msgspec.structs.replace(scope, regions=(deployment.here.name,)))
        said = await until_contained(deployment.there.view, 3, "EG304")
        await until_open(deployment.here.view)
        await deployment.serve(hand.put_epoch(scope=scope))
    return f"elsewhere {said}; in the region open"


@covers("1.4", "4.8", "6.2", "9.3")
async def broken_chain(deployment: Deployment) -> str:
    """A properly signed epoch does not name the one before it."""
    view = deployment.view
    async with deployment.instead() as hand:
        after = len(view.records("lifecycle"))
        before = hand.newest()
        hand.put_epoch(head=False, prev_sha256="0" * 64)
        said = await until_contained(view, 8, "EG804")
        failed = await until_failed(view, 3, "EG804", after)
        hand.vouched = before
        await deployment.open()
    history = json.loads(
        await deployment.succeed("epoch", "history", "--config", "authority.yaml", "-o", "json")
    )
    links = [(one["prev_sha256"], two["sha256"]) for one, two in itertools.pairwise(history)]
    expect(all(one == two for one, two in links), f"links: {links}")
    return f"{said}; {failed}; {len(history)} epochs on the peers, each names the one before"


@covers("2.1", "2.4", "2.7", "7.1", "8.6")
async def new_epoch(deployment: Deployment) -> str:
    """An epoch is issued: acknowledged by a write quorum, and soon enforced by every sidecar."""
    for gate in deployment.gates:
        await settle(lambda view=gate.view: _status(view, 200), deployment.limit_s)  # type: ignore[misc]
    issued = await deployment.succeed(
        *deployment.issuing("policy-2.yaml", "--activation", "immediate", "-o", "json")
    )
    began = time.perf_counter()
    said = json.loads(issued)
    expect(said["acks"] >= COMMITTED, f"{said['acks']} peers took it")
    for gate in deployment.gates:
        await settle(lambda view=gate.view: _status(view, DENIED), deployment.limit_s)  # type: ignore[misc]
    spent_ms = (time.perf_counter() - began) * 1000
    epochs = [(await gate.view.state())["epoch"]["sha256"] for gate in deployment.gates]
    expect(epochs[0] == epochs[1], f"they serve {epochs}")
    for gate in deployment.gates:
        names = [line["detail"]["sha256"][:16] for line in gate.view.records("epoch")]
        expect(epochs[0] in names, f"{gate.name} has no record of it")
    await deployment.succeed(*deployment.issuing("policy.yaml", "--activation", "immediate"))
    for gate in deployment.gates:
        await settle(lambda view=gate.view: _status(view, 200), deployment.limit_s)  # type: ignore[misc]
    return (
        f"{said['acks']} of 3 peers took it; enforced by both {spent_ms:.0f} ms after the command"
    )


@covers("1.6", "2.1", "4.9", "8.8")
async def halted(deployment: Deployment) -> str:
    """One key stops both sidecars, also across a restart; two keys, and not one, end it."""
    said = json.loads(
        await deployment.succeed(
            "halt", "--config", "authority.yaml", "--reason", "conformance",
            "--key", "trust/keys/halt-1.key", "-o", "json",
        )
    )  # fmt: skip
    for gate in deployment.gates:
        await until_answered(gate.view, "EG901")
    await deployment.there.restart()
    told = await settle(lambda: answered(deployment.there.view, "EG901"), deployment.limit_s)
    state = await deployment.view.state()
    expect(state["state"] == "halted" and state["halts"], f"state is {state['state']}")
    clear = (
        "clear", said["halt_id"], "--config", "authority.yaml", "--reason", "conformance",
        "--key", "trust/keys/resume-1.key",
    )  # fmt: skip
    refused = await deployment.command(*clear)
    expect(refused.status, "one key ended a halt")
    await deployment.succeed(*clear, "--key", "trust/keys/resume-2.key")
    await deployment.open()
    return f"both {told}, and after a restart; 1 key refused, 2 keys: open"


async def _status(view: View, status: int) -> None:
    got = await view.ask("GET", MODELS)
    expect(got.status == status, f"GET {MODELS} got {got}")


CHECKS = (
    altered_policy, altered_routes, other_region, broken_chain, new_epoch, halted,
)  # fmt: skip
