"""From an agreement of peers to a lease: everything that has to be true for one.

Rules:

* An epoch that a quorum vouches for is entered only if it verifies, follows ours, admits this
  sidecar, and policy and routes are at hand and compile.
* Profile and policy of an epoch tighten the lease under it, from the first one on: as many peers
  have to agree, with beats as fresh, as they ask for. What is heard is judged by the terms without
  them, or the profile of one epoch could keep everybody from hearing of the next.
* A lease leans only on strictly newer beats, of as many issuers as the threshold of role beat says,
  each fresh by what the terms ask for.
* What belongs to one trust document (archive, terms, quorum) is made anew with the next one.

What is missing is a value (`Missing`), what forbids a lease is a `ProtocolError`; the follower
turns both into commands.

Source: protocol b.3 steps 5 to 8, b.6.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sidecar.core import admission, bounds, envelope, lease, quorum, scoped
from sidecar.core import lifecycle as steps
from sidecar.core.accepted import Accepted
from sidecar.core.admission import Telling
from sidecar.core.archive import Archive, Missing
from sidecar.core.clockwatch import ClockWatch
from sidecar.core.horizon import Horizon
from sidecar.core.instant import Now, WallMs
from sidecar.core.lease import Grants, Lease, Terms
from sidecar.core.lifecycle import Course, Trail
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Mark, Role, Trust
from sidecar.core.parent import together
from sidecar.core.policy import DENY_ALL, Policy
from sidecar.core.profile import BASELINE, Profile
from sidecar.core.quorum import Agreement, Vote
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.removals import Listed, vanished
from sidecar.core.reporter import Reporter
from sidecar.core.round import Round
from sidecar.core.routes import Routes
from sidecar.core.runtime import Integrity
from sidecar.core.setting import Setting, report_ms
from sidecar.core.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease, and what it is to serve."""

    lease: Lease
    epoch: Epoch
    policy: Policy
    routes: Routes
    profile: Profile
    trail: Trail

    def on(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot that serves this."""
        return replace(
            snapshot, lease=self.lease, epoch=self.epoch, policy=self.policy, routes=self.routes,
            profile=self.profile, absent=Reason.LEASE_EXPIRED,
        )  # fmt: skip


class Granting:
    """Judges agreements under the trust document in force.

    Args:
        trust: The document in force.
        setting: What the follower is told.
        accepted: Its memory.
        last_wall: Wall clock when marks were stored, or 0.

    Attributes:
        trust: The document in force.
        terms: Bounds of a lease under it, and of what is heard; an epoch may ask for tighter ones.
        tight: Those of the latest lease: what the clocks are held to meanwhile.
        poll_ms: From round to round, likewise.
        quorum: Peers that must agree under it; an epoch may ask for more.
        archive: What was fetched under it.
        horizon: The newest epoch that anybody vouches for.
        grants: What each issuer's beats have given.
        watch: Knows whether the wall clock can be believed.
        integrity: Knows what runs here.
        reporter: Makes reports and knows which beats cover one; None: there are none.
    """

    trust: Trust
    terms: Terms
    tight: Terms
    quorum: int
    archive: Archive

    def __init__(
        self, trust: Trust, setting: Setting, accepted: Accepted, last_wall: WallMs
    ) -> None:
        self._setting = setting
        self._accepted = accepted
        self.watch = ClockWatch(setting.step_ms, last_wall)
        self.integrity = Integrity(setting.integrity_max_age_ms)
        identity, every_ms = setting.identity, report_ms(setting.poll_ms)
        self.reporter = None if identity is None else Reporter(identity, trust.domain, every_ms)
        self.horizon = Horizon()
        self.poll_ms = setting.poll_ms
        # What the latest lease is under.
        self._leaning: tuple[Profile, Policy] = (BASELINE, DENY_ALL)
        self.grants = Grants()
        self.trust = trust
        self.under(trust)

    def under(self, trust: Trust) -> None:
        """Judge by this document from now on."""
        if self.trust.changed(trust, Role.EPOCH):
            self.horizon = Horizon()  # whoever signed what ended a lease may have been a thief
        self.horizon.keep(trust.keys[Role.BEAT])
        self.trust = trust
        self.terms = self._setting.terms.within(trust.body.limits)
        self.tight = bounds.terms(self.terms, *self._leaning)
        self.quorum = max(self._setting.quorum, trust.body.quorum.r)
        self.archive = Archive(trust, self._setting.here)
        self.grants.forget()  # what was vouched for under another document begins no lease any more

    def live(self, beat: Beat, now: Now) -> bool:
        """Whether a lease may lean on a beat, by the freshness that the terms ask for."""
        if self.terms.freshness != "nonce":
            return lease.judge(beat, self.terms, now.wall) is None
        return self._covers(beat, self.terms, now)

    def _covers(self, beat: Beat, terms: Terms, now: Now) -> bool:
        covering = self._covering(beat)
        return covering is not None and lease.covers(beat, covering, terms, now)

    def look(self, beat: Beat, now: Now) -> None:
        """Take a live beat into account for what lies ahead."""
        self.horizon.look(beat, lambda one: self.live(one, now))

    def superseding(self, current: Lease, now: Now) -> Epoch | Missing | None:
        """A newer epoch that ends the lease under the older one at once, if there is one.

        Raises:
            ProtocolError: why the newer epoch is none.
        """
        ahead = self.horizon.ahead
        if ahead is None or ahead.says.epoch.seq <= current.epoch_seq:
            return None
        found = self.archive.epoch(ahead.says.epoch, self._accepted.epoch, now.wall)
        if isinstance(found, Missing):
            return found
        activation = found.says.activation
        return found if activation.mode == "immediate" and activation.supersedes else None

    def judge(
        self, agreed: Agreement, this: Round, current: Lease | None, course: Course, now: Now
    ) -> Granted | Missing | None:
        """A lease for what peers agree on; what has to be fetched first; or None: no better one.

        Args:
            agreed: Enough peers behind one epoch.
            this: The round; told what was wrong.
            current: The lease that there is.
            course: Told how far this came.
            now: Both clocks.

        Raises:
            ProtocolError: why there is none.
        """
        self._check_ground(agreed, now)
        named = Mark(seq=agreed.epoch_seq, sha256=agreed.epoch_sha256)
        found = self.archive.epoch(named, self._accepted.epoch, now.wall)
        if isinstance(found, Missing):
            return found
        admission.of_scope(found, self._setting, now)
        profile = self.archive.profile(found.says.profile)
        if isinstance(profile, Missing):
            return profile
        admission.of_audit(found, profile, self.trust, now)
        policy = self.archive.policy(found.says.policy)
        if isinstance(policy, Missing):
            return policy
        demand = together(policy.parent, by_profile=profile.parent_required)
        admission.of_parent(demand, self._setting)
        routes = self.archive.routes(found.says.routes)
        if isinstance(routes, Missing):
            return routes
        self._check_removals(found, routes)
        admission.of_policy(policy, self._setting)
        admission.of_peers(profile, policy, self.trust, len(self._setting.peers))
        wrong = scoped.unenforceable(found, policy, routes)
        if wrong is not None:
            raise ProtocolError(wrong, "epoch asks for what its route table cannot tell")
        course.passed(steps.COORDINATION, now, {"epoch": found.sha256, "policy": policy.sha256})
        self._check_runtime(found, this, now)
        course.passed(steps.INTEGRITY, now, self.integrity.evidence)
        terms = bounds.terms(self.terms, profile, policy)
        need = bounds.quorum(self.quorum, profile, policy)
        tight = self._tightened(agreed, this, terms, need, now)
        if tight is None:
            return None
        agreed = tight
        granted = self._grant(agreed, this, current, terms, now)
        if not granted:
            return None
        course.passed(steps.CRYPTOGRAPHY, now, {"beats": [item.beat.sha256 for item in granted]})
        self._check_fleet(agreed, found, profile, this, now)
        course.passed(steps.TELEMETRY, now, {})
        latest = WallMs(min(found.says.not_after, self.trust.body.expires))
        beats = [item.beat for item in granted]
        self._accepted.accept(found, beats, self.archive, now, terms)
        this.grant()
        whole = lease.together(granted, agreed, latest)
        return Granted(whole, found, policy, routes, profile, course.trail)

    def lean(self, granted: Granted) -> None:
        """A lease is in force: hold clocks and pace to what it is under, forget other epochs."""
        self._leaning = (granted.profile, granted.policy)
        self.tight = bounds.terms(self.terms, *self._leaning)
        self.poll_ms = bounds.poll_ms(self._setting.poll_ms, granted.profile)
        if self.reporter is not None:
            self.reporter.hurry(report_ms(self.poll_ms))
        self.archive.keep(granted.epoch)

    def _check_ground(self, agreed: Agreement, now: Now) -> None:
        if self.horizon.forbids(agreed.epoch_seq):
            raise ProtocolError(Reason.EPOCH_SUPERSEDED, "a newer epoch is vouched for")
        if self.trust.expired(now.wall):
            raise ProtocolError(Reason.TRUST_EXPIRED, "no lease under an expired trust document")
        if not envelope.sound():
            raise ProtocolError(Reason.NONCE_PROOF_INVALID, "the verifier fails its own test")
        if self.watch.regressed(now.wall, self.terms):
            raise ProtocolError(Reason.CLOCK_REGRESSION, "the wall clock is behind its own past")
        if self._accepted.quarantined:
            raise ProtocolError(Reason.QUARANTINED, "a contradiction is not cleared")

    def _check_removals(self, found: Epoch, routes: Routes) -> None:
        """What the accepted epoch lists does not vanish in silence: a line may have been lost."""
        mark = self._accepted.epoch
        if mark is None or found.seq <= mark.seq:
            return
        before = self._accepted.listed()
        if before is None:
            return
        gone = set(vanished(before, Listed(found.says.scope.services, routes, "")))
        lost = sorted(gone - self.archive.removed(found, mark))
        if lost:
            raise ProtocolError(Reason.EPOCH_CHAIN_BREAK, f"{', '.join(lost)} vanished")

    def _check_runtime(self, found: Epoch, this: Round, now: Now) -> None:
        wrong = self.integrity.judge(found.says.runtime, now)
        for reason in wrong:
            this.deny(reason)
        if wrong:
            raise ProtocolError(wrong[0], "what runs here is not what the epoch says")

    def _check_fleet(
        self, agreed: Agreement, found: Epoch, profile: Profile, this: Round, now: Now
    ) -> None:
        need = max(self.trust.body.quorum.w, profile.write)
        telling = Telling(self.reporter, len(this.took), need)
        admission.of_reports(found, telling, now)
        newest = max(agreed.beats, key=lambda beat: (beat.says.issued_at, beat.sha256))
        mark = self._accepted.epoch
        ours = mark is not None and mark.sha256 == found.sha256
        since = self._accepted.held_since if ours else None
        admission.of_fleet(found, newest.says.fleet, since, 2 * self.terms.ttl_ms, now)

    def _tightened(
        self, agreed: Agreement, this: Round, terms: Terms, need: int, now: Now
    ) -> Agreement | None:
        """The agreement of those peers alone whose beats are fresh by what the epoch asks for.

        None: too few have answered so far, and some are still waited for.

        Raises:
            ProtocolError: why they are too few.
        """
        if (terms, need) == (self.terms, self.quorum):
            return agreed
        if len(agreed.peers) < need and this.waiting:
            return None
        if self.watch.regressed(now.wall, terms):
            raise ProtocolError(Reason.CLOCK_REGRESSION, "the wall clock is behind its own past")
        votes = {
            peer: Vote(tuple(beat for beat in vote.beats if self._fresh(beat, terms, now) is None))
            for peer, vote in this.votes.items()
        }
        found = quorum.tally(votes, need)
        if isinstance(found, Agreement) and found.epoch_sha256 == agreed.epoch_sha256:
            return found
        stale = [self._fresh(beat, terms, now) for beat in agreed.beats]
        why = next((reason for reason in stale if reason is not None), None)
        if why is None or len(agreed.peers) < need:
            why = Reason.QUORUM_LOST
        raise ProtocolError(why, f"{need} peers have to agree, with {terms.freshness} freshness")

    def _fresh(self, beat: Beat, terms: Terms, now: Now) -> Reason | None:
        """Why a beat is not fresh enough for these terms, or None."""
        wrong = lease.judge(beat, terms, now.wall)
        if wrong is not None or terms.freshness == "clock":
            return wrong
        return None if self._covers(beat, terms, now) else Reason.NONCE_MISSING

    def _grant(
        self, agreed: Agreement, this: Round, current: Lease | None, terms: Terms, now: Now
    ) -> tuple[Lease, ...]:
        """Leases of enough issuers, if together they are better than the one there is."""
        wrong = self._offer(agreed, this, terms)
        need = self.trust.role(Role.BEAT).threshold
        best = self.grants.best(agreed, need)
        best = best if best and best[-1].live(now) else ()
        if best and (current is None or current.epoch_seq != agreed.epoch_seq):
            return best
        if best and current is not None and best[-1].deadline > current.deadline:
            return best
        if not best:
            # Where one issuer is enough nothing is wrong yet: its next beat is waited for.
            for reason in wrong or (() if need == 1 else (Reason.THRESHOLD_NOT_MET,)):
                this.deny(reason)
        return ()

    def _offer(self, agreed: Agreement, this: Round, terms: Terms) -> Sequence[Reason]:
        wrong: list[Reason] = []
        for beat in agreed.beats:
            if self._accepted.newer(beat):
                one = lease.grant(agreed, beat, this.sent, terms, self._covering(beat))
                if isinstance(one, Lease):
                    self.grants.offer(one)
                else:
                    wrong.append(one)
        return wrong

    def _covering(self, beat: Beat) -> Now | None:
        return None if self.reporter is None else self.reporter.covering(beat)
