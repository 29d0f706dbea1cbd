"""Runs a row of answers: a service that sends these bytes, a client, and a second request."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.http.behind import OK, PROBE, PROBED, Seen, turn
from tests.http.catalogue_answers import AnswerRow
from tests.http.observe import PROBE_REQUEST, Answer, behind, read_answers, settled
from tests.proxy.world import WAIT_S, Client, World

OURS = (b"x-epochgate-decision", b"x-epochgate-epoch", b"x-epochgate-decision-id")


@dataclass(frozen=True, slots=True)
class AnswerOutcome:
    """What became of one answer of the service.

    Attributes:
        answers: Status of each that the client got, with the reason code of one of ours.
        fields: Header lines of the last, without ours.
        body: Its payload, when it was relayed.
        cut: Whether it ended before its framing says.
        kept: Whether the client's connection was answered again.
        reused: Whether on the same connection to the service.
    """

    answers: tuple[str, ...]
    fields: bytes = b""
    body: bytes = b""
    cut: bool = False
    kept: bool = True
    reused: bool = False


CUT = AnswerOutcome((), cut=True, kept=False)


def expected(row: AnswerRow) -> AnswerOutcome:
    """What must become of a row. Of a message that is cut nothing but that is told."""
    return CUT if row.cut else AnswerOutcome(row.answers, row.fields, row.body, reused=row.reused)


async def outcome(world: World, row: AnswerRow, pieces: Sequence[bytes]) -> AnswerOutcome:
    """What becomes of an answer that arrives in these pieces."""
    service = behind(world)
    service.ends = row.ends
    service.reply = lambda seen: (PROBED,) if seen.target == PROBE else first(row, pieces)
    client = await world.connect()
    client.send(row.asks)
    try:
        got = await answered(client, row)
        [link] = service.links or [None]
        await written(world, row, pieces)
        if got is None:
            return CUT
        service.ends = ""
        client.send(PROBE_REQUEST)
        kept = read_answers(await client.ended())
        assert [item.body for item in kept] == [b"probe"] * len(kept)
        last = service.received[-1]
        assert isinstance(last, Seen)
        reused = link is not None and bool(kept) and last.connection == link.number
        return AnswerOutcome(*got, kept=bool(kept), reused=reused)
    finally:
        await client.close()
        world.clients.remove(client)
        await settled(world)


def first(row: AnswerRow, pieces: Sequence[bytes]) -> Sequence[bytes]:
    return (OK,) if row.late else pieces


async def answered(client: Client, row: AnswerRow) -> tuple[tuple[str, ...], bytes, bytes] | None:
    """Status of each answer, fields and body of the last; None when it was cut."""
    statuses: list[str] = []
    try:
        while row.answers[len(statuses)].startswith("1"):
            statuses.append(str((await client.head())[0]))
        response = await client.response(row.asks.split(b" ")[0].decode())
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    if not response.complete:
        assert await client.ended() == b""
        return None
    answer = Answer(response.status, response.headers, response.body)
    statuses.append(str(answer))
    if response.reason:
        return tuple(statuses), b"", b""
    assert [name for name in response.headers if name.startswith(b"x-epochgate-")] == list(OURS)
    assert response.headers[b"x-epochgate-decision"] == b"permit"
    fields = [
        b"%b: %b\r\n" % item
        for item in response.headers.items()
        if not item[0].startswith(b"x-epochgate-")
    ]
    return tuple(statuses), b"".join(fields), response.body


async def written(world: World, row: AnswerRow, pieces: Sequence[bytes]) -> None:
    """Until the service has written all, and what must be destroyed is."""
    service = behind(world)
    async with asyncio.timeout(WAIT_S):
        while service.answering:
            await asyncio.sleep(0)
        if row.late:
            [link] = service.links
            for piece in pieces:
                if link.transport.is_closing():
                    break
                link.transport.write(piece)
                await turn()
        while not row.reused and service.links:
            await asyncio.sleep(0)
