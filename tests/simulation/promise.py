"""False containment: denied although everything that the promise asks for was there.

Source: hardening 7 (liveness); codebases 9.3 (L1). A request counts as promised when, for two ttl
before it,

* a quorum of peers that neither lie nor were raided or wiped answered this sidecar in time, with
  what they hold now;
* as many authorities as the threshold says could read and write those peers, ran without a pause
  and could store;
* the sidecar ran without a pause, could store, and its clocks were within their bounds and not set
  by more than a step;
* no halt was in force, no epoch ended another at once, no trust document came, and nobody used a
  stolen beat key, or enough stolen epoch keys.

Then it has to be permitted. How many are not is told for each set of runs; without faults it is
none.
"""

from collections.abc import Sequence

from sidecar.core.instant import NS_PER_MS
from tests.simulation.machine import Machine
from tests.simulation.peers import Network
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Truth
from tests.simulation.world import World


class Promise:
    """Knows whether a sidecar may expect to permit now.

    Args:
        world: True time.
        network: Its links and peers.
        scenario: Quorum and ttl.
        truth: What was signed.
        authorities: One of them is enough.

    Attributes:
        promised: Requests that had to be permitted.
        broken: Those of them that were denied.
    """

    def __init__(
        self,
        world: World,
        network: Network,
        scenario: Scenario,
        truth: Truth,
        authorities: Sequence[Machine],
    ) -> None:
        self._world = world
        self._network = network
        self._scenario = scenario
        self._truth = truth
        self._authorities = authorities
        self._long_ns = 2 * scenario.ttl_ms * NS_PER_MS
        self.promised = 0
        self.broken = 0

    def asked(self, sidecar: Machine, *, permitted: bool) -> None:
        """A client of a sidecar was answered."""
        if self._long_ago(0) and self._in_force(sidecar):
            self.promised += 1
            if not permitted:
                self.broken += 1
                self._world.say("promise", f"{sidecar.name} denies without cause")

    def _in_force(self, sidecar: Machine) -> bool:
        truth = self._truth
        attacked = truth.stolen or truth.forked
        if truth.halts.active or attacked or not self._long_ago(truth.troubled_ns):
            return False
        good = sum(
            self._sound(authority) and self._share_a_quorum(sidecar, authority)
            for authority in self._authorities
        )
        return self._sound(sidecar) and good >= self._scenario.beat_threshold

    def _sound(self, machine: Machine) -> bool:
        clocks = machine.clocks
        last_ns = max(
            machine.troubled_ns, clocks.stood_still_ns, clocks.wrong_ns, clocks.stepped_ns
        )
        return machine.up and clocks.right and self._long_ago(last_ns)

    def _share_a_quorum(self, one: Machine, other: Machine) -> bool:
        network, quorum = self._network, self._truth.trust.body.quorum
        good = sum(
            not peer.lie
            and not peer.raided
            and self._long_ago(peer.troubled_ns)
            and all(
                self._long_ago(network.troubled_ns.get((machine.name, peer.name), -self._long_ns))
                for machine in (one, other)
            )
            for peer in network.peers.values()
        )
        return good >= max(quorum.r, quorum.w)

    def _long_ago(self, when_ns: int) -> bool:
        return when_ns < 0 or self._world.now_ns - when_ns > self._long_ns
