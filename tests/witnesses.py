"""Real witnesses on loopback for tests: the routes of an authority, behind a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar import clock
from sidecar.authority import public
from sidecar.authority.witness import Witness
from sidecar.core.envelope import PublicKey  # noqa: TC001 - as the class is read
from sidecar.core.objects.trust import Role
from sidecar.signer import FileSigner
from tests import builders


class WitnessServer:
    """One that knows the logs in `known`, and what it was asked and complained about.

    Args:
        folder: Its files.
        key: Its own.
    """

    def __init__(self, folder: Path, key: FileSigner) -> None:
        self.folder = folder
        self.known: dict[str, PublicKey] = {}
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.witness = Witness(
            folder, key, "test", self.known.get, clock.now,
            lambda path, error: self.complaints.append(f"{path.name}: {error}"),
        )  # fmt: skip
        app = public.build(self.witness.routes())
        app.on_response_prepare.append(self._note)
        self.server = TestServer(app)

    async def _note(self, request: web.Request, response: web.StreamResponse) -> None:
        self.asked.append(f"{request.method} {response.status}")

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://{self.server.host}:{self.server.port}"


@asynccontextmanager
async def serving(folder: Path, number: int = 1) -> AsyncIterator[WitnessServer]:
    """A witness with the `number`th key of its role, until the end of the block."""
    made = WitnessServer(folder, builders.signer(Role.WITNESS, number))
    await made.server.start_server()
    try:
        yield made
    finally:
        await made.server.close()
