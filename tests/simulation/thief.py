"""Attackers with stolen keys, or with write access to peers: each set on its own.

| stolen | must hold | may be lost |
|---|---|---|
| `beat`: a beat key | epoch, policy and order sets stay those that were signed; no rollback | the current epoch can be kept alive; with a used number, or a false name, the gate is held |
| `halt`: a halt key | no clear | everything can be stopped |
| `epoch`: one epoch key of a threshold of two | no epoch of theirs is served or vouched for | nothing |
| `epoch+beat`: both | the same | a beat for an epoch above ours forbids renewal while it lives |
| `epochs`: the threshold of epoch keys | sidecars follow it, until root replaces the keys and names the epoch that was last meant | which epoch is served, until then |
| raids on one peer | everything | nothing |
| reports and proofs on some peers deleted or overwritten | everything | availability, where only nonces count |
| raids on most or all peers | nothing forged, no older epoch, no permit after ttl | availability |

All beat keys that are needed are not here, nor is root: sidecars then follow the thief, as they
must.

Source: hardening 8, A05, A06.
"""  # noqa: E501 (a table)

from typing import Any

import msgspec

from sidecar.core import canonical, envelope, layout
from sidecar.core.instant import NS_PER_MS, WallMs
from sidecar.core.log import merkle
from sidecar.core.objects import beat, epoch, report, trust
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.report import Report
from sidecar.core.objects.trust import Role
from sidecar.core.reason import ProtocolError
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.simulation.clocks import TRUE_EPOCH_NS
from tests.simulation.office import ROUTES, next_epoch, wall_of
from tests.simulation.peers import Library, SimulatedPeer
from tests.simulation.scenario import Scenario
from tests.simulation.truth import Truth
from tests.simulation.world import World

ORDERS_FROM = 100_000  # its halts are numbered apart from those of the office
FAR_AHEAD = 100_000_000  # numbers: a fast-forward that no single step gives away


class Thief:
    """Uses what it stole, again and again, whether or not it was revoked meanwhile.

    Args:
        world: Time and randomness.
        scenario: What was stolen.
        truth: Learns what was signed with keys that count.
        library: Material for raids.
        peers: Where it leaves what it made; the network is no obstacle to it.

    Attributes:
        struck: Whether it has used what it stole.
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
        self._used: dict[str, int] = {}
        self.struck = False
        beats = truth.held[Role.BEAT]
        # Of a threshold of two it has one.
        self._beats = beats[1:] if scenario.beat_threshold > 1 else list(beats)
        self._epochs, self._halts = truth.held[Role.EPOCH][:2], truth.held[Role.HALT][:1]

    @property
    def loot(self) -> list[FileSigner]:
        """The keys that it has."""
        return {
            "beat": self._beats, "halt": self._halts, "epoch": self._epochs[:1],
            "epoch+beat": [*self._epochs[:1], *self._beats], "epochs": self._epochs,
        }[self._scenario.thief]  # fmt: skip

    def strike(self) -> None:
        """Use the stolen keys once."""
        if not self._truth.epochs:
            return
        self._world.say("thief", self._scenario.thief)
        self.struck = True
        match self._scenario.thief:
            case "beat":
                self._beat()
            case "halt":
                self._halt()
            case "epoch":
                self._epoch()
            case "epochs":
                self._whole_epoch()
            case "epoch+beat":
                self._beat(self._epoch())
            case other:
                raise AssertionError(other)

    def _beat(self, named: trust.Mark | None = None) -> None:
        """A beat that counts: for any epoch, of any date, with any number it likes."""
        rng, truth, scenario = self._world.rng, self._truth, self._scenario
        key = rng.choice(self._beats)
        issuer = key.key_id
        halts = rng.choice((NO_HALTS, truth.halts))
        truth.active.setdefault(halts.sha256, halts.active)
        ahead_ms = int(rng.uniform(-1, 0.5) * scenario.ttl_ms)
        reports = self._reports()
        body = builders.beat_body(
            truth.trust,
            truth.epochs[rng.choice(list(truth.epochs))],
            issuer=issuer,
            halts=halts,
            seq=self._number(issuer),
            issued_at=WallMs(wall_of(self._world) + ahead_ms),
            ttl_ms=86_400_000,
            fleet=self._root(reports),
        )
        body = body if named is None else msgspec.structs.replace(body, epoch=named)
        raw = sign(beat.PAYLOAD_TYPE, canonical.dump(body), key)
        # Signed for a time to come, it vouches until then: no rule can tell it from a later one.
        signed = truth.beat_signed(
            raw,
            self._world.now_ns,
            own=False,
            dated_ns=body.issued_at * NS_PER_MS - TRUE_EPOCH_NS,
            covers=[item.sha256 for item in reports],
        )
        self._prove(reports, issuer, signed.beat.sha256)
        self._leave(layout.beat_key(truth.trust.domain, issuer), raw)

    def _number(self, issuer: str) -> int:
        """A number that is strictly newer; once, far ahead of all that the authority can reach."""
        rng = self._world.rng
        own = max((seq for of, seq in self._truth.numbers if of == issuer), default=0)
        used = self._used.get(issuer, 0)
        jump = used < FAR_AHEAD and rng.random() < 0.1
        number = max(own, used) + (FAR_AHEAD if jump else rng.randint(1, 30))
        self._used[issuer] = number
        return number

    def _reports(self) -> list[Report]:
        """What some peer holds, or nothing: what a beat has to cover where only nonces count."""
        peer = self._world.rng.choice(self._peers)
        found: list[Report] = []
        for raw in peer.values(layout.reports_key(self._truth.trust.domain)):
            try:
                found.append(report.open_report(raw, self._truth.trust.domain))
            except ProtocolError:
                continue
        return sorted(found, key=lambda item: item.says.instance)

    def _root(self, reports: list[Report]) -> beat.Fleet:
        tree = _tree(reports)
        root = tree[-1][0] if reports else merkle.EMPTY_ROOT
        return beat.Fleet(root=root.hex(), size=len(reports), expected=len(reports), diverged=0)

    def _prove(self, reports: list[Report], issuer: str, beat_sha256: str) -> None:
        tree, domain = _tree(reports), self._truth.trust.domain
        for index, item in enumerate(reports):
            path = tuple(part.hex() for part in merkle.path(tree, index))
            proof = report.Proof(beat=beat_sha256, report=item.sha256, index=index, path=path)
            raw = canonical.dump(proof)
            self._truth.proofs[raw] = (beat_sha256, item.sha256)
            for peer in self._peers:
                peer.put_field(layout.proofs_key(domain, issuer), item.says.instance, raw)

    def _halt(self) -> None:
        """A halt, which counts while its key does; and a clear of it, which does not."""
        truth, (key,) = self._truth, self._halts
        self._orders += 1
        said: dict[str, Any] = {
            "number": self._orders, "issued_at": wall_of(self._world), "keys": [key],
        }  # fmt: skip
        order = truth.order_signed(builders.order_bytes(truth.trust, **said), self._world.now_ns)
        forged = builders.order_bytes(truth.trust, clears=order.says.halt_id, **said)
        for raw in (order.raw, forged):
            field = layout.order_field(canonical.digest(raw))
            for peer in self._some():
                peer.put_field(truth.halts_key, field, raw)

    def _epoch(self) -> trust.Mark:
        """The next epoch, signed by one key of two, where everybody looks for it."""
        return self._publish(1)

    def _whole_epoch(self) -> None:
        """The next epoch, signed by enough of them: it counts as long as they do."""
        self._publish(2)

    def _publish(self, keys: int) -> trust.Mark:
        truth = self._truth
        newest = truth.epochs[max(truth.epochs)]
        if keys > 1 and self._world.rng.random() < 0.5:  # on top of what it made before
            newest = max(truth.by_sha.values(), key=lambda item: item.seq)
        raw, blob, rule = next_epoch(
            truth, self._scenario, newest, issued_at=wall_of(self._world), evil=True,
            keys=self._epochs[:keys],
        )  # fmt: skip
        sealed = envelope.parse(raw, epoch.MAX_BYTES)
        sha256 = canonical.digest(sealed.unverified_payload)
        if keys == 2:
            truth.epoch_signed(raw, rule, self._world.now_ns, meant=False)
        domain = truth.trust.domain
        for peer in self._some():
            for content in (blob, ROUTES):
                peer.put(layout.blob_key(domain, canonical.digest(content)), content)
            peer.put(layout.epoch_key(domain, sha256), raw)
            peer.put(layout.head_key(domain), sha256.encode())
        return trust.Mark(seq=newest.seq + 1, sha256=sha256)

    def tamper(self) -> None:
        """Delete or overwrite reports and proofs on the peers it has got hold of."""
        rng, domain = self._world.rng, self._truth.trust.domain
        issuers = [layout.proofs_key(domain, key) for key in self._truth.beat_keys.values()]
        for peer in self._peers[: self._scenario.raided]:
            peer.raided = True
            for key in (layout.reports_key(domain), *issuers):
                if rng.random() < 0.5:
                    peer.tamper(key, rng.choice((None, self._library.lie("mixed", key, rng))))

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


def _tree(reports: list[Report]) -> list[list[bytes]]:
    return merkle.levels([report.leaf(item.sha256) for item in reports]) if reports else []
