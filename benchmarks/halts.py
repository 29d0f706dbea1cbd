"""How long after a halt was acknowledged the last gate closes: 50 followers, real peers, drivers.

The peers (Valkey) run in processes of their own. The followers with their drivers, connections
and gates, and the authority, run in this one, so 50 sidecars share one interpreter; a real one
has it to itself. What is measured is the instant at which a gate closes against the instant at
which `w` peers had acknowledged the halt, both on this machine's boot clock: below 0 the gate was
closed when the operator was told so. Each halt is cleared, and every gate open again, before the
next.

A second round of halts is measured while one of the peers is stopped (SIGSTOP): rounds then take as
long as the time limit of a read, and a halt must not wait for them.
"""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
import uvloop

from benchmarks import figures, machine, request, targets
from sidecar import clock, signer
from sidecar.authority import ceremony, rollout
from sidecar.authority.plan import EpochPlan
from sidecar.authority.publisher import PeerLike, Publisher
from sidecar.cli.demo import processes
from sidecar.config.sections import Address, AuthorityConfig, Beat, PeerAddress
from sidecar.core import layout
from sidecar.core.follower import Follower, Setting
from sidecar.core.gate import Gate
from sidecar.core.lease import Terms
from sidecar.core.objects import trust
from sidecar.core.objects.halt import Order
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.quorum import PeerId
from sidecar.core.snapshot import Snapshot, State
from sidecar.roles.start import fresh_bytes
from sidecar.signer import FileSigner
from sidecar.sync.driver import Driver
from sidecar.sync.peer import Peer

PEERS, QUORUM = 3, 2
TTL_MS, SKEW_MS, POLL_MS, TIMEOUT_MS, INTERVAL_MS = 4000, 500, 250, 300, 500
COUNTS = {Role.ROOT: 1, Role.EPOCH: 1, Role.BEAT: 1, Role.HALT: 1, Role.RESUME: 1}
OPEN_S = 20
NS_PER_MS = 1_000_000


class Follows:
    """One follower with its driver and its gate; remembers when that closed.

    Args:
        trusted: The pinned trust document.
        addresses: Of the peers.
    """

    def __init__(self, trusted: Trust, addresses: Sequence[PeerAddress]) -> None:
        self.closed_ns = 0
        self.open = asyncio.Event()
        self.shut = asyncio.Event()
        self.gate = Gate(self._changed)
        self._peers = {PeerId(one.id): Peer(one, TIMEOUT_MS) for one in addresses}
        terms = Terms(TTL_MS, SKEW_MS, 2000)
        setting = Setting("chat", "here", tuple(self._peers), QUORUM, terms, POLL_MS)
        self.driver = Driver(
            Follower(trusted, setting, None), self._peers, self,
            clock=clock.now, publish=self.gate.publish, told=lambda _: None, draw=fresh_bytes,
            channel=layout.push_channel(trusted.domain),
        )  # fmt: skip

    def save(self, body: bytes) -> None:
        """Marks are not what is measured."""

    def close(self) -> None:
        """Let go of the peers."""
        for peer in self._peers.values():
            peer.close()

    def _changed(self, snapshot: Snapshot) -> None:
        now = clock.now()
        if snapshot.state(now) is State.RUNNING:
            self.open.set()
            self.shut.clear()
        elif self.open.is_set():
            self.open.clear()
            self.closed_ns = now.boot
            self.shut.set()


class Authority:
    """Keys, peers, a publisher; orders a halt and waits for `w` acknowledgements."""

    def __init__(self, folder: Path) -> None:
        self.keys = {
            role: [FileSigner(fresh_bytes(signer.SEED_BYTES)) for _ in range(COUNTS.get(role, 0))]
            for role in Role
        }
        plan = ceremony.TrustPlan(
            "bench", dict.fromkeys(Role, 1), trust.Quorum(n=PEERS, r=QUORUM, w=QUORUM),
            trust.Limits(ttl_max_ms=TTL_MS, skew_max_ms=SKEW_MS, drift_ppm=2000), 86_400_000,
        )  # fmt: skip
        self.raw = ceremony.make_trust(plan, self.keys, clock.now().wall)
        self.trust = trust.parse(self.raw, clock.now().wall)
        ports = processes.free_ports(PEERS)
        self.addresses = [
            PeerAddress(f"p{number}", processes.HOST, port)
            for number, port in enumerate(ports, start=1)
        ]
        self.valkeys = [
            processes.valkey(number, port, folder) for number, port in enumerate(ports, start=1)
        ]
        self._folder = folder
        self._peers = self._connect()

    def _connect(self) -> list[Peer]:
        return [Peer(one, 2_000) for one in self.addresses]

    async def issue(self) -> None:
        """Put the one epoch on the peers."""
        plan = EpochPlan(request.policy_bytes(1), request.routes_bytes(9), 3_600_000)
        now = clock.now().wall
        made, raw = ceremony.make_epoch(plan, self.trust, None, self.keys[Role.EPOCH], now)
        lines = rollout.epoch_commands(self.trust, made, raw, (plan.policy, plan.routes))
        await rollout.publish(self._peers, lines)

    def publisher(self) -> Publisher:
        """The real one, in this process: it beats as in any fleet."""
        config = AuthorityConfig(
            self._folder / "trust.json", self._folder / "state", self._folder / "beat.key",
            tuple(self.addresses), Beat(TTL_MS, INTERVAL_MS, 100), Address(processes.HOST, 0),
        )  # fmt: skip
        key = self.keys[Role.BEAT][0]
        return Publisher(config, self.trust, key, self._connect(), clock.now, lambda _: None)

    async def order(self, clears: str | None) -> tuple[Order, int]:
        """Publish a halt or a clear; it, and the boot time of the `w`th acknowledgement."""
        keys = self.keys[Role.HALT if clears is None else Role.RESUME]
        said = ceremony.Said("bench", clears=clears)
        made = ceremony.make_order(self.trust, fresh_bytes(16).hex(), said, keys, clock.now().wall)
        lines = rollout.order_commands(self.trust, made)
        acked: list[int] = []

        async def one(peer: PeerLike) -> None:
            result = await rollout.publish([peer], lines)
            if result[peer.id] == rollout.OK:
                acked.append(clock.now().boot)

        await asyncio.gather(*(one(peer) for peer in self._peers))
        return made, acked[QUORUM - 1]

    def close(self) -> None:
        """Let go of the peers."""
        for peer in self._peers:
            peer.close()


def run(followers: int, halts: int, rounds: int, folder: Path) -> dict[str, object]:
    """Halt and clear again and again.

    Args:
        followers: How many.
        halts: Per round, each with all peers and with one stopped.
        rounds: How often.
        folder: Where the result goes.
    """
    before = machine.load()
    measured: list[figures.Round] = []
    for number in range(1, rounds + 1):
        click.echo(f"halts: round {number} of {rounds}", err=True)
        with tempfile.TemporaryDirectory() as scratch:
            measured.append(uvloop.run(_round(Path(scratch), followers, halts)))
    return figures.save(
        "halts", folder, measured, targets.of("halts", figures.summary(measured)),
        versions=machine.versions(), load={"before": before, "after": machine.load()},
        options={"followers": followers, "halts": halts, "rounds": rounds}, unit="ms",
    )  # fmt: skip


async def _round(folder: Path, followers: int, halts: int) -> figures.Round:
    authority = Authority(folder)
    for valkey in authority.valkeys:
        valkey.start()
    try:
        async with _running(authority, followers) as fleet:
            found = await _halts(authority, fleet, halts, "")
            authority.valkeys[-1].send(signal.SIGSTOP)
            return {**found, **await _halts(authority, fleet, halts, "one peer silent: ")}
    finally:
        authority.close()
        for valkey in authority.valkeys:
            valkey.end()


@asynccontextmanager
async def _running(authority: Authority, followers: int) -> AsyncIterator[list[Follows]]:
    await _answering(authority)
    await authority.issue()
    fleet = [Follows(authority.trust, authority.addresses) for _ in range(followers)]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(authority.publisher().run())]
        running += [tasks.create_task(one.driver.run()) for one in fleet]
        yield fleet
        for task in running:
            task.cancel()
    for one in fleet:
        one.close()


async def _answering(authority: Authority) -> None:
    """Wait until every server answers; the port is open a moment before."""
    for one in authority.addresses:
        peer = Peer(one, 2_000)
        async with asyncio.timeout(OPEN_S):
            # A server tells nobody that it is up.
            while (await rollout.publish([peer], [("PUBLISH", "x", b"")]))[one.id] != rollout.OK:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        peer.close()


async def _halts(
    authority: Authority, fleet: Sequence[Follows], halts: int, prefix: str
) -> dict[str, float]:
    taken_s: list[float] = []
    for _ in range(halts):
        async with asyncio.timeout(OPEN_S):
            for one in fleet:
                await one.open.wait()
        order, acked_ns = await authority.order(None)
        async with asyncio.timeout(OPEN_S):
            for one in fleet:
                await one.shut.wait()
        taken_s += [(one.closed_ns - acked_ns) / NS_PER_MS / 1000 for one in fleet]
        await authority.order(order.says.halt_id)
    found = sorted(1000 * taken for taken in taken_s)
    return {
        f"{prefix}closed after the acknowledgement: p50, ms": found[len(found) // 2],
        f"{prefix}closed after the acknowledgement: p99, ms": found[len(found) * 99 // 100],
        f"{prefix}closed after the acknowledgement: max, ms": found[-1],
    }
