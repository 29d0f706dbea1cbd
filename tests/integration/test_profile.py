"""Profiles through the real sidecar: what a signed profile tightens, and what lacks it contains."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from sidecar import clock
from sidecar.core import canonical, layout, policy
from sidecar.core.objects.trust import Limits
from sidecar.core.policy_body import DrainBody
from tests import builders
from tests.integration.covering import Covering
from tests.integration.harness import SKEW_MS, World

PACE = {"interval_ms": 100, "poll_ms": 50, "publish_ms": 10, "timeout_ms": 50}
SHORT_MS = 1500
LONG_MS = 20_000  # what beats, trust document and the sidecar itself would grant
LONG = Limits(ttl_max_ms=LONG_MS, skew_max_ms=SKEW_MS, drift_ppm=2000)

pytestmark = [pytest.mark.trust(limits=LONG)]


def profile(**changes: Any) -> bytes:
    lease = {"ttl_ms": SHORT_MS, "freshness": "clock", "skew_ms": SKEW_MS}
    return builders.profile_bytes(**{"timing": PACE, "lease": lease, **changes})


def vouched(world: World, raw: bytes, *, blob: bool = True, **changes: Any) -> str:
    """An epoch under this profile, and long beats for it; where the blob lies, or would lie."""
    world.hand.put_epoch(routes=world.routes, profile=builders.profile_ref(raw), **changes)
    world.hand.changes = {"ttl_ms": LONG_MS}
    key = layout.blob_key(world.hand.trust.domain, canonical.digest(raw))
    if blob:
        world.hand.put(key, raw)
    return key


def draining() -> bytes:
    """A policy under which streams may go on for a minute."""
    body = canonical.load(builders.POLICY, policy.Body, policy.MAX_BYTES)
    rules = [msgspec.structs.replace(body.rules[0], in_flight=DrainBody(drain_ms=60_000))]
    return canonical.dump(msgspec.structs.replace(body, rules=tuple(rules)))


@pytest.mark.sidecar(sync__ttl=f"{LONG_MS}ms")
async def test_a_lease_ends_as_early_as_the_profile_says(world: World) -> None:
    vouched(world, profile())
    await world.open()
    state = await world.state()
    assert state["profile"]["name"] == "strict"
    assert state["lease"]["left_ms"] <= SHORT_MS - SKEW_MS
    await world.hand.stop()
    last_issued_at = clock.now().wall
    await world.until(503, "EG102")
    permits = [line["ts"] for line in world.sidecar.records() if line.get("decision") == "permit"]
    assert max(permits) < last_issued_at + SHORT_MS


@pytest.mark.sidecar(sync__ttl=f"{LONG_MS}ms", workers=1)
async def test_a_worker_cuts_what_the_policy_would_let_drain(world: World) -> None:
    """The profile has to reach the process that carries the traffic."""
    vouched(world, profile(), policy=draining())
    await world.open()
    asked = {"stream": True, "max_tokens": 3000}  # a minute
    url = world.sidecar.url + "/v1/chat/completions"
    async with world.session.post(url, json=asked) as response:
        assert response.status == 200
        await world.hand.stop()
        with pytest.raises(aiohttp.ClientPayloadError):
            await asyncio.wait_for(response.read(), LONG_MS / 1000)


async def test_a_nonce_is_demanded_of_a_sidecar_that_says_clock(world: World) -> None:
    vouched(world, profile(lease={"ttl_ms": SHORT_MS, "freshness": "nonce"}))
    world.hand.pulse()
    world.hand.start()
    await world.sidecar.start()
    await world.until_cause("EG108")
    assert (await world.ask())[0] == 503
    world.hand.covering = Covering()
    await world.until(200)
    assert (await world.state())["lease"]["anchor"] == "both"


async def test_a_sidecar_that_lacks_the_profile_contains(world: World) -> None:
    raw = profile()
    key = vouched(world, raw, blob=False)
    world.hand.pulse()
    world.hand.start()
    await world.sidecar.start()
    await world.until_cause("EG205")
    world.hand.put(key, builders.profile_bytes())  # other bytes than those that were signed
    await asyncio.sleep(4 * PACE["poll_ms"] / 1000)
    assert (await world.ask())[0] == 503
    assert not world.service.seen
    world.hand.put(key, raw)
    await world.until(200)
