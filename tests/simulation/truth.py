"""What is true in a run, kept by the simulation alone: who signed what, who holds which keys.

It is not known to the code under test; the checkers compare it with what that does. What one
sidecar was shown is in `seen`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from sidecar.core import canonical, envelope, layout
from sidecar.core.instant import Now
from sidecar.core.objects import beat, epoch, halt
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Halts, Order
from sidecar.core.objects.trust import Role, Trust
from tests import builders

if TYPE_CHECKING:
    from sidecar.signer import FileSigner

Named = tuple[int, str]  # number and digest of an epoch
WHOLE = ("global", "service", "instance")  # scopes that stop whole sidecars


@dataclass(frozen=True, slots=True)
class SignedBeat:
    """A beat that a beat key really signed.

    Attributes:
        beat: What it says.
        signed_ns: True time of the signature.
        dated_ns: The same, or the time to come that it is dated for: until then no clock can tell
            it from one that is signed later.
        own: Whether an authority signed it, and nobody else with its key.
        covers: Digests of the reports under its fleet root.
    """

    beat: Beat
    signed_ns: int
    dated_ns: int
    own: bool
    covers: frozenset[str]

    @property
    def named(self) -> Named:
        """The epoch it vouches for."""
        return (self.beat.says.epoch.seq, self.beat.says.epoch.sha256)


@dataclass(frozen=True, slots=True)
class Made:
    """When a report was made, and by which process: name and life of its machine, instance."""

    process: tuple[str, int]
    instance: str
    true_ns: int
    now: Now


class Truth:
    """Everything that was really signed.

    Args:
        pinned: The first trust document. Whoever calls `*_signed` has just made what they pass.

    Attributes:
        trust: The newest trust document.
        trusts: All of them by version.
        held: Role -> the keys that count under the newest one, in the hands of their owners.
        ever: The same, with those that no longer count.
        epochs: Number -> the epoch that people meant by it.
        by_sha: Digest -> any epoch with enough signatures, also a thief's.
        proofs: Bytes of a proof that an authority made -> digests of its beat and its report.
        reports: Digest of a report -> who made it when.
        halts: Every order.
        pinned: The largest set of them that a beat named.
        stolen: Whether somebody else has signed with a beat key.
        forked: Whether somebody else has signed with enough epoch keys: two epochs of one number
            contradict each other, and whoever saw both is right to serve nobody until a clear.
        troubled_ns: When the last order came, a rotation, or an epoch that ends another at once.
        committed: Beats by issuer and number that w peers acknowledged.
        restored: Issuers that went on from an older state file.
        named_by: Issuer -> number of the epoch that it vouched for last.
        vouched_by: Issuer -> digests of the epochs that it vouched for.
        versions_by: Issuer -> version of the trust document that it vouched under last.
    """

    def __init__(self, pinned: Trust) -> None:
        self.trust = pinned
        self.trusts = {pinned.version: pinned}
        self.held: dict[Role, list[FileSigner]] = {
            role: builders.signers(role, count) for role, (count, _) in builders.ROLES.items()
        }
        self.ever = {role: list(keys) for role, keys in self.held.items()}
        self.beats: dict[str, SignedBeat] = {}
        self.beats_by_raw: dict[bytes, SignedBeat] = {}
        self.vouched: dict[Named, dict[str, tuple[int, int]]] = {}
        self.epochs: dict[int, Epoch] = {}
        self.by_sha: dict[str, Epoch] = {}
        self.signers: dict[str, frozenset[str]] = {}  # digest of an epoch or order -> key ids
        self.rules: dict[str, str] = {}  # digest of an epoch -> name of its rule
        self.epochs_by_key: dict[str, tuple[Epoch, bytes]] = {}
        self.orders: dict[bytes, Order] = {}
        self.active: dict[str, tuple[Order, ...]] = {NO_HALTS.sha256: ()}
        self.halts = self.pinned = NO_HALTS
        self.proofs: dict[bytes, tuple[str, str]] = {}
        self.reports: dict[str, Made] = {}
        self.numbers: set[tuple[str, int]] = set()  # issuer and number of each beat of its own
        self.stolen = self.forked = False
        self.troubled_ns = -1
        self.committed: set[tuple[str, int]] = set()
        self.restored: set[str] = set()
        self.named_by: dict[str, int] = {}
        self.vouched_by: dict[str, set[str]] = {}
        self.versions_by: dict[str, int] = {}
        self.halts_key = layout.halts_key(pinned.domain)
        self.beat_keys: dict[str, str] = {}
        self._readable: dict[tuple[str, int, int], bool] = {}
        self._know_keys(pinned)

    def _know_keys(self, trust: Trust) -> None:
        issuers = trust.role(Role.BEAT).keyids
        self.beat_keys |= {layout.beat_key(trust.domain, key): key for key in issuers}

    def trust_signed(self, raw: bytes, now_ns: int) -> Trust:
        """Root signed the next trust document."""
        self.trust = self.trust.rotate(raw, builders.NOW)
        self.trusts[self.trust.version] = self.trust
        self.troubled_ns = now_ns
        self._know_keys(self.trust)
        return self.trust

    def beat_signed(
        self,
        raw: bytes,
        now_ns: int,
        *,
        own: bool = True,
        dated_ns: int = 0,
        covers: Iterable[str] = (),
    ) -> SignedBeat:
        """An authority, or somebody with its key, signed a beat."""
        payload = envelope.parse(raw, beat.MAX_BYTES).unverified_payload
        made = Beat(canonical.digest(payload), canonical.load(payload, beat.Body, beat.MAX_BYTES))
        signed = SignedBeat(made, now_ns, max(now_ns, dated_ns), own, frozenset(covers))
        self.beats[made.sha256] = self.beats_by_raw[raw] = signed
        self.stolen = self.stolen or not own
        if own:
            self.numbers.add((made.issuer, made.seq))
        vouched = self.vouched.setdefault(signed.named, {})
        really_ns, dated_ns = vouched.get(made.issuer, (0, 0))
        vouched[made.issuer] = (max(really_ns, now_ns), max(dated_ns, signed.dated_ns))
        return signed

    def vouched_ns(self, named: Named, need: int, *, dated: bool) -> int:
        """When the `need`th latest issuer vouched for an epoch for the last time; -1 for never."""
        times = sorted((pair[dated] for pair in self.vouched.get(named, {}).values()), reverse=True)
        return times[need - 1] if len(times) >= need else -1

    def epoch_signed(self, raw: bytes, rule: str, now_ns: int, *, meant: bool = True) -> Epoch:
        """A threshold of epoch keys signed an epoch.

        Args:
            raw: Its envelope.
            rule: Name of the only rule of its policy.
            now_ns: True time.
            meant: Whether people did that, or a thief.
        """
        sealed = envelope.parse(raw, epoch.MAX_BYTES)
        made = Epoch(canonical.digest(sealed.unverified_payload), epoch.reread(raw))
        if meant:
            self.epochs[made.seq] = made
        self.forked = self.forked or not meant
        self.by_sha[made.sha256] = made
        self.rules[made.sha256] = rule
        self.signers[made.sha256] = frozenset(key for key, _ in sealed.signatures)
        if made.says.activation.mode == "immediate" or not meant:
            self.troubled_ns = now_ns
        self.epochs_by_key[layout.epoch_key(self.trust.domain, made.sha256)] = (made, raw)
        return made

    def order_signed(self, raw: bytes, now_ns: int) -> Order:
        """A holder of the right keys signed a halt or a clear."""
        order = halt.reread(raw)
        sealed = envelope.parse(raw, halt.MAX_BYTES)
        self.signers[order.sha256] = frozenset(key for key, _ in sealed.signatures)
        self.orders[order.raw] = order
        self.troubled_ns = now_ns
        self.halts = self.halts.union((order,))
        return order

    def readable(self, order: Order, since: int, version: int) -> bool:
        """Whether somebody who walked trust from one version to another has to believe an order.

        Reckoned once more: keys of the role now, and those that had it when the order was signed;
        none that was revoked.
        """
        inputs = (order.sha256, since, version)
        known = self._readable.get(inputs)
        if known is None:
            roles = (Role.HALT, Role.EPOCH, Role.ROOT) if order.says.clears is None else (
                Role.RESUME,
            )  # fmt: skip
            known = any(self._enough(order, role, since, version) for role in roles)
            self._readable[inputs] = known
        return known

    def permitted(self, order: Order, since: int, version: int) -> bool:
        """Whether they may: where clocks show anything, an order counts by its keys alone."""
        early = replace(order, says=msgspec.structs.replace(order.says, issued_at=0))
        roles = (Role.RESUME,) if order.says.clears else (Role.HALT, Role.EPOCH, Role.ROOT)
        return any(self._enough(early, role, since, version) for role in roles)

    def _enough(self, order: Order, role: Role, since: int, version: int) -> bool:
        now = self.trusts[version]
        keys = set(now.keys[role])
        for before in range(since, version):
            left = self.trusts[before].keys[role].keys() - self.trusts[before + 1].keys[role].keys()
            if order.says.issued_at <= self.trusts[before + 1].body.issued_at:
                keys |= left
        keys -= now.revoked
        return len(keys & self.signers[order.sha256]) >= now.role(role).threshold

    def more(self, orders: Halts, raws: Iterable[bytes]) -> Halts:
        """A set of orders, and those among some bytes that were really signed."""
        shown = [order for raw in raws if (order := self.orders.get(raw)) is not None]
        return orders.union(shown) if shown else orders

    def note_set(self, halts: Halts) -> None:
        """A set of orders that a beat may pin: which halts in it are in force."""
        self.active.setdefault(halts.sha256, halts.active)
        if halts.seq > self.pinned.seq:
            self.pinned = halts

    def proved(self, found: Mapping[str, tuple[bytes, ...]]) -> Iterable[tuple[str, str]]:
        """Digests of beat and report of the genuine proofs in a reply."""
        raws = (raw for values in found.values() for raw in values)
        return [self.proofs[raw] for raw in raws if raw in self.proofs]
