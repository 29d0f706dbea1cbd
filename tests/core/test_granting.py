"""From an agreement to a lease: each thing that has to be true, by what happens without it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core import canonical, envelope, layout
from sidecar.core import lifecycle as steps
from sidecar.core.accepted import Accepted
from sidecar.core.archive import Missing
from sidecar.core.facts import Workload
from sidecar.core.granting import Granted, Granting
from sidecar.core.instant import Now, WallMs
from sidecar.core.lease import Freshness, Terms
from sidecar.core.lifecycle import Course
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Activation, Epoch, Runtime, Telemetry
from sidecar.core.objects.trust import Revoked, Role, Trust
from sidecar.core.parent import BY_PROFILE
from sidecar.core.profile import BASELINE
from sidecar.core.quorum import Agreement, PeerId, Vote
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.round import Round
from sidecar.core.setting import Setting
from sidecar.core.snapshot import CLOSED
from tests import builders, covering
from tests.builders import NOW, ROLES, now

A, B = PEERS = (PeerId("a"), PeerId("b"))


class Desk:
    """A granting with its memory, an archive that holds everything, and a round."""

    def __init__(
        self,
        trust: Trust | None = None,
        last_wall: int = 0,
        freshness: Freshness = "clock",
        **changes: Any,
    ) -> None:
        self.trust = trust or builders.make_trust()
        self.raw = builders.epoch_bytes(self.trust, **changes)
        self.epoch = builders.open_epoch(self.raw, self.trust)
        terms = Terms(4000, 500, 2000, freshness)
        setting = Setting("model", "here", PEERS, 2, terms, 250, identity=covering.identity())
        self.accepted = Accepted(self.trust, None)
        self.granting = Granting(self.trust, setting, self.accepted, WallMs(last_wall))
        self.fill(self.epoch, self.raw)
        self.round = Round(1, now(), 0.5, PEERS)
        self.course = Course()
        self.course.begin(now(), {})
        self.course.passed(steps.SYNCHRONIZATION, now(), {})
        self.current: Any = None

    def fill(self, epoch: Epoch, raw: bytes) -> None:
        archive = self.granting.archive
        archive.add(layout.epoch_key("test", epoch.sha256), raw)
        for blob in (builders.POLICY, builders.ROUTES):
            archive.add(layout.blob_key("test", canonical.digest(blob)), blob)

    def beat(self, seq: int = 1, number: int = 1, **changes: Any) -> Beat:
        raw = builders.beat_bytes(self.trust, self.epoch, seq=seq, number=number, **changes)
        beat = builders.open_beat(raw, self.trust)
        self.accepted.witness(beat, raw)
        return beat

    def judge(self, *beats: Beat, at: Now | None = None) -> Granted | Missing | None:
        agreed = Agreement(self.epoch.seq, self.epoch.sha256, PEERS, beats)
        return self.granting.judge(agreed, self.round, self.current, self.course, at or now())

    def refused(self, *beats: Beat, at: Now | None = None) -> Reason:
        with pytest.raises(ProtocolError) as caught:
            self.judge(*beats, at=at)
        return caught.value.reason


def test_grants_a_lease_with_what_it_is_to_serve_and_the_steps_behind_it() -> None:
    desk = Desk()
    found = desk.judge(desk.beat())
    assert isinstance(found, Granted)
    assert (found.lease.epoch_sha256, found.lease.peers) == (desk.epoch.sha256, PEERS)
    assert len(found.trail.steps) == steps.TELEMETRY
    snapshot = found.on(CLOSED)
    assert (snapshot.lease, snapshot.absent) == (found.lease, Reason.LEASE_EXPIRED)
    assert snapshot.policy.sha256 == canonical.digest(builders.POLICY)
    who = covering.identity()
    assert snapshot.policy.here == Workload("model", "here", "", who.key_id)


def asking_for_parents() -> bytes:
    asks = {"parent": {"max_age_ms": 1000, "required": False}}
    return canonical.encode({**json.loads(builders.POLICY), **asks})


def test_a_policy_that_asks_for_parents_is_served_only_where_there_is_a_key() -> None:
    blob = asking_for_parents()
    desk = Desk(policy_blob=blob)
    desk.granting.archive.add(layout.blob_key("test", canonical.digest(blob)), blob)
    assert desk.refused(desk.beat()) is Reason.PROFILE_UNSUPPORTED
    desk.granting._setting = replace(desk.granting._setting, parent_key=True)
    assert isinstance(desk.judge(desk.beat(seq=2)), Granted)


def test_a_profile_that_wants_parents_is_served_only_where_there_is_a_key() -> None:
    raw = builders.profile_bytes(parent="required")
    desk = Desk(profile=builders.profile_ref(raw))
    desk.granting.archive.add(layout.blob_key("test", canonical.digest(raw)), raw)
    desk.round.votes = {peer: Vote((desk.beat(),)) for peer in PEERS}
    desk.round.waiting.clear()
    desk.granting._setting = replace(desk.granting._setting, peers=(*PEERS, PeerId("c")))
    assert desk.refused(desk.beat()) is Reason.PROFILE_UNSUPPORTED
    desk.granting._setting = replace(desk.granting._setting, parent_key=True)
    found = desk.judge(desk.beat())
    assert isinstance(found, Granted)
    assert found.on(CLOSED).parent == BY_PROFILE


def test_what_a_profile_asks_of_parents_reaches_the_gate() -> None:
    desk = Desk()
    found = desk.judge(desk.beat())
    assert isinstance(found, Granted)
    assert found.on(CLOSED).parent is None
    asked = replace(found, profile=replace(BASELINE, parent_required=True)).on(CLOSED)
    assert asked.parent == BY_PROFILE
    assert found.on(asked).parent is None, "until the next epoch asks for none"


@pytest.mark.parametrize("kind", ["epoch", "policy", "routes"])
def test_says_what_has_to_be_fetched_first(kind: str) -> None:
    desk = Desk()
    kept = {
        "policy": layout.blob_key("test", canonical.digest(builders.POLICY)),
        "routes": layout.blob_key("test", canonical.digest(builders.ROUTES)),
        "epoch": layout.epoch_key("test", desk.epoch.sha256),
    }
    del desk.granting.archive._raw[kept[kind].rpartition(":")[2]]
    found = desk.judge(desk.beat())
    assert isinstance(found, Missing)
    assert found.key == kept[kind]
    assert not desk.accepted.dirty, "nothing is accepted meanwhile"


def test_without_a_verifier_that_can_tell_nothing_is_granted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    monkeypatch.setattr(envelope, "verify", lambda *_: True)
    assert desk.refused(desk.beat()) is Reason.NONCE_PROOF_INVALID


def test_nothing_is_granted_under_an_expired_trust_document() -> None:
    desk = Desk(builders.make_trust(expires=NOW))
    assert desk.refused(desk.beat()) is Reason.TRUST_EXPIRED


def test_nothing_is_granted_while_a_contradiction_is_not_cleared() -> None:
    desk = Desk()
    desk.beat()
    raw = builders.beat_bytes(desk.trust, desk.epoch, interval_ms=1)
    conflict = desk.accepted.witness(builders.open_beat(raw, desk.trust), raw)
    assert conflict is not None
    desk.accepted.latch(conflict)
    assert desk.refused(desk.beat(2)) is Reason.QUARANTINED


def test_nothing_is_granted_by_a_wall_clock_behind_its_past() -> None:
    assert Desk(last_wall=NOW + 501).refused(Desk().beat()) is Reason.CLOCK_REGRESSION
    desk = Desk(last_wall=NOW + 500)
    assert isinstance(desk.judge(desk.beat()), Granted)


def test_nothing_is_granted_below_an_epoch_that_is_vouched_for() -> None:
    desk = Desk()
    above = builders.make_epoch(desk.trust, desk.epoch)
    desk.granting.look(builders.make_beat(desk.trust, above, number=2), now())
    assert desk.refused(desk.beat()) is Reason.EPOCH_SUPERSEDED


def test_nothing_is_granted_to_what_was_not_measured() -> None:
    runtime = Runtime(image_digests=(), code_sha256=("a" * 64,), config_sha256=(), model_digests={})
    desk = Desk(runtime=runtime)
    assert desk.refused(desk.beat()) is Reason.INTEGRITY_STALE
    assert len(desk.course.trail.steps) == steps.COORDINATION


def test_what_is_refused_for_its_reports_raises_no_mark() -> None:
    desk = Desk(telemetry=Telemetry(max_unacked_ms=1, max_diverged=None))
    beat = desk.beat()
    assert desk.refused(beat) is Reason.TELEMETRY_BACKPRESSURE
    desk.round.took |= {A, B}
    assert desk.refused(beat) is Reason.TELEMETRY_UNACKED
    assert desk.accepted.newer(beat)
    assert len(desk.course.trail.steps) == steps.CRYPTOGRAPHY


def test_a_lease_ends_with_its_epoch_and_its_trust_document() -> None:
    for desk in (Desk(not_after=NOW + 50), Desk(builders.make_trust(expires=NOW + 50))):
        found = desk.judge(desk.beat())
        assert isinstance(found, Granted)
        assert found.lease.wall_deadline == NOW + 50


def test_a_beat_that_gives_no_more_than_there_is_grants_nothing_and_is_no_fault() -> None:
    desk = Desk()
    found = desk.judge(desk.beat(1))
    assert isinstance(found, Granted)
    desk.current = found.lease
    assert desk.judge(desk.beat(1)) is None
    assert desk.judge(desk.beat(1, number=2, issued_at=NOW - 100)) is None
    assert desk.round.sorted_unmet == ()
    better = desk.judge(desk.beat(2, issued_at=NOW + 100))
    assert isinstance(better, Granted)
    assert better.lease.deadline > found.lease.deadline


def test_a_lease_leans_on_as_many_issuers_as_the_threshold_says() -> None:
    desk = Desk(builders.make_trust(roles={**ROLES, Role.BEAT: (2, 2)}))
    one, other = desk.beat(), desk.beat(number=2, issued_at=NOW - 1000)
    assert desk.judge(one) is None
    assert Reason.THRESHOLD_NOT_MET in desk.round.unmet
    found = desk.judge(one, other)
    assert isinstance(found, Granted)
    assert found.lease.beat == other
    assert set(found.lease.issuers) == {one.issuer, other.issuer}
    assert desk.round.sorted_unmet == ()
    assert not desk.accepted.newer(one)
    assert not desk.accepted.newer(other)


def test_where_only_a_nonce_counts_a_beat_without_a_proof_is_not_live_whatever_its_time() -> None:
    desk = Desk(freshness="nonce")
    assert not desk.granting.live(desk.beat(), now())
    assert desk.judge(desk.beat()) is None
    assert desk.round.sorted_unmet == (Reason.NONCE_MISSING,)


def test_only_an_immediate_epoch_ends_what_is_before_it() -> None:
    for mode, ends in (("immediate", True), ("lease", False)):
        desk = Desk()
        found = desk.judge(desk.beat())
        assert isinstance(found, Granted)
        activation = Activation(mode=mode, supersedes=True)  # type: ignore[arg-type]
        raw = builders.epoch_bytes(desk.trust, desk.epoch, activation=activation)
        above = builders.open_epoch(raw, desk.trust)
        assert desk.granting.superseding(found.lease, now()) is None
        desk.granting.look(builders.make_beat(desk.trust, above, number=2), now())
        assert isinstance(desk.granting.superseding(found.lease, now()), Missing)
        desk.fill(above, raw)
        assert (desk.granting.superseding(found.lease, now()) == above) == ends


def test_what_belongs_to_one_trust_document_is_made_anew_with_the_next() -> None:
    desk = Desk()
    desk.judge(desk.beat(number=2))
    before = desk.granting.archive
    key = builders.signer(Role.BEAT, 2).key_id
    limits = builders.trust.Limits(ttl_max_ms=1000, skew_max_ms=600, drift_ppm=3000)
    after = builders.make_trust(
        revoked=(Revoked(keyid=key, reason="stolen", at=NOW),), limits=limits
    )
    desk.granting.under(after)
    assert desk.granting.archive is not before
    assert desk.granting.terms == Terms(1000, 600, 3000)
    agreed = Agreement(1, desk.epoch.sha256, PEERS, ())
    assert desk.granting.grants.best(agreed, 1) == ()
