"""A Profile as people write it, turned into what is signed.

Source: core/profile; conventions 11-J.
"""

from typing import Any, Literal

import msgspec

from sidecar.cli import resource
from sidecar.cli.kinds.rules import in_flight
from sidecar.cli.resource import Reader
from sidecar.config.document import Node, Table
from sidecar.core import profile
from sidecar.core.policy_body import DURATION_MAX_MS

KIND = "Profile"

TIMING = ("interval", "poll", "publish", "timeout")
QUORUM = ("peers", "read", "write")  # n, r, w
AUDIT = ("durability", "maxCheckpointAge", "maxUnacked", "paths", "witnesses")

_LIMITS = {"maxCheckpointAge": "max_checkpoint_age_ms", "maxUnacked": "max_unacked_ms"}

# Where core finds something wrong -> what people call it.
_WRITTEN = {
    "name": "metadata.name",
    "quorum": "spec.quorum",
    "quorum.r": "spec.quorum.read",
    "quorum.w": "spec.quorum.write",
    "lease.skew_ms": "spec.lease.skew",
    "lease.ttl_ms": "spec.lease.ttl",
    "audit.witnesses": "spec.audit.witnesses",
}


def body(reader: Reader, root: Node) -> profile.Body:
    """What a file says.

    Raises:
        ResourceError: with everything that is wrong with the file.
    """
    name, spec = resource.frame(reader, root, KIND)
    required = ("lease", "timing", "quorum", "inFlight")
    fields = reader.mapping(spec, "spec", required, ("audit", "parent"))
    found = profile.Body(
        type=profile.TYPE,
        name=name,
        in_flight=in_flight(reader, fields.get("inFlight"), "spec.inFlight"),
        lease=_lease(reader, fields.get("lease"), "spec.lease"),
        quorum=_quorum(reader, fields.get("quorum"), "spec.quorum"),
        timing=_timing(reader, fields.get("timing"), "spec.timing"),
        audit=_audit(reader, fields.get("audit"), "spec.audit"),
        parent=_parent(reader, fields.get("parent"), "spec.parent"),
    )
    reader.finish()
    for key, why in profile.problems(found):
        path = _WRITTEN[key]
        reader.wrong(_origin(root, path), path, why)
    reader.finish()
    return found


def _lease(reader: Reader, node: Node | None, path: str) -> profile.LeaseBody:
    fields = reader.mapping(node, path, ("ttl", "freshness"), ("skew",))
    words: dict[str, Literal["clock", "nonce", "both"]] = {
        "clock": "clock", "nonce": "nonce", "both": "both",
    }  # fmt: skip
    said = reader.choice(fields.get("freshness"), f"{path}.freshness", list(words), "both")
    skew = fields.get("skew")
    return profile.LeaseBody(
        freshness=words.get(said, "both"),
        ttl_ms=_duration(reader, fields.get("ttl"), f"{path}.ttl"),
        skew_ms=msgspec.UNSET if skew is None else _duration(reader, skew, f"{path}.skew"),
    )


def _timing(reader: Reader, node: Node | None, path: str) -> profile.TimingBody:
    fields = reader.mapping(node, path, TIMING)
    return profile.TimingBody(**{
        f"{key}_ms": _duration(reader, fields.get(key), f"{path}.{key}") for key in TIMING
    })  # fmt: skip


def _quorum(reader: Reader, node: Node | None, path: str) -> profile.QuorumBody:
    fields = reader.mapping(node, path, QUORUM)
    n, r, w = (_count(reader, fields.get(key), f"{path}.{key}") for key in QUORUM)
    return profile.QuorumBody(n=n, r=r, w=w)


def _audit(reader: Reader, node: Node | None, path: str) -> profile.AuditBody | msgspec.UnsetType:
    if node is None:
        return msgspec.UNSET
    fields = reader.mapping(node, path, (), AUDIT)
    said: dict[str, Any] = {}
    for key, words in (("durability", ["strict"]), ("paths", ["none"])):
        if key in fields:
            reader.choice(fields[key], f"{path}.{key}", words)
            said[key] = words[0]
    for key, name in (
        ("maxCheckpointAge", "max_checkpoint_age_ms"),
        ("maxUnacked", "max_unacked_ms"),
    ):
        if key in fields:
            said[name] = _duration(reader, fields[key], f"{path}.{key}")
    if "witnesses" in fields:
        said["witnesses"] = _count(reader, fields["witnesses"], f"{path}.witnesses")
    return profile.AuditBody(**said)


def _parent(
    reader: Reader, node: Node | None, path: str
) -> Literal["required"] | msgspec.UnsetType:
    if node is None:
        return msgspec.UNSET
    reader.choice(node, path, ["required"])
    return "required"


def _duration(reader: Reader, node: Node | None, path: str) -> int:
    return reader.duration(node, path, DURATION_MAX_MS)


def _count(reader: Reader, node: Node | None, path: str) -> int:
    return reader.number(node, path, 1, profile.PEERS_MAX)


def _origin(root: Node, path: str) -> str:
    """Where a value stands, or, when it is absent, what should hold it."""
    node = root
    for key in path.split("."):
        inner = node.items.get(key) if isinstance(node, Table) else None
        if inner is None:
            break
        node = inner
    return node.origin
