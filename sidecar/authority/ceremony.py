"""What is signed at a ceremony: trust documents, epochs, halts and clears.

Rules:

* Plain functions of their arguments: time and random ids are passed in, files are somebody else's.
* Nothing leaves unverified: every product is read back by the parser that a sidecar will use.
* Too few keys, or a key without the role, is said before anything is signed.

Source: protocol b.1, b.10, b.11.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sidecar import signer
from sidecar.core import admission, canonical, envelope, policy, routes, scoped
from sidecar.core.envelope import PublicKey
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.log.merkle import EMPTY_ROOT
from sidecar.core.objects import epoch, halt, trust
from sidecar.core.objects.epoch import NO_DEMANDS, Epoch, Runtime
from sidecar.core.objects.halt import Order
from sidecar.core.objects.trust import LogHead, Role, Trust, TrustRef
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.removals import Listed, vanished
from sidecar.signer import Signer

PROFILE = "baseline"
ScopeKind = Literal["global", "service", "route", "model", "tenant", "instance", "drill"]


class CeremonyError(Exception):
    """Nothing was signed; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TrustPlan:
    """What a first trust document shall say.

    Attributes:
        domain: Name of the fleet.
        thresholds: Role -> how many of its keys must sign.
        quorum: Peers, how many must agree to run, how many must acknowledge a write.
        limits: Ceilings for every lease.
        expires_ms: Life of the document, from now.
        beat_expires_ms: Life of the online beat keys, from now; None: as long as the document.
    """

    domain: str
    thresholds: Mapping[Role, int]
    quorum: trust.Quorum
    limits: trust.Limits
    expires_ms: int
    beat_expires_ms: int | None = None


def make_trust(plan: TrustPlan, keys: Mapping[Role, Sequence[Signer]], now: WallMs) -> bytes:
    """Version 1 of a trust document, signed by the threshold of its root keys.

    Args:
        plan: What it shall say.
        keys: Role -> its keys. Only the root keys sign.
        now: Wall clock.

    Returns:
        The envelope.

    Raises:
        CeremonyError: the plan contradicts itself.
    """
    limit = None if plan.beat_expires_ms is None else now + plan.beat_expires_ms
    described: dict[str, trust.Key] = {}
    named: dict[str, trust.RoleKeys] = {}
    for role in Role:
        held = keys.get(role, ())
        described |= {
            key.key_id: _described(key.public, limit if role is Role.BEAT else None) for key in held
        }
        named[role.value] = trust.RoleKeys(
            keyids=tuple(sorted(key.key_id for key in held)), threshold=plan.thresholds.get(role, 1)
        )
    body = trust.Body(
        type=trust.TYPE,
        domain=plan.domain,
        version=1,
        prev_sha256=None,
        issued_at=now,
        expires=now + plan.expires_ms,
        keys=described,
        roles=trust.Roles(**named),
        revoked=(),
        floors=trust.Floors(epoch=None, beat={}, halt=0),
        quorum=plan.quorum,
        limits=plan.limits,
    )
    roots = list(keys.get(Role.ROOT, ()))[: plan.thresholds.get(Role.ROOT, 1)]
    if not roots:
        raise CeremonyError("a trust document needs at least one root key")
    sealed = signer.sign(trust.PAYLOAD_TYPE, canonical.dump(body), *roots)
    try:
        trust.parse(sealed, now)
    except ProtocolError as error:
        raise CeremonyError(f"this trust document would not be accepted: {error.detail}") from None
    return sealed


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """What the next epoch shall say.

    Attributes:
        policy: Canonical policy bundle.
        routes: Canonical route table.
        life_ms: From now until it ends.
        activation: When the epoch before ends.
        services: Services it is for; none: all.
        regions: Regions it is for; none: all.
        tenants: Tenants it is for; none: all. The route table has to say where the tenant stands.
        enforcement: `observe`: what the policy does not permit is let through, and recorded.
        runtime: Digests that sidecars have to find; none: anything may run.
        instances: Ids of instance keys, a closed roster; none: it is open.
        max_unacked_ms: How long reports may go unacknowledged; 0 demands nothing.
        max_diverged: How many instances may hold another state; None demands nothing.
        max_checkpoint_age_ms: How long a record of an audit log may go without a signed checkpoint
            over it; 0 demands nothing.
        max_audit_unacked_ms: The same, without one that enough witnesses have cosigned.
        removes: What the epoch before listed and this one does not: service:NAME, route:NAME,
            policy:NAME.
        reason: Why, for people.
    """

    policy: bytes
    routes: bytes
    life_ms: int
    activation: Literal["lease", "immediate"] = "lease"
    services: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    enforcement: Literal["enforce", "observe"] = "enforce"
    runtime: Runtime = NO_DEMANDS
    instances: tuple[str, ...] = ()
    max_unacked_ms: int = 0
    max_diverged: int | None = None
    max_checkpoint_age_ms: int = 0
    max_audit_unacked_ms: int = 0
    removes: tuple[str, ...] = ()
    reason: str = ""


def make_epoch(
    plan: EpochPlan, under: Trust, prev: Epoch | None, keys: Sequence[Signer], now: WallMs
) -> tuple[Epoch, bytes]:
    """The epoch after `prev`, signed and verified.

    Args:
        plan: What it shall say.
        under: The trust document in force.
        prev: The newest epoch there is, or None for the first.
        keys: At least the threshold of role epoch.
        now: Wall clock.

    Returns:
        The epoch and its envelope.

    Raises:
        CeremonyError: too few keys, or it would not be accepted.
    """
    check_keys(under, (Role.EPOCH,), keys, "an epoch")
    try:
        body = epoch.statement(_predicate(plan, under, prev, now))
        raw = signer.sign(epoch.PAYLOAD_TYPE, body, *keys)
        made = open_epoch(raw, under, now)
        admission.of_audit(made, under, Now(BootNs(0), now))
        if plan.tenants and scoped.unenforceable(made, routes.parse(plan.routes)) is not None:
            raise CeremonyError("an epoch for tenants needs a route table with attributes.tenant")
    except ProtocolError as error:
        raise CeremonyError(f"this epoch would not be accepted: {error}") from None
    return made, raw


def removed(
    plan: EpochPlan, prev: Epoch, blobs: tuple[bytes | None, bytes | None]
) -> tuple[str, ...]:
    """What `prev` lists and the plan does not, as `removes` calls it, sorted.

    Args:
        plan: What the next epoch shall say.
        prev: The epoch before it.
        blobs: Policy and route table of `prev`; None where no peer has them.

    Raises:
        CeremonyError: they are missing, or do not compile.
    """
    old_policy, old_routes = blobs
    if old_policy is None or old_routes is None:
        raise CeremonyError(
            f"policy or routes of epoch {prev.seq} are on no peer, so nobody can say what the next "
            "one takes away; put them back (epochgate policy publish), or let a running authority "
            "do it"
        )
    try:
        before = Listed(
            prev.says.scope.services, routes.parse(old_routes), policy.parse(old_policy).name
        )
        after = Listed(plan.services, routes.parse(plan.routes), policy.parse(plan.policy).name)
    except ProtocolError as error:
        raise CeremonyError(f"policy or routes do not compile: {error}") from None
    return vanished(before, after)


def check_removals(plan: EpochPlan, prev: Epoch, blobs: tuple[bytes | None, bytes | None]) -> None:
    """Whether everything that `prev` listed and the plan does not is named in `removes`.

    Args:
        plan: What the next epoch shall say.
        prev: The epoch before it.
        blobs: Policy and route table of `prev`; None where no peer has them.

    Raises:
        CeremonyError: names what is missing there, or what is not gone.
    """
    gone = set(removed(plan, prev, blobs))
    silent, kept = sorted(gone - set(plan.removes)), sorted(set(plan.removes) - gone)
    if silent:
        options = " ".join(f"--remove {name}" for name in silent)
        raise CeremonyError(
            f"epoch {prev.seq} lists what this one does not: {', '.join(silent)}; if that is "
            f"meant, say {options}"
        )
    if kept:
        raise CeremonyError(
            f"--remove {kept[0]}: epoch {prev.seq} lists no such thing to take away"
        )


def open_epoch(raw: bytes, under: Trust, now: WallMs) -> Epoch:
    """Verify an epoch's envelope: by today's keys, or as the floor that root signed.

    Raises:
        ProtocolError: why it is none of this domain and trust document.
    """
    sealed = envelope.parse(raw, epoch.MAX_BYTES)
    try:
        payload = under.open(sealed, Role.EPOCH, epoch.PAYLOAD_TYPE, now)
    except ProtocolError:
        body, floor = sealed.unverified_payload, under.body.floors.epoch
        sha256 = canonical.digest(body)
        if floor is None or floor.sha256 != sha256:
            raise
        payload = envelope.Payload(body, epoch.PAYLOAD_TYPE, sha256, ())
    found = epoch.parse(payload)
    if found.says.domain != under.domain:
        raise ProtocolError(Reason.TYPE_CONFUSION, f"epoch of domain {found.says.domain}")
    return found


@dataclass(frozen=True, slots=True)
class Said:
    """What an operator says with an order.

    Attributes:
        reason: Why, for people.
        kind: What is stopped.
        value: Name of it; empty for global.
        clears: Id of the halt, or of the evidence of a quarantine, that this order ends; None: it
            is a halt.
        requested_by: Who.
        challenge: What reports shall quote, to prove that this order was read; None: nothing.
    """

    reason: str
    kind: ScopeKind = "global"
    value: str = ""
    clears: str | None = None
    requested_by: str = "operator"
    challenge: str | None = None


def make_order(
    under: Trust, order_id: str, said: Said, keys: Sequence[Signer], now: WallMs
) -> Order:
    """A halt, or a clear that ends one.

    Args:
        under: The trust document in force.
        order_id: 16 fresh random bytes, hex.
        said: What is ordered.
        keys: For a halt any one key of role halt (or the threshold of epoch or root), for a clear
            the threshold of role resume.
        now: Wall clock.

    Raises:
        CeremonyError: too few keys, or it would not be accepted.
    """
    what, roles = (
        ("a halt", halt.HALT_ROLES) if said.clears is None else ("a clear", halt.CLEAR_ROLES)
    )
    check_keys(under, roles, keys, what)
    body = halt.Body(
        type=halt.TYPE,
        domain=under.domain,
        halt_id=order_id,
        seq=max(1, now),  # grows without asking anybody: an order waits for no peer
        action="halt" if said.clears is None else "clear",
        scope=halt.Scope(kind=said.kind, value=said.value),
        challenge=said.challenge,
        clears=said.clears,
        reason_code="operator",
        reason=said.reason,
        issued_at=now,
        requested_by=said.requested_by,
    )
    try:
        raw = signer.sign(halt.PAYLOAD_TYPE, canonical.dump(body), *keys)
        return halt.open_order(raw, under, now)
    except ProtocolError as error:
        raise CeremonyError(f"this order would not be accepted: {error}") from None


def check_keys(under: Trust, roles: tuple[Role, ...], keys: Sequence[Signer], what: str) -> None:
    """Whether these keys meet the threshold of one of the roles.

    Raises:
        CeremonyError: with how many are missing, or which key is of no use.
    """
    best: tuple[int, Role, int] | None = None
    for role in roles:
        held = {key.key_id for key in keys if key.key_id in under.keys[role]}
        missing = under.role(role).threshold - len(held)
        if best is None or missing < best[0]:
            best = missing, role, len(held)
    assert best is not None, "at least one role"
    missing, role, held_count = best
    if missing <= 0:
        return
    strangers = [
        key.key_id[:16] for key in keys if all(key.key_id not in under.keys[one] for one in roles)
    ]
    noted = f"; key {', '.join(strangers)} has no such role" if strangers else ""
    need = under.role(role).threshold
    raise CeremonyError(
        f"{what} needs {need} key{'s' * (need > 1)} of role {role.value}, {held_count} given: "
        f"{missing} more --key{noted}"
    )


def _described(public: PublicKey, not_after: int | None) -> trust.Key:
    return trust.Key(keytype="ed25519", scheme="ed25519", public=public.hex(), not_after=not_after)


def _predicate(plan: EpochPlan, under: Trust, prev: Epoch | None, now: WallMs) -> epoch.Predicate:
    return epoch.Predicate(
        domain=under.domain,
        seq=1 if prev is None else prev.seq + 1,
        prev_sha256=None if prev is None else prev.sha256,
        trust=TrustRef(version=under.version, sha256=under.sha256),
        issued_at=now,
        # A pod whose clock is slow within the bounds must not refuse what was signed just now.
        not_before=max(0, now - under.body.limits.skew_max_ms),
        not_after=now + plan.life_ms,
        activation=epoch.Activation(mode=plan.activation, supersedes=True),
        profile=epoch.Profile(name=PROFILE, sha256=canonical.digest(PROFILE.encode())),
        scope=epoch.Scope(
            services=plan.services,
            regions=plan.regions,
            tenants=plan.tenants,
            instances=plan.instances,
        ),
        policy=epoch.PolicyRef(
            sha256=canonical.digest(plan.policy),
            size=len(plan.policy),
            media_type=policy.MEDIA_TYPE,
        ),
        routes=epoch.RoutesRef(sha256=canonical.digest(plan.routes), size=len(plan.routes)),
        removes=tuple(sorted(plan.removes)),
        runtime=plan.runtime,
        enforcement=plan.enforcement,
        telemetry=epoch.Telemetry(
            max_unacked_ms=plan.max_unacked_ms, max_diverged=plan.max_diverged
        ),
        audit=epoch.Audit(
            max_checkpoint_age_ms=plan.max_checkpoint_age_ms,
            max_unacked_ms=plan.max_audit_unacked_ms,
            overflow="contain",
        ),
        halts_sha256=halt.NO_HALTS.sha256,
        gov_log=LogHead(
            origin=f"epochgate/{under.domain}/governance", size=0, root=EMPTY_ROOT.hex()
        ),
        reason=plan.reason,
    )
