"""What is taken from a witness, and what a bad one can do: not answer, and nothing more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from sidecar.core.log import cosignature
from sidecar.sync import witness
from sidecar.sync.witness import Answer, SilentError, WitnessClient, WitnessError
from tests import witnesses
from tests.audit.journals import KEY
from tests.authority.test_witness import signed
from tests.core.log.test_witness import proved

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with witness.open_session() as made:
        yield made


async def test_a_real_witness_is_asked_and_answers(tmp_path: Path, session: ClientSession) -> None:
    async with witnesses.serving(tmp_path) as server:
        server.known[KEY.name] = KEY.public
        one = WitnessClient(f"{server.url}/", session)
        assert await one.recall(KEY.name) is None
        first = await one.add(0, [], signed(5))
        _, [made] = cosignature.find(signed(5) + first.lines, [server.witness.key.public])
        assert made.key.public == server.witness.key.public
        assert await one.recall(KEY.name) == signed(5) + first.lines
        assert await one.add(0, [], signed(9)) == Answer(size=5)
        assert await one.add(5, proved(1, 9), signed(9)) == Answer(contradicts=True)
        with pytest.raises(WitnessError, match="status 404: unknown log"):
            await one.add(0, [], signed(5).replace(b"pod-1", b"pod-2"))


async def _answering(handler: Handler, session: ClientSession) -> tuple[TestServer, WitnessClient]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    return server, WitnessClient(str(server.make_url("/")), session)


async def _status(
    session: ClientSession, status: int, body: bytes, headers: dict[str, str]
) -> Answer | str:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    server, one = await _answering(answer, session)
    try:
        return await one.add(0, [], signed(5))
    except WitnessError as error:
        return str(error)
    finally:
        await server.close()


SIZE = {"Content-Type": "text/x.tlog.size"}


@pytest.mark.parametrize(
    ("status", "body", "headers", "found"),
    [
        (409, b"7\n", SIZE, Answer(size=7)),
        (409, b"07\n", SIZE, "status 409: is not a size"),
        (409, b"no\n", {"Content-Type": "text/plain"}, Answer(contradicts=True)),
        (422, b"no\n", {}, Answer(contradicts=True)),
        (500, b"\x1b[31mno\n", {}, "status 500: \\x1b[31mno"),
        (302, b"", {"Location": "/elsewhere"}, "status 302: "),
        (
            200,
            bytes(witness.MAX_BYTES + 1),
            {},
            f"answers with more than {witness.MAX_BYTES} bytes",
        ),
    ],
)
async def test_each_answer_is_one_value_or_one_error(
    session: ClientSession, status: int, body: bytes, headers: dict[str, str], found: Answer | str
) -> None:
    assert await _status(session, status, body, headers) == found


async def test_what_is_compressed_is_not_unpacked(session: ClientSession) -> None:
    said = await _status(session, 200, b"\x1f\x8b rubbish", {"Content-Encoding": "gzip"})
    assert said == Answer(lines=b"\x1f\x8b rubbish")


async def test_one_that_is_not_there_is_silent(session: ClientSession) -> None:
    with pytest.raises(SilentError):
        await WitnessClient("http://127.0.0.1:1", session).recall(KEY.name)


async def test_one_that_hangs_is_silent(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "TIMEOUT_S", 0.05)
    over = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    server, one = await _answering(hang, session)
    with pytest.raises(SilentError, match="no answer within"):
        await one.add(0, [], signed(5))
    over.set()
    await server.close()
