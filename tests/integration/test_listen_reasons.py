"""Reasons of the listener, through the real sidecar; none of it needs a permission."""

import pytest

from sidecar.core.reason import Reason
from tests.integration.harness import HOST, World
from tests.integration.reasons import produces


async def _vouched(world: World) -> None:
    world.hand.put_epoch(routes=world.routes)
    world.hand.pulse()
    world.hand.start()
    await world.sidecar.start()


@produces(Reason.UPSTREAM_MISMATCH)
@pytest.mark.sidecar(
    listen={"inbound": f"{HOST}:0", "status": f"{HOST}:0", "upstream": f"{HOST}:1"}
)
async def test_a_signed_route_that_leads_elsewhere_than_the_fixed_upstream_is_denied(
    world: World,
) -> None:
    await _vouched(world)
    await world.until(403, "EG303")
    assert world.service.requests == []


@produces(Reason.NOT_REDIRECTED)
@pytest.mark.sidecar(listen={"inbound": "0.0.0.0:0", "status": f"{HOST}:0", "transparent": True})
async def test_a_connection_that_nobody_redirected_is_denied(world: World) -> None:
    await _vouched(world)
    await world.until(403, "EG306")
    async with world.session.get(f"{world.sidecar.url}/health") as answer:
        assert (answer.status, answer.headers["x-epochgate-reason"]) == (403, "EG306")
    assert world.service.requests == []
