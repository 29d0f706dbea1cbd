"""What a policy test starts from: one request, and the epoch, lease and workload around it.

Rules:

* A case replaces what it names and keeps the rest of the defaults: an attribute at a time, headers
  as a whole.
* Model, tenant and agent are put where the route table says that they stand, so a test cannot claim
  what no sidecar would see.
* Nothing depends on when a test runs: without `now` it is the first instant of 2026.

The lease was signed by nobody and leaves this module in no form.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, get_args

from sidecar.cli.resource import Reader
from sidecar.config.document import Node, Scalar
from sidecar.core import policy_body, scoped
from sidecar.core.facts import NOWHERE, Workload
from sidecar.core.head import Header, RequestHead
from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.lease import Freshness, Lease
from sidecar.core.objects import beat, epoch
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.trust import LogHead, Mark, TrustRef
from sidecar.core.parent import FALSE, NO_CLAIM, Claim
from sidecar.core.policy import MEDIA_TYPE, Policy
from sidecar.core.quorum import PeerId
from sidecar.core.routes import Routes
from sidecar.core.snapshot import Snapshot

LEASES = ("live", "none")
VERDICTS = ("permit", "deny", "false")  # of a parent decision; false: no gate has made it
PEERS_MAX = 100

_METHOD_RULE = "a method in upper case"
_BOOT = BootNs(NS_PER_MS * policy_body.DURATION_MAX_MS)  # so long has the machine been up
_NEW_YEAR = WallMs(int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000)
_ZERO = "0" * 64
_SOME_DECISION = f"{'0' * 16}-1"
_ATTRIBUTES = ("model", "tenant", "agent")


@dataclass(frozen=True, slots=True)
class Given:
    """What one case starts from; the defaults of these fields are those of a file without any.

    Attributes:
        query: What follows `?`, where `path` does not say it itself.
        parent: What is known of the decision that it descends from.
        body_model: What its body names, should a policy have it read: empty: nothing that is
            certain. None: it has no body.
        headers: Names in lower case.
        attributes: Lines that say model, tenant and agent: (which of these, line).
        wall: The time of day.
        lease: `none`: a pod that has just started.
        remaining_ms: To both deadlines.
    """

    method: str = "GET"
    path: str = "/"
    query: str = ""
    host: str = ""
    parent: Claim = NO_CLAIM
    body_model: str | None = None
    headers: tuple[Header, ...] = ()
    attributes: tuple[tuple[str, Header], ...] = ()
    wall: WallMs = _NEW_YEAR
    epoch_seq: int = 1
    epoch_age_ms: int = 0
    domain: str = "policy-test"
    lease: str = "live"
    lease_age_ms: int = 0
    remaining_ms: int = 4000
    quorum: int = 3
    anchor: Freshness = "clock"
    here: Workload = NOWHERE

    @property
    def head(self) -> RequestHead:
        """The request as the data plane would hand it on, its body unread."""
        target = self.path.encode() + (b"?" + self.query.encode() if self.query else b"")
        host = ((b"host", self.host.encode()),) if self.host else ()
        lines = (*host, *self.headers, *(line for _, line in self.attributes))
        path = target.partition(b"?")[0]
        return RequestHead(self.method.encode(), target, path, lines, parent=self.parent)

    def head_under(self, policy: Policy) -> RequestHead:
        """The same, with what this policy has the data plane read of the body."""
        head = self.head
        if policy.model_max_bytes and self.body_model is not None:
            head.model = self.body_model.encode()
        return head

    @property
    def now(self) -> Now:
        """Both clocks."""
        return Now(_BOOT, self.wall)

    def snapshot(self, policy: Policy, table: Routes) -> Snapshot:
        """What a sidecar with this lease would decide on."""
        return Snapshot(
            lease=self.granted() if self.lease == "live" else None,
            epoch=epoch.Epoch(_ZERO, self._epoch(policy, table)),
            policy=policy,
            routes=table,
            scoped=scoped.compiled(NO_HALTS, None, policy, None),
        )

    def granted(self) -> Lease:
        """The lease, whatever `lease` says."""
        return Lease(
            epoch_seq=self.epoch_seq,
            epoch_sha256=_ZERO,
            beat=beat.Beat(_ZERO, _beat(self)),
            peers=tuple(PeerId(f"peer-{number}") for number in range(self.quorum)),
            deadline=BootNs(_BOOT + self.remaining_ms * NS_PER_MS),
            wall_deadline=WallMs(self.wall + self.remaining_ms),
            anchor=self.anchor,
        )

    def _epoch(self, policy: Policy, table: Routes) -> epoch.Predicate:
        return epoch.Predicate(
            domain=self.domain, seq=self.epoch_seq, prev_sha256=None, trust=_TRUST,
            issued_at=self.wall - self.epoch_age_ms, not_before=0, not_after=self.wall + 1,
            activation=epoch.Activation(mode="immediate", supersedes=True),
            profile=epoch.BASELINE,
            scope=epoch.Scope(services=(), regions=(), tenants=(), instances=()),
            policy=epoch.PolicyRef(
                sha256=policy.sha256, size=max(1, len(policy.raw)), media_type=MEDIA_TYPE
            ),
            routes=epoch.RoutesRef(sha256=table.sha256, size=max(1, len(table.raw))),
            removes=(), runtime=epoch.NO_DEMANDS, enforcement="enforce",
            telemetry=epoch.Telemetry(max_unacked_ms=0, max_diverged=None),
            audit=epoch.Audit(max_checkpoint_age_ms=0, max_unacked_ms=0, overflow="contain"),
            halts_sha256=_ZERO, gov_log=_LOG, reason="",
        )  # fmt: skip


def read(
    reader: Reader, node: Node | None, path: str, defaults: Given, table: Routes | None
) -> Given:
    """What a case says on top of the defaults.

    Args:
        reader: Of the file; keeps what is wrong.
        node: `given`, or `defaults`.
        path: Where it stands.
        defaults: What holds where it says nothing.
        table: The route table of the suite; None: it cannot be read, which is said elsewhere.
    """
    parts = ("request", "epoch", "lease", "workload", "now")
    fields = reader.mapping(node, path, (), parts)
    found = _request(reader, fields.get("request"), f"{path}.request", defaults, table)
    found = _around(reader, fields.get("epoch"), f"{path}.epoch", found)
    found = _with_lease(reader, fields.get("lease"), f"{path}.lease", found)
    found = _with_workload(reader, fields.get("workload"), f"{path}.workload", found)
    return _with_clock(reader, fields.get("now"), f"{path}.now", found)


def _request(
    reader: Reader, node: Node | None, path: str, found: Given, table: Routes | None
) -> Given:
    keys = ("method", "path", "query", "host", "headers", *_ATTRIBUTES, "body", "parent")
    fields = reader.mapping(node, path, (), keys)
    said: dict[str, Any] = {}
    if "method" in fields:
        kind = policy_body.Method
        said["method"] = reader.typed(fields["method"], f"{path}.method", kind, _METHOD_RULE)
    if "path" in fields:
        said["path"] = reader.text(fields["path"], f"{path}.path") or ""
        said["query"] = ""  # of the path before
    for key in ("query", "host"):
        if key in fields:
            said[key] = reader.text(fields[key], f"{path}.{key}") or ""
    if said.get("query") and "?" in said.get("path", found.path):
        reader.wrong(fields["query"].origin, f"{path}.query", "stands in path already, after the ?")
    if "headers" in fields:
        items = reader.items(fields["headers"], f"{path}.headers")
        said["headers"] = tuple(_header(reader, item, at) for item, at in items)
    return _who(reader, fields, path, replace(found, **said), table)


def _who(
    reader: Reader, fields: dict[str, Node], path: str, found: Given, table: Routes | None
) -> Given:
    lines = dict(found.attributes)
    for key in _ATTRIBUTES:
        if key in fields:
            lines[key] = _attribute(reader, fields[key], f"{path}.{key}", key, table)
    found = replace(found, attributes=tuple(lines.items()))
    if "body" in fields:
        body = reader.mapping(fields["body"], f"{path}.body", ("model",))
        found = replace(found, body_model=reader.text(body.get("model"), f"{path}.body.model"))
    if "parent" in fields:
        said = _parent(reader, fields["parent"], f"{path}.parent", found.parent)
        found = replace(found, parent=said)
    return found


def _header(reader: Reader, node: Node, path: str) -> Header:
    # As the data plane hands it on: name in lower case, value without surrounding white space.
    fields = reader.mapping(node, path, ("name", "value"))
    name = reader.text(fields.get("name"), f"{path}.name") or ""
    value = reader.text(fields.get("value"), f"{path}.value") or ""
    return name.lower().encode(), value.strip(" \t").encode()


def _attribute(reader: Reader, node: Node, path: str, key: str, table: Routes | None) -> Header:
    value = (reader.text(node, path) or "").strip(" \t").encode()
    if table is None:
        return b"", value
    declared: dict[str, bytes | None] = {
        "model": table.model_header, "tenant": table.tenant_header, "agent": table.agent_header
    }  # fmt: skip
    name = declared[key]
    if name is None:
        said = f"the route table says of no header that it names the {key}: spec.attributes.{key}"
        said += "; a model that the body names is body.model" if key == "model" else ""
        reader.wrong(node.origin, path, said)
    return name or b"", value


def _parent(reader: Reader, node: Node, path: str, found: Claim) -> Claim:
    if isinstance(node, Scalar):  # its id: a permit, and made just now; or none at all
        text = reader.text(node, path)
        return Claim("permit", text) if text else NO_CLAIM
    fields = reader.mapping(node, path, (), ("id", "verdict", "age"))
    word = reader.choice(fields.get("verdict"), f"{path}.verdict", VERDICTS, "permit")
    if word == "false":
        return FALSE
    said: dict[str, Any] = {"kind": word, "decision_id": found.decision_id or _SOME_DECISION}
    if "id" in fields:
        said["decision_id"] = reader.text(fields["id"], f"{path}.id") or ""
    if "age" in fields:
        said["age_ms"] = _span(reader, fields["age"], f"{path}.age")
    return Claim(**said)


def _around(reader: Reader, node: Node | None, path: str, found: Given) -> Given:
    fields = reader.mapping(node, path, (), ("seq", "age", "domain"))
    said: dict[str, Any] = {}
    if "seq" in fields:
        said["epoch_seq"] = reader.number(fields["seq"], f"{path}.seq", 1, 2**53 - 1)
    if "age" in fields:
        said["epoch_age_ms"] = _span(reader, fields["age"], f"{path}.age")
    if "domain" in fields:
        said["domain"] = reader.name(fields["domain"], f"{path}.domain")
    return replace(found, **said)


def _with_lease(reader: Reader, node: Node | None, path: str, found: Given) -> Given:
    if node is None or isinstance(node, Scalar):
        return replace(found, lease=reader.choice(node, path, LEASES, found.lease))
    fields = reader.mapping(node, path, (), ("state", "age", "remaining", "quorum", "anchor"))
    said: dict[str, Any] = {}
    for key, name in (("age", "lease_age_ms"), ("remaining", "remaining_ms")):
        if key in fields:
            said[name] = _span(reader, fields[key], f"{path}.{key}")
    if "quorum" in fields:
        said["quorum"] = reader.number(fields["quorum"], f"{path}.quorum", 0, PEERS_MAX)
    for key, name, words in (("state", "lease", LEASES), ("anchor", "anchor", get_args(Freshness))):
        if key in fields:
            said[name] = reader.choice(fields[key], f"{path}.{key}", words, words[0])
    return replace(found, **said)


def _with_workload(reader: Reader, node: Node | None, path: str, found: Given) -> Given:
    keys = ("service", "region", "instance")
    fields = reader.mapping(node, path, (), keys)
    said = {key: reader.text(value, f"{path}.{key}") or "" for key, value in fields.items()}
    return replace(found, here=replace(found.here, **said))


def _with_clock(reader: Reader, node: Node | None, path: str, found: Given) -> Given:
    text = reader.text(node, path)
    if node is None or text is None:
        return found
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = datetime.min  # noqa: DTZ901 - has no zone, and is refused for that
    if when.tzinfo is None:
        reader.wrong(node.origin, path, f"{text!r} must be like 2026-01-31T12:00:00Z")
        return found
    return replace(found, wall=WallMs(round(when.timestamp() * 1000)))


def _span(reader: Reader, node: Node, path: str) -> int:
    return reader.duration(node, path, policy_body.DURATION_MAX_MS, least_ms=0)


def _beat(given: Given) -> beat.Body:
    return beat.Body(
        type=beat.TYPE, domain=given.domain, issuer=_ZERO, seq=1, prev_sha256=None,
        issued_at=given.wall - given.lease_age_ms, ttl_ms=1, interval_ms=1, trust=_TRUST,
        epoch=Mark(seq=given.epoch_seq, sha256=_ZERO), halts=Mark(seq=0, sha256=_ZERO),
        state="run", fleet=beat.Fleet(root=_ZERO, size=0, expected=0, diverged=0), gov_log=_LOG,
    )  # fmt: skip


_TRUST = TrustRef(version=1, sha256=_ZERO)
_LOG = LogHead(origin="policy-test", root=_ZERO, size=0)
