"""A response that has begun and goes on."""

import asyncio

from tests.proxy.world import Client, Received, World, request

CHAT = request(body=b'{"model": "m"}')
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


async def streaming(
    world: World,
    head: bytes = STREAM_HEAD,
    first: bytes = b"data: 1\n\n",
    asking: bytes = CHAT,
) -> tuple[Client, asyncio.Event]:
    """A client that has read the head and not yet the first piece.

    Returns:
        The client, and what lets the service send `data: late` once it is set.
    """
    more = asyncio.Event()

    async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head + first)
        await more.wait()
        writer.write(b"data: late\n\n")

    world.service.answer = answer
    client = await world.connect()
    client.send(asking)
    status, _ = await client.head()
    assert status == 200
    return client, more
