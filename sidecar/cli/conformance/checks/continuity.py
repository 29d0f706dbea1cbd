"""Checks of the lease: silence, altered beats, beats that prove no freshness.

Source: protocol b.15 sections 1, 3.1, 3.6, 4.1, 4.4.
"""

import asyncio

from sidecar.cli.conformance.check import covers, expect, settle
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.parts import paused
from sidecar.cli.conformance.signs import until_contained, until_failed, until_open
from sidecar.cli.conformance.view import View, complaints

AVAILABLE = 200


@covers("1.1", "3.1", "3.9", "4.1", "4.9", "8.8")
async def silent_authority(deployment: Deployment) -> str:
    """The authority falls silent: every gate closes within the ttl, and opens again by itself."""
    began = len(deployment.view.records("decision"))
    with paused(deployment.authority):
        views = [gate.view for gate in deployment.gates]
        said = await asyncio.gather(*(until_contained(view, 1, "EG102") for view in views))
        for path in ("/livez", "/readyz", "/metrics", "/v1/state"):
            got = await deployment.view.get(path)
            expect(got.status == AVAILABLE, f"{path} answers {got} while contained")
        issued = deployment.newest_beat()
    decided = deployment.view.records("decision")[began:]
    permitted = [line["ts"] for line in decided if line["decision"] == "permit"]
    expect(permitted and issued, "nothing was permitted before")
    assert issued is not None
    late_ms = max(permitted) - issued.issued_at
    expect(late_ms < deployment.ttl_ms, f"permitted {late_ms} ms after the last beat")
    await deployment.open()
    return f"both {said[0]}; last permit {late_ms} ms after the last beat, ttl {deployment.ttl_ms}"


@covers("1.3", "1.7", "3.6", "4.4", "5.1", "7.7", "9.2")
async def altered_beats(deployment: Deployment) -> str:
    """One letter of each signature is changed, twice: both sidecars say the same each time."""
    after = len(deployment.view.records("lifecycle"))
    said, seen = "", []
    async with deployment.instead() as hand:
        for _ in range(2):
            hand.show = _flipped
            said = await until_contained(deployment.view, 6, "EG601")
            seen.append(await _same(deployment))
            hand.show = lambda _, raw: raw
            await deployment.open()
    failed = await until_failed(deployment.view, 2, "EG801", after)
    expect(seen[0] == seen[1], f"first {seen[0]}, then {seen[1]}")
    counted = [
        name
        for name, value in (await deployment.view.gauges()).items()
        if name.startswith("epochgate_peer_reads_total") and 'result="EG601"' in name and value
    ]
    expect(len(counted) == len(deployment.peers), f"counted for {counted}")
    return f"{said}; {failed}; both say {seen[0]}, twice; counted for each peer"


@covers("1.1", "5.7", "9.5")
async def uncovered_beats(deployment: Deployment) -> str:
    """A sidecar that asks for a nonce gets valid beats that cover no report of its own."""
    gate, view = deployment.there, deployment.there.view
    async with deployment.instead() as hand:
        gate.configure(freshness="both")
        try:
            await gate.restart()
            await until_open(view)
            after = len(view.records("lifecycle"))
            hand.acknowledges = lambda _: None
            said = await until_contained(view, 1, "EG108")
            failed = await until_failed(view, 5, "EG108", after)
            hand.acknowledges = lambda seen: seen[-1]
            await until_open(view)
        finally:
            gate.configure()
        await gate.restart()
        await until_open(view)
    return f"{said}; {failed}; open while they cover its reports"


def _flipped(_: int, raw: bytes) -> bytes:
    at = raw.index(b'"sig":"') + 20
    return raw[:at] + (b"A" if raw[at : at + 1] != b"A" else b"B") + raw[at + 1 :]


async def _same(deployment: Deployment) -> dict[int, list[str]]:
    """Which validations do not hold and why, once both sidecars say the same."""

    async def look() -> dict[int, list[str]]:
        found = [await _complaints(gate.view) for gate in deployment.gates]
        expect(found[0] == found[1], f"here {found[0]}, there {found[1]}")
        expect(found[0].keys() == {1, 6, 8}, f"validations: {found[0]}")
        return found[0]

    return await settle(look, deployment.limit_s)


async def _complaints(view: View) -> dict[int, list[str]]:
    return complaints(await view.state())


CHECKS = (silent_authority, altered_beats, uncovered_beats)
