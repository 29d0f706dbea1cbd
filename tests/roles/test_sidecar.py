"""The wiring of a sidecar, seen from outside: restarts, exemptions, streams, state and metrics."""

import asyncio
import signal

import aiohttp
import msgspec
import pytest

from sidecar.core import marks
from sidecar.core.objects.epoch import Activation
from tests import builders
from tests.integration.harness import HOST, LIMIT_S, World


async def test_exempt_targets_pass_while_contained_and_across_a_restart(world: World) -> None:
    """Restarting a GPU pod because governance is down would turn containment into damage."""
    await world.open()
    await world.hand.stop()
    await world.until(503, "EG102")
    url = world.sidecar.url + "/health"
    async with world.session.get(url) as response:
        assert (response.status, response.headers["x-epochgate-decision"]) == (200, "exempt")
    world.sidecar.end(signal.SIGKILL)
    await world.sidecar.start()
    async with world.session.get(world.sidecar.url + "/health") as response:
        assert response.status == 200
    async with world.session.get(world.sidecar.url + "/health?x=1") as response:
        assert response.status == 503
    assert world.service.exempt == 2


async def test_a_restart_needs_a_beat_newer_than_the_marked_one(world: World) -> None:
    await world.open()
    await world.hand.stop()
    issuer = builders.signer(builders.Role.BEAT, 1).key_id
    path = world.sidecar.folder / "state" / "marks.json"
    async with asyncio.timeout(10):
        while marks.decode(path.read_bytes(), "test").beats[issuer].seq != world.hand.seq:
            await asyncio.sleep(0.01)
    world.sidecar.end(signal.SIGKILL)
    await world.sidecar.start()
    async with asyncio.timeout(10):
        while (await world.state())["reason"] == "EG905":
            await asyncio.sleep(0.01)
    assert (await world.ask())[:2] == (503, "EG101")
    world.hand.start()
    await world.until(200)


async def test_marks_that_this_build_cannot_read_are_a_reason_and_not_a_crash(world: World) -> None:
    """Written whole by another build, whose route table has a form that this one does not know."""
    await world.open()
    world.sidecar.end()
    path = world.sidecar.folder / "state" / "marks.json"
    kept = marks.decode(path.read_bytes(), world.hand.trust.domain)
    path.write_bytes(marks.encode(msgspec.structs.replace(kept, routes="{}")))
    await world.sidecar.start()
    assert (await world.ask())[:2] == (503, "EG405")


async def test_an_older_trust_document_than_the_marks_were_made_under_opens_nothing(
    world: World,
) -> None:
    """A deployment rolled back would else take back a revocation, without anybody's signature."""
    await world.open()
    world.sidecar.end()
    path = world.sidecar.folder / "state" / "marks.json"
    kept = marks.decode(path.read_bytes(), world.hand.trust.domain)
    newer = msgspec.structs.replace(kept.trust, version=kept.trust.version + 1)
    path.write_bytes(marks.encode(msgspec.structs.replace(kept, trust=newer)))
    await world.sidecar.start()
    assert (await world.ask())[:2] == (503, "EG607")


async def test_a_running_stream_is_cut_at_the_deadline_with_an_error_event(world: World) -> None:
    await world.open()
    body = {"model": "m", "stream": True, "max_tokens": 1000}
    async with world.session.post(world.sidecar.url + "/v1/chat/completions", json=body) as answer:
        await answer.content.readline()
        await world.hand.stop()
        rest = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            while True:
                rest += await answer.content.readany()
    assert b"event: error" in rest
    assert b"EG102" in rest
    assert b"[DONE]" not in rest


async def test_a_new_epoch_changes_the_policy_under_load(world: World) -> None:
    await world.open()
    nothing = builders.canonical.encode(
        {"_type": builders.policy.TYPE, "name": "none", "rules": []}
    )
    world.hand.put_epoch(
        policy=nothing, routes=world.routes,
        activation=Activation(mode="immediate", supersedes=True),
    )  # fmt: skip
    await world.until(403, "EG204")
    assert (await world.state())["epoch"]["seq"] == 2


async def test_state_changes_are_logged_and_recorded_once(world: World) -> None:
    await world.open()
    await world.hand.stop()
    await world.until(503, "EG102")
    async with asyncio.timeout(10):
        while not any(fact.get("to") == "contained" for fact in world.sidecar.facts()):
            await asyncio.sleep(0.01)
    world.sidecar.end()
    logged = [
        (fact["from"], fact["to"])
        for fact in world.sidecar.facts()
        if fact["event"] == "gate_state"
    ]
    recorded = [
        (line["detail"]["from"], line["detail"]["to"])
        for line in world.sidecar.records()
        if line["type"] == "transition"
    ]
    assert ("running", "contained") in logged
    assert ("running", "contained") in recorded
    assert recorded[-1] == ("contained", "draining")
    assert [line["type"] for line in world.sidecar.records()][-1] == "stop"


async def scrape(world: World) -> dict[str, str]:
    url = f"http://{HOST}:{world.sidecar.status}/metrics"
    async with world.session.get(url) as response:
        lines = (await response.text()).splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


async def test_metrics_count_what_happened(world: World) -> None:
    await world.open()
    await world.ask()
    await world.ask("/admin")
    permitted = 'epochgate_decisions_total{decision="permit",reason="none"}'
    values = await scrape(world)
    async with asyncio.timeout(LIMIT_S):  # a request is counted when it has ended
        while float(values[permitted]) != sum(world.sidecar.permits().values()):
            await asyncio.sleep(0.05)
            values = await scrape(world)
    assert float(values['epochgate_decisions_total{decision="deny",reason="EG302"}']) == 1
    assert float(values['epochgate_gate_state{state="running"}']) == 1
    assert float(values["epochgate_epoch_number"]) == 1
    assert float(values['epochgate_peer_up{peer="p1"}']) == 1
