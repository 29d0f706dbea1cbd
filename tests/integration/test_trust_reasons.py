"""One trust document after another, through the real sidecar."""

import asyncio

import pytest

from sidecar import clock
from sidecar.core import layout
from sidecar.core.objects.trust import Revoked, Role
from sidecar.core.reason import Reason
from tests import builders
from tests.builders import ROLES
from tests.integration.covering import Covering
from tests.integration.harness import World
from tests.integration.reasons import produces


def revoking(number: int) -> dict[str, tuple[Revoked, ...]]:
    key = builders.signer(Role.BEAT, number).key_id
    return {"revoked": (Revoked(keyid=key, reason="retired", at=clock.now().wall),)}


async def until_trusted(world: World, version: int) -> None:
    async with asyncio.timeout(15):
        while (await world.state())["trust_version"] != version:
            await asyncio.sleep(0.01)


async def until_issuer(world: World) -> None:
    """Wait until the lease leans on a beat of the key in use."""
    async with asyncio.timeout(15):
        while True:
            lease = (await world.state())["lease"]
            if lease and world.hand.issuer.startswith(lease["beat"]["issuer"]):
                return
            await asyncio.sleep(0.01)


@produces(Reason.TRUST_CHAIN_BREAK)
async def test_a_document_that_does_not_follow_ours_is_told_and_not_used(world: World) -> None:
    await world.open()
    world.hand.put(layout.trust_key("test", 2), world.hand.trust_raw)
    state = await world.until_cause("EG605")
    assert (state["trust_version"], state["state"]) == (1, "running")


async def test_documents_that_were_missed_are_walked_at_the_start(world: World) -> None:
    world.hand.put_epoch(routes=world.routes)
    for _ in range(3):
        world.hand.rotate()
    await world.open()
    assert (await world.state())["trust_version"] == 4
    told = [line["detail"] for line in world.sidecar.records() if line["type"] == "trust"]
    assert [detail["version"] for detail in told] == [2, 3, 4]


async def test_a_document_in_force_stays_in_force_over_a_restart(world: World) -> None:
    await world.open()
    world.hand.rotate()
    await until_trusted(world, 2)
    world.sidecar.end()
    await world.hand.stop()
    for client in world.hand.clients:
        client.flushall()
    await world.sidecar.start()
    assert (await world.state())["trust_version"] == 2


async def test_a_key_that_is_revoked_ends_the_lease_that_leans_on_it(world: World) -> None:
    """Also while whoever stole it goes on."""
    await world.open()
    before = world.hand.trust
    world.hand.rotate(**revoking(1))
    after, world.hand.trust = world.hand.trust, before
    await world.until(503, "EG604")
    world.hand.trust, world.hand.number = after, 2
    await world.until(200)


@pytest.mark.parametrize("freshness", ["clock", "nonce", "both"])
async def test_beat_keys_are_rotated_under_load_without_a_denied_request(
    world: World, freshness: str
) -> None:
    path = world.sidecar.folder / "sidecar.yaml"
    path.write_text(path.read_text().replace("quorum: 2", f"quorum: 2\n    freshness: {freshness}"))
    world.hand.covering = Covering()
    await world.open()
    answers: list[int] = []

    over = asyncio.Event()

    async def load() -> None:
        while not over.is_set():
            answers.append((await world.ask())[0])

    task = asyncio.get_running_loop().create_task(load())
    world.hand.number = 2
    await until_issuer(world)
    world.hand.rotate(**revoking(1))
    await until_trusted(world, 2)
    world.hand.rotate(roles={**ROLES, Role.BEAT: (3, 1)}, **revoking(1))
    await until_trusted(world, 3)
    world.hand.number = 3
    await until_issuer(world)
    world.hand.rotate(
        roles={**ROLES, Role.BEAT: (3, 1)},
        revoked=(*revoking(1)["revoked"], *revoking(2)["revoked"]),
    )
    await until_trusted(world, 4)
    await until_issuer(world)
    over.set()
    await task
    assert set(answers) == {200}
