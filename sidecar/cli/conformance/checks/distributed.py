"""Checks of many peers and many sidecars: minorities, forks, rollbacks, divergence, a lost peer.

Source: protocol b.15 sections 3.8, 4.6, 4.8, 6.3, 7.
"""

import msgspec

from sidecar.cli.conformance.check import covers, expect, settle
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.parts import Gate, paused
from sidecar.cli.conformance.signs import (
    until_answered,
    until_contained,
    until_failed,
    until_open,
)
from sidecar.cli.conformance.view import codes
from sidecar.core import canonical, layout
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Mark


@covers("2.4", "3.8", "4.6", "8.6", "9.2", "9.7")
async def minority(deployment: Deployment) -> str:
    """Two of three peers stand still: beats that arrive from the third do not suffice."""
    view = deployment.view
    after, rounds = len(view.records("lifecycle")), len(view.records("sync"))
    async with deployment.instead() as hand:
        hand.show = lambda number, raw: raw if number == 0 else None
        said = await until_contained(view, 8, "EG801")
        failed = await until_failed(view, 2, "EG801", after)
        hand.show = lambda _, raw: raw
        await deployment.open()
    vectors = [line["detail"] for line in view.records("sync")[rounds:]]
    wanted = {peer.id for peer in deployment.peers}
    lost = [one for one in vectors if one["outcome"] == "EG801"]
    expect(lost and set(lost[0]["peers"]) == wanted, f"rounds on record: {vectors}")
    told = codes(view.records("lifecycle")[after:])
    listed = [line["detail"]["evidence"].get("reasons", []) for line in view.records("lifecycle")]
    expect(all(one == sorted(one) for one in listed), "reasons are not sorted")
    return f"{said}; {failed}, reasons {sorted(told)}; the round is on record, peer by peer"


@covers("4.6", "6.3")
async def lost_peers(deployment: Deployment) -> str:
    """Two peers stand still, then one loses everything: contained, open again, and refilled."""
    peer, domain = deployment.peers[2], deployment.hand.trust.domain
    with paused(*(one.process for one in deployment.peers[:2])):
        said = await until_contained(deployment.view, 8, "EG801")
    await deployment.open()
    peer.client.flushall()
    named = deployment.hand.newest()
    wanted = (named.sha256, named.says.policy.sha256, named.says.routes.sha256)

    async def refilled() -> None:
        keys = [
            layout.epoch_key(domain, wanted[0]),
            *(layout.blob_key(domain, x) for x in wanted[1:]),
        ]
        missing = [key for key in keys if peer.get(key) is None]
        expect(not missing, f"{peer.id} lacks {missing}")

    await settle(refilled, deployment.limit_s)
    await deployment.open()
    return f"{said}; an emptied peer holds epoch, policy and routes again"


@covers("4.8", "5.1", "5.5", "7.6", "9.1")
async def forked_stream(deployment: Deployment) -> str:
    """Two signed beats carry one number: quarantined, with evidence, until two keys clear it."""
    view = deployment.there.view
    async with deployment.instead() as hand:
        await until_open(view)
        hand.speaks = False
        raws = [hand.sign_beat()]
        raws.append(hand.sign_beat(seq=hand.seq, interval_ms=99))
        deployment.peers[0].put(hand.beat_key, raws[0])
        deployment.peers[1].put(hand.beat_key, raws[1])
        for gate in deployment.gates:
            await until_answered(gate.view, "EG803")
        state = await view.state()
        expect(state["state"] == "quarantined", f"state is {state['state']}")
        evidence = state["holds"][0]["evidence"]
        await settle(lambda: _stored(deployment.there, evidence), deployment.limit_s)
        hand.speaks = True
        await deployment.there.restart()
        await until_answered(view, "EG803")
        kept = [line["detail"] for line in deployment.view.records("conflict")]
        told = [one for one in kept if one["evidence"] == evidence]
        expect(told, f"conflicts on record: {kept}")
        expect(
            sorted(told[0]["envelopes"]) == sorted(canonical.digest(raw) for raw in raws),
            "the record names other envelopes",
        )
        shown = await deployment.succeed("evidence", "--config", str(deployment.here.file))
        expect(evidence in shown, f"epochgate evidence says {shown}")
        clear = (
            "clear", evidence, "--config", "authority.yaml", "--reason", "conformance",
            "--key", "trust/keys/resume-1.key",
        )  # fmt: skip
        refused = await deployment.command(*clear)
        expect(refused.status, "one key ended a quarantine")
        await deployment.succeed(*clear, "--key", "trust/keys/resume-2.key")
        await deployment.open()
    return "quarantined EG803, and after a restart; both envelopes on record; 2 keys: open"


@covers("4.8")
async def rolled_back(deployment: Deployment) -> str:
    """Fresh, valid beats vouch for the epoch before."""
    async with deployment.instead() as hand:
        older = hand.newest()
        await deployment.serve(hand.put_epoch())
        hand.vouched = older
        said = await until_contained(deployment.view, 8, "EG802")
        hand.vouched = None
        await deployment.open()
    return said


@covers("4.8", "5.1")
async def confused_types(deployment: Deployment) -> str:
    """A validly signed epoch lies where a beat is looked for."""
    async with deployment.instead() as hand:
        named = layout.epoch_key(hand.trust.domain, hand.newest().sha256)
        raw = deployment.peers[0].get(named)
        hand.show = lambda _, __: raw
        said = await until_contained(deployment.view, 6, "EG609")
        hand.show = lambda _, raw: raw
        await deployment.open()
    return said


@covers("7.3", "2.4")
async def two_epochs(deployment: Deployment) -> str:
    """One peer serves one epoch, one the next, one none: nobody renews."""
    async with deployment.instead() as hand:
        older = hand.newest()
        newer = hand.put_epoch(head=False)
        hand.show = lambda number, _: (
            None if number == 2 else hand.sign_beat(epoch=_mark(older if number else newer))  # noqa: PLR2004
        )
        said = await until_contained(deployment.view, 8, "EG805")
        hand.show = lambda _, raw: raw
        hand.vouched = older
        await deployment.open()
    return said


@covers("7.3", "4.7")
async def diverged_fleet(deployment: Deployment) -> str:
    """The authority says that more of the fleet differs than the epoch tolerates."""
    async with deployment.instead() as hand:
        before = hand.newest().says.telemetry
        demand = msgspec.structs.replace(before, max_diverged=0)
        await deployment.serve(hand.put_epoch(telemetry=demand))
        hand.diverged = 1
        said = await until_contained(deployment.view, 8, "EG807")
        hand.diverged = 0
        await deployment.open()
        await deployment.serve(hand.put_epoch(telemetry=before))
    return said


async def _stored(gate: Gate, evidence: str) -> None:
    # A restriction is in force before it is stored, so a restart has to wait for it.
    expect(evidence.encode() in gate.marks.read_bytes(), "the contradiction is not stored")


def _mark(named: Epoch) -> Mark:
    return Mark(seq=named.seq, sha256=named.sha256)


CHECKS = (
    minority, lost_peers, forked_stream, rolled_back, confused_types, two_epochs, diverged_fleet,
)  # fmt: skip
