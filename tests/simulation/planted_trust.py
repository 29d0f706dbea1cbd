"""More planted bugs: in proofs of freshness, steps of the clock, scoped orders, trust."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core import envelope, lease, marks, scoped
from sidecar.core import events as ev
from sidecar.core.accepted import Accepted
from sidecar.core.clockwatch import ClockWatch
from sidecar.core.envelope import Envelope, KeyId, Payload, PublicKey
from sidecar.core.follower import Follower
from sidecar.core.head import RequestHead
from sidecar.core.instant import Now, WallMs
from sidecar.core.issued import Issued
from sidecar.core.lease import Grants, Lease, Terms
from sidecar.core.marks import Marks
from sidecar.core.objects import report
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.halt import Scope
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.quorum import Agreement
from sidecar.core.reason import Reason
from sidecar.core.reporter import Reporter
from sidecar.core.routes import Routes
from sidecar.core.scoped import Scoped
from tests import builders
from tests.simulation.planted import Planted

Patch = pytest.MonkeyPatch


def nonce_counted_from_the_send(patch: Patch) -> None:
    """A nonce lease counts from the send of its round, not from the report that is covered."""
    grant = lease.grant

    def late(agreed: Agreement, beat: Beat, sent: Now, terms: Terms, nonce: Now | None) -> Any:
        return grant(agreed, beat, sent, terms, nonce and sent)

    patch.setattr(lease, "grant", late)


def every_beat_covers(patch: Patch) -> None:
    """Whether a beat covers a report is not looked at."""
    patch.setattr(Reporter, "covering", lambda self, beat: next(iter(self._sent.values())).at)


def proof_not_verified(patch: Patch) -> None:
    """A proof is believed: that it leads to the signed root is not checked."""
    patch.setattr(report, "verify_proof", lambda proof, size, root: None)


def report_of_an_earlier_process_counts(patch: Patch) -> None:
    """What the process before reported is taken for what this one did."""

    def lenient(self: Reporter, beat: Beat) -> None:
        self._covered[beat.sha256] = next(iter(self._sent.values())).at

    patch.setattr(Reporter, "_mismatch", lenient)


def clocks_not_watched(patch: Patch) -> None:
    """A step of the wall clock ends nothing."""
    patch.setattr(ClockWatch, "look", lambda self, now, terms: None)


def one_issuer_is_enough(patch: Patch) -> None:
    """The threshold of role beat is not counted."""
    best = Grants.best
    patch.setattr(Grants, "best", lambda self, agreement, need: best(self, agreement, 1))


def as_long_as_the_longest(patch: Patch) -> None:
    """Several issuers give together what the best of them gives."""
    together = lease.together

    def generous(granted: tuple[Lease, ...], agreed: Agreement, latest: WallMs) -> Lease:
        whole = together(granted, agreed, latest)
        best = granted[0]
        return replace(
            whole, beat=best.beat, deadline=best.deadline, wall_deadline=best.wall_deadline
        )

    patch.setattr(lease, "together", generous)


def scoped_orders_ignored(patch: Patch) -> None:
    """An order for a part stops nothing."""
    patch.setattr(Scoped, "forbids", lambda self, table, route, head: None)


def scoped_orders_stop_all(patch: Patch) -> None:
    """An order for a part stops everything."""

    def all_of_it(self: Scoped, table: Routes, route: str, head: RequestHead) -> Reason:
        return Reason.HALT_SCOPED

    patch.setattr(Scoped, "forbids", all_of_it)


def instance_not_meant(patch: Patch) -> None:
    """A sidecar does not know that an order names it."""
    stops = scoped.stops

    def deaf(scope: Scope, service: str, instance: str) -> Reason | None:
        return stops(scope, service, "somebody else")

    patch.setattr(scoped, "stops", deaf)


def trust_used_before_stored(patch: Patch) -> None:
    """A newer document is in force while it is still on its way to the disk."""
    succeed = Follower._succeed

    def hasty(self: Follower, successor: Trust) -> list[ev.Command]:
        commands = succeed(self, successor)
        return [*commands, *self._adopt()] if self._accepted.successor else commands

    patch.setattr(Follower, "_succeed", hasty)


def stored_trust_forgotten(patch: Patch) -> None:
    """A restart goes on with the pinned document."""

    def pinned_only(stored: Marks | None, pinned: Trust, now: WallMs) -> Trust:
        return pinned

    patch.setattr(marks, "in_force", pinned_only)


def lease_outlives_its_issuer(patch: Patch) -> None:
    """A lease stays although the key behind it has lost its role."""
    _keep_when(patch, Reason.KEY_REVOKED)


def lease_outlives_its_epoch_keys(patch: Patch) -> None:
    """A lease stays although root has taken back its epoch: what the simulation found in ours."""
    _keep_when(patch, Reason.EPOCH_SUPERSEDED)


def _keep_when(patch: Patch, kept: Reason) -> None:
    drop = Follower._drop

    def lax(self: Follower, why: Reason) -> list[ev.Command]:
        return [] if why is kept else drop(self, why)

    patch.setattr(Follower, "_drop", lax)


def authority_uses_trust_before_it_is_stored(patch: Patch) -> None:
    """An authority vouches under a document that a crash would make it forget."""
    rotate = Issued.rotate

    def hasty(self: Issued, before: Trust, after: Trust) -> None:
        dirty = self.dirty
        rotate(self, before, after)
        self.dirty = dirty

    patch.setattr(Issued, "rotate", hasty)


def revoked_halt_key_obeyed(patch: Patch) -> None:
    """An order counts because its key once had the role, although it was revoked since."""
    had, thief = Trust._had, builders.signer(Role.HALT)

    def lenient(self: Trust, role: Role, at: WallMs) -> dict[KeyId, PublicKey]:
        more = {thief.key_id: thief.public} if role is Role.HALT else {}
        return had(self, role, at) | more

    patch.setattr(Trust, "_had", lenient)


def root_threshold_not_counted(patch: Patch) -> None:
    """A trust document counts whoever signed it."""
    opened = Trust.open

    def lenient(self: Trust, sealed: Envelope, role: Role, *rest: Any) -> Payload | None:
        return None if role is Role.ROOT else opened(self, sealed, role, *rest)

    patch.setattr(Trust, "open", lenient)


def marks_do_not_fall_to_the_floor(patch: Patch) -> None:
    """What stolen epoch keys drove ahead stays ahead."""
    patch.setattr(Accepted, "_marks_under", lambda self, after: (self.epoch, self._beats))


def signatures_not_counted(patch: Patch) -> None:
    """A key id is believed. The self-test of the verifier sees nothing of it."""

    def named(sealed: Envelope, keys: Any) -> Sequence[KeyId]:
        return tuple(sorted(key for key, _ in sealed.signatures if key in keys))

    patch.setattr(envelope, "signed_by", named)


NONCE = {"freshness": "nonce", "reports": True}
TWO = {"authorities": 2, "beat_threshold": 2}
HOSTILE = {"liars": 3, "lie": "forge", "attack_every_ms": 100}
SCOPED = {"halt_every_ms": 400, "scoped_rate": 1.0, "clear_every_ms": 800}
STOLEN = {"rotate_every_ms": 900, "revoke_rate": 1.0, "clear_every_ms": 500}

PLANTED = (
    Planted(nonce_counted_from_the_send, "N1", NONCE),
    Planted(every_beat_covers, "N2", {**NONCE, "crash_every_ms": 500}),
    Planted(proof_not_verified, "N1", {**NONCE, **HOSTILE, "lie": "cover"}),
    Planted(report_of_an_earlier_process_counts, "N2", {**NONCE, "crash_every_ms": 300}),
    Planted(clocks_not_watched, "I20", {"misset_every_ms": 700}),
    Planted(one_issuer_is_enough, "S4", TWO),
    Planted(as_long_as_the_longest, "S1", {**TWO, "authority_stops": True}),
    Planted(scoped_orders_ignored, "W", SCOPED),
    Planted(scoped_orders_stop_all, "W", SCOPED),
    Planted(instance_not_meant, "S4", SCOPED),
    Planted(trust_used_before_stored, "T3", {"rotate_every_ms": 1000}),
    Planted(stored_trust_forgotten, "T1", {"rotate_every_ms": 1000, "crash_every_ms": 500}),
    Planted(lease_outlives_its_issuer, "T2", {**STOLEN, "rotated": "beat"}),
    Planted(lease_outlives_its_epoch_keys, "T2", {
        **STOLEN, "rotated": "epoch", "thief": "epochs", "theft_every_ms": 500, "calm_ms": 4000,
    }),
    Planted(authority_uses_trust_before_it_is_stored, "T3", {"rotate_every_ms": 1000}),
    Planted(revoked_halt_key_obeyed, "T2", {
        **STOLEN, "rotated": "halt", "thief": "halt", "theft_every_ms": 200,
    }),
    Planted(root_threshold_not_counted, "T2", HOSTILE),
    Planted(marks_do_not_fall_to_the_floor, "T2", {
        **STOLEN, "rotated": "epoch", "thief": "epochs", "theft_every_ms": 500, "calm_ms": 4000,
    }),
    Planted(signatures_not_counted, "I4", HOSTILE),
)  # fmt: skip
