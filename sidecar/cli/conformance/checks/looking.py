"""Checks that change nothing: they look at any sidecar, also at one that somebody else runs.

A sidecar that is contained conforms as well as one that runs: what is checked is that everything it
shows agrees, and that what must never pass does not pass.

Source: protocol b.15 sections 3, 8; README, what a denied request gets.
"""

import asyncio
import subprocess
import sys

from sidecar.cli.conformance.check import BrokenError, Check, covers, expect, settle
from sidecar.cli.conformance.view import View, complaints, gauge
from sidecar.core.reason import BY_CODE
from sidecar.core.validations import VALIDATIONS

UNROUTED = "/epochgate-conformance/no-such-route"
SECTION_3 = tuple(f"3.{number}" for number in range(1, 9))
VERIFY_S = 60
TRIES = 3


@covers(*SECTION_3, "8.2")
async def shown_validations(view: View) -> str:
    """Eight validations, by number and name; state and gauges say the same."""

    async def look() -> str:
        state, samples = await view.state(), await view.gauges()
        shown = [(item["number"], item["name"]) for item in state.get("validations", ())]
        wanted = [(number, name) for number, (name, _) in enumerate(VALIDATIONS, start=1)]
        expect(shown == wanted, f"validations shown: {shown}")
        for item in state["validations"]:
            value = gauge(samples, item["number"])
            expect(value == item["holds"], f"{item['number']}: {item['holds']}, gauge {value}")
        found = complaints(state)
        return f"state {state['state']}; not holding: {found or 'none'}"

    return await settle(look, view.limit_s)


@covers("3.9", "4.9")
async def consistent_state(view: View) -> str:
    """It runs only while a lease is held, and says why when it does not."""

    async def look() -> str:
        state = await view.state()
        running, lease = state["state"] == "running", state["lease"]
        if running:
            expect(lease and lease["left_ms"] > 0, f"running with lease {lease}")
            expect(state["reason"] is None, f"running because of {state['reason']}")
            return f"running; {lease['left_ms']} ms left"
        expect(state["reason"] in BY_CODE, f"{state['state']} without a reason")
        return f"{state['state']} {state['reason']} {' '.join(state['causes'])}"

    return await settle(look, view.limit_s)


@covers("1.6", "8.3")
async def unrouted_request(view: View) -> str:
    """A path that no route knows is denied: with reason, decision id and a body for people."""
    told = await view.ask("GET", UNROUTED)
    expect(told.status in (403, 503), f"GET {UNROUTED} got {told}")
    wanted = {"origin": "gate", "decision": "deny"}
    found = {name: told.headers.get(f"x-epochgate-{name}") for name in wanted}
    expect(found == wanted, f"headers: {dict(told.headers)}")
    expect(told.code in BY_CODE, f"reason {told.code!r} is not in the table")
    expect(told.headers.get("x-epochgate-decision-id"), "no decision id")
    body = told.told
    expect(body.get("reason") == told.code, f"the body says {body.get('reason')}")
    expect(body.get("error", {}).get("code") == told.code, "the body's error has another code")
    return f"{told.status} {told.code}, headers and body agree"


@covers("1.6")
async def refused_methods(view: View) -> str:
    """TRACE is never forwarded."""
    told = await view.ask("TRACE", UNROUTED)
    expect(told.status in (405, 503), f"TRACE got {told}")
    expect(told.code in BY_CODE, f"reason {told.code!r} is not in the table")
    return str(told)


@covers("8.1", "8.2", "8.8")
async def available_status(view: View) -> str:
    """Probes, metrics and state answer, whatever the gate says."""
    for path, statuses in (("/livez", (200,)), ("/readyz", (200, 503)), ("/metrics", (200,))):
        told = await view.get(path)
        expect(told.status in statuses, f"{path} answered {told}")
    names = {name.partition("{")[0] for name in await view.gauges()}
    wanted = {
        "epochgate_validation",
        "epochgate_lease_remaining_seconds",
        "epochgate_trust_version",
    }
    expect(wanted <= names, f"metrics missing: {sorted(wanted - names)}")
    return f"{len(names)} metrics"


@covers("6.1", "8.5")
async def verified_log(view: View) -> str:
    """Its audit log verifies, where the folder can be read."""
    command = (sys.executable, "-m", "sidecar", "audit", "verify", str(view.journal))

    said = ""
    for _ in range(TRIES):  # somebody writes it meanwhile
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, timeout=VERIFY_S
        )
        said = " ".join((done.stdout + done.stderr).split())
        if done.returncode == 0:
            return said[:100]
    raise BrokenError(f"audit verify: {said[:200]}")


# What each needs to know of a sidecar: its status port, its inbound listener, its audit folder.
STATUS: tuple[Check[View], ...] = (shown_validations, consistent_state, available_status)
REQUESTS: tuple[Check[View], ...] = (unrouted_request, refused_methods)
LOG: tuple[Check[View], ...] = (verified_log,)
