"""Checks of what the profile of an epoch demands, each through what a deployment context rests on.

The profiles that are shipped ask for more peers than a deployment on one machine has. Here each
demand is made for itself, by a profile that this deployment can just meet.

Source: protocol b.15 section 10.
"""

from typing import Any

from sidecar.cli.conformance.check import covers, expect, settle
from sidecar.cli.conformance.deployment import DOMAIN, SKEW_MS, TTL_MS, Deployment
from sidecar.cli.conformance.hand import Hand
from sidecar.cli.conformance.signs import until_answered, until_contained, until_open
from sidecar.cli.conformance.view import View
from sidecar.core import canonical, layout, profile
from sidecar.core.objects import epoch
from sidecar.core.objects.epoch import ProfileRef

SHORT_MS = 1_350
DEMANDS: dict[str, Any] = {
    "_type": profile.TYPE,
    "name": DOMAIN,
    "lease": {"ttl_ms": TTL_MS, "freshness": "clock", "skew_ms": SKEW_MS},
    "timing": {"interval_ms": 200, "poll_ms": 50, "publish_ms": 50, "timeout_ms": 50},
    "quorum": {"n": 3, "r": 2, "w": 2},
    "in_flight": "cut",
}


def blob(**changes: Any) -> bytes:  # noqa: ANN401 - as the fields of a profile are
    """A profile that demands no more than the deployment does, but for these fields."""
    return canonical.encode({**DEMANDS, **changes})


def named(raw: bytes) -> ProfileRef:
    """How an epoch names it."""
    return ProfileRef(name=DOMAIN, sha256=canonical.digest(raw))


async def _under(deployment: Deployment, hand: Hand, raw: bytes) -> None:
    hand.put_blob(canonical.digest(raw), raw)
    await deployment.serve(hand.put_epoch(profile=named(raw)))


async def _back(deployment: Deployment, hand: Hand) -> None:
    await deployment.serve(hand.put_epoch(profile=epoch.BASELINE))


@covers("10.1", "10.2", "10.3", "10.4", "10.5", "10.6", "10.7", "10.8")
async def withheld_profile(deployment: Deployment) -> str:
    """The peers lack the profile that the epoch names, hold another one, then the right one."""
    raw = blob(in_flight={"drain_ms": 5_000})
    key, other = canonical.digest(raw), blob()
    async with deployment.instead() as hand:
        for peer in deployment.peers:
            peer.delete(layout.blob_key(hand.trust.domain, key))
        hand.put_epoch(profile=named(raw))
        said = await until_contained(deployment.view, 2, "EG205", shown="EG205")
        hand.put_blob(key, other)
        await until_contained(deployment.there.view, 2, "EG205", shown="EG205")
        hand.put_blob(key, raw)
        await deployment.open()
        await _back(deployment, hand)
    return f"{said}; likewise with other bytes; open with those that were signed"


@covers("10.1", "10.8")
async def demanded_nonce(deployment: Deployment) -> str:
    """A profile wants nonces: beats that cover no report give no lease, whatever the clocks say."""
    raw = blob(lease={"ttl_ms": TTL_MS, "freshness": "nonce"})
    async with deployment.instead() as hand:
        await _under(deployment, hand, raw)
        anchor = ((await deployment.view.state()).get("lease") or {}).get("anchor")
        expect(anchor in ("nonce", "both"), f"the lease leans on {anchor}")
        hand.acknowledges = lambda _: None
        said = await until_contained(deployment.view, 1, "EG108", shown="EG102")
        hand.acknowledges = lambda seen: seen[-1]
        await deployment.open()
        await _back(deployment, hand)
    return f"anchor {anchor}; {said} while no report is covered"


@covers("10.1", "10.2", "10.3", "10.8")
async def demanded_peers(deployment: Deployment) -> str:
    """A profile wants all three peers to agree: two, which were enough, give no lease."""
    raw = blob(quorum={"n": 3, "r": 3, "w": 2})
    async with deployment.instead() as hand:
        await _under(deployment, hand, raw)
        hand.show = lambda number, beat: beat if number else None
        said = await until_contained(deployment.view, 8, "EG801", shown="EG801")
        hand.show = lambda _, beat: beat
        await deployment.open()
        await _back(deployment, hand)
    return f"{said} with two of three"


@covers("10.3", "10.5", "10.7")
async def demanded_ttl(deployment: Deployment) -> str:
    """A profile wants shorter leases than trust document and configuration."""
    raw = blob(lease={"ttl_ms": SHORT_MS, "freshness": "clock", "skew_ms": SKEW_MS})
    async with deployment.instead() as hand:
        await _under(deployment, hand, raw)
        left_ms = (await deployment.view.state())["lease"]["left_ms"]
        expect(left_ms <= SHORT_MS - SKEW_MS, f"{left_ms} ms are left of a lease")
        hand.speaks = False
        said = await until_answered(deployment.view, "EG102")
        hand.speaks = True
        await deployment.open()
        await _back(deployment, hand)
    return f"{said}; never more than {SHORT_MS - SKEW_MS} ms of a lease"


@covers("10.3", "10.4")
async def demanded_records(deployment: Deployment) -> str:
    """A profile wants records without paths, and on the disk before the answer."""
    raw = blob(audit={"durability": "strict", "paths": "none"})
    view = deployment.view
    async with deployment.instead() as hand:
        await _under(deployment, hand, raw)
        decision = (await view.ask()).headers.get("x-epochgate-decision-id", "")
        found = await settle(lambda: _record(view, decision), 5)
        expect(not found["path"], f"a record says {found['path']}")
        await _back(deployment, hand)
        await until_open(view)
    return "the record of an answered request is in the log, without its path"


async def _record(view: View, decision_id: str) -> dict[str, Any]:
    found = [one for one in view.records("decision") if one["decision_id"] == decision_id]
    expect(found, "the decision of an answered request is not in the log")
    return found[0]


CHECKS = (withheld_profile, demanded_nonce, demanded_peers, demanded_ttl, demanded_records)
