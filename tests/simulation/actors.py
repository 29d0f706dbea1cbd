"""The machines and people of a run around the real core: a sidecar with its disk, and its clients.

A sidecar is the real `Follower`, the real `Gate` and the real `decide`; the driver here turns their
commands into entries on the heap. It can die at any command boundary: between a store and its
answer, between a read and its reply.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.core import events as ev
from sidecar.core import gate, marks
from sidecar.core.follower import Follower, Setting
from sidecar.core.gate import Denial, Exempt, Gate, Permit
from sidecar.core.head import RequestHead
from sidecar.core.instant import NS_PER_MS
from sidecar.core.lease import Lease
from sidecar.core.objects.trust import Trust
from sidecar.core.snapshot import Snapshot
from tests.simulation import checkers
from tests.simulation.checkers import Look
from tests.simulation.peers import Found, Network
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Seen, Truth
from tests.simulation.world import NodeClocks, World

if TYPE_CHECKING:
    from sidecar.core.quorum import PeerId

PERMIT = "permit"  # in the tally, beside the codes of the reasons
HEAD = RequestHead(b"POST", b"/v1/chat", b"/v1/chat", ())


class SimulatedSidecar:
    """One sidecar on one machine.

    Attributes:
        tally: Decisions on requests of clients, by reason code or `permit`.
        conflicts: What it told about contradictions.
    """

    def __init__(
        self,
        name: str,
        world: World,
        network: Network,
        scenario: Scenario,
        *,
        setting: Setting,
        truth: Truth,
        clocks: NodeClocks,
    ) -> None:
        self.name = name
        self.clocks = clocks
        self.seen = Seen()
        self.tally: Counter[str] = Counter()
        self.conflicts: list[ev.Conflict] = []
        self._world = world
        self._network = network
        self._scenario = scenario
        self._setting = setting
        self._truth = truth
        self._disk: bytes | None = None
        self._life = 0
        self._wake = 0
        self._owed: dict[PeerId, int] = {}
        self._up = False
        self._gate = Gate()
        self._follower: Follower

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process, from what was stored."""
        trust = self._truth.trust
        stored = None if self._disk is None else marks.decode(self._disk, trust.domain)
        self.seen.restarted(stored)
        self._life += 1
        self._up = True
        self._owed = {}
        self._gate = Gate()
        self._follower = make_follower(trust, self._setting, stored)
        self._say(f"starts, {'first boot' if stored is None else _told(stored)}")
        self._publish(self._follower.snapshot)
        self._feed(ev.RoundDue(self._world.rng.random()))

    def crash(self) -> None:
        """The process dies now; another one follows."""
        if self._up:
            self._say("dies")
            self._up = False
            self._life += 1
            down_ms = self._world.rng.random() * self._scenario.ttl_ms / 4
            self._world.after(int(down_ms * NS_PER_MS), self.start)

    def step_clock(self) -> None:
        """Somebody sets the wall clock, within the skew that the protocol admits."""
        half_ns = self._scenario.skew_ms * NS_PER_MS // 2
        self.clocks.offset_ns = self._world.rng.randint(-half_ns, half_ns)

    # -- the driver ------------------------------------------------------------------------------

    def _feed(self, event: ev.Event) -> None:
        for command in self._follower.handle(event, self.clocks.now()):
            self._execute(command)
        self._judge()

    def _execute(self, command: ev.Command) -> None:
        match command:
            case ev.ReadPeer():
                self._read(command)
            case ev.WakeAfter(delay_ms=delay_ms):
                self._wake += 1
                this = self._wake
                jitter = self._world.rng.random()
                self._later(
                    delay_ms * NS_PER_MS,
                    lambda: self._feed(ev.RoundDue(jitter)) if this == self._wake else None,
                )
            case ev.Store():
                self._store(command)
            case ev.Publish(snapshot=snapshot):
                self._publish(snapshot)
            case ev.RoundEnded():
                faults = ",".join(reason.code for reason in command.faults)
                self._say(f"round {command.round} {command.outcome} {faults}")
            case ev.Conflict():
                self._say(f"tells of a contradiction {command.evidence[:8]}")
                checkers.s5_evidence_is_genuine(self._look(), command)
                self.conflicts.append(command)
            case ev.Passage() | ev.TrustAdopted():
                pass

    def _read(self, want: ev.ReadPeer) -> None:
        self.seen.sent.setdefault(want.round, self.clocks.now())
        self._owed[want.peer] = want.round
        life = self._life

        def answered(found: Found) -> None:
            if self._life == life:
                if self._owed.get(want.peer) == want.round:
                    del self._owed[want.peer]
                    self.seen.shown(self._truth, want.round, want.peer, found)
                self._feed(ev.PeerReplied(want.peer, want.round, found))

        def failed(kind: str) -> None:
            if self._life == life:
                if self._owed.get(want.peer) == want.round:
                    del self._owed[want.peer]
                self._feed(ev.PeerFailed(want.peer, want.round, kind))

        keys = (want.strings, want.hashes)
        self._network.read(self.name, want.peer, keys, answered, failed)

    def _store(self, store: ev.Store) -> None:
        self.seen.storing_round = max(self.seen.sent, default=0)
        rng, faulty = self._world.rng, self._network.faulty
        half_ns = int(rng.expovariate(2 / self._scenario.store_ms) * NS_PER_MS)
        fails = faulty and rng.random() < self._scenario.store_failure_rate
        lands = not fails or rng.random() < 0.5  # an error does not say that nothing was written
        answer = ev.StoreFailed(store.generation) if fails else ev.Stored(store.generation)

        def landed() -> None:
            if lands:
                self._disk = store.body
            self._later(half_ns, lambda: self._feed(answer))

        self._later(half_ns, landed)

    def _publish(self, snapshot: Snapshot) -> None:
        self._gate.publish(snapshot)
        lease = snapshot.lease
        old = self.seen.lease
        if lease is not None and lease != old:
            left_ms = (lease.deadline - self.clocks.now().boot) / NS_PER_MS
            self._say(f"lease: epoch {lease.epoch_seq} for {left_ms:.3f} ms")
            self._ask_around_the_end(lease)
        else:
            self._say(f"publishes {snapshot.state(self.clocks.now()).value}")
        checkers.check_publish(self._look())

    def _later(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Do something unless the process has died meanwhile."""
        life = self._life
        self._world.after(delay_ns, lambda: action() if self._life == life else None)

    # -- clients and checks ----------------------------------------------------------------------

    def ask(self) -> None:
        """A client sends a request; a dead process answers nobody."""
        if self._up:
            self.tally[self._judge()] += 1

    def _ask_around_the_end(self, lease: Lease) -> None:
        """The worst instants of all, if the lease is then still the one in force."""

        def ask() -> None:
            if self._gate.snapshot.lease is lease:
                self.ask()

        clocks = self.clocks
        for end_ns in (
            clocks.true_of_boot(lease.deadline),
            clocks.true_of_wall(lease.wall_deadline),
        ):
            for when_ns in (end_ns - 1, end_ns):
                self._later(max(0, when_ns - self._world.now_ns), ask)

    def _judge(self) -> str:
        look = self._look()
        decision = gate.decide(look.snapshot, HEAD, look.now)
        checkers.check_decision(look, decision)
        match decision:
            case Permit():
                return PERMIT
            case Denial(reason=reason):
                return reason.code
            case Exempt():
                raise AssertionError("the target is not exempt")

    def check_recovered(self) -> None:
        """After the calm."""
        checkers.l1_recovered(self._look())

    def _look(self) -> Look:
        return Look(
            self.name,
            self._world.now_ns,
            self.clocks.now(),
            self.clocks,
            self._gate.snapshot,
            self.seen,
            self._truth,
            self._scenario,
            self._disk,
        )

    def _say(self, what: str) -> None:
        self._world.say(self.name, what)


def make_follower(trust: Trust, setting: Setting, stored: marks.Marks | None) -> Follower:
    """The code under test."""
    return Follower(trust, setting, stored)


def _told(stored: marks.Marks) -> str:
    seq = 0 if stored.epoch is None else stored.epoch.seq
    return f"marks {stored.generation}, epoch {seq}, {len(stored.halts)} orders"
