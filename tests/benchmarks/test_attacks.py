"""The attackers do what they are for, and no more than they are told."""

import asyncio
import sys
from pathlib import Path

import pytest

from benchmarks.attacks import ATTACKS

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 0.5


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_keeps_to_its_number_of_connections_and_ends(name: str) -> None:
    attack = ATTACKS[name]
    received: list[int] = []
    most = opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most, opened
        opened += 1
        most = max(most, opened)
        try:
            while data := await reader.read(65536):
                received.append(len(data))
        except ConnectionError:
            pass
        finally:
            opened -= 1
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    async with server:
        port = server.sockets[0].getsockname()[1]
        attacker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.attacks", name, str(port), str(SECONDS), cwd=ROOT
        )
        async with asyncio.timeout(30):
            assert await attacker.wait() == 0
            while opened:
                await asyncio.sleep(0.01)
    assert 0 < most <= attack.count
    assert (sum(received) > len(attack.first)) == bool(attack.again)
