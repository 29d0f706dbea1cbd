"""One authority replica around the real `Issuer`, with a real key and a disk of its own."""

from collections.abc import Callable
from dataclasses import replace

from sidecar.core import canonical, events, issued
from sidecar.core.instant import NS_PER_MS
from sidecar.core.issuer import Issuer
from sidecar.core.issuing import (
    BeatDue,
    BeatEnded,
    Command,
    Event,
    PeerWrote,
    Record,
    Sign,
    Signed,
    Tell,
    WritePeer,
)
from sidecar.core.objects import beat, report
from sidecar.core.objects.trust import Role
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError
from sidecar.core.vouch import Setting as IssuerSetting
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.simulation import checkers
from tests.simulation.clocks import WILD_NS, NodeClocks
from tests.simulation.machine import Machine
from tests.simulation.peers import PROOF, Found, Network, SimulatedPeer
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Truth
from tests.simulation.world import World

SIGN_NS = 100_000


class SimulatedAuthority(Machine):
    """One authority replica on one machine."""

    def __init__(
        self,
        number: int,
        world: World,
        network: Network,
        scenario: Scenario,
        truth: Truth,
        clocks: NodeClocks,
    ) -> None:
        super().__init__(f"authority{number}", world, scenario, clocks)
        self.stopped = False
        self._signer = builders.signer(Role.BEAT, number)
        self._pinned = truth.trust
        self._network = network
        self._truth = truth
        self._setting = IssuerSetting(
            key_id=self._signer.key_id,
            public=self._signer.public,
            peers=tuple(network.peers),
            ttl_ms=scenario.ttl_ms,
            interval_ms=scenario.interval_ms,
        )
        self._wake = 0
        self._looked_ns = 0
        self._issuer: Issuer

    def start(self) -> None:
        """A new process, from what was stored; none while the machine stands still."""
        self._when_it_runs(self._start)

    def _start(self) -> None:
        try:
            stored = self._stored()
        except ProtocolError as error:
            checkers.s8_refused_as_corrupt(self, error)
            self._world.say(self.name, f"cannot start: {error}")
            self._restore()
            self._world.after(self._scenario.ttl_ms * NS_PER_MS, self._restart)
            return
        checkers.s8_torn_is_never_whole(self)
        self.troubled_ns = self._world.now_ns
        trust = issued.in_force(self._pinned, stored, self.clocks.now().wall)
        try:
            self._issuer = Issuer(trust, self._setting, stored)
        except ProtocolError as error:
            self._say(f"cannot start: {error}")
            self._world.after(self._scenario.interval_ms * NS_PER_MS, self._restart)
            return
        self.up = True
        self._say(f"starts under trust {trust.version}")
        self._feed(BeatDue())

    @property
    def key_id(self) -> str:
        """Of the key that it signs with."""
        return self._signer.key_id

    def hand(self, signer: FileSigner) -> None:
        """An operator starts it anew with another key, and the newest trust document."""
        if self.up:
            self.die()
        self._life += 1
        self._signer, self._pinned = signer, self._truth.trust
        self._setting = replace(self._setting, key_id=signer.key_id, public=signer.public)
        self.disk, self.torn, self._history = None, False, []
        self._say(f"gets key {signer.key_id[:8]}")
        self._restart()

    def step_clock(self) -> None:
        """Somebody sets its wall clock, where that may show anything."""
        if self.clocks.wild:
            self.clocks.set_wall(self._world.rng.randint(-WILD_NS, WILD_NS))

    def _stored(self) -> issued.State | None:
        if self.disk is None:
            return None
        return issued.decode(self.disk, self._truth.trust.domain, self._signer.key_id)

    def _restore(self) -> None:
        """Somebody puts an older state file in the place of what there is."""
        self.disk = self._history[0] if self._history else None
        self.torn = False
        self._truth.restored.add(self._signer.key_id)
        self._say("goes on from an older file")

    def crash(self) -> None:
        """The process dies now; another one follows, sometimes from an older file."""
        if self.up:
            self.die()
            rng = self._world.rng
            if rng.random() < self._scenario.old_state_rate:
                self._restore()
            self._world.after(
                int(rng.random() * self._scenario.ttl_ms / 2 * NS_PER_MS), self._restart
            )

    def _restart(self) -> None:
        if not self.up and not self.stopped:
            self.start()

    def revive(self) -> None:
        """Whatever happened to it, it runs again."""
        self.stopped = False
        self._restart()

    def _feed(self, event: Event) -> None:
        key, commands = self._truth.halts_key, self._issuer.handle(event, self.clocks.now())
        if any(isinstance(item, events.ReadPeer) and key in item.hashes for item in commands):
            self._looked_ns = self._world.now_ns
        self._carry_out(commands, self._execute)

    def _execute(self, command: Command) -> None:
        match command:
            case events.ReadPeer():
                self._read(command)
            case WritePeer():
                self._write(command)
            case Sign():
                self._sign(command)
            case events.Store():
                self._store(command, self._feed)
            case events.WakeAfter(delay_ms=delay_ms):
                self._wake += 1
                this = self._wake
                self._later(
                    delay_ms * NS_PER_MS,
                    lambda: self._feed(BeatDue()) if this == self._wake else None,
                )
            case Record():  # pragma: no cover - none of these keeps a log
                raise AssertionError(command)
            case Tell():
                over = " (over)" if command.over else ""
                self._world.say(self.name, f"{command.fact.value}: {command.detail}{over}")
            case BeatEnded():
                if command.acks >= self._truth.trust.body.quorum.w:
                    self._truth.committed.add((self._signer.key_id, command.seq))
                self._world.say(
                    self.name,
                    f"beat {command.seq} for epoch {command.epoch_seq}, {command.acks} acks",
                )

    def _read(self, want: events.ReadPeer) -> None:
        def answered(found: Found) -> None:
            self._feed(events.PeerReplied(want.peer, want.round, found))

        self._network.read(
            self.name,
            want,
            self._alive(answered),
            self._alive(self._failure(want.peer, want.round)),
        )

    def _write(self, want: WritePeer) -> None:
        for name, key, *pairs in want.commands:
            if name == "HSET" and isinstance(key, str) and PROOF in key:
                for raw in pairs[1::2]:
                    assert isinstance(raw, bytes), "a proof"
                    proof = report.parse_proof(raw)
                    self._truth.proofs[raw] = (proof.beat, proof.report)

        def change(peer: SimulatedPeer) -> None:
            for command in want.commands:
                peer.run(command)

        wrote = self._alive(self._feed)
        self._network.write(
            self.name,
            want.peer,
            change,
            lambda: wrote(PeerWrote(want.peer, want.round)),
            self._alive(self._failure(want.peer, want.round)),
        )

    def _failure(self, peer: PeerId, number: int) -> Callable[[str], None]:
        return lambda kind: self._feed(events.PeerFailed(peer, number, kind))

    def _sign(self, command: Sign) -> None:
        body = canonical.load(command.payload, beat.Body, beat.MAX_BYTES)
        checkers.check_signing(self._truth, self.name, body, self._stored())
        covered = [member.report.sha256 for member in self._issuer.covered]
        checkers.a5_the_root_covers_its_members(body, covered)
        raw = sign(command.payload_type, command.payload, self._signer)
        # It vouches for what it saw, as of when it looked: however late it comes to its signature.
        self._truth.beat_signed(raw, self._looked_ns, covers=covered)
        self._later(SIGN_NS, lambda: self._feed(Signed(raw)))
