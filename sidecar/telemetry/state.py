"""The answer to `GET /v1/state`: a snapshot, as plain values for people and tools.

It names no address, no key and nothing of a request: whoever can reach the status port may read it.
"""

from sidecar.core.gate import lapsed
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.lease import Lease
from sidecar.core.objects.halt import Order
from sidecar.core.snapshot import Snapshot
from sidecar.core.validations import validate

SHORT = 16  # hex digits of a digest or key id that are enough to tell two apart


def describe(snapshot: Snapshot, now: Now) -> dict[str, object]:
    """What a snapshot means at an instant.

    Returns:
        JSON-ready values; durations in ms, times in ms since 1970, digests shortened to 16 digits.
        `rollout`: which half of the policy is in force; null: it has no halves.
        A halt `stops` all requests here, the matching ones, or nothing: then it is for others.
    """
    reason = lapsed(snapshot, now)
    epoch = snapshot.epoch
    return {
        "state": snapshot.state(now).value,
        "reason": reason.code if reason else None,
        "title": reason.title if reason else None,
        "causes": [fault.code for fault in snapshot.faults],
        "lease": _lease(snapshot.lease, now),
        "epoch": None
        if epoch is None
        else {
            "seq": epoch.seq,
            "sha256": epoch.sha256[:SHORT],
            "issued_at": epoch.says.issued_at,
            "not_after": epoch.says.not_after,
            "enforcement": epoch.says.enforcement,
            "tenants": list(epoch.says.scope.tenants),
        },
        "validations": [
            {
                "number": verdict.number,
                "name": verdict.name,
                "holds": verdict.holds,
                "reasons": [found.code for found in verdict.reasons],
            }
            for verdict in validate(snapshot, now)
        ],
        "trust_version": snapshot.trust_version,
        "policy": {
            "name": snapshot.policy.name,
            "sha256": snapshot.policy.sha256[:SHORT],
            "mode": "observe" if snapshot.policy.observes else "enforce",
            "rollout": snapshot.policy.half,
        },
        "profile": {"name": snapshot.profile.name, "sha256": snapshot.profile.sha256[:SHORT]},
        "routes": {"name": snapshot.routes.name, "sha256": snapshot.routes.sha256[:SHORT]},
        "holds": [
            {
                "reason": hold.reason.code,
                "kind": hold.kind.name.lower(),
                "evidence": hold.evidence,
            }
            for hold in snapshot.holds
        ],
        "halts": [_halt(order, snapshot) for order in snapshot.halts.active],
    }


def _halt(order: Order, snapshot: Snapshot) -> dict[str, object]:
    scope, held = order.says.scope, {hold.evidence for hold in snapshot.holds}
    if order.says.halt_id in held:
        stops = "all"
    else:
        stops = "matching" if scope.kind in ("route", "model", "tenant") else "nothing"
    return {
        "id": order.says.halt_id,
        "scope": scope.kind,
        "value": scope.value,
        "stops": stops,
        "reason": order.says.reason,
        "issued_at": order.says.issued_at,
    }


def _lease(lease: Lease | None, now: Now) -> dict[str, object] | None:
    if lease is None:
        return None
    left_ns = min(lease.deadline - now.boot, (lease.wall_deadline - now.wall) * NS_PER_MS)
    return {
        "left_ms": max(0, left_ns // NS_PER_MS),
        "peers": list(lease.peers),
        "beat": {"issuer": lease.beat.issuer[:SHORT], "seq": lease.beat.seq},
        "anchor": lease.anchor,
    }
