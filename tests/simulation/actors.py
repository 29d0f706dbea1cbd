"""The machines and people of a run around the real core: a sidecar with its disk, and its clients.

A sidecar is the real `Follower`, the real `Gate` and the real `decide`; the driver here turns their
commands into entries on the heap. It can be paused or die at any command boundary: between a store
and its answer, between a read and its reply.
"""

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.core import canonical, gate, marks
from sidecar.core import events as ev
from sidecar.core.follower import Follower, Setting
from sidecar.core.gate import Denial, Exempt, Gate, Permit
from sidecar.core.head import RequestHead
from sidecar.core.instant import NS_PER_MS
from sidecar.core.lease import Lease
from sidecar.core.objects import report
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError
from sidecar.core.reporter import Identity
from sidecar.core.snapshot import Snapshot
from sidecar.signer import sign
from tests import builders
from tests.simulation import checkers, fresh, succession
from tests.simulation.clocks import WILD_NS, NodeClocks
from tests.simulation.look import Look
from tests.simulation.machine import Machine
from tests.simulation.peers import Found, Network
from tests.simulation.promise import Promise
from tests.simulation.scenario import Scenario
from tests.simulation.seen import Seen, Sent
from tests.simulation.truth import Made, Truth
from tests.simulation.world import World

if TYPE_CHECKING:
    from sidecar.core.quorum import PeerId

PERMIT = "permit"  # in the tally, beside the codes of the reasons
GLANCE = 0  # number of reads that belong to no round
HINT_GAP_NS = 50 * NS_PER_MS  # from one hint of a peer to the next that is heard
HEADS = tuple(
    RequestHead(b"POST", path, path, ((b"x-model", model), (b"x-tenant", tenant)))
    for path, model, tenant in (
        (b"/v1/chat", b"small", b"red"), (b"/v1/chat", b"large", b"blue"),
        (b"/v2/chat", b"small", b"blue"), (b"/v2/chat", b"large", b"red"),
    )
)  # fmt: skip


class SimulatedSidecar(Machine):
    """One sidecar on one machine.

    Attributes:
        promise: Told of every answer.
        tally: Decisions on requests of clients, by reason code or `permit`.
        conflicts: What it told about contradictions.
    """

    def __init__(
        self,
        number: int,
        world: World,
        network: Network,
        scenario: Scenario,
        *,
        setting: Setting,
        truth: Truth,
        clocks: NodeClocks,
        promise: Promise,
    ) -> None:
        super().__init__(f"sidecar{number}", world, scenario, clocks)
        self.seen = Seen()
        self._key = builders.instance_key(number)
        self.instance = report.instance_name("model", self._key.key_id)
        self._pinned = truth.trust
        self._hinted: dict[PeerId, int] = {}
        self.promise = promise
        self.tally: Counter[str] = Counter()
        self.conflicts: list[ev.Conflict] = []
        self._network = network
        self._setting = setting
        self._truth = truth
        self._wake = 0
        self._owed: dict[PeerId, int] = {}
        self._glances: set[PeerId] = set()
        self._gate = Gate()
        self._follower: Follower
        self._handled: Sent  # of the event under way

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process, from what was stored; none while the machine stands still."""
        self._when_it_runs(self._start)

    def _start(self) -> None:
        pinned = self._pinned
        try:
            stored = None if self.disk is None else read_marks(self.disk, pinned.domain)
            trust = marks.in_force(stored, pinned, self.clocks.now().wall)
        except ProtocolError as error:
            self._refuse(error)
            return
        checkers.s8_torn_is_never_whole(self)
        self._life += 1
        self.seen.restarted(stored, (self.name, self._life), trust)
        self.up = True
        self._owed, self._glances = {}, set()
        self._gate = Gate()
        self._follower = make_follower(trust, self._named(self._setting), stored)
        self.troubled_ns = self._world.now_ns
        self._say(f"starts, {'first boot' if stored is None else _told(stored)}")
        self._publish(self._follower.snapshot)
        self._feed(self._due())
        self._tick()

    def _named(self, setting: Setting) -> Setting:
        """With an identity of this process."""
        setting = replace(setting, instance=self.instance)  # else it takes every order for its own
        if not self._scenario.reports:
            return setting
        process, key = self.seen.process, self._key

        def seal(kind: str, payload: bytes) -> bytes:
            made = Made(process, self.instance, self._world.now_ns, self.clocks.now())
            self._truth.reports[canonical.digest(payload)] = made
            return sign(kind, payload, key)

        boot_id = self._world.rng.randbytes(16).hex()
        identity = Identity(
            self.instance, key.key_id, key.public.hex(), boot_id, setting.service, setting.region,
            "simulated", seal,
        )  # fmt: skip
        return replace(setting, identity=identity)

    def _nonce(self) -> bytes:
        return self._world.rng.randbytes(32) if self._scenario.reports else b""

    def _due(self) -> ev.RoundDue:
        return ev.RoundDue(self._world.rng.random(), self._nonce())

    def hinted(self, peer: "PeerId") -> None:
        """A message on the channel of a peer: it may come, later, or not."""
        now_ns = self._world.now_ns
        if not self.up or now_ns - self._hinted.get(peer, -HINT_GAP_NS) < HINT_GAP_NS:
            return
        self._hinted[peer] = now_ns

        def heard() -> None:
            jitter = self._world.rng.random()
            self._feed(ev.Hinted(jitter, self._nonce(), peer=peer))

        life = self._life
        self._network.hint(self.name, peer, lambda: self._now_or_later(life, heard))

    def _tick(self) -> None:
        scenario, now = self._scenario, self.clocks.now()
        fresh.ticked(
            self.seen,
            now,
            self._world.now_ns,
            nonce=scenario.freshness == "nonce",
            ttl_ms=scenario.ttl_ms,
        )
        self._feed(ev.Ticked())
        self._later(fresh.TICK_MS * NS_PER_MS, self._tick)

    def _refuse(self, error: ProtocolError) -> None:
        """Corrupt marks: nothing passes, and people enrol the machine anew."""
        checkers.s8_refused_as_corrupt(self, error)
        self._say(f"cannot start: {error}")
        self.disk, self.torn, self.seen = None, False, Seen()
        self._pinned = self._truth.trust
        self._world.after(self._scenario.ttl_ms * NS_PER_MS, self.start)

    def crash(self) -> None:
        """The process dies now; another one follows."""
        if self.up:
            self.die()
            down_ms = self._world.rng.random() * self._scenario.ttl_ms / 4
            self._world.after(int(down_ms * NS_PER_MS), self.start)

    def step_clock(self) -> None:
        """Somebody sets the wall clock, within the skew that the protocol admits, if any."""
        if self.clocks.wild:
            self.clocks.set_wall(self._world.rng.randint(-WILD_NS, WILD_NS))
            return
        half_ns = self._scenario.skew_ms * NS_PER_MS // 2
        self.clocks.set_wall(self._world.rng.randint(-half_ns, half_ns))

    def misset_clock(self) -> None:
        """Somebody sets the wall clock wrong, and notices after a while."""
        rng, ttl_ns = self._world.rng, self._scenario.ttl_ms * NS_PER_MS
        self.clocks.set_wall(int(rng.uniform(-3, 3) * ttl_ns))
        self._say(f"has a wrong wall clock: {self.clocks.now().wall}")
        self._world.after(int(rng.uniform(0.1, 3) * ttl_ns), self.clocks.put_right)

    # -- the driver ------------------------------------------------------------------------------

    def _feed(self, event: ev.Event) -> None:
        now = self.clocks.now()
        self._handled = Sent(now, self._world.now_ns, self.clocks.right)
        self._carry_out(self._follower.handle(event, now), self._execute, self._check)

    def _execute(self, command: ev.Command) -> None:
        match command:
            case ev.ReadPeer():
                self._read(command)
            case ev.WakeAfter(delay_ms=delay_ms):
                self._wake += 1
                this = self._wake
                self._later(
                    delay_ms * NS_PER_MS,
                    lambda: self._feed(self._due()) if this == self._wake else None,
                )
            case ev.Store():
                self.seen.storing_round = max(self.seen.sent, default=0)
                self._store(command, self._stored)
            case ev.Publish(snapshot=snapshot):
                self._publish(snapshot)
            case ev.RoundEnded():
                faults = ",".join(reason.code for reason in command.faults)
                self._say(f"round {command.round} {command.outcome} {faults}")
            case ev.Conflict():
                self._say(f"tells of a contradiction {command.evidence[:8]}")
                checkers.s5_evidence_is_genuine(self._look(), command)
                self.conflicts.append(command)
            case ev.TrustAdopted():
                self._say(f"adopts trust {command.version}")
                sha256 = command.sha256
                succession.t2_root_signed_it(self._truth, self.name, command.version, sha256)
            case ev.Passage():
                pass

    def _stored(self, answer: ev.Stored | ev.StoreFailed) -> None:
        if isinstance(answer, ev.Stored) and self.disk is not None:
            version = checkers.stored_version(self.disk)
            self.seen.stored_version = max(self.seen.stored_version, version)
        self._feed(answer)

    def _read(self, want: ev.ReadPeer) -> None:
        if want.round == GLANCE:
            self._glance(want)
            return
        self.seen.sent.setdefault(want.round, self._handled)
        self._owed[want.peer] = want.round

        def answered(found: Found) -> None:
            if self._owed.get(want.peer) == want.round:
                del self._owed[want.peer]
                self.seen.shown(self._truth, want.round, want.peer, found, self._is_live)
            self._feed(ev.PeerReplied(want.peer, want.round, found))

        def failed(kind: str) -> None:
            if self._owed.get(want.peer) == want.round:
                del self._owed[want.peer]
            self._feed(ev.PeerFailed(want.peer, want.round, kind))

        self._network.read(self.name, want, self._alive(answered), self._alive(failed))

    def _glance(self, want: ev.ReadPeer) -> None:
        self._glances.add(want.peer)

        def answered(found: Found) -> None:
            if want.peer in self._glances:
                self._glances.discard(want.peer)
                self.seen.ordered(self._truth, found.get(self._truth.halts_key, ()))
            self._feed(ev.PeerReplied(want.peer, GLANCE, found))

        def failed(kind: str) -> None:
            self._glances.discard(want.peer)
            self._feed(ev.PeerFailed(want.peer, GLANCE, kind))

        self._network.read(self.name, want, self._alive(answered), self._alive(failed))

    def _is_live(self, beat: Beat) -> bool:
        return self.seen.is_live(beat, self._scenario, self.clocks.now())

    def _publish(self, snapshot: Snapshot) -> None:
        self._gate.publish(snapshot)
        held, old = snapshot.lease, self.seen.lease
        if held is not None and held != old:
            left_ms = (held.deadline - self.clocks.now().boot) / NS_PER_MS
            self._say(f"lease: epoch {held.epoch_seq} for {left_ms:.3f} ms")
            self._ask_around_the_end(held)
        else:
            self._say(f"publishes {snapshot.state(self.clocks.now()).value}")
        checkers.check_publish(self._look())

    # -- clients and checks ----------------------------------------------------------------------

    def ask(self) -> None:
        """A client sends a request; a dead process answers nobody, a paused one afterwards."""
        if self.up:
            self._now_or_later(self._life, self._answer)

    def _check(self) -> None:
        self._judge()

    def _answer(self) -> None:
        head = self._world.rng.choice(HEADS) if self._scenario.scoped_rate else HEADS[0]
        code = self._judge(head)
        self.tally[code] += 1
        self.promise.asked(self, permitted=code == PERMIT)

    def _ask_around_the_end(self, held: Lease) -> None:
        """The worst instants of all, if the lease is then still the one in force."""

        def ask() -> None:
            if self._gate.snapshot.lease is held:
                self._answer()

        clocks = self.clocks
        for end_ns in (clocks.true_of_boot(held.deadline), clocks.true_of_wall(held.wall_deadline)):
            for when_ns in (end_ns - 1, end_ns):
                self._later(max(0, when_ns - self._world.now_ns), ask)

    def _judge(self, head: RequestHead = HEADS[0]) -> str:
        look = self._look()
        decision = gate.decide(look.snapshot, head, look.now)
        checkers.check_decision(look, decision, head, self.instance)
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
            self.disk,
        )


def make_follower(trust: Trust, setting: Setting, stored: marks.Marks | None) -> Follower:
    """The code under test."""
    return Follower(trust, setting, stored)


def read_marks(raw: bytes, domain: str) -> marks.Marks | None:
    """The code under test; None is for what is absent, and a file is not."""
    return marks.decode(raw, domain)


def _told(stored: marks.Marks) -> str:
    seq = 0 if stored.epoch is None else stored.epoch.seq
    return f"marks {stored.generation}, epoch {seq}, {len(stored.halts)} orders"
