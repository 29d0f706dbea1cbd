"""Simulated Redis peers and the network to them: slow, lossy, stale, wiped, cut off, lying.

A read is two messages. Whatever is not back in time is a timeout; and, worse than the real reader,
which drops its connection then, the network here still hands over the late answer afterwards.
"""

from collections.abc import Callable, Mapping
from random import Random

from sidecar.core import layout
from sidecar.core.events import ReadPeer, WriteCommand
from sidecar.core.instant import NS_PER_MS
from sidecar.core.quorum import PeerId
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

Found = Mapping[str, tuple[bytes, ...]]

MEMORY = 12  # how far back a stale read reaches, in writes of a key
TRUST = ":trust:"  # in the name of a trust document, which a liar that withholds one hides
PROOF = ":proof:"  # in the name of a hash of proofs, which a liar may replace by claims
Keys = tuple[tuple[str, ...], tuple[str, ...]]  # what is read: strings (and fields), hashes


class Library:
    """Every byte string ever written to any peer, and what attackers made; a liar's material."""

    def __init__(self) -> None:
        self.by_key: dict[str, list[bytes]] = {}
        self.forged: dict[str, list[bytes]] = {}

    def add(self, key: str, raw: bytes) -> None:
        """Remember honest bytes."""
        known = self.by_key.setdefault(key, [])
        if raw not in known[-4:]:
            known.append(raw)

    def forge(self, key: str, raw: bytes) -> None:
        """Remember an attacker's bytes."""
        self.forged.setdefault(key, []).append(raw)

    def lie(self, kind: str, key: str, rng: Random) -> bytes | None:
        """One lie about a key; None for saying that there is nothing."""
        if kind == "mixed":
            kind = rng.choice(("replay", "replay", "garbage", "forge", "mute"))
        if kind == "forge":
            forged = self.forged.get(key)
            return rng.choice(forged[-3:]) if forged else self._replay(key, rng)
        if kind == "replay":
            return self._replay(key, rng)
        return self._garbage(key, rng) if kind == "garbage" else None

    def _replay(self, key: str, rng: Random) -> bytes | None:
        if rng.random() < 0.2:  # something that was published under another key
            key = rng.choice(list(self.by_key))
        known = self.by_key.get(key)
        if not known:
            return None
        return rng.choice(known[-MEMORY:] if rng.random() < 0.8 else known)

    def _garbage(self, key: str, rng: Random) -> bytes:
        raw = self._replay(key, rng)
        if raw is None or rng.random() < 0.3:
            return rng.randbytes(rng.randrange(200))
        where = rng.randrange(len(raw))
        return raw[:where] + bytes((raw[where] ^ (1 << rng.randrange(8)),)) + raw[where + 1 :]


class SimulatedPeer:
    """One Redis server: strings and hashes, with a memory of what they were.

    Attributes:
        lie: How it lies to readers now, or nothing.
        raided: Whether a thief has write access to it.
        troubled_ns: True time at which it last lost something or stopped lying, -1 for never.
        published: Told of each message on the channel.
    """

    def __init__(self, name: PeerId, library: Library) -> None:
        self.name = name
        self.lie = ""
        self.raided = False
        self.troubled_ns = -1
        self.published: Callable[[PeerId], None] = lambda _: None
        self._library = library
        self._strings: dict[str, list[bytes]] = {}
        self._hashes: dict[str, dict[str, bytes]] = {}

    def put(self, key: str, raw: bytes) -> None:
        """SET."""
        self._library.add(key, raw)
        known = self._strings.setdefault(key, [])
        known.append(raw)
        del known[:-MEMORY]

    def put_field(self, key: str, field: str, raw: bytes) -> None:
        """HSET. A field is kept under its own name as well: that is how it is read alone."""
        self._library.add(key, raw)
        self._hashes.setdefault(key, {})[field] = raw
        self.put(layout.field_name(key, field), raw)

    def drop_field(self, key: str, field: str) -> None:
        """HDEL."""
        self._hashes.get(key, {}).pop(field, None)
        self._strings.pop(layout.field_name(key, field), None)

    def drop(self, key: str) -> None:
        """DEL."""
        self._strings.pop(key, None)
        for field in tuple(self._hashes.pop(key, {})):
            self._strings.pop(layout.field_name(key, field), None)

    def run(self, command: WriteCommand) -> None:
        """One Redis command."""
        name, *rest = command
        words = [item if isinstance(item, bytes) else item.encode() for item in rest]
        match (name, words):
            case ("SET", [key, value]):
                self.put(key.decode(), value)
            case ("HSET", [key, *pairs]):
                for field, value in zip(pairs[::2], pairs[1::2], strict=True):
                    self.put_field(key.decode(), field.decode(), value)
            case ("HDEL", [key, *fields]):
                for field in fields:
                    self.drop_field(key.decode(), field.decode())
            case ("DEL", [key]):
                self.drop(key.decode())
            case ("PUBLISH", _):
                self.published(self.name)
            case _:
                raise AssertionError(f"unknown command {name!r}")

    def values(self, key: str) -> list[bytes]:
        """HVALS."""
        return list(self._hashes.get(key, {}).values())

    def wipe(self, now_ns: int) -> None:
        """FLUSHALL, or a restart without persistence."""
        self.troubled_ns = now_ns
        self._strings.clear()
        self._hashes.clear()

    def tamper(self, key: str, raw: bytes | None) -> None:
        """Somebody writes to it, past everybody; None deletes."""
        if key in self._hashes:
            fields = tuple(self._hashes[key])
            self.drop(key)
            self._hashes[key] = {} if raw is None else {"tampered": raw}
            if raw is not None:
                for field in fields:
                    self._strings[layout.field_name(key, field)] = [raw]
        else:
            self._strings[key] = [] if raw is None else [raw]

    def get(
        self, strings: tuple[str, ...], hashes: tuple[str, ...], rng: Random, *, stale: bool
    ) -> dict[str, tuple[bytes, ...]]:
        """Read, from now or from a while ago."""
        found: dict[str, tuple[bytes, ...]] = {}
        for key in strings:
            known = self._strings.get(key, [])
            if known:
                found[key] = (rng.choice(known) if stale else known[-1],)
        for key in hashes:
            values = tuple(self._hashes.get(key, {}).values())
            found[key] = values[: rng.randint(0, len(values))] if stale else values
        return found

    def misstate(
        self, strings: tuple[str, ...], hashes: tuple[str, ...], rng: Random
    ) -> dict[str, tuple[bytes, ...]]:
        """Read from a liar."""
        if self.lie == "withhold":
            honest = self.get(strings, hashes, rng, stale=False)
            return {key: values for key, values in honest.items() if TRUST not in key}
        if self.lie == "cover":
            honest = self.get(strings, hashes, rng, stale=False)
            claims = self._library.forged
            return honest | {
                key: (claims[key][-1],) for key in strings if key in claims and PROOF in key
            }
        found: dict[str, tuple[bytes, ...]] = {}
        for key in strings:
            said = self._library.lie(self.lie, key, rng)
            if said is not None:
                found[key] = (said,)
        for key in hashes:
            said_all = (self._library.lie(self.lie, key, rng) for _ in range(rng.randint(0, 3)))
            found[key] = tuple(said for said in said_all if said is not None)
        return found


class Network:
    """Every link between a node and a peer.

    Args:
        world: Time and randomness.
        scenario: Rates.
        peers: All of them, in order.

    Attributes:
        faulty: Whether faults still happen.
        cut: Pairs of node and peer that cannot reach each other.
        troubled_ns: Such a pair -> true time of the last message between them that was lost, late
            or stale.
    """

    def __init__(self, world: World, scenario: Scenario, peers: tuple[SimulatedPeer, ...]) -> None:
        self._world = world
        self._scenario = scenario
        self._timeout_ns = scenario.timeout_ms * NS_PER_MS
        self.peers = {peer.name: peer for peer in peers}
        self.faulty = True
        self.cut: set[tuple[str, PeerId]] = set()
        self.troubled_ns: dict[tuple[str, PeerId], int] = {}

    def read(
        self,
        node: str,
        want: ReadPeer,
        answered: Callable[[Found], None],
        failed: Callable[[str], None],
    ) -> None:
        """Ask a peer; exactly one of the two is called in time, `answered` perhaps once more late.

        Args:
            node: Who asks.
            want: What to write and to read, and whom to ask.
            answered: Takes what was found.
            failed: Takes the kind of failure.
        """
        world, peer = self._world, want.peer
        there = self.peers[peer]
        strings = (*want.strings, *(layout.field_name(key, field) for key, field in want.fields))
        keys: Keys = (strings, want.hashes)
        going_ns = self._delay()
        in_time = self._timer(node, peer, failed)

        def arrive() -> None:
            if self._lost(node, peer):
                in_time(None)
                return
            for command in want.writes:
                there.run(command)
            stale = self.faulty and world.rng.random() < self._scenario.stale_rate
            if stale:
                self.troubled_ns[node, peer] = world.now_ns
            if there.lie and not node.startswith("authority"):
                found = there.misstate(*keys, world.rng)
            else:
                found = there.get(*keys, world.rng, stale=stale)
            coming_ns = self._delay()
            in_time(coming_ns)
            world.after(coming_ns, lambda: back(found))

        def back(found: Found) -> None:
            if self._lost(node, peer):
                in_time(None)
            else:
                answered(found)

        in_time(going_ns)
        world.after(going_ns, arrive)

    def write(
        self,
        node: str,
        peer: PeerId,
        change: Callable[[SimulatedPeer], None],
        answered: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        """Change what a peer holds; a failure leaves open whether it was changed."""
        world, there = self._world, self.peers[peer]
        going_ns = self._delay()
        in_time = self._timer(node, peer, failed)

        def arrive() -> None:
            if self._lost(node, peer):
                in_time(None)
                return
            change(there)
            coming_ns = self._delay()
            if in_time(coming_ns):
                world.after(coming_ns, back)

        def back() -> None:
            if self._lost(node, peer):
                in_time(None)
            else:
                answered()

        in_time(going_ns)
        world.after(going_ns, arrive)

    def hint(self, node: str, peer: PeerId, heard: Callable[[], None]) -> None:
        """Carry a message of a channel to a subscriber; it may be lost, and nobody is told."""
        if self._lost(node, peer) or self._world.rng.random() >= self._scenario.hint_rate:
            return
        self._world.after(self._delay(), heard)

    def _timer(
        self, node: str, peer: PeerId, failed: Callable[[str], None]
    ) -> Callable[[int | None], bool]:
        """A timeout that is planned only once it is known to strike: most never do.

        Returns:
            A function that is told how long the next message takes, None when it is lost, and says
            whether it comes in time.
        """
        world = self._world
        end_ns = world.now_ns + self._timeout_ns

        def in_time(takes_ns: int | None) -> bool:
            if world.now_ns >= end_ns:
                return False  # planned before
            if takes_ns is not None and world.now_ns + takes_ns < end_ns:
                return True
            self.troubled_ns[node, peer] = end_ns
            world.at(end_ns, lambda: failed("timeout"))
            return False

        return in_time

    def _delay(self) -> int:
        rng = self._world.rng
        if self.faulty and rng.random() < self._scenario.slow_rate:
            return int(rng.random() * 2 * self._timeout_ns)
        return int(rng.expovariate(1 / self._scenario.delay_ms) * NS_PER_MS)

    def _lost(self, node: str, peer: PeerId) -> bool:
        if not self.faulty:
            return False
        return (node, peer) in self.cut or self._world.rng.random() < self._scenario.loss_rate
