"""People: those with the offline keys, who sign epochs, halts and clears; and an attacker.

The office writes what it signs to every peer again and again until each has taken it. The attacker
holds a key that trust revoked, one that it never knew, and one that may halt but not clear; what it
makes is served by lying peers.
"""

from collections.abc import Callable

import msgspec

from sidecar.core import canonical, envelope, layout, policy
from sidecar.core.instant import NS_PER_MS, WallMs
from sidecar.core.objects import beat, halt, trust
from sidecar.core.objects.epoch import Activation, Epoch
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.trust import Role, Trust
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.simulation.clocks import TRUE_EPOCH_NS
from tests.simulation.peers import Library, Network, SimulatedPeer
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Truth
from tests.simulation.world import World

REVOKED_NUMBER = 3  # beat key 3 is in the trust document, and revoked by it


def make_trust(scenario: Scenario) -> Trust:
    """The trust document of a run: two beat keys that count, and one that is revoked."""
    revoked = builders.signer(Role.BEAT, REVOKED_NUMBER).key_id
    return builders.make_trust(
        roles={**builders.ROLES, Role.BEAT: (REVOKED_NUMBER, 1)},
        revoked=(trust.Revoked(keyid=revoked, reason="stolen", at=builders.NOW),),
        quorum=trust.Quorum(
            n=scenario.peers, r=scenario.quorum, w=scenario.peers - scenario.quorum + 1
        ),
        limits=trust.Limits(
            ttl_max_ms=scenario.ttl_ms,
            skew_max_ms=scenario.skew_ms,
            drift_ppm=scenario.drift_ppm,
        ),
    )


class Office:
    """Signs and publishes what people decide.

    Attributes:
        latches: Evidence ids that sidecars told about; cleared like halts.
    """

    def __init__(self, world: World, network: Network, scenario: Scenario, truth: Truth) -> None:
        self.latches: dict[str, None] = {}
        self._world = world
        self._network = network
        self._scenario = scenario
        self._truth = truth
        self._orders = 0
        self._published: list[Callable[[SimulatedPeer], None]] = []

    def advance(self) -> None:
        """Sign the next epoch, with a policy of its own, and publish it."""
        trusted, epochs = self._truth.trust, self._truth.epochs
        prev = epochs[max(epochs)] if epochs else None
        seq = 1 if prev is None else prev.seq + 1
        immediate = self._world.rng.random() < self._scenario.immediate_rate
        blob = policy_blob(seq)
        raw = builders.epoch_bytes(
            trusted,
            prev,
            policy_blob=blob,
            issued_at=self._wall(),
            activation=Activation(mode="immediate" if immediate else "lease", supersedes=True),
        )
        made = self._truth.epoch_signed(raw, self._world.now_ns)
        self._world.say("office", f"epoch {seq}{', immediate' if immediate else ''}")
        domain = trusted.domain

        def change(peer: SimulatedPeer) -> None:
            for content in (blob, builders.ROUTES):
                peer.put(layout.blob_key(domain, canonical.digest(content)), content)
            peer.put(layout.epoch_key(domain, made.sha256), raw)
            peer.put(layout.head_key(domain), self._newest().sha256.encode())

        self._everywhere(change)

    def halt(self) -> None:
        """Stop everything."""
        self._order(None)

    def clear(self) -> None:
        """End one halt, or one latched hold."""
        halts = [order.says.halt_id for order in self._truth.halts.active]
        cleared = self._truth.halts.cleared
        ended = [*halts, *(item for item in self.latches if item not in cleared)]
        if ended:
            self._order(self._world.rng.choice(ended))

    def clear_everything(self) -> None:
        """End every halt and every latched hold."""
        while (before := self._orders) >= 0:
            self.clear()
            if self._orders == before:
                return

    def _order(self, clears: str | None) -> None:
        self._orders += 1
        order = builders.make_order(
            self._truth.trust, number=self._orders, clears=clears, issued_at=self._wall()
        )
        self._truth.order_signed(order, self._world.now_ns)
        self._world.say("office", "halt" if clears is None else f"clear of {clears[:8]}")
        field = layout.order_field(order.sha256)
        self._everywhere(lambda peer: peer.put_field(self._truth.halts_key, field, order.raw))

    def twin(self) -> None:
        """Somebody with a copy of an authority's key signs another beat under a used number.

        As from an old backup: with other content, or even for another epoch with the same number.
        """
        rng = self._world.rng
        signed = list(self._truth.beats.values())
        if not signed:
            return
        first = rng.choice(signed[-3:]).beat
        number = 1 if builders.signer(Role.BEAT).key_id == first.says.issuer else 2
        body = msgspec.structs.replace(first.says, issued_at=self._wall(), interval_ms=1)
        if rng.random() < 0.5:
            forked = trust.Mark(seq=first.says.epoch.seq, sha256=canonical.digest(b"forked"))
            body = msgspec.structs.replace(body, epoch=forked)
        raw = sign(beat.PAYLOAD_TYPE, canonical.dump(body), builders.signer(Role.BEAT, number))
        self._truth.beat_signed(raw, self._world.now_ns, own=False)
        peer = rng.choice(list(self._network.peers.values()))
        self._world.say("office", f"a twin of beat {first.seq} at {peer.name}")
        peer.put(layout.beat_key(self._truth.trust.domain, first.says.issuer), raw)

    def _newest(self) -> Epoch:
        return self._truth.epochs[max(self._truth.epochs)]

    def republish(self) -> None:
        """Write everything again: what every peer lost is nowhere but in the files of people."""
        for change in self._published:
            for peer in self._network.peers.values():
                self._until_taken(peer, change)

    def _everywhere(self, change: Callable[[SimulatedPeer], None]) -> None:
        self._published.append(change)
        for peer in self._network.peers.values():
            self._until_taken(peer, change)

    def _until_taken(self, peer: SimulatedPeer, change: Callable[[SimulatedPeer], None]) -> None:
        self._network.write(
            "office",
            peer.name,
            change,
            lambda: None,
            lambda _: self._until_taken(peer, change),
        )

    def _wall(self) -> WallMs:
        return wall_of(self._world)


def policy_blob(seq: int) -> bytes:
    """A policy whose only rule is named after its epoch."""
    return canonical.encode({
        "_type": policy.TYPE,
        "name": "chat",
        "rules": [{
            "name": f"epoch-{seq}", "action": "permit", "methods": ["POST"], "paths": ["/v1/**"],
            "headers": [], "in_flight": "cut",
        }],
    })  # fmt: skip


def wall_of(world: World) -> WallMs:
    """A wall clock without error."""
    return WallMs((TRUE_EPOCH_NS + world.now_ns) // NS_PER_MS)


class Attacker:
    """Makes beats and orders with keys that must not count, for lying peers to serve."""

    def __init__(self, world: World, truth: Truth, library: Library) -> None:
        self._world = world
        self._truth = truth
        self._library = library
        self._unknown = FileSigner(b"\x66" * 32)
        self._revoked = builders.signer(Role.BEAT, REVOKED_NUMBER)

    def attack(self) -> None:
        """Forge one of each."""
        if self._truth.epochs:
            self._beat()
            self._order(None, self._revoked)
            active = self._truth.halts.active
            if active:
                self._order(active[0].says.halt_id, builders.signer(Role.HALT))

    def _beat(self) -> None:
        trusted, rng = self._truth.trust, self._world.rng
        domain = trusted.domain
        epoch = self._truth.epochs[rng.choice(list(self._truth.epochs))]
        for number, key in ((1, self._unknown), (REVOKED_NUMBER, self._revoked)):
            body = builders.beat_body(
                trusted,
                epoch,
                number=number,
                halts=rng.choice((NO_HALTS, self._truth.halts)),
                seq=rng.randrange(1, 10_000),
                issued_at=wall_of(self._world),
            )
            raw = _sealed_as(body.issuer, beat.PAYLOAD_TYPE, canonical.dump(body), key)
            self._library.forge(layout.beat_key(domain, body.issuer), raw)
            self._library.forge(layout.beat_key(domain, builders.signer(Role.BEAT).key_id), raw)

    def _order(self, clears: str | None, key: FileSigner) -> None:
        body = builders.order_body(
            self._truth.trust,
            number=self._world.rng.randrange(1, 1000),
            clears=clears,
            issued_at=wall_of(self._world),
        )
        raw = sign(halt.PAYLOAD_TYPE, canonical.dump(body), key)
        self._library.forge(self._truth.halts_key, raw)


def _sealed_as(issuer: str, kind: str, payload: bytes, key: FileSigner) -> bytes:
    """An envelope that claims one key and was signed by another."""
    signature = key.sign(envelope.pae(kind, payload))
    return envelope.seal(kind, payload, {envelope.KeyId(issuer): signature})
