"""A machine: two clocks, a disk, and a process that is paused anywhere, killed and restarted.

* A pause stops the process between two events, or between two commands of one event. Timers,
  replies and requests queue up and are handled afterwards, in any order; the clocks have gone on.
  A machine that is suspended looks the same from inside. A virtual machine that is stopped does
  not: its clocks stood still with it.
* A write that was not answered when the machine died may be lost, or landed, or torn. One that was
  answered is on the disk.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sidecar.core import events as ev
from sidecar.core.instant import NS_PER_MS
from tests.simulation.clocks import NodeClocks
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

HISTORY = 4  # files kept from before, for who restores an old one

T = TypeVar("T")
Action = Callable[[], None]
Answer = ev.Stored | ev.StoreFailed


class Machine:
    """What sidecars and authorities have in common.

    Attributes:
        name: In the trace.
        clocks: Its clocks.
        disk: The one file that it keeps, None while there is none.
        torn: Whether that file is neither what was there before nor what was to be.
        up: Whether the process runs (perhaps paused).
        faulty: Whether stores may fail.
        troubled_ns: True time at which it last died, was paused, began anew or failed to store.
    """

    def __init__(self, name: str, world: World, scenario: Scenario, clocks: NodeClocks) -> None:
        self.name = name
        self.clocks = clocks
        self.disk: bytes | None = None
        self.torn = False
        self.up = False
        self.faulty = True
        self.troubled_ns = 0
        self._world = world
        self._scenario = scenario
        self._life = 0
        self._paused = 0  # how many pauses are on
        self._waiting: list[Action] = []
        self._rest: Action | None = None  # of an event that a pause cut in two
        self._interrupt: Action | None = None  # strikes in the middle of the next event
        self._pending: bytes | None = None  # written and not yet durable
        self._history: list[bytes] = []

    # -- the process -----------------------------------------------------------------------------

    def die(self) -> None:
        """The process dies now; what it was writing may be lost, landed or torn."""
        self._say("dies")
        self.up = False
        self.troubled_ns = self._world.now_ns
        self._life += 1
        self._waiting = []
        self._rest = self._interrupt = None
        if self._pending is not None:
            self._tear(self._pending)
            self._pending = None

    def _tear(self, body: bytes) -> None:
        rng = self._world.rng
        if rng.random() >= self._scenario.torn_rate:
            return  # lost
        cut = rng.randrange(len(body) + 1)
        old = self.disk or b""
        torn = rng.choice((body[:cut], body[:cut] + bytes(len(body) - cut), body[:cut] + old[cut:]))
        self.torn = torn not in (self.disk, body)
        self.disk = torn
        self._say(f"leaves a file {'torn' if self.torn else 'whole'} after {cut} bytes")

    def pause(self, for_ns: int) -> None:
        """Stop the process for a while, at once or in the middle of its next event."""
        if not self.up:
            return
        if self._world.rng.random() < 0.5:
            self._stop_for(for_ns)
        else:
            self._interrupt = partial(self._stop_for, for_ns)

    def stop_machine(self, for_ns: int, *, synced: bool) -> None:
        """Stop a virtual machine: its clocks stand still. Somebody puts the wall clock right.

        Args:
            for_ns: How long.
            synced: Whether that is done before the process goes on, or a while later.
        """
        later_ns = 0 if synced else int(self._world.rng.random() * 3 * for_ns)
        self._say(f"stands still, wall clock right {later_ns / NS_PER_MS:.3f} ms later")
        self.clocks.stand_still(for_ns)
        self._world.after(for_ns + later_ns, self.clocks.put_right)
        self._stop_for(for_ns)

    def _stop_for(self, for_ns: int) -> None:
        self._say(f"is paused for {for_ns / NS_PER_MS:.3f} ms")
        self._paused += 1
        self._world.after(for_ns, self._go_on)

    def _when_it_runs(self, action: Action) -> None:
        """A new process: it does not begin while the machine stands still."""
        if self._paused:
            self._rest = action
        else:
            action()

    def _go_on(self) -> None:
        self._paused -= 1
        self.troubled_ns = self._world.now_ns
        if self._paused:
            return
        rest, self._rest = self._rest, None
        waiting, self._waiting = self._waiting, []
        if rest is not None:
            rest()
        self._world.rng.shuffle(waiting)
        for action in waiting:
            self._now_or_later(self._life, action)

    def _now_or_later(self, life: int, action: Action) -> None:
        if self._life != life:
            return
        if self._paused:
            self._waiting.append(action)
        else:
            action()

    def _later(self, delay_ns: int, action: Action) -> None:
        """Do something unless the process has died meanwhile; when it is paused, afterwards."""
        life = self._life

        def due() -> None:
            if self._life == life and not self._paused:
                action()
            else:
                self._now_or_later(life, action)

        self._world.after(delay_ns, due)

    def _alive(self, action: Callable[[T], None]) -> Callable[[T], None]:
        """The same for what somebody else calls back."""
        life = self._life

        def called(value: T) -> None:
            if self._life == life and not self._paused:
                action(value)
            else:
                self._now_or_later(life, lambda: action(value))

        return called

    def _carry_out(
        self, commands: Sequence[T], execute: Callable[[T], None], then: Action | None = None
    ) -> None:
        """Execute commands, and what comes after them; a pause may strike in between."""
        for number, command in enumerate(commands):
            if self._interrupt is not None and self._world.rng.random() < 0.5:
                strike, self._interrupt = self._interrupt, None
                strike()
                self._rest = partial(self._carry_out, commands[number:], execute, then)
                return
            execute(command)
        if then is not None:
            then()

    # -- the disk --------------------------------------------------------------------------------

    def _store(self, store: ev.Store, answered: Callable[[Answer], None]) -> None:
        rng = self._world.rng
        half_ns = int(rng.expovariate(2 / self._scenario.store_ms) * NS_PER_MS)
        fails = self.faulty and rng.random() < self._scenario.store_failure_rate
        if fails:
            self.troubled_ns = self._world.now_ns
        lands = not fails or rng.random() < 0.5  # an error does not say that nothing was written
        answer = (ev.StoreFailed if fails else ev.Stored)(store.generation)
        life = self._life
        self._pending = store.body

        def landed() -> None:
            if self._life != life:
                return
            self._pending = None
            if lands:
                self._history = [*self._history, store.body][-HISTORY:]
                self.disk = store.body
            self._later(half_ns, lambda: answered(answer))

        self._world.after(half_ns, landed)

    def _say(self, what: str) -> None:
        self._world.say(self.name, what)
