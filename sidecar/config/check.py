"""What must hold between values: inside one file, and against the signed trust document.

`within_file` runs with every reading. `against_trust` needs the trust document and runs before
anything is started. Both return all they find.

The timing is linted by `core/timing`: a value that this process is not told counts as 0, so what is
reported is certainly too tight.

Source: protocol b.6; codebases 8.5.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.config.problem import Problem
from sidecar.config.sections import (
    Address,
    AuthorityConfig,
    PortRange,
    SidecarConfig,
    UnixAddress,
)
from sidecar.core import timing
from sidecar.core.lease import PPM, Freshness, Terms
from sidecar.core.objects.trust import Quorum, Trust
from sidecar.core.timing import Pace

BUDGET_SEGMENTS = 4  # two are always there, and a warning needs room to be early
RETENTION_MIN_MS = 3_600_000
IMAGE_DIGEST_MAX = 512  # as core.canonical.Text
_LOCAL = "the local value may only tighten the signed one"


def within_file(values: Mapping[str, Any], where: Mapping[str, str]) -> list[Problem]:
    """Check the values of one file against each other.

    Args:
        values: By path under `spec`; a value that could not be read is absent.
        where: Origin by full path.
    """
    found = [*_peers(values), *_sync(values), *_sizes(values), *_listen(values)]
    found += [*_integrity(values), *_sinks(values), *_witnesses(values)]
    return [
        Problem(f"spec.{path}", message, where.get(f"spec.{path}", "")) for path, message in found
    ]


def _peers(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    path = "sync.peers" if "sync.peers" in values else "peers"
    peers = values.get(path) or ()
    ids: dict[str, int] = {}
    places: dict[tuple[str, int], str] = {}
    for index, peer in enumerate(peers):
        if ids.setdefault(peer.id, index) != index:
            found.append((f"{path}[{index}].id", f"{peer.id} is the id of another peer too"))
        # Not the database: two databases of one server are one server, and one vote.
        other = places.setdefault((peer.host.lower(), peer.port), peer.id)
        if other != peer.id:
            found.append((f"{path}[{index}].url", f"is the same server as peer {other}"))
    quorum = values.get("sync.quorum")
    if quorum is not None and peers and not len(peers) < 2 * quorum <= 2 * len(peers):
        least = len(peers) // 2 + 1
        found.append(
            ("sync.quorum", f"must be {least} to {len(peers)}: more than half of the peers")
        )
    return found


def _sync(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    ttl, skew, drift = (values.get(f"sync.{key}") for key in ("ttl", "skew", "drift"))
    poll, timeout = values.get("sync.poll"), values.get("sync.timeout")
    freshness: Freshness = values.get("sync.freshness") or "clock"
    if ttl and skew is not None and skew >= ttl:
        found.append(("sync.skew", f"must be less than sync.ttl, {ttl} ms"))
    elif None not in (ttl, skew, drift, poll, timeout):
        terms = Terms(ttl or 0, skew or 0, drift or 0, freshness)
        found += _tight("sync.ttl", terms, Pace(poll_ms=poll or 0, timeout_ms=timeout or 0))
    if ttl and timeout and 4 * timeout > ttl:
        found.append(("sync.timeout", f"must be at most a quarter of sync.ttl, {ttl // 4} ms"))
    beat, interval = values.get("beat.ttl"), values.get("beat.interval")
    if beat and interval:
        pace = Pace(interval, values.get("beat.publish") or 0)
        found += _tight("beat.ttl", Terms(beat, 0, 0), pace)
    return found


def _sizes(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    sync, unsynced = values.get("audit.syncPeriod"), values.get("audit.unsyncedMax")
    if sync and unsynced and unsynced < sync:
        found.append(("audit.unsyncedMax", f"must be at least audit.syncPeriod, {sync} ms"))
    segment, budget = values.get("audit.segmentSize"), values.get("audit.diskBudget")
    if segment and budget and budget < BUDGET_SEGMENTS * segment:
        least = BUDGET_SEGMENTS * segment
        why = f"must be 0 or at least {BUDGET_SEGMENTS} times audit.segmentSize, {least} bytes"
        found.append(("audit.diskBudget", why))
    if 0 < (values.get("audit.retention") or 0) < RETENTION_MIN_MS:
        found.append(("audit.retention", "must be 0, keep for ever, or at least 1h"))
    head = values.get("limits.head")
    found += [
        (key, f"must be at most limits.head, {head} bytes")
        for key in ("limits.target", "limits.fieldName")
        if head and values.get(key, 0) > head
    ]
    return found


def _listen(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    inbound, status = values.get("listen.inbound"), values.get("listen.status")
    if isinstance(inbound, Address) and inbound == status and inbound.port:
        found.append(("listen.status", "must not be listen.inbound"))
    if values.get("listen.transparent") and inbound and not _everywhere(inbound):
        how = "redirected connections arrive at each of this machine's addresses"
        found.append(("listen.inbound", f'must be "[::]:port" or "0.0.0.0:port": {how}'))
    upstream = values.get("listen.upstream")
    if upstream and not (_is_ip(upstream.host) and upstream.port):
        what = "must be an IP address and a port, as the signed route table names upstreams"
        found.append(("listen.upstream", what))
    ours = {where.port for where in (inbound, status) if isinstance(where, Address) and where.port}
    taken = [
        str(port)
        for port in sorted(ours)
        if _among(port, values.get("intercept.ports"))
        and not _among(port, values.get("intercept.exclude"))
    ]
    if taken:
        found.append(
            ("intercept.ports", f"must not hold {' and '.join(taken)}: the sidecar listens there")
        )
    return found


def _integrity(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    names: dict[str, int] = {}
    for index, file in enumerate(values.get("integrity.files") or ()):
        if names.setdefault(file.name, index) != index:
            where = f"integrity.files[{index}].name"
            found.append((where, f"{file.name} is the name of another file too"))
    if len(values.get("integrity.imageDigest") or "") > IMAGE_DIGEST_MAX:
        most = f"must be at most {IMAGE_DIGEST_MAX} characters: reports repeat it"
        found.append(("integrity.imageDigest", most))
    period, max_age = values.get("integrity.period"), values.get("integrity.maxAge")
    if period and max_age and max_age < 2 * period:
        least = f"must be at least twice integrity.period, {2 * period} ms"
        found.append(("integrity.maxAge", f"{least}, or one late look would contain"))
    return found


def _witnesses(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    urls: dict[str, int] = {}
    for index, one in enumerate(values.get("audit.witnesses") or ()):
        if urls.setdefault(one.url, index) != index:
            found.append((f"audit.witnesses[{index}].url", f"{one.url} is named twice"))
    if values.get("keys.witness") and not values.get("listen.public"):
        found.append(("keys.witness", "needs listen.public: nobody could ask this witness"))
    return found


def _sinks(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    names: dict[str, int] = {}
    return [
        (f"audit.sinks[{index}].name", f"{sink.name} is the name of another sink too")
        for index, sink in enumerate(values.get("audit.sinks") or ())
        if names.setdefault(sink.name, index) != index
    ]


def _among(port: int, ranges: Sequence[PortRange] | None) -> bool:
    return any(first <= port <= last for first, last in ranges or ())


def _everywhere(where: Address | UnixAddress) -> bool:
    everywhere = ("::", "0.0.0.0")  # noqa: S104 (compared, not bound)
    return isinstance(where, Address) and where.host in everywhere


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def against_trust(
    config: SidecarConfig | AuthorityConfig, trust: Trust, interval_ms: int | None
) -> list[Problem]:
    """Check a configuration against the trust document that it names.

    Args:
        config: Read without problems.
        trust: Verified.
        interval_ms: The authority's beat interval, where a sidecar is told; None: unknown. For an
            authority its own.
    """
    if isinstance(config, SidecarConfig):
        found = _sidecar(config, trust, interval_ms or 0)
    else:
        found = _authority(config, trust, interval_ms or config.beat.interval_ms)
    return [Problem(f"spec.{path}", message) for path, message in found]


def _sidecar(config: SidecarConfig, trust: Trust, interval_ms: int) -> list[tuple[str, str]]:
    sync, limits, quorum = config.sync, trust.body.limits, trust.body.quorum
    found = []
    if len(sync.peers) != quorum.n:
        found.append(("sync.peers", f"are {len(sync.peers)}, the trust document says {quorum.n}"))
    if sync.quorum < quorum.r:
        found.append(("sync.quorum", f"is below the signed {quorum.r}; {_LOCAL}"))
    if sync.ttl_ms > limits.ttl_max_ms:
        found.append(("sync.ttl", f"is above the signed {limits.ttl_max_ms} ms; {_LOCAL}"))
    if sync.skew_ms < limits.skew_max_ms:
        found.append(("sync.skew", f"is below the signed {limits.skew_max_ms} ms; {_LOCAL}"))
    if sync.drift_ppm < limits.drift_ppm:
        found.append(("sync.drift", f"is below the signed {limits.drift_ppm} ppm; {_LOCAL}"))
    terms = Terms(sync.ttl_ms, sync.skew_ms, sync.drift_ppm, sync.freshness)
    pace = Pace(interval_ms, 0, sync.poll_ms, sync.timeout_ms)
    return found + _tight("sync.ttl", terms, pace)


def _authority(config: AuthorityConfig, trust: Trust, interval_ms: int) -> list[tuple[str, str]]:
    beat, limits, quorum = config.beat, trust.body.limits, trust.body.quorum
    found = []
    if len(config.peers) != quorum.n:
        found.append(("peers", f"are {len(config.peers)}, the trust document says {quorum.n}"))
    if beat.ttl_ms > limits.ttl_max_ms:
        found.append(("beat.ttl", f"is above the signed {limits.ttl_max_ms} ms; {_LOCAL}"))
    if 2 * beat.publish_ms > interval_ms:
        # Each beat reads and writes every peer once, and one silent peer makes both wait in full.
        most = f"must be at most half of beat.interval, {interval_ms // 2} ms"
        found.append(("beat.publish", f"{most}, or one silent peer delays every beat"))
    # A beat counts from before the look at the peers that it rests on, and is written after it.
    terms = Terms(beat.ttl_ms, limits.skew_max_ms, limits.drift_ppm)
    return found + _tight("beat.ttl", terms, Pace(interval_ms, beat.publish_ms))


def _tight(path: str, terms: Terms, pace: Pace) -> list[tuple[str, str]]:
    wrong = timing.problem(terms, pace)
    return [] if wrong is None else [(path, wrong)]


def hostile_peers(read: int, quorum: Quorum) -> int:
    """How many peers may lie while each round still meets what was written last: r + w - n - 1."""
    return read + quorum.w - quorum.n - 1


def guarantee(config: SidecarConfig, trust: Trust) -> dict[str, object]:
    """What a sidecar with this configuration promises; it logs it when it starts.

    A lease ends, by either clock, before the beat it leans on is `ttl` old on the authority's clock
    (core/lease.py). So a state that the authority stopped vouching for is honoured for at most ttl.

    Returns:
        `superseded_epoch_honoured_ms_max`, and what it follows from.
    """
    limits, quorum = trust.body.limits, trust.body.quorum
    ttl_ms = min(config.sync.ttl_ms, limits.ttl_max_ms)
    skew_ms = max(config.sync.skew_ms, limits.skew_max_ms)
    drift_ppm = max(config.sync.drift_ppm, limits.drift_ppm)
    return {
        "superseded_epoch_honoured_ms_max": ttl_ms,
        "freshness": config.sync.freshness,
        "hostile_peers_max": hostile_peers(max(config.sync.quorum, quorum.r), quorum),
        "silent_peers_max": quorum.n - max(config.sync.quorum, quorum.r),
        "ttl_ms": ttl_ms,
        "skew_ms": skew_ms,
        "drift_ppm": drift_ppm,
        "arithmetic": (
            f"min(local ttl {config.sync.ttl_ms}, signed ttl {limits.ttl_max_ms}) = {ttl_ms} ms "
            "after the last beat for it was issued; a lease lasts at most "
            f"{ttl_ms * (PPM - drift_ppm) // PPM} ms of this boot clock"
        ),
        "assumes": "nothing about wall clocks: a lease counts from a nonce of this sidecar"
        if config.sync.freshness != "clock"
        else (
            f"when a lease is granted, this wall clock is within {skew_ms} ms of the authority's; "
            f"from then on that stays so, or the boot clock's rate is within {drift_ppm} ppm"
        ),
    }
