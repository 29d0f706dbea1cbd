"""People: those with the offline keys, who sign epochs, halts and clears; and an attacker.

The office writes what it signs to every peer again and again until each has taken it. The attacker
holds a key that trust revoked, one that it never knew, and one that may halt but not clear; what it
makes is served by lying peers.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from sidecar.core import canonical, envelope, layout, policy
from sidecar.core.instant import NS_PER_MS, WallMs
from sidecar.core.objects import beat, epoch, halt, report, trust
from sidecar.core.objects.epoch import Activation, Epoch, Scope, Telemetry
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.halt import Scope as Stops
from sidecar.core.objects.trust import Role, Trust
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.simulation.clocks import TRUE_EPOCH_NS
from tests.simulation.peers import Library, Network, SimulatedPeer
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Truth
from tests.simulation.world import World

REVOKED_NUMBER = 3  # beat key 3 is in the trust document, and revoked by it
MODELS, TENANTS = ("small", "large"), ("red", "blue")
ROUTES = builders.routes_bytes(
    routes=[
        {"name": "first", "paths": ["/v1/**"], "upstream": "model"},
        {"name": "second", "paths": ["/v2/**"], "upstream": "model"},
    ],
    attributes={"model": "x-model", "tenant": "x-tenant"},
)

Kind = Literal["global", "service", "route", "model", "tenant", "instance", "drill"]


def make_trust(scenario: Scenario) -> Trust:
    """The trust document of a run: two beat keys that count, and one that is revoked."""
    revoked = builders.signer(Role.BEAT, REVOKED_NUMBER).key_id
    return builders.make_trust(
        roles={**builders.ROLES, Role.BEAT: (REVOKED_NUMBER, scenario.beat_threshold)},
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
        truth = self._truth
        prev = self._newest() if truth.epochs else None
        immediate = self._world.rng.random() < self._scenario.immediate_rate
        raw, blob, rule = next_epoch(
            truth, self._scenario, prev, issued_at=self._wall(), immediate=immediate
        )
        made = truth.epoch_signed(raw, rule, self._world.now_ns)
        self._world.say("office", f"epoch {made.seq}{', immediate' if immediate else ''}")
        domain = truth.trust.domain

        def change(peer: SimulatedPeer) -> None:
            for content in (blob, ROUTES):
                peer.put(layout.blob_key(domain, canonical.digest(content)), content)
            peer.put(layout.epoch_key(domain, made.sha256), raw)
            peer.put(layout.head_key(domain), self._newest().sha256.encode())
            peer.published(peer.name)

        self.publish(change)

    def halt(self) -> None:
        """Stop everything, or a part."""
        scope = Stops(kind="global", value="")
        if self._world.rng.random() < self._scenario.scoped_rate:
            kind, value = self._world.rng.choice(self._scopes)
            scope = Stops(kind=kind, value=value)
        self._order(None, scope)

    @property
    def _scopes(self) -> list[tuple[Kind, str]]:
        return [
            ("route", "first"), ("route", "second"), ("service", "model"), ("service", "other"),
            ("instance", report.instance_name("model", builders.instance_key(1).key_id)),
            ("drill", ""), *(("model", name) for name in MODELS),
            *(("tenant", name) for name in TENANTS),
        ]  # fmt: skip

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

    def _order(self, clears: str | None, scope: Stops | None = None) -> None:
        self._orders += 1
        truth = self._truth
        body = builders.order_body(
            truth.trust, number=self._orders, clears=clears, issued_at=self._wall()
        )
        body = msgspec.structs.replace(body, scope=scope or body.scope)
        keys = truth.held[Role.HALT][:1] if clears is None else truth.held[Role.RESUME][:2]
        raw = sign(halt.PAYLOAD_TYPE, canonical.dump(body), *keys)
        order = truth.order_signed(raw, self._world.now_ns)
        what = f"halt of {body.scope.kind}" if clears is None else f"clear of {clears[:8]}"
        self._world.say("office", what)
        field = layout.order_field(order.sha256)

        def change(peer: SimulatedPeer) -> None:
            peer.put_field(truth.halts_key, field, order.raw)
            peer.published(peer.name)

        self.publish(change)

    def twin(self) -> None:
        """Somebody with a copy of an authority's key signs another beat under a used number.

        As from an old backup: with other content, or even for another epoch with the same number.
        """
        rng = self._world.rng
        signed = list(self._truth.beats.values())
        if not signed:
            return
        first = rng.choice(signed[-3:]).beat
        key = self._keys[first.says.issuer]
        body = msgspec.structs.replace(first.says, issued_at=self._wall(), interval_ms=1)
        if rng.random() < 0.5:
            forked = trust.Mark(seq=first.says.epoch.seq, sha256=canonical.digest(b"forked"))
            body = msgspec.structs.replace(body, epoch=forked)
        raw = sign(beat.PAYLOAD_TYPE, canonical.dump(body), key)
        covers = self._truth.beats[first.sha256].covers
        self._truth.beat_signed(raw, self._world.now_ns, own=False, covers=covers)
        peer = rng.choice(list(self._network.peers.values()))
        self._world.say("office", f"a twin of beat {first.seq} at {peer.name}")
        peer.put(layout.beat_key(self._truth.trust.domain, first.says.issuer), raw)

    @property
    def _keys(self) -> dict[str, FileSigner]:
        """Every beat key that an authority has ever had."""
        return {key.key_id: key for key in self._truth.ever[Role.BEAT]}

    def _newest(self) -> Epoch:
        return self._truth.epochs[max(self._truth.epochs)]

    def republish(self) -> None:
        """Write everything again: what every peer lost is nowhere but in the files of people."""
        for change in self._published:
            for peer in self._network.peers.values():
                self._until_taken(peer, change)

    def publish(self, change: Callable[[SimulatedPeer], None]) -> None:
        """Change every peer, however long it takes."""
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


def next_epoch(
    truth: Truth,
    scenario: Scenario,
    prev: Epoch | None,
    *,
    issued_at: WallMs,
    immediate: bool = False,
    evil: bool = False,
    keys: Sequence[FileSigner] = (),
) -> tuple[bytes, bytes, str]:
    """The envelope of an epoch, its policy, and the name of the only rule in that."""
    seq = 1 if prev is None else prev.seq + 1
    rule = f"{'evil' if evil else 'epoch'}-{seq}"
    blob = policy_blob(rule)
    said = builders.predicate(
        truth.trust,
        prev,
        policy_blob=blob,
        routes_blob=ROUTES,
        issued_at=issued_at,
        not_before=0,
        not_after=builders.NOW + 300 * builders.DAY_MS,
        activation=Activation(mode="immediate" if immediate else "lease", supersedes=True),
        telemetry=Telemetry(max_unacked_ms=scenario.unacked_ms, max_diverged=None),
        scope=Scope(services=(), regions=(), tenants=(), instances=_roster(scenario)),
    )
    signers = keys or truth.held[Role.EPOCH][:2]
    return sign(epoch.PAYLOAD_TYPE, epoch.statement(said), *signers), blob, rule


def _roster(scenario: Scenario) -> tuple[str, ...]:
    numbers = range(1, scenario.sidecars + 1) if scenario.roster else ()
    return tuple(sorted(builders.instance_key(number).key_id for number in numbers))


def policy_blob(rule: str) -> bytes:
    """A policy with one rule."""
    return canonical.encode({
        "_type": policy.TYPE,
        "name": "chat",
        "rules": [{
            "name": rule, "action": "permit", "methods": ["POST"], "paths": ["/**"],
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
            self._trust()
            self._proof()
            active = self._truth.halts.active
            if active:
                self._order(active[0].says.halt_id, self._truth.held[Role.HALT][0])

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

    def _proof(self) -> None:
        """The newest beat of each authority covers the newest report of each sidecar, it says."""
        newest = {signed.beat.issuer: signed.beat for signed in self._truth.beats.values()}
        latest = {made.process[0]: (sha256, made) for sha256, made in self._truth.reports.items()}
        for issuer, of in newest.items():
            for sha256, made in latest.values():
                said = report.Proof(beat=of.sha256, report=sha256, index=0, path=())
                key = layout.proofs_key(self._truth.trust.domain, issuer)
                field = layout.field_name(key, made.instance)
                self._library.forge(field, canonical.dump(said))

    def _trust(self) -> None:
        """The next trust document, signed by too few root keys, and by those that left."""
        truth, newest = self._truth, self._truth.trust
        held = truth.held[Role.ROOT]
        gone = [key for key in truth.ever[Role.ROOT] if key not in held]
        for version in {newest.version, max(1, newest.version - 1)}:
            before = truth.trusts[version]
            body = msgspec.structs.replace(
                before.body, version=version + 1, prev_sha256=before.sha256,
                issued_at=wall_of(self._world),
            )  # fmt: skip
            raw = sign(trust.PAYLOAD_TYPE, canonical.dump(body), held[0], *gone[:3])
            self._library.forge(layout.trust_key(before.domain, version + 1), raw)

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
