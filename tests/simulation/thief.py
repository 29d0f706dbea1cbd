"""Attackers with stolen keys, or with write access to peers: each set on its own.

| stolen | must hold | may be lost |
|---|---|---|
| `beat`: a beat key | epoch, policy and order sets stay those that were signed; no rollback | the current epoch can be kept alive; with a used number, or a false name, the gate is held |
| `halt`: a halt key | no clear | everything can be stopped |
| `epoch`: one epoch key of a threshold of two | no epoch of theirs is served or vouched for | nothing |
| `epoch+beat`: both | the same | a beat for an epoch above ours forbids renewal while it lives |
| raids on one peer | everything | nothing |
| raids on most or all peers | nothing forged, no older epoch, no permit after ttl | availability |

All keys with their threshold is not here: sidecars then follow the thief, as they must.

Source: hardening 8, A05, A06.
"""  # noqa: E501 (a table)

from sidecar.core import canonical, envelope, layout
from sidecar.core.instant import NS_PER_MS, WallMs
from sidecar.core.objects import beat, epoch, trust
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.trust import Role
from sidecar.signer import sign
from tests import builders
from tests.simulation.clocks import TRUE_EPOCH_NS
from tests.simulation.office import policy_blob, wall_of
from tests.simulation.peers import Library, SimulatedPeer
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Truth
from tests.simulation.world import World

ORDERS_FROM = 100_000  # its halts are numbered apart from those of the office
EVIL = 7_000_000  # its policies are named apart, too
KEYS_OF_BEAT = (1, 2)


class Thief:
    """Uses what it stole, again and again.

    Args:
        world: Time and randomness.
        scenario: What was stolen.
        truth: Learns what was signed with keys that count.
        library: Material for raids.
        peers: Where it leaves what it made; the network is no obstacle to it.
    """

    def __init__(
        self,
        world: World,
        scenario: Scenario,
        truth: Truth,
        library: Library,
        peers: tuple[SimulatedPeer, ...],
    ) -> None:
        self._world = world
        self._scenario = scenario
        self._truth = truth
        self._library = library
        self._peers = peers
        self._orders = ORDERS_FROM

    def strike(self) -> None:
        """Use the stolen keys once."""
        if not self._truth.epochs:
            return
        self._world.say("thief", self._scenario.thief)
        match self._scenario.thief:
            case "beat":
                self._beat()
            case "halt":
                self._halt()
            case "epoch":
                self._epoch()
            case "epoch+beat":
                self._beat(self._epoch())
            case other:
                raise AssertionError(other)

    def _beat(self, named: trust.Mark | None = None) -> None:
        """A beat that counts: for any epoch, of any date, with any number it likes."""
        rng, truth, scenario = self._world.rng, self._truth, self._scenario
        number = rng.choice(KEYS_OF_BEAT)
        issuer = builders.signer(Role.BEAT, number).key_id
        latest = max((seq for of, seq in truth.numbers if of == issuer), default=0)
        halts = rng.choice((NO_HALTS, truth.halts))
        truth.note_set(halts)
        ahead_ms = int(rng.uniform(-1, 0.5) * scenario.ttl_ms)
        body = builders.beat_body(
            truth.trust,
            truth.epochs[rng.choice(list(truth.epochs))],
            number=number,
            halts=halts,
            seq=latest + rng.randint(1, 30),
            issued_at=WallMs(wall_of(self._world) + ahead_ms),
            ttl_ms=86_400_000,
            **({} if named is None else {"epoch": named}),
        )
        raw = sign(beat.PAYLOAD_TYPE, canonical.dump(body), builders.signer(Role.BEAT, number))
        # Signed for a time to come, it vouches until then: no rule can tell it from a later one.
        dated_ns = body.issued_at * NS_PER_MS - TRUE_EPOCH_NS
        truth.beat_signed(raw, max(self._world.now_ns, dated_ns), own=False)
        self._leave(layout.beat_key(truth.trust.domain, issuer), raw)

    def _halt(self) -> None:
        """A halt, which counts; and a clear of it, which does not."""
        truth, key = self._truth, builders.signer(Role.HALT)
        self._orders += 1
        order = builders.make_order(
            truth.trust, number=self._orders, issued_at=wall_of(self._world)
        )
        truth.order_signed(order, self._world.now_ns)
        forged = builders.order_bytes(
            truth.trust, number=self._orders, clears=order.says.halt_id, keys=[key]
        )
        for raw in (order.raw, forged):
            field = layout.order_field(canonical.digest(raw))
            for peer in self._some():
                peer.put_field(truth.halts_key, field, raw)

    def _epoch(self) -> trust.Mark:
        """The next epoch, signed by one key of two, where everybody looks for it."""
        truth = self._truth
        domain, newest = truth.trust.domain, truth.epochs[max(truth.epochs)]
        blob = policy_blob(EVIL + newest.seq)
        raw = builders.epoch_bytes(
            truth.trust, newest, signed_by=1, policy_blob=blob, issued_at=wall_of(self._world)
        )
        sealed = envelope.parse(raw, epoch.MAX_BYTES)
        sha256 = canonical.digest(sealed.unverified_payload)
        for peer in self._some():
            for content in (blob, builders.ROUTES):
                peer.put(layout.blob_key(domain, canonical.digest(content)), content)
            peer.put(layout.epoch_key(domain, sha256), raw)
            peer.put(layout.head_key(domain), sha256.encode())
        return trust.Mark(seq=newest.seq + 1, sha256=sha256)

    def raid(self) -> None:
        """Write anything to the peers it has got hold of: old bytes, forgeries, nothing."""
        rng, keys = self._world.rng, list(self._library.by_key)
        for peer in self._peers[: self._scenario.raided]:
            peer.raided = True
            for key in rng.sample(keys, min(len(keys), rng.randint(1, 4))):
                peer.tamper(key, self._library.lie("mixed", key, rng))
        self._world.say("thief", f"raids {self._scenario.raided} peers")

    def _leave(self, key: str, raw: bytes) -> None:
        for peer in self._some():
            peer.put(key, raw)

    def _some(self) -> list[SimulatedPeer]:
        rng = self._world.rng
        return rng.sample(self._peers, rng.randint(1, len(self._peers)))
