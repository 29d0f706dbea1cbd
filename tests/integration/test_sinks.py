"""A required sink through a real sidecar, of one process and of several."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.core.reason import Reason
from tests.audit.sinks.parts import Receiver
from tests.integration.harness import World
from tests.integration.reasons import produces
from tests.valkey import free_port

PORT = free_port()  # the receiver's, known before the sidecar is configured
SINK = {
    "name": "opa", "kind": "http", "url": f"http://127.0.0.1:{PORT}/logs", "required": True,
    "maxLag": "1s",
}  # fmt: skip
OUT = {"name": "out", "kind": "stdout"}
FAST = {"checkpointPeriod": "50ms", "sinks": [SINK, OUT]}


@pytest.fixture
async def opa() -> AsyncIterator[Receiver]:
    made = Receiver()
    made.port = PORT
    await made.start()
    yield made
    await made.stop()


def received(opa: Receiver) -> list[dict[str, Any]]:
    return [event for raw in opa.bodies for event in json.loads(raw)]


async def complete(world: World, opa: Receiver) -> None:
    """The sidecar has ended: what it wrote is what was received, log by log, in order."""
    by_log: dict[str, list[dict[str, Any]]] = {}
    for event in received(opa):
        by_log.setdefault(event["labels"]["origin"], []).append(event["epochgate"])
    written = world.sidecar.records()
    assert sum(len(records) for records in by_log.values()) >= len(written)
    for records in by_log.values():
        seen = {record["seq"]: record for record in records}
        assert sorted(seen) == list(range(len(seen)))
        assert [seen[seq] for seq in sorted(seen)] == [
            record for record in written if record["inst"] == records[0]["inst"]
        ]


@produces(Reason.AUDIT_BACKPRESSURE)
@pytest.mark.sidecar(audit=FAST)
async def test_a_required_sink_that_is_dead_denies_until_it_has_caught_up(
    world: World, opa: Receiver
) -> None:
    await world.open()
    await opa.stop()
    await world.until(503, "EG703")
    state = await world.state()
    assert state["sinks"]["opa"]["behind"]
    assert state["sinks"]["opa"]["why"].startswith("cannot be reached")
    assert not state["sinks"]["out"]["why"]
    await opa.start()
    await world.until(200)
    assert await asyncio.to_thread(world.sidecar.end) == 0  # the receiver has to answer meanwhile
    await complete(world, opa)
    lines = [fact for fact in world.sidecar.facts() if fact["event"] == "audit"]
    assert [line["record"] for line in lines] == world.sidecar.records()
    said = [fact["what"] for fact in world.sidecar.facts() if fact["event"] == "sink"]
    # Once more each, where the receiver's first answer came late.
    assert list(dict.fromkeys(said)) == ["failing", "behind", "sending", "caught up"]


@pytest.mark.sidecar(audit=FAST, workers=2)
async def test_with_several_workers_every_log_is_copied_and_all_are_held(
    world: World, opa: Receiver
) -> None:
    await world.open()
    await opa.stop()
    await world.until(503, "EG703")
    await opa.start()
    await world.until(200)
    assert await asyncio.to_thread(world.sidecar.end) == 0  # the receiver has to answer meanwhile
    await complete(world, opa)
    assert len({event["labels"]["origin"] for event in received(opa)}) == 3
