"""The seal on a permitted request, held against the check that the service makes."""

from typing import Any

import pytest

from sidecar.core.instant import BootNs, WallMs
from sidecar.core.lease import Lease
from sidecar.core.quorum import PeerId
from sidecar.fence import check
from sidecar.fence.check import Clocks
from sidecar.proxy import fence
from sidecar.proxy.fence import Fence
from tests.proxy.world import BEAT, EPOCH, ODD_PATHS, World, decision_id, request, running

KEY = bytes(range(32))
IN_TIME = Clocks(boot_ms=0, wall_ms=0)


async def seen(world: World, **changes: Any) -> list[tuple[bytes, bytes]]:
    """The headers of one request as the service got them."""
    response = await world.ask(request(**changes))
    assert response.status == 200
    return world.service.received[-1].headers


def judge(
    headers: list[tuple[bytes, bytes]], target: bytes, now: Clocks = IN_TIME
) -> check.Refusal | None:
    return check.verify(KEY, b"POST", target, headers, now)


@pytest.mark.parametrize("target", ["/v1/chat", "/v1/chat?a=b&c", "/v1/chat?", *ODD_PATHS])
async def test_the_service_accepts_what_was_sealed(target: str) -> None:
    async with running(fence=Fence(KEY)) as world:
        headers = await seen(world, target=target)
        assert judge(headers, target.encode()) is None


async def test_a_seal_is_for_one_request() -> None:
    async with running(fence=Fence(KEY)) as world:
        headers = await seen(world)
        assert judge(headers, b"/v1/other") is not None
        other = [(name, value.replace(b"-0", b"-1")) for name, value in headers]
        assert judge(other, b"/v1/chat") is not None


async def test_the_deadlines_are_those_of_the_lease() -> None:
    async with running(fence=Fence(KEY)) as world:
        world.open(left_ms=2_500)
        headers = await seen(world)
        boot_ms, wall_ms = world.clock.boot // 1_000_000, world.clock.wall
        last = Clocks(boot_ms + 2_499, wall_ms + 2_499)
        assert judge(headers, b"/v1/chat", last) is None
        assert judge(headers, b"/v1/chat", Clocks(boot_ms + 2_500, wall_ms)) is not None
        assert judge(headers, b"/v1/chat", Clocks(boot_ms, wall_ms + 2_500)) is not None


@pytest.mark.parametrize(
    "spelling",
    ["x-epochgate-fence", "X-Epochgate-Fence", "X_EPOCHGATE_FENCE", "x-epochgate_not-after"],
)
async def test_copies_of_a_client_never_arrive(spelling: str) -> None:
    async with running(fence=Fence(KEY)) as world:
        headers = await seen(world, headers=f"{spelling}: {'0' * 32}\r\n")
        folded = [name.lower().replace(b"_", b"-") for name, _ in headers]
        assert folded.count(spelling.lower().replace("_", "-").encode()) == 1
        assert (spelling.encode(), b"0" * 32) not in headers
        assert judge(headers, b"/v1/chat") is None


async def test_without_a_key_nothing_is_sealed() -> None:
    async with running() as world:
        names = [name for name, _ in await seen(world)]
        assert b"x-epochgate-not-after" in names
        assert b"x-epochgate-fence" not in names


async def test_the_seal_is_no_answer_to_the_client() -> None:
    async with running(fence=Fence(KEY)) as world:
        response = await world.ask(request())
        assert b"x-epochgate-fence" not in response.headers
        assert response.headers[b"x-epochgate-decision-id"] == decision_id(0).encode()


def test_a_deadline_is_rounded_down() -> None:
    lease = Lease(1, EPOCH.sha256, BEAT, (PeerId("a"),), BootNs(1_999_999), WallMs(7), "clock")
    assert fence.not_after(lease) == b"7;boot=1"


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32"):
        Fence(b"short")
