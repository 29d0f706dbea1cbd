"""More planted bugs: in what is stored, ordered and signed, and in what gives a thief its way."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar.core import events as ev
from sidecar.core import gate, issued, lease, marks
from sidecar.core.accepted import Accepted
from sidecar.core.follower import Follower, Setting
from sidecar.core.horizon import Horizon
from sidecar.core.instant import Now, WallMs
from sidecar.core.issued import Issued, State
from sidecar.core.issuer import Issuer
from sidecar.core.marks import Marks
from sidecar.core.objects import halt
from sidecar.core.objects.halt import Halts, Order
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import Snapshot
from tests.simulation import actors, authority
from tests.simulation.planted import Planted

Patch = pytest.MonkeyPatch


def deadline_left_to_a_timer(patch: Patch) -> None:
    """The gate takes a lease for live until somebody takes it away."""
    patch.setattr(gate, "lapsed", lambda snapshot, now: snapshot.closed)


def boot_clock_alone(patch: Patch) -> None:
    """The wall deadline is not looked at: a machine that stood still serves on."""

    def lapsed(snapshot: Snapshot, now: Now) -> Reason | None:
        held = snapshot.lease
        if held is None or snapshot.holds:
            return snapshot.closed
        return Reason.LEASE_EXPIRED if now.boot >= held.deadline else None

    patch.setattr(gate, "lapsed", lapsed)


def wall_clock_alone(patch: Patch) -> None:
    """The boot deadline is not looked at: a clock set back serves on."""

    def lapsed(snapshot: Snapshot, now: Now) -> Reason | None:
        held = snapshot.lease
        if held is None or snapshot.holds:
            return snapshot.closed
        return Reason.LEASE_EXPIRED if now.wall >= held.wall_deadline else None

    patch.setattr(gate, "lapsed", lapsed)


def wall_deadline_left_out(patch: Patch) -> None:
    """The wall deadline is far away: a second line that is none."""
    grant = lease.grant

    def lax(*inputs: Any) -> Any:
        made = grant(*inputs)
        if isinstance(made, Reason):
            return made
        later = WallMs(made.wall_deadline + made.beat.says.ttl_ms)
        return replace(made, wall_deadline=later)

    patch.setattr(lease, "grant", lax)


def corrupt_taken_for_absent(patch: Patch) -> None:
    """Marks that cannot be read count as a first boot."""

    def lenient(raw: bytes, domain: str) -> Marks | None:
        try:
            return marks.decode(raw, domain)
        except ProtocolError:
            return None

    patch.setattr(actors, "read_marks", lenient)


def digest_not_compared(patch: Patch) -> None:
    """A state file that looks whole counts as whole."""

    def lenient(raw: bytes, domain: str) -> Marks | None:
        body = raw[marks.DIGEST_LINE :].rstrip(b"\0")
        return msgspec.json.decode(body, type=Marks) if body.endswith(b"}") else None

    patch.setattr(actors, "read_marks", lenient)


def damaged_state_begins_anew(patch: Patch) -> None:
    """An authority that cannot read its state takes it for a first boot."""
    decode = issued.decode

    def lenient(raw: bytes, domain: str, issuer: str) -> State | None:
        try:
            return decode(raw, domain, issuer)
        except ProtocolError:
            return None

    patch.setattr(issued, "decode", lenient)


def latches_forgotten(patch: Patch) -> None:
    """A restart ends what only a clear may end."""

    def forgetful(trust: Trust, setting: Setting, stored: Marks | None) -> Follower:
        if stored is not None:
            stored = msgspec.structs.replace(stored, latches=())
        return Follower(trust, setting, stored)

    patch.setattr(actors, "make_follower", forgetful)


def a_lease_ends_a_latch(patch: Patch) -> None:
    """With a quorum and a fresh beat all seems well again."""
    accept = Accepted.accept

    def relieved(self: Accepted, *inputs: Any) -> None:
        accept(self, *inputs)
        self._latches = ()

    patch.setattr(Accepted, "accept", relieved)
    patch.setattr(Accepted, "quarantined", property(lambda self: False))  # or no lease comes


def withheld_orders_not_missed(patch: Patch) -> None:
    """A beat that pins orders which nobody serves is taken all the same."""
    patch.setattr(Accepted, "_ordered", lambda self, beat: ())


def halt_waits_for_the_round(patch: Patch) -> None:
    """An order is taken up, and published when the round ends."""
    add = Accepted.add_orders

    def quietly(self: Accepted, orders: Sequence[Order]) -> bool:
        add(self, orders)
        return False

    patch.setattr(Accepted, "add_orders", quietly)


def one_clear_ends_all(patch: Patch) -> None:
    """A clear counts for every halt, whichever it names."""

    def active(self: Halts) -> tuple[Order, ...]:
        halts = tuple(order for order in self.orders if order.says.action == "halt")
        return () if len(halts) < len(self.orders) else halts

    patch.setattr(Halts, "active", property(active))


def halt_key_may_clear(patch: Patch) -> None:
    """Who may stop may also resume."""
    patch.setattr(halt, "CLEAR_ROLES", (Role.RESUME, Role.HALT))


def lenient_trust(trust: Trust) -> Trust:
    """One epoch key is enough."""
    roles = trust.body.roles
    one = msgspec.structs.replace(roles.epoch, threshold=1)
    body = msgspec.structs.replace(trust.body, roles=msgspec.structs.replace(roles, epoch=one))
    return replace(trust, body=body)


def one_signature_is_enough(patch: Patch) -> None:
    """The threshold of epoch keys is not counted by sidecars."""
    patch.setattr(
        actors,
        "make_follower",
        lambda trust, setting, stored: Follower(lenient_trust(trust), setting, stored),
    )


def one_signature_is_enough_to_vouch(patch: Patch) -> None:
    """The threshold of epoch keys is not counted by authorities."""
    patch.setattr(
        authority,
        "Issuer",
        lambda trust, setting, state: Issuer(lenient_trust(trust), setting, state),
    )


def older_epochs_accepted(patch: Patch) -> None:
    """The mark of the epoch is not looked at."""
    patch.setattr(Accepted, "outdated", lambda self, named: False)


def newer_epoch_forgotten_in_the_store(patch: Patch) -> None:
    """What a reply showed while the marks were stored does not count."""
    stored = Follower._stored

    def hasty(self: Follower, event: ev.Stored | ev.StoreFailed, now: Now) -> list[ev.Command]:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Horizon, "forbids", lambda self, seq: False)
            return stored(self, event, now)

    patch.setattr(Follower, "_stored", hasty)


def failed_store_taken_for_done(patch: Patch) -> None:
    """The answer of the disk is not read."""
    stored = Follower._stored

    def optimistic(self: Follower, event: ev.Stored | ev.StoreFailed, now: Now) -> list[ev.Command]:
        return stored(self, ev.Stored(event.generation), now)

    patch.setattr(Follower, "_stored", optimistic)


def orders_pinned_before_stored(patch: Patch) -> None:
    """An authority names orders that a crash would make it forget."""
    take = Issued.take

    def hasty(self: Issued, orders: list[Order]) -> bool:
        dirty = self.dirty
        changed = take(self, orders)
        self.dirty = dirty
        return changed

    patch.setattr(Issued, "take", hasty)


def peers_not_believed(patch: Patch) -> None:
    """An authority does not look which numbers of its own the peers hold."""
    patch.setattr(Issued, "seen", lambda self, own: False)


def vouched_epoch_forgotten(patch: Patch) -> None:
    """A restarted authority vouches for whatever it finds first."""
    begin = Issued.__init__

    def anew(self: Issued, under: Trust, issuer: str, stored: State | None) -> None:
        begin(self, under, issuer, stored and msgspec.structs.replace(stored, epoch=None))

    patch.setattr(Issued, "__init__", anew)


TORN = {"crash_every_ms": 300, "torn_rate": 1.0, "store_ms": 60.0}

PLANTED = (
    Planted(deadline_left_to_a_timer, "I2", {"authority_stops": True}),
    Planted(boot_clock_alone, "I2", {"stop_every_ms": 700, "stop_synced": True}),
    Planted(wall_clock_alone, "I2", {"misset_every_ms": 700}, 4),
    Planted(wall_deadline_left_out, "I5", {}),
    Planted(corrupt_taken_for_absent, "S8", TORN),
    Planted(digest_not_compared, "S8", TORN),
    Planted(damaged_state_begins_anew, "S8", {
        "authority_crash_every_ms": 300, "torn_rate": 1.0, "store_ms": 60.0,
        "advance_every_ms": 200,
    }),
    Planted(latches_forgotten, "S5", {"twin_every_ms": 500, "crash_every_ms": 500}),
    Planted(a_lease_ends_a_latch, "I12", {"twin_every_ms": 500}),
    Planted(withheld_orders_not_missed, "S4", {
        "halt_every_ms": 300, "stale_rate": 0.5, "sidecars": 3, "poll_ms": 50,
        "clear_every_ms": 300,
    }, 10),
    Planted(halt_waits_for_the_round, "S4", {"halt_every_ms": 500}, 2),
    Planted(one_clear_ends_all, "I12", {"halt_every_ms": 300, "clear_every_ms": 500}),
    Planted(halt_key_may_clear, "I4", {"thief": "halt", "theft_every_ms": 400}),
    Planted(one_signature_is_enough, "I4", {"thief": "epoch+beat", "theft_every_ms": 300}),
    Planted(one_signature_is_enough_to_vouch, "A4", {"thief": "epoch", "theft_every_ms": 300}),
    Planted(older_epochs_accepted, "I3", {
        "thief": "beat", "theft_every_ms": 100, "advance_every_ms": 500, "authority_stops": True,
    }, 2),
    Planted(newer_epoch_forgotten_in_the_store, "R6", {
        "advance_every_ms": 300, "store_ms": 60.0, "slow_rate": 0.2,
    }, 5),
    Planted(failed_store_taken_for_done, "S9", {"store_failure_rate": 0.3}),
    Planted(orders_pinned_before_stored, "A2", {"halt_every_ms": 500}),
    Planted(peers_not_believed, "A1", {"authority_crash_every_ms": 400, "old_state_rate": 1.0}),
    Planted(vouched_epoch_forgotten, "A3", {
        "authority_crash_every_ms": 400, "advance_every_ms": 300, "stale_rate": 0.5,
    }, 3),
)  # fmt: skip
