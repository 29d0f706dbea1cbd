"""Heads on their way to real witnesses: who is asked, what is written, what latches the gate."""

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar import clock
from sidecar.audit import checkpoints
from sidecar.core.instant import WallMs
from sidecar.core.log import cosignature
from sidecar.core.log.cosignature import Witnesses
from sidecar.core.objects.trust import Role
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.roles import witnessing
from sidecar.roles.witnessing import Witnessing
from sidecar.sync.witness import WitnessClient, open_session
from sidecar.telemetry import logs
from tests import builders, witnesses
from tests.audit.journals import KEY, ORIGIN, SIGNER, make_journal, write_checkpoint
from tests.witnesses import WitnessServer

KEYS = [key.public for key in builders.signers(Role.WITNESS, 3)]


class Rig:
    """One log of 40 records, and whoever cosigns it."""

    def __init__(self, folder: Path, lines: list[bytes]) -> None:
        self.folder = folder
        self.lines = lines
        self.trusted = Witnesses({KEYS[0]: None}, 1)
        self.holds: list[Hold] = []
        self.said = io.StringIO()
        self.stack = AsyncExitStack()

    def sign(self, size: int) -> None:
        write_checkpoint(self.folder, self.lines[:size])

    def cosigned(self) -> int:
        """Records under the cosigned checkpoint."""
        now = WallMs(clock.now().wall)
        made = checkpoints.cosigned(self.folder, KEY, self.trusted, now)
        return 0 if made is None else made.size

    async def until(self, size: int) -> None:
        """Wait until so many records are under a cosigned checkpoint."""
        await until(lambda: self.cosigned() == size)

    @asynccontextmanager
    async def asking(self, *urls: str) -> AsyncIterator[Witnessing]:
        """Asks these, until the end of the block."""
        log = logs.setup("info", self.said, lambda _: None)
        async with open_session() as session:
            made = Witnessing(
                {ORIGIN: self.folder}, SIGNER.public,
                [WitnessClient(url, session) for url in urls],
                trusted=lambda: self.trusted, place=self.holds.append, log=log, clock=clock.now,
                period_s=0.01,
            )  # fmt: skip
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                task = tasks.create_task(made.run())
                yield made
                task.cancel()

    async def serve(self, number: int = 1) -> WitnessServer:
        """A witness that knows the log."""
        folder = self.folder.parent / f"witness-{number}"
        made = await self.stack.enter_async_context(witnesses.serving(folder, number))
        made.known[ORIGIN] = SIGNER.public
        return made


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """Made once: each of its records is flushed to the disk."""
    folder = tmp_path_factory.mktemp("journal") / "audit"
    return folder, make_journal(folder, 40, 5)


@pytest.fixture
async def rig(journal: tuple[Path, list[bytes]], tmp_path: Path) -> AsyncIterator[Rig]:
    shutil.copytree(journal[0], tmp_path / "audit")
    made = Rig(tmp_path / "audit", journal[1])
    async with made.stack:
        yield made


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnessing, "STALL_S", 0.3)
    monkeypatch.setattr(witnessing, "PAUSE_MAX_S", 0.05)


async def test_each_new_checkpoint_is_cosigned(rig: Rig) -> None:
    server = await rig.serve()
    async with rig.asking(server.url):
        for size in (5, 6, 21, 40):
            rig.sign(size)
            await rig.until(size)
    assert server.asked == ["GET 404"] + ["POST 200"] * 4, "with the proof from the one before"
    assert rig.holds == []


async def test_what_is_not_new_is_asked_for_once(rig: Rig) -> None:
    server = await rig.serve()
    async with rig.asking(server.url):
        await until(lambda: rig.cosigned() == 5)
        await asyncio.sleep(0.1)
    assert server.asked == ["GET 404", "POST 200"]


async def test_a_restart_goes_on_from_what_the_witness_remembers(rig: Rig) -> None:
    server = await rig.serve()
    for size in (5, 33):
        rig.sign(size)
        async with rig.asking(server.url):
            await rig.until(size)
    assert server.asked == ["GET 404", "POST 200", "GET 200", "POST 200"]


async def test_one_that_shows_nothing_of_what_it_remembers_tells_the_size(rig: Rig) -> None:
    """Monitoring is no part of what every witness has."""
    server = await rig.serve()
    async with rig.asking(server.url):
        await until(lambda: rig.cosigned() == 5)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.Response(status=405)
        return await server.witness._add(request)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    blind = TestServer(app)
    await blind.start_server()
    rig.sign(30)
    async with rig.asking(str(blind.make_url("/"))):
        await until(lambda: rig.cosigned() == 30)
    await blind.close()


async def test_two_of_three_are_enough_and_the_dead_one_holds_nobody_up(rig: Rig) -> None:
    one, two = await rig.serve(1), await rig.serve(2)
    rig.trusted = Witnesses(dict.fromkeys(KEYS), 2)
    async with rig.asking(one.url, "http://127.0.0.1:1", two.url):
        for size in (5, 6, 7, 40):
            rig.sign(size)
            await rig.until(size)
    assert rig.said.getvalue().count('"complaint"') == 1, "said once"


async def test_fewer_than_needed_acknowledge_nothing(rig: Rig) -> None:
    one, stranger = await rig.serve(1), await rig.serve(3)
    rig.trusted = Witnesses(dict.fromkeys(KEYS[:2]), 2)
    async with rig.asking(one.url, stranger.url):
        await until(lambda: "POST 200" in one.asked and "POST 200" in stranger.asked)
        await until(lambda: "did not sign with a key of role witness" in rig.said.getvalue())
    assert checkpoints.held_cosigned(rig.folder) is None


async def test_one_that_comes_back_goes_on(rig: Rig) -> None:
    server = await rig.serve()
    async with rig.asking(server.url):
        await until(lambda: rig.cosigned() == 5)
        server.known.clear()
        path = next(server.folder.glob("*.json"))
        kept = path.read_bytes()
        server.witness._held.clear()
        path.write_bytes(b"damaged")
        rig.sign(20)
        await until(lambda: "status 500" in rig.said.getvalue())
        assert rig.cosigned() == 5
        path.write_bytes(kept)
        await until(lambda: rig.cosigned() == 20)
        await until(lambda: '"event": "witness"' in rig.said.getvalue())
    assert rig.holds == []


@pytest.mark.parametrize(
    ("now", "reason"),
    [(20, Reason.AUDIT_TRUNCATED), (40, Reason.AUDIT_INCONSISTENT)],
)
@pytest.mark.parametrize("blind", [False, True])
async def test_a_witness_that_knows_better_latches_the_gate(
    rig: Rig,
    now: int,
    reason: Reason,
    blind: bool,  # noqa: FBT001
) -> None:
    """The folder was put back, or written anew: shown at once, or when it is told."""
    server = await rig.serve()
    rig.sign(30)
    async with rig.asking(server.url):
        await until(lambda: rig.cosigned() == 30)
    (rig.folder / checkpoints.COSIGNED).unlink()
    kept = rig.lines[:now] if now < 30 else [rig.lines[-1], *rig.lines[1:now]]
    for path in rig.folder.glob("*.jsonl"):
        path.write_bytes(b"".join(line + b"\n" for line in kept))
    write_checkpoint(rig.folder, kept)
    path = next(server.folder.glob("*.json"))
    whole = path.read_bytes()
    if blind:  # the first look goes wrong
        server.witness._held.clear()
        path.write_bytes(b"")
    async with rig.asking(server.url) as made:
        if blind:
            await until(lambda: "POST 500" in server.asked)
            path.write_bytes(whole)
        await until(lambda: bool(rig.holds))
        await made.recall()
    assert set(rig.holds) == {Hold(reason, HoldKind.LATCHED)}
    assert checkpoints.held_cosigned(rig.folder) is None


@pytest.mark.parametrize("status", [409, 422, 200])
async def test_that_somebody_says_so_is_no_evidence(rig: Rig, status: int) -> None:
    """Anybody can answer on an address, and could else close every gate."""
    # Not what was signed.
    shown = (checkpoints.held(rig.folder) or b"").replace(b"\n5\n", b"\n9\n")

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(body=shown)
        size = {"Content-Type": "text/x.tlog.size"} if status == 409 else {}
        return web.Response(status=status, body=b"99\n", headers=size)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    liar = TestServer(app)
    await liar.start_server()
    async with rig.asking(str(liar.make_url("/")), (await rig.serve()).url):
        rig.sign(12)
        await until(lambda: rig.cosigned() == 12)
        await until(lambda: "complaint" in rig.said.getvalue())
    assert rig.holds == []
    await liar.close()


async def test_the_last_checkpoint_is_cosigned_when_it_ends(rig: Rig) -> None:
    server = await rig.serve()
    async with rig.asking(server.url) as made:
        await until(lambda: rig.cosigned() == 5)
    rig.sign(40)
    async with open_session() as session:
        made._witnesses = [WitnessClient(server.url, session)]
        await made.part(5)
    assert rig.cosigned() == 40


async def test_nobody_waits_for_a_dead_one_when_it_ends(rig: Rig) -> None:
    async with rig.asking("http://127.0.0.1:1") as made:
        await until(lambda: "127.0.0.1:1" in rig.said.getvalue())
        await made.part(0.05)
        await made.recall()
    assert rig.cosigned() == 0


async def test_every_signature_of_a_cosigned_checkpoint_counts(rig: Rig) -> None:
    one, two = await rig.serve(1), await rig.serve(2)
    rig.trusted = Witnesses(dict.fromkeys(KEYS), 2)
    async with rig.asking(one.url, two.url):
        await until(lambda: rig.cosigned() == 5)
    raw = checkpoints.held_cosigned(rig.folder)
    assert raw is not None
    _, found = cosignature.find(raw, KEYS)
    assert {made.key.public for made in found} == set(KEYS[:2])
