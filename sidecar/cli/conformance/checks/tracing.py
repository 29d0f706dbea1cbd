"""Checks of what can be followed afterwards: lifecycle, decisions, rounds, references.

Source: protocol b.15 sections 6.6, 8, 9.
"""

import json
from collections.abc import Mapping
from typing import Any

from sidecar.cli.conformance.check import BrokenError, covers, expect, settle
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.view import Answer, View
from sidecar.core import canonical, layout, parent
from sidecar.core.objects.epoch import PolicyRef
from sidecar.core.reason import Reason

STEPS = tuple(range(1, 11))
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADER = parent.HEADER.decode()
NOWHERE = "/v1/nowhere"  # it has a route, and no rule permits it
PARENT = {"max_age_ms": 60_000, "required": False}


@covers("8.1", *(f"9.{step}" for step in STEPS))
async def first_passage(deployment: Deployment) -> str:
    """The way to the first lease: ten steps on record, in order, each with time and evidence."""

    async def look() -> list[Mapping[str, Any]]:
        found = [line["detail"] for line in deployment.view.records("lifecycle")]
        approved = [at for at, one in enumerate(found) if one["step"] == 10]  # noqa: PLR2004
        expect(approved, f"steps on record: {[one['step'] for one in found]}")
        return found[approved[0] - 9 : approved[0] + 1]

    steps = await settle(look, deployment.limit_s)
    expect(tuple(one["step"] for one in steps) == STEPS, f"steps: {[one['step'] for one in steps]}")
    expect(all(one["ok"] for one in steps), "one of them failed")
    fields = {"step", "ok", "ms", "evidence"}
    expect(all(one.keys() == fields for one in steps), "fields are missing")
    named = steps[7]["evidence"]["epoch"]
    expect(_epoch_held(deployment, named), "the peers hold no epoch that step 8 names")
    spent_ms = sum(one["ms"] for one in steps)
    states = [line["detail"]["to"] for line in deployment.view.records("transition")]
    expect("running" in states, f"transitions: {states}")
    return f"steps 1 to 10 in {spent_ms} ms; step 8 names an epoch that the peers hold"


@covers("6.6", "8.3", "8.4", "8.7", "9.9")
async def traced_request(deployment: Deployment) -> str:
    """From the id in an answer to the record, and from there to policy, epoch and beat."""
    view = deployment.view
    got = await view.ask(headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    expect(got.status == 200, f"a request got {got}")  # noqa: PLR2004
    decision = got.headers.get("x-epochgate-decision-id", "")
    expect(decision, f"the answer names no decision: {dict(got.headers)}")
    record = await settle(lambda: _recorded(view, decision), deployment.limit_s)
    expect(decision.endswith(f"-{record['seq']}"), "the id is not the place in the log")
    expect(record["trace_id"] and TRACE in record["trace_id"], f"trace is {record['trace_id']}")
    expect(record["route"] and record["upstream"] and record["rule"], "no route, rule or upstream")
    expect(_epoch_held(deployment, record["epoch"]["sha"]), "no peer holds the epoch that it names")
    held = deployment.hand.blob(record["policy_sha"])
    expect(canonical.digest(held) == record["policy_sha"], "no peer holds its policy")
    expect(record["beat"]["issuer"] and record["trust_v"], "no beat or trust document")
    route = f"route {record['route']} to {record['upstream']}"
    return f"{route}, epoch, policy and beat resolved; one outcome; trace id kept"


@covers("8.7")
async def descended_request(deployment: Deployment) -> str:
    """Agents call agents: the record names the parent, and the child of a denied one is denied."""
    async with deployment.instead() as hand:
        old = hand.newest().says.policy
        asking = {**json.loads(hand.blob(old.sha256)), "parent": PARENT}
        body = canonical.encode(asking)
        sha256 = canonical.digest(body)
        hand.put_blob(sha256, body)
        ref = PolicyRef(sha256=sha256, size=len(body), media_type=old.media_type)
        try:
            await deployment.serve(hand.put_epoch(policy=ref))
            said = await _descend(deployment)
        finally:
            restored = hand.put_epoch(policy=old)
        await deployment.serve(restored)
    return said


async def _descend(deployment: Deployment) -> str:
    """From a request here to one that descends from it there."""
    here, there = deployment.here.view, deployment.there.view
    permitted, denied = _token(await here.ask(), 200), _token(await here.ask("GET", NOWHERE), 403)
    child = await there.ask(headers={HEADER: permitted})
    record = await settle(
        lambda: _recorded(there, _token(child, 200).partition(".")[0]), deployment.limit_s
    )
    parent = permitted.partition(".")[0]
    expect(record["parent_id"] == parent, f"parent of {parent} is {record['parent_id']}")
    code = Reason.PARENT_DENIED.code
    for token in (denied, denied.replace(".deny.", ".permit."), "none"):
        got = await there.ask(headers={HEADER: token})
        expect(got.code == code, f"the child of {token} got {got}")
    named = [line["parent_id"] for line in there.records("decision") if line["reason"] == code]
    expect(named == [denied.partition(".")[0], None, None], f"their parents are {named}")
    return "the child of a permit in the other pod names it; of a denial, altered or not: EG207"


def _token(got: Answer, status: int) -> str:
    expect(got.status == status, f"a request got {got}")
    token = got.headers.get("x-epochgate-token", "")
    expect(token, f"the answer has no token: {dict(got.headers)}")
    return token


async def _recorded(view: View, decision: str) -> Mapping[str, Any]:
    found = [line for line in view.records() if line.get("decision_id") == decision]
    kinds = [line["type"] for line in found]
    if kinds != ["decision", "outcome"]:
        raise BrokenError(f"records of the request: {kinds}")
    return found[0]


def _epoch_held(deployment: Deployment, sha256: str) -> bool:
    key = layout.epoch_key(deployment.hand.trust.domain, sha256)
    return any(peer.get(key) for peer in deployment.peers)


CHECKS = (first_passage, traced_request, descended_request)
