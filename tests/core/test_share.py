"""A snapshot through memory decides like the one that was shared, or is not taken."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, gate, policy, profile, routes, share
from sidecar.core.canonical import Json
from sidecar.core.facts import Workload
from sidecar.core.gate import Denial, Exempt, Permit
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.lease import Lease
from sidecar.core.log.cosignature import Witnesses
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.trust import Role
from sidecar.core.parent import NO_CLAIM, UNCHECKED, Claim
from sidecar.core.policy import Policy
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.scoped import Scoped
from sidecar.core.snapshot import CLOSED, Hold, HoldKind, Snapshot, hardest_first
from tests import builders, clauses

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
OBSERVED = builders.make_epoch(TRUST, enforcement="observe")
BEAT = builders.make_beat(TRUST, EPOCH)
HERE = Workload("chat", "eu-1", "chat-ab", "ab" * 32)  # before 83.13 % of all instances


def rules(name: str, **changes: Json) -> dict[str, Json]:
    """A policy that permits POST on /v1, or the rest that is said about it."""
    rule: dict[str, Json] = {
        "name": name, "action": "permit", "methods": ["POST"], "paths": ["/v1/**"], "headers": [],
        "in_flight": "cut",
    }  # fmt: skip
    return {"_type": policy.TYPE, "name": name, "rules": [rule], **changes}


def rollout(percent: int) -> bytes:
    """A rollout of a policy that asks where it is; what is for the others permits nothing."""
    wants: dict[str, Json] = {
        "expression": clauses.equals("workload.region", "eu-1"),
        "name": "region",
    }
    other: dict[str, Json] = {"_type": policy.TYPE, "name": "other", "rules": []}
    said: dict[str, Json] = {"otherwise": other, "percent": percent}
    return canonical.encode(rules("chat", validations=[wants], rollout=said))


POLICIES = (
    policy.DENY_ALL,
    policy.parse(builders.POLICY),
    *(policy.parse(rollout(percent), HERE) for percent in (83, 84)),
    policy.parse(rollout(100), replace(HERE, region="eu-2")),
    policy.parse(canonical.encode(rules("chat", mode="observe"))),
    policy.parse(canonical.encode(rules("chat", parent={"max_age_ms": 1000, "required": False}))),
)
ROUTES = (
    routes.NO_ROUTES,
    routes.parse(builders.ROUTES),
    routes.parse(builders.routes_bytes(attributes={"model": "x-model", "tenant": "x-tenant"})),
)
PROFILES = (profile.BASELINE, profile.parse(builders.profile_bytes(parent="required")))
WITNESS_KEYS = [key.public for key in builders.signers(Role.WITNESS, 3)]
YEARS_NS = 2**60  # of uptime: beyond what canonical JSON can carry

leases = st.builds(
    lambda boot, wall, epoch: Lease(
        epoch.seq, epoch.sha256, BEAT, (PeerId("p1"), PeerId("p2")), BootNs(boot), WallMs(wall),
        "clock",
    ),
    st.integers(0, YEARS_NS), st.integers(0, 2**50), st.sampled_from([EPOCH, OBSERVED]),
)  # fmt: skip
holds = st.builds(
    Hold,
    st.sampled_from([reason for reason in Reason if reason is not Reason.DRAINING]),
    st.sampled_from(HoldKind),
    st.sampled_from(["", "aa", "bb"]),
)
values = st.frozensets(st.sampled_from([b"a", b"b", "\x01\xe4".encode()]), max_size=2)
scopeds = st.builds(
    Scoped,
    routes=st.frozensets(st.sampled_from(["api", "other", "\x01"]), max_size=2),
    models=values, tenants=values, served=st.none() | values, offered=st.none() | values,
)  # fmt: skip
snapshots = st.builds(
    Snapshot,
    lease=st.none() | leases,
    absent=st.sampled_from(Reason),
    epoch=st.sampled_from([None, EPOCH, OBSERVED]),
    trust_version=st.integers(0, 9),
    witnesses=st.builds(
        Witnesses,
        st.dictionaries(st.sampled_from(WITNESS_KEYS), st.none() | st.integers(0, 2**50)),
        st.integers(1, 3),
    ),
    policy=st.sampled_from(POLICIES),
    routes=st.sampled_from(ROUTES),
    profile=st.sampled_from(PROFILES),
    scoped=st.none() | scopeds,
    holds=st.lists(holds, max_size=3).map(hardest_first),
    faults=st.lists(st.sampled_from(Reason), max_size=3).map(tuple),
)
heads = st.builds(
    lambda method, path, model, tenant, claim: RequestHead(
        method, path, path, ((b"x-model", model), (b"x-tenant", tenant)), parent=claim
    ),
    st.sampled_from([b"GET", b"POST"]),
    st.sampled_from([b"/v1/chat/completions", b"/health", b"/admin"]),
    st.sampled_from([b"a", b"c"]),
    st.sampled_from([b"a", b"c"]),
    st.sampled_from([UNCHECKED, NO_CLAIM, Claim("permit", "0123456789abcdef-1", 5)]),
)
OPEN = Snapshot(
    lease=Lease(1, EPOCH.sha256, BEAT, (PeerId("p1"),), BootNs(100), WallMs(100), "clock"),
    absent=Reason.LEASE_EXPIRED, epoch=EPOCH, trust_version=1, policy=POLICIES[1],
    routes=ROUTES[1],
)  # fmt: skip


def said(decision: gate.Decision) -> tuple[object, ...]:
    match decision:
        case Permit():
            rule = None if decision.rule is None else decision.rule.name
            return ("permit", decision.route, rule, decision.observed, decision.verdict is None)
        case Exempt():
            return ("exempt", decision.upstream)
        case Denial():
            rule = None if decision.rule is None else decision.rule.name
            return ("deny", decision.reason, rule, decision.message)


@given(snapshots, heads, st.integers(-1, 1), st.integers(-1, 1))
def test_it_decides_alike_around_its_deadlines(
    snapshot: Snapshot, head: RequestHead, boot: int, wall: int
) -> None:
    there = share.decode(share.encode(snapshot), CLOSED)
    lease = snapshot.lease
    now = Now(
        BootNs((lease.deadline if lease else 0) + boot),
        WallMs((lease.wall_deadline if lease else 0) + wall),
    )
    assert said(gate.decide(there, head, now)) == said(gate.decide(snapshot, head, now))
    assert there.state(now) is snapshot.state(now)


@given(snapshots)
def test_everything_but_the_orders_is_the_same(snapshot: Snapshot) -> None:
    there = share.decode(share.encode(snapshot), snapshot)
    assert there == replace(snapshot, halts=NO_HALTS)


def test_policy_and_routes_stay_the_same_objects_while_their_digest_does() -> None:
    first = share.decode(share.encode(OPEN), CLOSED)
    assert first.policy is not OPEN.policy
    again = share.decode(share.encode(replace(OPEN, trust_version=2)), first)
    assert (again.policy, again.routes) == (first.policy, first.routes)
    assert again.policy is first.policy
    assert again.routes is first.routes
    moved = replace(OPEN, routes=routes.parse(builders.routes_bytes(9001)))
    other = share.decode(share.encode(moved), again)
    assert other.policy is first.policy
    assert other.routes is not first.routes


@pytest.mark.parametrize("made", POLICIES, ids=lambda made: f"{made.name} {made.half}")
def test_every_process_takes_the_same_half_and_knows_the_same_place(made: Policy) -> None:
    there = share.decode(share.encode(replace(OPEN, policy=made)), CLOSED).policy
    assert (there.half, there.name, there.observes) == (made.half, made.name, made.observes)
    assert (there.here, there.sha256) == (made.here, made.sha256)


def test_a_policy_is_compiled_again_where_it_is_told_of_another_place() -> None:
    one, two = (policy.parse(rollout(84), at) for at in (HERE, replace(HERE, key_id="cd" * 32)))
    first = share.decode(share.encode(replace(OPEN, policy=one)), CLOSED)
    assert share.decode(share.encode(replace(OPEN, policy=two)), first).policy.here == two.here


def test_a_profile_stays_the_same_object_while_its_digest_does_and_is_checked() -> None:
    strict = replace(OPEN, profile=PROFILES[1])
    first = share.decode(share.encode(strict), CLOSED)
    assert first.profile == PROFILES[1]
    again = share.decode(share.encode(replace(strict, trust_version=2)), first)
    assert again.profile is first.profile
    assert share.decode(share.encode(OPEN), again).profile is profile.BASELINE
    with pytest.raises(ProtocolError, match="another digest"):
        share.decode(share.encode(strict)[:-1] + b" ", CLOSED)


def test_what_some_requests_are_denied_for_stays_the_same_object_while_it_is_the_same() -> None:
    """Otherwise running exchanges would be judged anew at each beat."""
    halted = replace(OPEN, scoped=Scoped(routes=frozenset({"api"})))
    first = share.decode(share.encode(halted), CLOSED)
    again = share.decode(share.encode(replace(halted, trust_version=2)), first)
    assert again.scoped is first.scoped
    assert share.decode(share.encode(OPEN), again).scoped is None


def test_more_orders_than_there_is_room_for_stop_everything() -> None:
    """Whoever has a halt key can make them without end; none of them may be lost on the way."""
    many = Scoped(models=frozenset(b"%0512d" % n for n in range(1000)))
    there = share.decode(share.encode(replace(OPEN, scoped=many)), CLOSED)
    assert there.holds == (Hold(Reason.HALT_SCOPED, HoldKind.STICKY),)
    few = Scoped(models=frozenset(b"%0512d" % n for n in range(256)))
    there = share.decode(share.encode(replace(OPEN, scoped=few)), CLOSED)
    assert (there.holds, there.scoped) == ((), few)


def test_the_hardest_holds_are_shared_when_there_are_too_many() -> None:
    many = [Hold(Reason.HALT_GLOBAL, HoldKind.STICKY, f"{n:032x}") for n in range(1000)]
    latched = Hold(Reason.EQUIVOCATION, HoldKind.LATCHED, "ff")
    there = share.decode(share.encode(OPEN.held(*many, latched)), CLOSED)
    assert (there.holds[0], len(there.holds)) == (latched, share.HOLDS_MAX)


def test_the_largest_that_can_be_is_within_the_room() -> None:
    """A policy and a route table at their limits, and a large epoch."""
    name = "a" * 63
    rule = {
        "name": name, "action": "permit", "methods": [], "paths": ["/x"], "headers": [],
        "in_flight": "cut",
    }  # fmt: skip
    rules = [{**rule, "name": f"r{n}", "paths": [f"/{n:0>400}"]} for n in range(2000)]
    raw = canonical.encode({"_type": policy.TYPE, "name": name, "rules": rules})
    assert policy.MAX_BYTES * 0.8 < len(raw) <= policy.MAX_BYTES
    big = replace(OPEN, policy=policy.parse(raw))
    spare = policy.MAX_BYTES - len(raw) + routes.MAX_BYTES
    assert len(share.encode(big)) + spare < share.MAX_BYTES - 512 * 1024


@pytest.mark.parametrize("at", range(share.FRAME_BYTES))
def test_a_frame_with_a_flipped_byte_in_its_head_is_not_whole(at: int) -> None:
    whole = share.frame(7, b"body")
    bad = bytearray(whole)
    bad[at] ^= 1
    head, body = bytes(bad[: share.FRAME_BYTES]), bytes(bad[share.FRAME_BYTES :])
    assert share.unframe(head, body) is None


@given(st.data())
def test_any_flipped_byte_of_a_shared_snapshot_is_refused(data: st.DataObject) -> None:
    framed = bytearray(share.frame(3, share.encode(OPEN)))
    at = data.draw(st.integers(0, len(framed) - 1))
    framed[at] ^= data.draw(st.integers(1, 255))
    head, rest = bytes(framed[: share.FRAME_BYTES]), bytes(framed[share.FRAME_BYTES :])
    assert share.unframe(head, rest[: share.body_bytes(head)]) is None


def test_a_whole_frame_is_read_back() -> None:
    framed = share.frame(3, b"body")
    head = framed[: share.FRAME_BYTES]
    assert share.body_bytes(head) == 4
    assert share.unframe(head, framed[share.FRAME_BYTES :]) == (3, b"body")


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"x",
        lambda raw: raw.replace(b'"EG102"', b'"EG999"', 1),
        lambda raw: raw.replace(builders.POLICY, builders.POLICY.replace(b"/v1/**", b"/v2/**")),
        lambda raw: raw.replace(builders.ROUTES, builders.ROUTES.replace(b"/v1/**", b"/v2/**")),
        lambda raw: raw.replace(b'"trust_version":1', b'"trust_version":"1"', 1),
        lambda raw: raw.replace(b'"trust_version":1', b'"more":1,"trust_version":1', 1),
        lambda raw: b"{}\n" + raw.partition(b"\n")[2],
        lambda _: b"",
    ],
)  # fmt: skip
def test_what_another_version_might_have_written_is_refused(
    change: Callable[[bytes], bytes],
) -> None:
    raw = share.encode(OPEN)
    assert change(raw) != raw
    with pytest.raises(ProtocolError):
        share.decode(change(raw), CLOSED)


def test_a_hold_of_no_known_kind_is_refused() -> None:
    raw = share.encode(OPEN.held(Hold(Reason.HALT_GLOBAL, HoldKind.STICKY)))
    with pytest.raises(ProtocolError):
        share.decode(raw.replace(b'"kind":2', b'"kind":9', 1), CLOSED)
