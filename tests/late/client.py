"""A client that knows what leaves in one segment: head and body together, or one after the other.

The judge reads the stamp of the last segment of a request. Of a request in one segment that is the
write that the sidecar made after its look; a body that came later may rest on a later lease.
"""

import asyncio
import re

from tests.valkey import HOST

BODY = b"{}"
LIMIT_S = 60.0  # an answer that does not come is a failure of the test
APART_S = 0.02  # nothing tells a client when its head was sent on


class Client:
    """One connection at a time, kept while it is good.

    Args:
        lane: First segment of the path, after /v1.
    """

    def __init__(self, lane: str) -> None:
        self._lane = lane
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, port: int, fields: dict[str, str], *, apart: bool = False) -> str:
        """Send one request.

        Args:
            port: Of the sidecar.
            fields: Header fields of the request.
            apart: Whether the body leaves some time after the head.

        Returns:
            The `x-epochgate-decision` of its answer; "unsaid" when the answer had none, nothing
            when there was no answer.
        """
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._ask(port, self._head(fields), apart=apart)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            return ""

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    def _head(self, fields: dict[str, str]) -> bytes:
        lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
        first = f"POST /v1/{self._lane}/x HTTP/1.1\r\nhost: x\r\n"
        return f"{first}content-length: {len(BODY)}\r\n{''.join(lines)}\r\n".encode()

    async def _ask(self, port: int, head: bytes, *, apart: bool) -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, port)
        reader, writer = self._streams
        if apart:
            writer.write(head)
            await asyncio.sleep(APART_S)
            writer.write(BODY)
        else:
            writer.write(head + BODY)
        return await self._answer(reader)

    async def _answer(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        said = re.search(r"\r\nx-epochgate-decision: ([a-z]+)", head)
        length = re.search(r"\r\ncontent-length: ([0-9]+)", head)
        decision = said[1] if said else "unsaid"
        try:
            if length is None:
                raise ConnectionError("an answer without a length")  # noqa: TRY301
            await reader.readexactly(int(length[1]))
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()  # cut; what counts is that some of it came
        if "\r\nconnection: close" in head:
            self.close()
        return decision
