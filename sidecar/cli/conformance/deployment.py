"""A deployment of its own: three peers, an authority, two sidecars and a service, in one folder.

Made with the commands that a person would type. Faults come in only where anybody could bring them:
the peers, the processes, the files, the command line, and the keys of this very deployment.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import aiohttp
import yaml

from sidecar import signer
from sidecar.cli.conformance.check import expect, settle
from sidecar.cli.conformance.hand import Hand
from sidecar.cli.conformance.parts import API, Gate, Peer, paused
from sidecar.cli.conformance.signs import until_open
from sidecar.cli.conformance.view import PATIENCE_S, View
from sidecar.cli.demo import processes
from sidecar.cli.demo.fleet import MODELS, POLICY, ROUTES
from sidecar.cli.demo.processes import HOST, Process, epochgate
from sidecar.cli.text import CliError
from sidecar.core import canonical, envelope, layout, parent
from sidecar.core.objects import beat
from sidecar.core.objects.epoch import Epoch

DOMAIN = "conformance"
TTL_MS = 1_500
SKEW_MS = 100
COMMAND_S = 60
PARENT_KEY = "parent.key"  # the same in every run: it opens nothing but this deployment
SYNC = {
    "quorum": 2, "ttl": f"{TTL_MS}ms", "skew": f"{SKEW_MS}ms", "drift": "2000ppm",
    "poll": "50ms", "timeout": "150ms",
}  # fmt: skip
TRUST = (
    "trust", "init", "--domain", DOMAIN, "--out", "trust", "--peers", "3",
    "--read-quorum", "2", "--write-quorum", "2", "--ttl-max", f"{TTL_MS}ms",
    "--skew-max", f"{SKEW_MS}ms", "--drift", "2000ppm", "--witness-keys", "1",
)  # fmt: skip
EPOCH_KEYS = ("--key", "trust/keys/epoch-1.key", "--key", "trust/keys/epoch-2.key")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


class Deployment:
    """Everything that runs, and the ways in.

    Args:
        folder: Made for this run.
        limit_s: How long a check waits for anything.
    """

    def __init__(self, folder: Path, limit_s: float = PATIENCE_S) -> None:
        self.folder, self.limit_s = folder, limit_s
        self.ttl_ms = TTL_MS
        *ports, public = processes.free_ports(4)
        self.peers = [Peer(number, port, folder) for number, port in enumerate(ports, start=1)]
        self.public_url = f"http://{HOST}:{public}"
        self.seen = folder / "upstream-seen.txt"
        self.service = Process(
            "service",
            [*epochgate()[:1], "-m", "sidecar.cli.demo.upstream", "--seen", self.seen],
            folder / "service.log",
        )
        self.authority = Process(
            "authority",
            epochgate("run", "authority", "--config", folder / "authority.yaml"),
            folder / "authority.log",
        )
        copy = {"name": "copy", "kind": "redis", "url": f"redis://{HOST}:{self.peers[-1].port}"}
        audit = {
            "checkpointPeriod": "200ms", "sinks": [copy], "witnesses": [{"url": self.public_url}],
        }  # fmt: skip
        spec = {"sync": SYNC, "audit": audit, "parent": {"keyFile": f"../{PARENT_KEY}"}}
        self.here = Gate("here", folder, self.peers, spec)
        self.there = Gate("there", folder, self.peers, spec)
        for gate in self.gates:
            gate.view.limit_s = limit_s

    @property
    def gates(self) -> tuple[Gate, Gate]:
        """Both sidecars."""
        return self.here, self.there

    @property
    def view(self) -> View:
        """The first sidecar, as anybody sees it."""
        return self.here.view

    @property
    def processes(self) -> tuple[Process, ...]:
        """In start order."""
        peers = (peer.process for peer in self.peers)
        return (*peers, self.service, self.authority, self.here.process, self.there.process)

    @cached_property
    def hand(self) -> Hand:
        """Signs what no command would."""
        return Hand(self.folder / "trust" / "keys", self.peers)

    def prepare(self) -> None:
        """Write the configuration and make the keys."""
        (self.folder / "authority").mkdir(mode=0o700)
        spec = {
            "trust": {"file": "trust/trust.json"}, "state": {"dir": "authority"},
            "keys": {
                kind: f"trust/keys/{kind}-1.key" for kind in ("beat", "log", "witness")
            },
            "peers": [peer.entry for peer in self.peers],
            "beat": {"ttl": f"{TTL_MS}ms", "interval": "200ms", "publish": "100ms"},
            "listen": {"status": f"{HOST}:0", "public": self.public_url.removeprefix("http://")},
        }  # fmt: skip
        document = {
            "apiVersion": API, "kind": "AuthorityConfig", "metadata": {"name": DOMAIN},
            "spec": spec,
        }  # fmt: skip
        (self.folder / "authority.yaml").write_text(yaml.safe_dump(document))
        (self.folder / "policy.yaml").write_text(POLICY.format(models=MODELS))
        (self.folder / "policy-2.yaml").write_text(POLICY.format(models=""))
        (self.folder / PARENT_KEY).write_text("5e" * parent.KEY_BYTES + "\n")
        for gate in self.gates:
            gate.prepare()
        self._must(*TRUST)

    async def start(self) -> None:
        """Start everything, publish the first epoch, and wait until both sidecars permit."""
        for peer in self.peers:
            await asyncio.to_thread(peer.start)
        self.service.start()
        await asyncio.to_thread(self.service.wait_for, "its port", lambda: bool(self._port()))
        (self.folder / "routes.yaml").write_text(ROUTES.format(port=self._port()))
        await asyncio.to_thread(self._must, *self.issuing("policy.yaml"))
        self.authority.start()
        for gate in self.gates:
            gate.launch()
        await asyncio.to_thread(
            self.authority.wait_for, "its beats", lambda: self.newest_beat() is not None
        )
        for gate in self.gates:
            await gate.listening()

    @staticmethod
    def issuing(policy: str, *more: str) -> tuple[str, ...]:
        """The command that issues the next epoch."""
        return (
            "epoch", "issue", "--config", "authority.yaml", "--policy", policy,
            "--routes", "routes.yaml", *more, *EPOCH_KEYS,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Requests can be sent meanwhile."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for gate in self.gates:
                gate.view.session = session
            yield

    async def open(self) -> None:
        """Wait until both sidecars permit and all validations hold."""
        for gate in self.gates:
            await until_open(gate.view)

    async def serve(self, made: Epoch) -> None:
        """Wait until both sidecars serve under an epoch."""

        async def look(view: View) -> None:
            epoch = (await view.state())["epoch"]
            seen = None if epoch is None else epoch["seq"]
            expect(seen == made.seq, f"serves epoch {seen}, not {made.seq}")

        for gate in self.gates:
            await settle(lambda view=gate.view: look(view), self.limit_s)  # type: ignore[misc]
        await self.open()

    async def mend(self) -> None:
        """Start what a check that broke has left down."""
        for gate in self.gates:
            if not gate.up:
                gate.configure()
                await gate.start()

    async def command(self, *arguments: str) -> Done:
        """Run one `epochgate` command in the folder."""
        return await asyncio.to_thread(self._run, *arguments)

    async def succeed(self, *arguments: str) -> str:
        """Run one that has to succeed; what it said."""
        done = await self.command(*arguments)
        expect(
            done.status == 0, f"epochgate {arguments[0]}: exit {done.status}: {done.err.strip()}"
        )
        return done.out

    @contextlib.asynccontextmanager
    async def instead(self) -> AsyncIterator[Hand]:
        """The hand speaks instead of the authority."""
        with paused(self.authority):
            async with self.hand.working() as hand:
                yield hand

    def close(self) -> None:
        """Let go of the peers."""
        for peer in self.peers:
            peer.client.close()

    def newest_beat(self) -> beat.Body | None:
        """What the newest beat says that any peer holds."""
        found = []
        for peer in self.peers:
            for name in ("beat-1", "beat-2"):
                key = signer.load(self.folder / "trust" / "keys" / f"{name}.key").key_id
                raw = peer.get(layout.beat_key(DOMAIN, key))
                found += [raw] if raw is not None else []
        bodies = [
            canonical.load(
                envelope.parse(raw, beat.MAX_BYTES).unverified_payload, beat.Body, beat.MAX_BYTES
            )
            for raw in found
        ]
        return max(bodies, key=lambda said: said.issued_at, default=None)

    def arrived(self) -> list[str]:
        """Decision ids of every request that reached the service."""
        return self.seen.read_text().split()

    def _port(self) -> int:
        lines = self.service.lines()
        return int(lines[0]) if lines else 0

    def _must(self, *arguments: str) -> None:
        done = self._run(*arguments)
        if done.status:
            raise CliError(f"epochgate {arguments[0]}: {done.err.strip() or done.out.strip()}")

    def _run(self, *arguments: str) -> Done:
        done = subprocess.run(  # noqa: S603 - our own command line
            [str(part) for part in epochgate(*arguments)],
            cwd=self.folder, capture_output=True, text=True, check=False, timeout=COMMAND_S,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)
