"""Signed objects for tests, made from deterministic keys.

`<object>_bytes` gives the envelope as a peer would hold it, `make_<object>` the verified object.
Keyword arguments beyond those named replace fields of the signed body, so a test states the one
thing that it is about. Everything is dated around `NOW`.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.core import canonical, envelope, policy, profile, routes
from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.log.merkle import EMPTY_ROOT
from sidecar.core.objects import beat, epoch, halt, report, trust
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Halts, Order
from sidecar.core.objects.trust import Role, Trust
from sidecar.signer import FileSigner, sign

DOMAIN = "test"
NOW = WallMs(1_800_000_000_000)
DAY_MS = 86_400_000
BOOT = BootNs(1_000_000 * NS_PER_MS)

# How many keys each role has, and its threshold.
ROLES: Mapping[Role, tuple[int, int]] = {
    Role.ROOT: (3, 2),
    Role.EPOCH: (3, 2),
    Role.BEAT: (2, 1),
    Role.HALT: (2, 1),
    Role.RESUME: (3, 2),
    Role.LOG: (1, 1),
    Role.WITNESS: (0, 1),
}

POLICY = canonical.encode({
    "_type": policy.TYPE,
    "name": "chat",
    "rules": [{
        "name": "chat", "action": "permit", "methods": ["POST"], "paths": ["/v1/**"],
        "headers": [], "in_flight": "cut",
    }],
})  # fmt: skip


def now(ms: int = 0) -> Now:
    """Both clocks, `ms` milliseconds after the start of the test's world."""
    return Now(BootNs(BOOT + ms * NS_PER_MS), WallMs(NOW + ms))


def signer(role: Role, number: int = 1) -> FileSigner:
    """The `number`th key of a role, from 1; always the same one."""
    return FileSigner(hashlib.sha256(f"{role.value}-{number}".encode()).digest())


def signers(role: Role, count: int) -> list[FileSigner]:
    """The first `count` keys of a role."""
    return [signer(role, number) for number in range(1, count + 1)]


def routes_bytes(port: int = 9000, exempt: tuple[str, ...] = ("/health",), **changes: Any) -> bytes:
    """A route table that leads everything under /v1 to one loopback port."""
    return canonical.encode({
        "_type": routes.TYPE,
        "name": "model",
        "upstreams": {"model": {"host": "127.0.0.1", "port": port}},
        "routes": [{"name": "api", "paths": ["/v1/**"], "upstream": "model"}],
        "exempt": [{"target": target, "upstream": "model"} for target in exempt],
        **changes,
    })  # fmt: skip


ROUTES = routes_bytes()


def profile_bytes(**changes: Any) -> bytes:
    """A profile that is tighter than `Terms(4000, 500, 2000)` over three peers in every respect."""
    return canonical.encode({
        "_type": profile.TYPE,
        "name": "strict",
        "lease": {"ttl_ms": 3000, "freshness": "clock", "skew_ms": 600},
        "timing": {"interval_ms": 400, "poll_ms": 200, "publish_ms": 100, "timeout_ms": 250},
        "quorum": {"n": 3, "r": 2, "w": 2},
        "in_flight": "cut",
        **changes,
    })  # fmt: skip


def profile_ref(raw: bytes, name: str = "strict") -> epoch.ProfileRef:
    """How an epoch names it."""
    return epoch.ProfileRef(name=name, sha256=canonical.digest(raw))


def trust_body(
    *,
    roles: Mapping[Role, tuple[int, int]] = ROLES,
    not_after: Mapping[Role, int] | None = None,
    **changes: Any,
) -> trust.Body:
    """A trust document for keys of `signer`; `roles`: role -> how many keys, threshold."""
    keys: dict[str, trust.Key] = {}
    named: dict[str, trust.RoleKeys] = {}
    for role in Role:
        count, threshold = roles.get(role, (0, 1))
        held = signers(role, count)
        limit = (not_after or {}).get(role)
        keys |= {
            key.key_id: trust.Key(
                keytype="ed25519", scheme="ed25519", public=key.public.hex(), not_after=limit
            )
            for key in held
        }
        named[role.value] = trust.RoleKeys(
            keyids=tuple(sorted(key.key_id for key in held)), threshold=threshold
        )
    body = trust.Body(
        type=trust.TYPE,
        domain=DOMAIN,
        version=1,
        prev_sha256=None,
        issued_at=NOW - DAY_MS,
        expires=NOW + 365 * DAY_MS,
        keys=keys,
        roles=trust.Roles(**named),
        revoked=(),
        floors=trust.Floors(epoch=None, beat={}, halt=0),
        quorum=trust.Quorum(n=3, r=2, w=2),
        limits=trust.Limits(ttl_max_ms=4000, skew_max_ms=500, drift_ppm=2000),
    )
    return msgspec.structs.replace(body, **changes)


def trust_bytes(*, signed_by: int = 2, **changes: Any) -> bytes:
    """Its envelope, signed by the first `signed_by` root keys."""
    body = canonical.dump(trust_body(**changes))
    return sign(trust.PAYLOAD_TYPE, body, *signers(Role.ROOT, signed_by))


def make_trust(**changes: Any) -> Trust:
    """The verified document."""
    return trust.parse(trust_bytes(**changes), NOW)


def predicate(
    under: Trust,
    prev: Epoch | None = None,
    *,
    policy_blob: bytes = POLICY,
    routes_blob: bytes = ROUTES,
    **changes: Any,
) -> epoch.Predicate:
    """What an epoch says: the next one after `prev`, or the first."""
    said = epoch.Predicate(
        domain=under.domain,
        seq=1 if prev is None else prev.seq + 1,
        prev_sha256=None if prev is None else prev.sha256,
        trust=trust_ref(under),
        issued_at=NOW,
        not_before=NOW - 60_000,
        not_after=NOW + DAY_MS,
        activation=epoch.Activation(mode="lease", supersedes=True),
        profile=epoch.BASELINE,
        scope=epoch.Scope(services=(), regions=(), tenants=(), instances=()),
        policy=epoch.PolicyRef(
            sha256=canonical.digest(policy_blob),
            size=len(policy_blob),
            media_type=policy.MEDIA_TYPE,
        ),
        routes=epoch.RoutesRef(sha256=canonical.digest(routes_blob), size=len(routes_blob)),
        removes=(),
        runtime=epoch.Runtime(image_digests=(), code_sha256=(), config_sha256=(), model_digests={}),
        enforcement="enforce",
        telemetry=epoch.Telemetry(max_unacked_ms=0, max_diverged=None),
        audit=epoch.Audit(max_checkpoint_age_ms=0, max_unacked_ms=0, overflow="contain"),
        halts_sha256=NO_HALTS.sha256,
        gov_log=gov_log(under),
        reason="test",
    )
    return msgspec.structs.replace(said, **changes)


def epoch_bytes(
    under: Trust, prev: Epoch | None = None, *, signed_by: int = 2, **changes: Any
) -> bytes:
    """Its envelope, signed by the first `signed_by` epoch keys."""
    body = epoch.statement(predicate(under, prev, **changes))
    return sign(epoch.PAYLOAD_TYPE, body, *signers(Role.EPOCH, signed_by))


def make_epoch(under: Trust, prev: Epoch | None = None, **changes: Any) -> Epoch:
    """The verified epoch."""
    return open_epoch(epoch_bytes(under, prev, **changes), under)


def open_epoch(raw: bytes, under: Trust, at: WallMs = NOW) -> Epoch:
    """Verify an epoch's envelope."""
    sealed = envelope.parse(raw, epoch.MAX_BYTES)
    return epoch.parse(under.open(sealed, Role.EPOCH, epoch.PAYLOAD_TYPE, at))


def beat_body(
    under: Trust,
    current: Epoch,
    *,
    number: int = 1,
    halts: Halts = NO_HALTS,
    **changes: Any,
) -> beat.Body:
    """What beat key `number` says about an epoch."""
    said = beat.Body(
        type=beat.TYPE,
        domain=under.domain,
        issuer=signer(Role.BEAT, number).key_id,
        seq=1,
        prev_sha256=None,
        issued_at=NOW,
        ttl_ms=4000,
        interval_ms=500,
        trust=trust_ref(under),
        epoch=trust.Mark(seq=current.seq, sha256=current.sha256),
        halts=trust.Mark(seq=halts.seq, sha256=halts.sha256),
        state="run",
        fleet=beat.Fleet(root=EMPTY_ROOT.hex(), size=0, expected=0, diverged=0),
        gov_log=gov_log(under),
    )
    return msgspec.structs.replace(said, **changes)


def beat_bytes(under: Trust, current: Epoch, *, number: int = 1, **changes: Any) -> bytes:
    """Its envelope, signed by that key."""
    body = canonical.dump(beat_body(under, current, number=number, **changes))
    return sign(beat.PAYLOAD_TYPE, body, signer(Role.BEAT, number))


def make_beat(under: Trust, current: Epoch, **changes: Any) -> Beat:
    """The verified beat."""
    return open_beat(beat_bytes(under, current, **changes), under)


def open_beat(raw: bytes, under: Trust, at: WallMs = NOW) -> Beat:
    """Verify a beat's envelope."""
    sealed = envelope.parse(raw, beat.MAX_BYTES)
    return beat.parse(under.open_single(sealed, Role.BEAT, beat.PAYLOAD_TYPE, at))


def order_body(
    under: Trust, *, number: int = 1, clears: str | None = None, **changes: Any
) -> halt.Body:
    """Halt `number`, or a clear of the id `clears`."""
    said = halt.Body(
        type=halt.TYPE,
        domain=under.domain,
        halt_id=halt_id(f"{number}{clears or ''}"),
        seq=number,
        action="halt" if clears is None else "clear",
        scope=halt.Scope(kind="global", value=""),
        challenge=None,
        clears=clears,
        reason_code="operator",
        reason="test",
        issued_at=NOW,
        requested_by="test",
    )
    return msgspec.structs.replace(said, **changes)


def halt_id(name: str) -> str:
    """An order's id, the same for the same name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def order_bytes(
    under: Trust,
    *,
    number: int = 1,
    clears: str | None = None,
    keys: list[FileSigner] | None = None,
    **changes: Any,
) -> bytes:
    """Its envelope; signed by halt key 1, a clear by two resume keys, unless told otherwise."""
    if keys is None:
        keys = signers(Role.HALT, 1) if clears is None else signers(Role.RESUME, 2)
    body = canonical.dump(order_body(under, number=number, clears=clears, **changes))
    return sign(halt.PAYLOAD_TYPE, body, *keys)


def make_order(under: Trust, **changes: Any) -> Order:
    """The verified order."""
    return halt.open_order(order_bytes(under, **changes), under, NOW)


def trust_ref(under: Trust) -> trust.TrustRef:
    """How other objects name a trust document."""
    return trust.TrustRef(version=under.version, sha256=under.sha256)


def gov_log(under: Trust) -> trust.LogHead:
    """The head of a governance log that is still empty."""
    return trust.LogHead(
        origin=f"epochgate/{under.domain}/governance", size=0, root=EMPTY_ROOT.hex()
    )


def instance_key(number: int = 1) -> FileSigner:
    """The key of sidecar `number`; always the same one."""
    return FileSigner(hashlib.sha256(f"instance-{number}".encode()).digest())


def report_body(number: int = 1, *, nonce: bytes = b"nonce", **changes: Any) -> report.Body:
    """What sidecar `number` says about itself."""
    key = instance_key(number)
    said = report.Body(
        type=report.TYPE,
        domain=DOMAIN,
        instance=report.instance_name("model", key.key_id),
        public=key.public.hex(),
        boot_id="0" * 32,
        seq=1,
        prev_sha256=None,
        nonce=canonical.digest(nonce),
        sent_at=NOW,
        state="starting",
        reasons=(),
        lifecycle=report.Lifecycle(step=1, ok=True),
        trust=trust.TrustRef(version=1, sha256="0" * 64),
        epoch=None,
        beat=None,
        lease_ms_left=0,
        policy_sha256=None,
        routes_sha256=None,
        runtime=report.Measured(code_sha256=None, config_sha256=None, image_digest=None, models={}),
        counters={},
        halts=trust.Mark(seq=0, sha256=NO_HALTS.sha256),
        drills=(),
        audit=None,
        region="here",
        service="model",
        build="test",
    )
    return msgspec.structs.replace(said, **changes)


def report_bytes(number: int = 1, **changes: Any) -> bytes:
    """Its envelope, signed by that instance."""
    body = canonical.dump(report_body(number, **changes))
    return sign(report.PAYLOAD_TYPE, body, instance_key(number))


def make_report(number: int = 1, **changes: Any) -> report.Report:
    """The verified report."""
    return report.open_report(report_bytes(number, **changes), DOMAIN)
