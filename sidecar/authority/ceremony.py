"""What is signed at a ceremony: trust documents, epochs, halts and clears.

Rules:

* Plain functions of their arguments: time and random ids are passed in, files are somebody else's.
* Nothing leaves unverified: every product is read back by the parser that a sidecar will use.
* Too few keys, or a key without the role, is said before anything is signed.

Source: protocol b.1, b.10, b.11.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sidecar import signer
from sidecar.authority.plan import EpochPlan
from sidecar.core import admission, canonical, envelope, policy, routes, scoped
from sidecar.core.envelope import PublicKey
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.log.merkle import EMPTY_ROOT
from sidecar.core.objects import epoch, halt, trust
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import Order
from sidecar.core.objects.trust import LogHead, Role, Trust, TrustRef
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.removals import Listed, vanished
from sidecar.signer import Signer

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
        _check_demands(plan, made, under, now)
    except ProtocolError as error:
        raise CeremonyError(f"this epoch would not be accepted: {error}") from None
    return made, raw


def _check_demands(plan: EpochPlan, made: Epoch, under: Trust, now: WallMs) -> None:
    """Whether a deployment under this trust document can meet what profile and policy ask for."""
    said, rules = plan.compiled_profile, policy.parse(plan.policy)
    admission.of_audit(made, said, under, Now(BootNs(0), now))
    admission.of_peers(said, rules, under, under.body.quorum.n)
    if scoped.unenforceable(made, rules, routes.parse(plan.routes)) is not None:
        raise CeremonyError(
            "an epoch for tenants, or a policy for some of them or for some models, needs a route "
            "table with attributes.tenant or attributes.model"
        )


def check_pace(plan: EpochPlan, beats: Iterable[Beat]) -> None:
    """Whether the authorities beat as often as the profile was reckoned with.

    Args:
        plan: What the next epoch shall say.
        beats: The live ones that peers hold; none before an authority runs.

    Raises:
        CeremonyError: by how much they do not.
    """
    said = plan.compiled_profile
    slowest_ms = max((beat.says.interval_ms for beat in beats), default=0)
    if said.interval_ms is not None and slowest_ms > said.interval_ms:
        raise CeremonyError(
            f"an authority beats every {slowest_ms} ms, profile {said.name} was reckoned with "
            f"{said.interval_ms} ms: leases would lapse without a fault; set beat.interval of "
            "every authority first"
        )


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
        profile=epoch.ProfileRef(
            name=plan.compiled_profile.name, sha256=plan.compiled_profile.sha256
        ),
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
