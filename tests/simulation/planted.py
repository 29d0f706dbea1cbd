"""Bugs planted on purpose: a simulator that never failed proves nothing.

Each is one small change to the code under test, made for the length of one test, and the options
under which it does harm. The invariant it breaks is named, so that a bug caught for another reason
is not mistaken for a checker that sees.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from sidecar.core import envelope, lease, quorum
from sidecar.core import events as ev
from sidecar.core.accepted import Accepted
from sidecar.core.follower import Follower, Setting
from sidecar.core.granting import Granted, Granting
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.issued import Issued, State
from sidecar.core.lease import Lease, Terms
from sidecar.core.marks import Marks
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.quorum import Agreement, PeerId, Vote
from sidecar.core.reply import Heard, Verifier
from tests import builders
from tests.simulation import actors, office

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Planted:
    """One bug.

    Attributes:
        plant: Makes it.
        breaks: The invariant that has to catch it.
        options: What differs from a calm run of one sidecar.
        seed: The first that is known to show it. The search begins there: what was changed since
            may need a later one.
    """

    plant: Callable[[Patch], None]
    breaks: str
    options: Mapping[str, Any]
    seed: int = 0


def counted_from_the_reply(patch: Patch) -> None:
    """The boot deadline counts from the instant of the reply, not of the send."""
    answered, grant = Follower._answered, lease.grant
    latest: list[Now] = []

    def remember(self: Follower, event: Any, now: Now) -> list[ev.Command]:
        latest[:] = [now]
        return answered(self, event, now)

    def late(agreement: Agreement, beat: Beat, sent: Now, *rest: Any) -> Any:
        return grant(agreement, beat, Now(latest[0].boot, sent.wall), *rest)

    patch.setattr(Follower, "_answered", remember)
    patch.setattr(lease, "grant", late)


def counted_from_the_read(patch: Patch) -> None:
    """A lease lasts ttl from when the beat was read, however old it is."""

    def grant(
        agreement: Agreement, beat: Beat, sent: Now, terms: Terms, nonce: Now | None
    ) -> Lease:
        return Lease(
            agreement.epoch_seq,
            agreement.epoch_sha256,
            beat,
            agreement.peers,
            BootNs(sent.boot + terms.ttl_ms * 1_000_000),
            WallMs(sent.wall + terms.ttl_ms),
            "clock",
        )

    patch.setattr(lease, "grant", grant)


def skew_ignored(patch: Patch) -> None:
    """The wall clock is taken for exact."""
    grant = lease.grant
    patch.setattr(
        lease,
        "grant",
        lambda a, beat, sent, terms, _: grant(a, beat, sent, replace(terms, skew_ms=0)),
    )


def drift_ignored(patch: Patch) -> None:
    """The boot clock is taken for exact."""
    grant = lease.grant
    patch.setattr(
        lease,
        "grant",
        lambda a, beat, sent, terms, _: grant(a, beat, sent, replace(terms, drift_ppm=0)),
    )


def begun_millisecond_counted(patch: Patch) -> None:
    """The wall clock's rounding is forgotten: what the simulation found in our own code."""
    grant = lease.grant

    def generous(agreement: Agreement, beat: Beat, sent: Now, terms: Terms, _: object) -> Any:
        return grant(agreement, beat, Now(sent.boot, WallMs(sent.wall - 1)), terms)

    patch.setattr(lease, "grant", generous)


def quorum_counts_one_less(patch: Patch) -> None:
    """`>` where `>=` is meant, or half instead of a majority."""
    tally = quorum.tally
    patch.setattr(quorum, "tally", lambda votes, need: tally(votes, max(1, need - 1)))


def one_peer_votes_twice(patch: Patch) -> None:
    """Beats are counted, not peers."""
    tally = quorum.tally

    def by_beat(votes: Mapping[PeerId, Vote], need: int) -> Any:
        split = {
            PeerId(f"{peer}/{number}"): Vote((beat,))
            for peer, vote in votes.items()
            for number, beat in enumerate(vote.beats)
        }
        return tally(split, need)

    patch.setattr(quorum, "tally", by_beat)


def late_reply_counted(patch: Patch) -> None:
    """An answer to an old round is taken for one to this round."""
    handle = Follower.handle

    def trusting(self: Follower, event: ev.Event, now: Now) -> list[ev.Command]:
        if isinstance(event, ev.PeerReplied):
            event = replace(event, round=self._round.number)
        return handle(self, event, now)

    patch.setattr(Follower, "handle", trusting)


def marks_forgotten(patch: Patch) -> None:
    """A restart takes its stored numbers for a first boot's: the rollback check is gone."""

    def forgetful(trust: Trust, setting: Setting, stored: Marks | None) -> Follower:
        if stored is not None:
            stored = msgspec.structs.replace(stored, epoch=None, beats={})
        return Follower(trust, setting, stored)

    patch.setattr(actors, "make_follower", forgetful)


def revoked_key_trusted(patch: Patch) -> None:
    """Revocation is not looked at."""
    revoked = builders.signer(Role.BEAT, office.REVOKED_NUMBER)

    def trusting(trust: Trust, setting: Setting, stored: Marks | None) -> Follower:
        keys = {**trust.keys[Role.BEAT], revoked.key_id: revoked.public}
        trust = replace(trust, keys={**trust.keys, Role.BEAT: keys}, revoked=frozenset())
        return Follower(trust, setting, stored)

    patch.setattr(actors, "make_follower", trusting)


def signatures_not_checked(patch: Patch) -> None:
    """A key id is believed, and so is the verifier's test of itself."""
    patch.setattr(envelope, "verify", lambda public, message, signature: True)
    patch.setattr(envelope, "sound", lambda: True)


def beat_used_again(patch: Patch) -> None:
    """Re-reading one beat may stretch the lease."""
    patch.setattr(Accepted, "newer", lambda self, beat: True)
    patch.setattr(
        lease.Grants, "offer", lambda self, one: self._known.update({one.beat.issuer: one})
    )


def published_before_stored(patch: Patch) -> None:
    """The gate learns of a lease while its marks are still on their way to the disk."""
    store = Follower._store

    def hasty(self: Follower, granted: Granted | None) -> list[ev.Command]:
        commands = store(self, granted)
        if granted is not None and commands:
            self._snapshot = replace(self._snapshot, lease=granted.lease)
            commands += self._publish()
        return commands

    patch.setattr(Follower, "_store", hasty)


def halt_needs_a_quorum(patch: Patch) -> None:
    """An order counts only when a second peer serves it in the same round."""
    hear, forget = Verifier.hear, Verifier.forget
    seen: dict[bytes, int] = {}

    def strict(self: Verifier, found: Any, now: WallMs) -> Heard:
        heard = hear(self, found, now)
        for order in heard.orders:
            seen[order.raw] = seen.get(order.raw, 0) + 1
        return replace(heard, orders=tuple(o for o in heard.orders if seen[o.raw] > 1))

    def fresh(self: Verifier) -> None:
        seen.clear()
        forget(self)

    patch.setattr(Verifier, "hear", strict)
    patch.setattr(Verifier, "forget", fresh)


def contradiction_ignored(patch: Patch) -> None:
    """Two beats with one number are both taken."""
    witness = Accepted.witness

    def blind(self: Accepted, beat: Beat, raw: bytes) -> None:
        witness(self, beat, raw)

    patch.setattr(Accepted, "witness", blind)


def evidence_by_number(patch: Patch) -> None:
    """Envelopes are kept by issuer and number, which two beats may share: our own bug once."""
    patch.setattr(Accepted, "_raw", lambda self, beat: self._heard[beat.issuer, beat.seq][1])


def raises(patch: Patch) -> None:
    """The follower raises at an event it did not expect."""

    def surprised(self: Follower, event: ev.StoreFailed | ev.Stored, now: Now) -> list[ev.Command]:
        raise LookupError(event.generation)

    patch.setattr(Follower, "_stored", surprised)


def old_epoch_renewed(patch: Patch) -> None:
    """A live beat for a higher epoch does not forbid renewal under the lower one."""
    patch.setattr(Granting, "look", lambda self, beat, now: None)


def immediate_ignored(patch: Patch) -> None:
    """An epoch that asks to end the one before at once is not obeyed."""
    patch.setattr(Granting, "superseding", lambda self, current, now: None)


def numbers_forgotten(patch: Patch) -> None:
    """A restarted authority begins its stream anew."""
    begin = Issued.__init__

    def anew(self: Issued, under: Trust, issuer: str, stored: State | None) -> None:
        begin(self, under, issuer, stored)
        self.used = 0

    patch.setattr(Issued, "__init__", anew)
    patch.setattr(Issued, "seen", lambda self, own: False)


def signed_before_stored(patch: Patch) -> None:
    """An authority vouches for a new epoch while it is still on its way to the disk."""
    patch.setattr(Issued, "must_store", property(lambda self: self.used >= self._reserved))


HOSTILE = {"liars": 3, "lie": "forge", "attack_every_ms": 200}

PLANTED = (
    Planted(counted_from_the_reply, "I5", {"delay_ms": 20.0}),
    Planted(counted_from_the_read, "I5", {}),
    Planted(skew_ignored, "I5", {"skew_ms": 100, "extreme_clocks": True, "sidecars": 3}, 2),
    Planted(drift_ignored, "I5", {"drift_ppm": 20_000, "extreme_clocks": True, "sidecars": 3}),
    Planted(
        begun_millisecond_counted,
        "I5",
        {"skew_ms": 100, "drift_ppm": 0, "extreme_clocks": True, "sidecars": 3},
        2,
    ),
    Planted(quorum_counts_one_less, "S4", {"cut": "majority", "cut_every_ms": 500}),
    Planted(one_peer_votes_twice, "S4", {"authorities": 2, "cut": "majority", "cut_every_ms": 500}),
    Planted(late_reply_counted, "S4", {"slow_rate": 0.4}),
    Planted(marks_forgotten, "I5", {"crash_every_ms": 500}),
    Planted(revoked_key_trusted, "I4", HOSTILE),
    Planted(beat_used_again, "I5", {"drift_ppm": 20_000}),
    Planted(published_before_stored, "S9", {}),
    Planted(halt_needs_a_quorum, "S4", {"halt_every_ms": 1000}),
    Planted(contradiction_ignored, "S5", {"twin_every_ms": 500}, 4),
    Planted(evidence_by_number, "S5", {"twin_every_ms": 500}),
    Planted(raises, "LookupError", {}),
    Planted(numbers_forgotten, "A1", {"authority_crash_every_ms": 1000}),
    Planted(signed_before_stored, "A2", {"advance_every_ms": 1000}),
    Planted(old_epoch_renewed, "R6", {"advance_every_ms": 200, "slow_rate": 0.3, "sidecars": 3}, 8),
    Planted(
        immediate_ignored, "R6", {"advance_every_ms": 600, "immediate_rate": 1.0, "slow_rate": 0.2}
    ),
)
