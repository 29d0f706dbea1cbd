"""One run: build the world from its scenario, let faults happen, then calm, then judge."""

import gc
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from sidecar.core.follower import Setting
from sidecar.core.instant import NS_PER_MS
from sidecar.core.lease import Terms
from sidecar.core.quorum import PeerId
from tests.simulation import memo
from tests.simulation.actors import SimulatedSidecar
from tests.simulation.authority import SimulatedAuthority
from tests.simulation.ceremony import Root
from tests.simulation.clocks import WILD_NS, NodeClocks
from tests.simulation.look import ViolationError
from tests.simulation.machine import Machine
from tests.simulation.office import Attacker, Office, make_trust
from tests.simulation.peers import Library, Network, SimulatedPeer
from tests.simulation.promise import Promise
from tests.simulation.scenario import Scenario, draw
from tests.simulation.thief import Thief
from tests.simulation.truth import Truth
from tests.simulation.world import World

COLLECT_AFTER = 100_000  # objects


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went.

    Attributes:
        scenario: What it was made of.
        digest: One number for all that happened.
        steps: Entries taken from the heap.
        virtual_ms: How much time passed in it.
        decisions: Decisions on requests by reason code, or `permit`.
        promised: Requests that had to be permitted.
        broken: Those of them that were denied: false containment.
        violation: The invariant that does not hold and the facts, or None.
        tail: The last lines of the trace.
    """

    scenario: Scenario
    digest: str
    steps: int
    virtual_ms: float
    decisions: Counter[str]
    promised: int
    broken: int
    violation: str | None
    tail: tuple[str, ...]

    @property
    def invariant(self) -> str | None:
        """The name of what does not hold, or None."""
        return None if self.violation is None else self.violation.partition(":")[0]


def run(
    seed: int,
    tell: Callable[[str], None] | None = None,
    introduce: Callable[[Scenario], None] | None = None,
    **fixed: Any,
) -> Outcome:
    """Simulate one seed.

    Args:
        seed: The whole run follows from it.
        tell: Takes each line of the trace.
        introduce: Takes the scenario before anything happens.
        fixed: Options that are not drawn.
    """
    rng = Random(seed)
    scenario = draw(seed, rng, **fixed)
    if introduce is not None:
        introduce(scenario)
    world = World(rng, tell)
    stage = Stage(world, scenario)
    try:
        with memo.remembering(), few_collections():
            stage.play()
        violation = None
    except ViolationError as error:
        violation = str(error)
        world.say("checker", violation)
    except OSError:
        raise  # core does no I/O: this is about whoever reads the trace
    except Exception as error:  # noqa: BLE001 - whatever the code under test raises is a finding
        violation = f"{type(error).__name__}: {error}"
        for line in traceback.format_exc().splitlines():
            world.say("raised", line)
    decisions: Counter[str] = Counter()
    for sidecar in stage.sidecars:
        decisions += sidecar.tally
    return Outcome(
        scenario,
        world.digest,
        world.steps,
        world.now_ns / NS_PER_MS,
        decisions,
        stage.promise.promised,
        stage.promise.broken,
        violation,
        tuple(world.tail),
    )


@contextmanager
def few_collections() -> Iterator[None]:
    """Look for garbage in cycles rarely: there is little, and looking takes a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Stage:
    """All actors of a run, and the plan of its faults."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        names = [PeerId(f"peer{number}") for number in range(1, scenario.peers + 1)]
        library = Library()
        self._world = world
        self._scenario = scenario
        self._peers = tuple(SimulatedPeer(name, library) for name in names)
        self._network = Network(world, scenario, self._peers)
        self._truth = Truth(make_trust(scenario))
        self._office = Office(world, self._network, scenario, self._truth)
        self._attacker = Attacker(world, self._truth, library)
        self._thief = Thief(world, scenario, self._truth, library, self._peers)
        self._authorities: list[SimulatedAuthority] = [
            SimulatedAuthority(number, world, self._network, scenario, self._truth, self._clocks())
            for number in range(1, scenario.authorities + 1)
        ]
        self._root = Root(
            world, scenario, self._truth, self._office, self._authorities, self._thief
        )
        self.promise = Promise(world, self._network, scenario, self._truth, self._authorities)
        setting = Setting(
            service="model",
            region="here",
            peers=tuple(names),
            quorum=scenario.quorum,
            terms=Terms(scenario.ttl_ms, scenario.skew_ms, scenario.drift_ppm, scenario.freshness),
            poll_ms=scenario.poll_ms,
        )
        self.sidecars = [
            SimulatedSidecar(
                number,
                world,
                self._network,
                scenario,
                setting=setting,
                truth=self._truth,
                clocks=self._clocks(),
                promise=self.promise,
            )
            for number in range(1, scenario.sidecars + 1)
        ]

        for peer in self._peers:
            peer.published = self._published

    def _published(self, peer: PeerId) -> None:
        if self._scenario.hint_rate:
            for sidecar in self.sidecars:
                sidecar.hinted(peer)

    def play(self) -> None:
        """Faults first, then calm; ViolationError as soon as an invariant does not hold."""
        world, scenario = self._world, self._scenario
        faults_ns = scenario.faults_ms * NS_PER_MS
        self._office.advance()
        starts = [actor.start for actor in self._authorities]
        for start in (*starts, *(actor.start for actor in self.sidecars)):
            world.after(world.rng.randrange(scenario.interval_ms * NS_PER_MS), start)
        self._plan_faults(faults_ns)
        end_ns = faults_ns + scenario.calm_ms * NS_PER_MS
        for sidecar in self.sidecars:
            world.every(scenario.ttl_ms / 30, end_ns, sidecar.ask)
        world.run(faults_ns)
        self._calm_down()
        world.run(end_ns)
        for sidecar in self.sidecars:
            sidecar.check_recovered()

    def _clocks(self) -> NodeClocks:
        rng, scenario = self._world.rng, self._scenario
        half_ns = scenario.skew_ms * NS_PER_MS // 2  # two clocks then differ by the skew at most
        share, pace = rng.uniform(-1, 1), rng.uniform(-1, 1)
        if scenario.extreme_clocks:
            share, pace = rng.choice((-1.0, 1.0)), rng.choice((-1.0, 1.0))
        if scenario.wild_clocks:
            half_ns = WILD_NS
        return NodeClocks(
            self._world,
            offset_ns=int(share * half_ns),
            half_skew_ns=half_ns,
            rate_ppm=int(pace * scenario.drift_ppm),
            zero_ns=rng.randrange(10**15),
            wild=scenario.wild_clocks,
        )

    def _plan_faults(self, until_ns: int) -> None:
        world, scenario, rng = self._world, self._scenario, self._world.rng
        for mean_ms, fault in (
            (scenario.crash_every_ms, lambda: rng.choice(self.sidecars).crash()),
            (scenario.authority_crash_every_ms, lambda: rng.choice(self._authorities).crash()),
            (scenario.wipe_every_ms, lambda: rng.choice(self._peers).wipe(world.now_ns)),
            (scenario.step_every_ms, self._step_clock),
            (scenario.cut_every_ms, self._cut),
            (scenario.pause_every_ms, self._pause),
            (scenario.stop_every_ms, self._stop_machine),
            (scenario.misset_every_ms, lambda: rng.choice(self.sidecars).misset_clock()),
            (scenario.liars and scenario.ttl_ms, self._lie),
            (scenario.advance_every_ms, self._office.advance),
            (scenario.halt_every_ms, self._office.halt),
            (scenario.clear_every_ms, self._clear),
            (scenario.attack_every_ms, self._attacker.attack),
            (scenario.twin_every_ms, self._office.twin),
            (scenario.theft_every_ms, self._thief.strike),
            (scenario.raid_every_ms, self._thief.raid),
            (scenario.tamper_every_ms, self._thief.tamper),
            (scenario.rotate_every_ms, self._root.rotate),
        ):
            if mean_ms:
                world.every(mean_ms, until_ns, fault)
        if scenario.authority_stops:
            world.after(int(rng.uniform(0.3, 0.8) * until_ns), self._stop_authorities)

    def _step_clock(self) -> None:
        if self._scenario.wild_clocks and self._world.rng.random() < 0.3:
            self._world.rng.choice(self._authorities).step_clock()
        else:
            self._world.rng.choice(self.sidecars).step_clock()

    def _cut(self) -> None:
        """Part some nodes from some peers, for a while."""
        rng, scenario = self._world.rng, self._scenario
        count = {
            "one": 1,
            "minority": scenario.peers - scenario.quorum,
            "majority": scenario.quorum,
            "authority": scenario.quorum,
            "all": scenario.peers,
        }[scenario.cut]
        away = rng.sample([peer.name for peer in self._peers], count)
        nodes = [sidecar.name for sidecar in self.sidecars]
        if scenario.cut == "authority":
            nodes = [authority.name for authority in self._authorities]
        else:
            nodes = rng.sample(nodes, rng.randint(1, len(nodes)))
        pairs = {(node, peer) for node in nodes for peer in away}
        self._world.say("network", f"cut {nodes} from {away}")
        self._network.cut |= pairs
        for_ns = int(rng.uniform(0.2, 2) * scenario.ttl_ms * NS_PER_MS)
        self._world.after(for_ns, lambda: self._network.cut.difference_update(pairs))

    def _pause(self) -> None:
        self._anybody().pause(self._while_ns())

    def _stop_machine(self) -> None:
        self._anybody().stop_machine(self._while_ns(), synced=self._scenario.stop_synced)

    def _anybody(self) -> Machine:
        return self._world.rng.choice((*self.sidecars, *self.sidecars, *self._authorities))

    def _while_ns(self) -> int:
        """Mostly short, sometimes longer than a lease; never beyond the end of all faults."""
        share = self._world.rng.random() ** 2
        left_ns = self._scenario.faults_ms * NS_PER_MS - self._world.now_ns
        return min(int(share * 1.5 * self._scenario.ttl_ms * NS_PER_MS), left_ns) + 1

    def _lie(self) -> None:
        """Other peers lie from now on; sometimes none."""
        rng, scenario = self._world.rng, self._scenario
        chosen = rng.sample(self._peers, scenario.liars) if rng.random() < 0.7 else []
        for peer in self._peers:
            if peer.lie:
                peer.troubled_ns = self._world.now_ns
            peer.lie = scenario.lie if peer in chosen else ""
        self._world.say("peers", f"liars: {[peer.name for peer in chosen]}")

    def _clear(self) -> None:
        for sidecar in self.sidecars:
            self._office.latches.update((item.evidence, None) for item in sidecar.conflicts)
        self._office.clear()

    def _stop_authorities(self) -> None:
        for authority in self._authorities:
            authority.stopped = True
            if authority.up:
                authority.die()

    def _calm_down(self) -> None:
        self._world.say("world", "calm")
        self._network.faulty = False
        for machine in (*self.sidecars, *self._authorities):
            machine.faulty = False
            machine.clocks.put_right()
        self._network.cut.clear()
        for peer in self._peers:
            peer.lie, peer.raided = "", False
            peer.troubled_ns = self._world.now_ns
        self._root.recover()
        self._root.hand_over()
        for authority in self._authorities:
            authority.revive()
        self._office.republish()
        if self._scenario.clear_every_ms:
            self._clear()
            self._office.clear_everything()
