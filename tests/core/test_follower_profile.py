"""What a profile of the epoch, and the budgets of its policy, do to a lease."""

from typing import Any

import pytest

from sidecar.core import canonical, layout, policy, routes
from sidecar.core import events as ev
from sidecar.core.instant import NS_PER_MS, Now, WallMs
from sidecar.core.lease import Freshness
from sidecar.core.objects.epoch import Audit, Epoch, ProfileRef, Telemetry
from sidecar.core.reason import Reason
from tests import builders
from tests.builders import now
from tests.core.test_follower import FIRST, FIRST_RAW, TRUST, A, B, C, beat, fetchable, outcome
from tests.core.test_follower_nonce import WHO, Reporting, covers, proof

STRICT = builders.profile_bytes()
TIGHT_TTL_MS, TIGHT_SKEW_MS = 3000, 600
TABLE = builders.routes_bytes(attributes={"model": "x-model", "tenant": "x-tenant"})


def budgeted(**budgets: Any) -> bytes:
    raw = canonical.parse(builders.POLICY, policy.MAX_BYTES)
    assert isinstance(raw, dict)
    return canonical.encode({**raw, "budgets": budgets})


class World:
    """A follower, and one epoch that asks for something."""

    def __init__(
        self,
        profile: bytes | None = None,
        *,
        ref: ProfileRef | None = None,
        rules: bytes = builders.POLICY,
        table: bytes = builders.ROUTES,
        freshness: Freshness = "clock",
        **changes: Any,
    ) -> None:
        if profile is not None:
            changes["profile"] = ref or builders.profile_ref(profile)
        self.raw = builders.epoch_bytes(
            TRUST, FIRST, policy_blob=rules, routes_blob=table, **changes
        )
        self.epoch: Epoch = builders.open_epoch(self.raw, TRUST)
        objects = fetchable(FIRST_RAW, self.raw)
        for blob in (rules, table, *(() if profile is None else (profile,))):
            objects[layout.blob_key("test", canonical.digest(blob))] = blob
        self.rig = Reporting(objects=objects, freshness=freshness, identity=WHO)

    def serve(self, ms: int = 0, seq: int = 1, peers: int = 3) -> ev.RoundEnded:
        return outcome(self.rig.whole(ms, beat(self.epoch, seq, ms), peers=peers))

    def refused(self, **options: Any) -> tuple[Reason, ...]:
        ended = self.serve(**options)
        assert self.rig.lease is None
        assert ended.faults == self.rig.gate.faults
        return self.rig.gate.unmet


def boot_ns(worth_ms: int) -> int:
    return now().boot + worth_ms * NS_PER_MS * 998_000 // 1_000_000


# -- the blob


def test_a_lease_lives_as_briefly_as_the_profile_says() -> None:
    world = World(STRICT)
    world.serve()
    lease = world.rig.lease
    assert lease is not None
    assert lease.deadline == boot_ns(TIGHT_TTL_MS - TIGHT_SKEW_MS - 1)
    assert lease.wall_deadline == now(TIGHT_TTL_MS - TIGHT_SKEW_MS).wall
    assert world.rig.gate.profile.name == "strict"


def test_a_profile_that_is_looser_than_the_local_terms_loosens_nothing() -> None:
    loose = builders.profile_bytes(lease={"ttl_ms": 9000, "freshness": "clock", "skew_ms": 1})
    world = World(loose)
    world.serve()
    lease = world.rig.lease
    assert lease is not None
    assert lease.deadline == boot_ns(4000 - 500 - 1)
    assert world.rig.follower._granting.poll_ms == 200, "of each number the tighter one"


def test_without_the_blob_there_is_no_lease_and_with_it_there_is() -> None:
    world = World(STRICT)
    key = layout.blob_key("test", canonical.digest(STRICT))
    kept = world.rig.objects.pop(key)
    assert world.refused() == (Reason.PROFILE_UNSUPPORTED,)
    world.rig.objects[key] = kept
    world.serve(250, 2)
    assert world.rig.lease is not None


def test_attack_by_another_profile_under_the_digest_of_the_signed_one() -> None:
    world = World(STRICT)
    key = layout.blob_key("test", canonical.digest(STRICT))
    world.rig.objects[key] = builders.profile_bytes(
        lease={"ttl_ms": 9000, "freshness": "clock", "skew_ms": 1}
    )
    assert Reason.PROFILE_UNSUPPORTED in world.refused()


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        (STRICT, "other"),
        (STRICT, "baseline"),
        (b"{}", "strict"),
        (builders.POLICY, "strict"),
        (builders.profile_bytes(lease={"ttl_ms": 1, "freshness": "nonce"}), "strict"),
        (builders.profile_bytes(surprise=1), "strict"),
    ],
)
def test_what_is_not_the_named_profile_gives_no_lease(profile: bytes, name: str) -> None:
    world = World(profile, ref=builders.profile_ref(profile, name))
    assert world.refused() == (Reason.PROFILE_UNSUPPORTED,)


def test_the_lease_under_the_epoch_before_goes_on_and_runs_out() -> None:
    world = World(STRICT)
    del world.rig.objects[layout.blob_key("test", canonical.digest(STRICT))]
    world.rig.whole(0, beat(FIRST, 1))
    before = world.rig.lease
    world.serve(250, 2)
    assert world.rig.lease == before
    assert Reason.PROFILE_UNSUPPORTED in world.rig.gate.unmet


# -- freshness


def test_a_nonce_is_demanded_although_the_local_terms_say_clock() -> None:
    wanted = builders.profile_bytes(lease={"ttl_ms": 3000, "freshness": "nonce"})
    world = World(wanted)
    assert world.refused() == (Reason.NONCE_MISSING,)
    mine = world.rig.made(1000)
    raw = covers(mine, seq=2, at_ms=1100, epoch=world.epoch)
    world.rig.covered(1200, raw, mine)
    lease = world.rig.lease
    assert lease is not None
    assert lease.anchor == "both"
    clock_ns = now(1200).boot + (3000 - 500 - 100 - 1) * NS_PER_MS * 998_000 // 1_000_000
    assert lease.deadline == min(clock_ns, boot_ns(4000)), "the nonce was made at 1000 ms"


def test_peers_whose_beat_covers_nothing_do_not_count_where_a_nonce_is_demanded() -> None:
    """Two of three agree by the local terms; one of these two only repeats an older beat."""
    wanted = builders.profile_bytes(lease={"ttl_ms": 3000, "freshness": "nonce"})
    world = World(wanted)
    mine = world.rig.made(0)
    old = beat(world.epoch, 1, 0, number=2)
    raw = covers(mine, seq=2, at_ms=100, epoch=world.epoch)
    world.rig.begin(200)
    world.rig.serve(A, 200, raw, proof(raw, mine))
    world.rig.serve(B, 200, old)
    world.rig.fail(C, 200)
    assert world.rig.lease is None
    assert world.rig.gate.unmet == (Reason.NONCE_MISSING,)
    world.rig.begin(300)
    for peer in (A, B):
        world.rig.serve(peer, 300, raw, proof(raw, mine))
    assert world.rig.lease is not None


def test_where_the_profile_reads_the_clock_a_step_ends_the_lease_of_a_nonce() -> None:
    world = World(STRICT, freshness="nonce")
    mine = world.rig.made(0)
    raw = covers(mine, at_ms=100, epoch=world.epoch)
    world.rig.covered(200, raw, mine)
    assert world.rig.lease is not None
    assert world.rig.lease.anchor == "both"
    world.rig.feed(ev.Ticked(), now(300))
    at = now(400)
    world.rig.feed(ev.Ticked(), Now(at.boot, WallMs(at.wall - 3_600_000)))
    assert world.rig.gate.lease is None
    assert world.rig.gate.absent is Reason.CLOCK_STEP


def test_a_beat_from_the_future_counts_for_nobody_where_the_profile_reads_the_clock() -> None:
    world = World(STRICT, freshness="nonce")
    mine = world.rig.made(0)
    raw = covers(mine, at_ms=2000, epoch=world.epoch)
    world.rig.covered(200, raw, mine)
    assert world.rig.lease is None
    assert world.rig.gate.unmet == (Reason.BEAT_FROM_FUTURE,)


# -- peers and pace


def test_as_many_peers_have_to_agree_as_profile_or_policy_say() -> None:
    three = builders.profile_bytes(quorum={"n": 3, "r": 3, "w": 2})
    for world in (World(three), World(rules=budgeted(min_quorum=3))):
        assert Reason.QUORUM_LOST in world.refused(peers=2)
        world.serve(250, 2, peers=3)
        assert world.rig.lease is not None
        assert world.rig.lease.peers == (A, B, C)


@pytest.mark.parametrize(
    "asks",
    [
        {"profile": builders.profile_bytes(quorum={"n": 5, "r": 3, "w": 3})},
        {"rules": budgeted(min_quorum=4)},
    ],
)
def test_more_peers_than_there_are_cannot_be_met(asks: dict[str, Any]) -> None:
    assert World(**asks).refused() == (Reason.PROFILE_UNSUPPORTED,)


def test_reports_have_to_be_taken_by_as_many_peers_as_the_profile_says() -> None:
    wanted = builders.profile_bytes(quorum={"n": 3, "r": 2, "w": 3})
    world = World(wanted, telemetry=Telemetry(max_unacked_ms=5000, max_diverged=None))
    mine = world.rig.made(0)
    raw = covers(mine, at_ms=100, epoch=world.epoch)
    world.rig.begin(200)
    for peer, wrote in ((A, True), (B, True), (C, False)):
        world.rig.serve(peer, 200, raw, proof(raw, mine), wrote=wrote)
    assert world.rig.gate.unmet == (Reason.TELEMETRY_BACKPRESSURE,)
    world.rig.covered(300, raw, mine)
    assert world.rig.lease is not None


def test_a_sidecar_looks_and_reports_as_often_as_the_profile_says() -> None:
    world = World(builders.profile_bytes(
        timing={"interval_ms": 400, "poll_ms": 100, "publish_ms": 100, "timeout_ms": 250}
    ))  # fmt: skip
    commands = world.rig.whole(0, beat(world.epoch, 1))
    assert [one.delay_ms for one in commands if isinstance(one, ev.WakeAfter)] == [100]
    first = world.rig.reports[-1].sha256
    world.rig.whole(95, beat(world.epoch, 1))
    assert world.rig.reports[-1].sha256 != first, "a report each round"


def test_the_next_epoch_is_heard_by_the_terms_without_the_profile_before() -> None:
    """Or nobody could go on from a profile that cannot be met any more."""
    three = builders.profile_bytes(
        quorum={"n": 3, "r": 3, "w": 2}, lease={"ttl_ms": 3000, "freshness": "nonce"}
    )
    world = World(three)
    mine = world.rig.made(0)
    raw = covers(mine, at_ms=100, epoch=world.epoch)
    world.rig.covered(200, raw, mine)
    assert world.rig.lease is not None
    after_raw = builders.epoch_bytes(TRUST, world.epoch)
    after = builders.open_epoch(after_raw, TRUST)
    world.rig.objects[layout.epoch_key("test", after.sha256)] = after_raw
    world.rig.whole(400, beat(after, 2, 400), peers=2)
    assert world.rig.lease is not None
    assert (world.rig.lease.epoch_seq, world.rig.lease.anchor) == (after.seq, "clock")
    assert world.rig.gate.profile.name == "baseline"
    assert world.rig.follower._granting.poll_ms == 250
    assert world.rig.follower._granting.archive._profiles == {}


def test_a_trust_document_that_tightens_tightens_under_a_profile_too() -> None:
    world = World(STRICT)
    world.serve()
    granting = world.rig.follower._granting
    limits = TRUST.body.limits
    less = type(limits)(ttl_max_ms=2000, skew_max_ms=limits.skew_max_ms, drift_ppm=2000)
    granting.under(builders.make_trust(limits=less))
    assert (granting.tight.ttl_ms, granting.tight.skew_ms) == (2000, TIGHT_SKEW_MS)


# -- the log


def test_a_profile_that_wants_witnesses_where_there_are_none_cannot_be_met() -> None:
    wanted = builders.profile_bytes(audit={"max_unacked_ms": 5000, "witnesses": 1})
    assert World(wanted).refused() == (Reason.PROFILE_UNSUPPORTED,)


def test_the_snapshot_says_how_far_the_log_may_be_behind() -> None:
    said = Audit(max_checkpoint_age_ms=3000, max_unacked_ms=0, overflow="contain")
    wanted = builders.profile_bytes(audit={"max_checkpoint_age_ms": 2000})
    world = World(wanted, rules=budgeted(max_audit_lag_ms=1000), audit=said)
    world.serve()
    assert world.rig.gate.lags.unsigned_ms == 1000


# -- budgets


def test_a_policy_bounds_the_age_of_a_lease() -> None:
    world = World(STRICT, rules=budgeted(max_age_ms=2000))
    world.serve()
    assert world.rig.lease is not None
    assert world.rig.lease.wall_deadline == now(2000 - TIGHT_SKEW_MS).wall


def test_a_policy_for_other_regions_gives_no_lease_here() -> None:
    assert World(rules=budgeted(regions=["there"])).refused() == (Reason.REGION_NOT_AUTHORIZED,)
    world = World(rules=budgeted(regions=["here", "there"]))
    world.serve()
    assert world.rig.lease is not None


def test_models_and_tenants_of_a_policy_are_compiled_with_the_orders() -> None:
    world = World(rules=budgeted(models=["m"], tenants=["acme"]), table=TABLE)
    world.serve()
    scoped = world.rig.gate.scoped
    assert scoped is not None
    assert (scoped.offered, scoped.served) == (frozenset({b"m"}), frozenset({b"acme"}))


@pytest.mark.parametrize("budgets", [{"models": ["m"]}, {"tenants": ["acme"]}])
def test_what_the_route_table_cannot_tell_cannot_be_met(budgets: dict[str, Any]) -> None:
    assert World(rules=budgeted(**budgets)).refused() == (Reason.PROFILE_UNSUPPORTED,)
    assert routes.parse(builders.ROUTES).tenant_header is None
