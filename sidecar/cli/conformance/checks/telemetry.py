"""Checks of reports: their chain, what becomes of a sidecar whose reports do not arrive.

Source: protocol b.15 sections 1, 2, 3.5, 4.2, 6, 7.2, 8.2.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from sidecar.cli.conformance.check import covers, expect, settle
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.hand import Hand
from sidecar.cli.conformance.signs import until_contained, until_failed, until_open
from sidecar.cli.conformance.view import View
from sidecar.core import layout
from sidecar.core.objects import report
from sidecar.core.objects.report import Report

LINKS = 5
BACK = 6  # beats
UNACKED_MS = 1_000


@covers("2.2", "5.1", "6.4", "8.2")
async def chained_reports(deployment: Deployment) -> str:
    """Each sidecar reports all the time: signed by its own key, numbered, each naming the last."""
    domain, seen = deployment.hand.trust.domain, dict[str, list[Report]]()

    async def look() -> None:
        for name, raw in deployment.peers[0].hash(layout.reports_key(domain)).items():
            found, chain = report.open_report(raw, domain), seen.setdefault(name, [])
            if not chain or chain[-1].sha256 != found.sha256:
                chain.append(found)
        enough = [name for name in seen if len(_links(seen[name])) >= LINKS]
        expect(len(enough) >= len(deployment.gates), f"links seen: {_counted(seen)}")

    await settle(look, deployment.limit_s)
    broken = [name for name, chain in seen.items() if not all(_links(chain))]
    expect(not broken, f"chains of {broken} are broken")
    roots = [chain[-1].says.audit for chain in seen.values()]
    return (
        f"{_counted(seen)} links seen and none broken; {sum(map(bool, roots))} name an audit head"
    )


@covers("3.5", "4.2", "9.6", "6.4")
async def hidden_reports(deployment: Deployment) -> str:
    """An epoch demands acknowledged reports, and then nobody acknowledges any."""
    view = deployment.view
    async with deployment.instead() as hand:
        before = hand.newest().says.telemetry
        after = len(view.records("lifecycle"))
        demand = msgspec.structs.replace(before, max_unacked_ms=UNACKED_MS)
        await deployment.serve(hand.put_epoch(telemetry=demand))
        hand.acknowledges = lambda _: None
        said = await until_contained(view, 5, "EG501")
        failed = await until_failed(view, 6, "EG501", after)
        hand.acknowledges = lambda seen: seen[-1]
        await until_open(view)
        await deployment.serve(hand.put_epoch(telemetry=before))
    return f"{said}; {failed}; open while acknowledged"


@covers("2.2", "4.2", "6.4")
async def false_acknowledgements(deployment: Deployment) -> str:
    """Signed beats acknowledge an older report after a newer one, then one that was never made."""
    view = deployment.view
    async with deployment.instead() as hand:
        await settle(lambda: _heard(hand, BACK), deployment.limit_s)
        hand.acknowledges = lambda seen: seen[-BACK]
        await settle(lambda: _counted_fault(view, "EG502"), deployment.limit_s)
        hand.acknowledges = lambda seen: replace(seen[-1], sha256="0" * 64)
        await settle(lambda: _counted_fault(view, "EG504"), deployment.limit_s)
        hand.acknowledges = lambda seen: seen[-1]
        await deployment.open()
    return "EG502 counted for the step back, EG504 for the report that was never made"


@covers("1.5", "7.2")
async def acknowledged_reports(deployment: Deployment) -> str:
    """Under an epoch that demands it, the authority's beats cover the reports of both sidecars."""
    hand = deployment.hand
    before = hand.newest().says.telemetry
    demand = msgspec.structs.replace(before, max_unacked_ms=UNACKED_MS)
    await deployment.serve(hand.put_epoch(telemetry=demand))
    newest = deployment.newest_beat()
    expect(newest and newest.fleet.size == len(deployment.gates), "the beat covers others")
    domain = hand.trust.domain
    reports = layout.reports_key(domain)
    try:
        for peer in deployment.peers:
            peer.put(reports, b"")  # no hash: nobody can report on this peer
        said = await until_contained(deployment.view, 5, "EG503")
    finally:
        for peer in deployment.peers:
            peer.delete(reports)
    await deployment.open()
    await deployment.serve(hand.put_epoch(telemetry=before))
    return f"open while the authority's beats cover both; {said} when peers take none"


def _links(chain: Sequence[Report]) -> list[bool]:
    """For each two reports in a row: whether the later names the earlier."""
    pairs = itertools.pairwise(chain)
    return [
        two.says.prev_sha256 == one.sha256
        for one, two in pairs
        if two.says.boot_id == one.says.boot_id and two.says.seq == one.says.seq + 1
    ]


def _counted(seen: Mapping[str, Sequence[Report]]) -> int:
    return sum(len(_links(chain)) for chain in seen.values())


async def _heard(hand: Hand, count: int) -> None:
    found = hand.heard()
    expect(found and min(found) > count, f"reports heard: {found}")


async def _counted_fault(view: View, code: str) -> None:
    samples = await view.gauges()
    found = [
        value
        for name, value in samples.items()
        if name.startswith("epochgate_peer_reads_total{") and f'result="{code}"' in name
    ]
    expect(any(found), f"{code} is counted for no peer")


CHECKS = (chained_reports, hidden_reports, false_acknowledgements, acknowledged_reports)
