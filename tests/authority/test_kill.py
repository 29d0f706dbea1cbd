"""A real authority process, ended without warning again and again."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from sidecar import clock
from sidecar.core import canonical, envelope, layout
from sidecar.core.objects import beat
from sidecar.core.objects.trust import Role
from tests import builders
from tests.cli.fleet import make_fleet
from tests.valkey import ValkeyServer

pytestmark = [pytest.mark.redis, pytest.mark.slow]

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]

KEY = layout.beat_key("test", builders.signer(Role.BEAT).key_id)
CONFIG = """\
apiVersion: epochgate.io/v1alpha1
kind: AuthorityConfig
metadata: {{name: a}}
spec:
  trust: {{file: trust.json}}
  state: {{dir: state}}
  keys: {{beat: beat-1.key}}
  peers:
{peers}
  beat: {{ttl: 4s, interval: 100ms, publish: 50ms}}
  listen: {{status: "127.0.0.1:0"}}
"""


def number_on(server: ValkeyServer) -> int:
    raw = server.do("GET", KEY)
    if not isinstance(raw, bytes):
        return 0
    payload = envelope.parse(raw, beat.MAX_BYTES).unverified_payload
    return canonical.load(payload, beat.Body, beat.MAX_BYTES).seq


async def run_until_beats(folder: Path, server: ValkeyServer, above: int) -> int:
    """Start a process, wait for a number above `above`, kill -9. The last number on the peer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "run", "authority", "--config", folder / "authority.yaml",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(20):
            while number_on(server) <= above:
                assert process.returncode is None, await process.communicate()
                await asyncio.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.communicate()
    return number_on(server)


async def test_killed_authority_never_uses_a_number_again_though_the_peers_forgot(
    valkeys: Three, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, valkeys)
    (tmp_path / "state").mkdir(mode=0o700)
    peers = "".join(
        f"    - {{id: p{index}, url: 'redis://127.0.0.1:{server.port}'}}\n"
        for index, server in enumerate(valkeys)
    )
    (tmp_path / "authority.yaml").write_text(CONFIG.format(peers=peers))
    assert clock.now().wall < fleet.trust.body.expires
    last = 0
    for _ in range(3):
        result = await asyncio.to_thread(
            fleet.run, "epoch", "issue", *fleet.peers(), *fleet.keys(Role.EPOCH, 1, 2),
            "--policy", tmp_path / "policy.json", "--routes", tmp_path / "routes.json",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        highest = await run_until_beats(tmp_path, valkeys[0], 0)
        assert highest > last
        last = highest
        for server in valkeys:
            server.do("DEL", KEY)
