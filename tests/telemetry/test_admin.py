"""The status port, asked by a real client over a real socket."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
import aiohttp.web
import pytest

from sidecar.config.sections import Address
from sidecar.core.reason import Reason
from sidecar.telemetry import admin


class Process:
    """What a process hands to its status port."""

    def __init__(self) -> None:
        self.reason: Reason | None = Reason.STARTING
        self.state: Callable[[], Mapping[str, object]] = lambda: {"state": "starting"}

    def not_ready(self) -> Reason | None:
        return self.reason

    def describe(self) -> Mapping[str, object]:
        return self.state()


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
async def client(process: Process) -> AsyncIterator[aiohttp.ClientSession]:
    app = admin.build(
        not_ready=process.not_ready,
        state=process.describe,
        metrics=lambda accept: (b"x 1\n", "text/plain; version=0.0.4; charset=utf-8"),
    )
    runner, port = await admin.start(app, Address("127.0.0.1", 0))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session
    await runner.cleanup()


async def test_a_contained_process_is_alive_and_not_ready(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/livez") as reply:
        assert (reply.status, await reply.json()) == (200, {"status": "ok"})
    async with client.get("/readyz") as reply:
        assert reply.status == 503
        assert (await reply.json())["reason"] == "EG905"


async def test_it_is_ready_once_there_is_no_reason_against_it(
    client: aiohttp.ClientSession, process: Process
) -> None:
    process.reason = None
    async with client.get("/readyz") as reply:
        assert (reply.status, await reply.json()) == (200, {"status": "ok"})
    async with client.get("/readyz?verbose") as reply:
        assert (await reply.json())["state"] == {"state": "starting"}


async def test_state_and_metrics_are_served(client: aiohttp.ClientSession) -> None:
    async with client.get("/v1/state") as reply:
        assert await reply.json() == {"state": "starting"}
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Server"] == "epochgate"
    async with client.get("/metrics") as reply:
        assert await reply.text() == "x 1\n"
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_nothing_but_get_is_answered(method: str, client: aiohttp.ClientSession) -> None:
    async with client.request(method, "/v1/state") as reply:
        assert reply.status == 405
        assert reply.headers["Allow"] == "GET"
        assert reply.content_type == "application/json"
        assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize("path", ["/", "/livez/", "/v1/State", "/debug", "/v1"])
async def test_other_paths_are_not_found_as_json(path: str, client: aiohttp.ClientSession) -> None:
    async with client.get(path, allow_redirects=False) as reply:
        assert reply.status == 404
        assert json.loads(await reply.text())["status"] == 404


async def test_the_host_header_changes_nothing(client: aiohttp.ClientSession) -> None:
    async with client.get("/livez", headers={"Host": "evil.example"}) as reply:
        assert reply.status == 200
        assert "evil" not in await reply.text()


async def test_a_bug_in_what_is_handed_in_is_a_500_and_the_port_lives_on(
    client: aiohttp.ClientSession, process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    process.state = lambda: {"state": object()}
    with caplog.at_level(logging.CRITICAL, "aiohttp.server"):
        async with client.get("/v1/state") as reply:
            assert reply.status == 500
            assert "object" not in await reply.text()
    async with client.get("/livez") as reply:
        assert reply.status == 200


async def test_a_port_that_is_taken_is_an_error_at_start() -> None:
    def build() -> aiohttp.web.Application:
        return admin.build(
            not_ready=lambda: None, state=dict, metrics=lambda _: (b"", "text/plain")
        )

    runner, port = await admin.start(build(), Address("127.0.0.1", 0))
    with pytest.raises(OSError, match="in use"):
        await admin.start(build(), Address("127.0.0.1", port))
    await runner.cleanup()
