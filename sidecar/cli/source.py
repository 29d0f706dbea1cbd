"""Policies and route tables as people write them, turned into the bytes that an epoch names.

Rules:

* What leaves this module is canonical and has been read back by the very parser of the sidecar. So
  a file that builds here is never refused by a pod.
* Bytes that were built before pass through unchanged, or not at all: their digest may already be
  part of an epoch.

Source: core/policy, core/routes; conventions 11-J.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from sidecar.cli import resource
from sidecar.cli.resource import Reader, ResourceError
from sidecar.config import units
from sidecar.config.document import Items, Node, Scalar, Table
from sidecar.config.problem import Problem
from sidecar.core import canonical, paths, policy, recording, routes
from sidecar.core.reason import ProtocolError

POLICY = "GatePolicy"
ROUTES = "RouteTable"
KINDS = (POLICY, ROUTES)

# How canonical bytes begin: `_type` sorts before every other key that we have.
_BUILT = {
    POLICY: f'{{"_type":"{policy.TYPE}",'.encode(),
    ROUTES: f'{{"_type":"{routes.TYPE}",'.encode(),
}

_LOCAL = "127.0.0.1:1"  # goes on for an address that was wrong; never leaves this module

_AUDIT_WORDS = {
    "beats": ["true", "false"],
    "durability": ["group", "strict"],
    "paths": ["full", "none"],
    "receipts": ["true", "false"],
}

_METHOD_RULE = "upper-case letters, 3 to 16 of them"
_FIELD_RULE = "a header name in lower case"
_VALUE_RULE = "printable ASCII without spaces at either end"


def load_policy(path: Path) -> bytes:
    """The canonical bytes of a policy, from YAML or from bytes built before.

    Raises:
        ResourceError: with everything that is wrong with the file.
        OSError: The file cannot be read.
    """
    return load(path, POLICY)[1]


def load_routes(path: Path) -> bytes:
    """The canonical bytes of a route table, from YAML or from bytes built before.

    Raises:
        ResourceError: with everything that is wrong with the file.
        OSError: The file cannot be read.
    """
    return load(path, ROUTES)[1]


def load(path: Path, wanted: str | None = None) -> tuple[str, bytes]:
    """The kind of a file and its canonical bytes.

    Args:
        path: The file.
        wanted: The kind that it has to be; None: either.

    Raises:
        ResourceError: with everything that is wrong with the file.
        OSError: The file cannot be read.
    """
    raw = path.read_bytes()
    built = next((kind for kind, start in _BUILT.items() if raw.startswith(start)), None)
    if built is not None:
        _expect(path, built, wanted)
        return built, _read_back(path, built, raw)
    kind, root, reader = resource.read(path, raw)
    _expect(path, kind, wanted)
    make = _policy if kind == POLICY else _routes
    return kind, _read_back(path, kind, canonical.dump(make(reader, root)))


def _expect(path: Path, kind: str, wanted: str | None) -> None:
    known = KINDS if wanted is None else (wanted,)
    if kind not in known:
        said = f"kind is {kind!r}, must be {' or '.join(known)}" if kind else "has no kind"
        raise ResourceError([Problem("kind", said, str(path))])


def _read_back(path: Path, kind: str, raw: bytes) -> bytes:
    try:
        if kind == POLICY:
            policy.parse(raw)
        else:
            routes.parse(raw)
    except ProtocolError as error:
        raise ResourceError([Problem("", error.detail, str(path))]) from None
    return raw


def _policy(reader: Reader, root: Node) -> policy.Body:
    name, spec = resource.frame(reader, root, POLICY)
    fields = reader.mapping(spec, "spec", ("rules",), ("failurePolicy", "audit"))
    reader.choice(fields.get("failurePolicy"), "spec.failurePolicy", ["Fail"])
    items = reader.items(fields.get("rules"), "spec.rules")
    rules = tuple(_rule(reader, node, path) for node, path in items)
    _distinct(reader, items, "name")
    audit = _audit(reader, fields.get("audit"), "spec.audit")
    reader.finish()
    return policy.Body(type=policy.TYPE, name=name, rules=rules, audit=audit)


def _audit(reader: Reader, node: Node | None, path: str) -> recording.Body | msgspec.UnsetType:
    if node is None:
        return msgspec.UNSET
    fields = reader.mapping(node, path, (), recording.Body.__struct_fields__)
    said: dict[str, Any] = {}
    for key, words in _AUDIT_WORDS.items():
        if key in fields:
            word = reader.choice(fields[key], f"{path}.{key}", words, words[0])
            said[key] = word == "true" if "true" in words else word
    for key in ("subject", "tenant"):
        if key in fields:
            said[key] = reader.typed(fields[key], f"{path}.{key}", canonical.FieldName, _FIELD_RULE)
    if "headers" in fields:
        said["headers"] = tuple(
            reader.typed(item, where, canonical.FieldName, _FIELD_RULE)
            for item, where in reader.items(fields["headers"], f"{path}.headers")
        )
    body = recording.Body(**said)
    for key, why in recording.problems(body):
        name = key.partition("[")[0]
        reader.wrong(fields[name].origin, f"{path}.{key}", why)
    return body


def _rule(reader: Reader, node: Node, path: str) -> policy.RuleBody:
    optional = ("methods", "headers", "inFlight")
    fields = reader.mapping(node, path, ("name", "action", "paths"), optional)
    action = reader.choice(fields.get("action"), f"{path}.action", ["permit", "deny"])
    return policy.RuleBody(
        name=reader.name(fields.get("name"), f"{path}.name"),
        action="permit" if action == "permit" else "deny",
        methods=tuple(
            reader.typed(item, where, policy.Method, _METHOD_RULE)
            for item, where in reader.items(fields.get("methods"), f"{path}.methods")
        ),
        paths=_patterns(reader, fields.get("paths"), f"{path}.paths"),
        headers=tuple(
            _header(reader, item, where)
            for item, where in reader.items(fields.get("headers"), f"{path}.headers")
        ),
        in_flight=_in_flight(reader, fields.get("inFlight"), f"{path}.inFlight"),
    )


def _in_flight(reader: Reader, node: Node | None, path: str) -> Literal["cut"] | policy.DrainBody:
    if not isinstance(node, Table):
        reader.choice(node, path, ["cut"])
        return "cut"
    fields = reader.mapping(node, path, ("drain",))
    most = policy.DRAIN_MAX_MS
    return policy.DrainBody(drain_ms=reader.duration(fields.get("drain"), f"{path}.drain", most))


def _header(reader: Reader, node: Node, path: str) -> policy.HeaderEquals:
    fields = reader.mapping(node, path, ("name", "value"))
    return policy.HeaderEquals(
        name=reader.typed(fields.get("name"), f"{path}.name", canonical.FieldName, _FIELD_RULE),
        value=reader.typed(fields.get("value"), f"{path}.value", policy.FieldValue, _VALUE_RULE),
    )


def _routes(reader: Reader, root: Node) -> routes.Body:
    name, spec = resource.frame(reader, root, ROUTES)
    fields = reader.mapping(spec, "spec", ("upstreams", "routes"), ("exempt", "attributes"))
    upstreams = _upstreams(reader, fields.get("upstreams"), "spec.upstreams")
    items = reader.items(fields.get("routes"), "spec.routes")
    exempt = reader.items(fields.get("exempt"), "spec.exempt")
    table = tuple(_route(reader, node, path, upstreams) for node, path in items)
    exemptions = tuple(_exempt(reader, node, path, upstreams) for node, path in exempt)
    _distinct(reader, items, "name")
    _distinct(reader, exempt, "target")
    attributes = _attributes(reader, fields.get("attributes"), "spec.attributes")
    reader.finish()
    return routes.Body(
        type=routes.TYPE, name=name, upstreams=upstreams, routes=table, exempt=exemptions,
        attributes=attributes,
    )  # fmt: skip


def _attributes(
    reader: Reader, node: Node | None, path: str
) -> routes.AttributesBody | msgspec.UnsetType:
    if node is None:
        return msgspec.UNSET
    fields = reader.mapping(node, path, (), ("model", "tenant"))
    if isinstance(node, Table) and not fields:
        reader.wrong(node.origin, path, "must name a header for model or tenant, or be left out")
    said: dict[str, str] = {}
    for kind, value in fields.items():
        where = f"{path}.{kind}"
        name = reader.typed(value, where, canonical.FieldName, _FIELD_RULE)
        if name and (wrong := _core_says(routes.AttributesBody(model=name))):
            reader.wrong(value.origin, where, wrong)
        said[kind] = name
    return routes.AttributesBody(**said)


def _upstreams(reader: Reader, node: Node | None, path: str) -> dict[str, routes.UpstreamBody]:
    found = {}
    for key, (origin, value) in reader.entries(node, path).items():
        where = f"{path}.{key}"
        name = reader.name(Scalar(key, origin), where)
        found[name or key] = _upstream(reader, value, where)
    return found


def _upstream(reader: Reader, node: Node, path: str) -> routes.UpstreamBody:
    value = reader.text(node, path)
    try:
        address = units.address(value or _LOCAL)
    except ValueError as error:
        reader.wrong(node.origin, path, str(error))
        address = units.address(_LOCAL)
    found = routes.UpstreamBody(host=address.host, port=address.port)
    if wrong := _core_says(found):
        reader.wrong(node.origin, path, wrong)
    if not found.port:
        reader.wrong(node.origin, path, "port must be 1 to 65535")
    return found


def _route(
    reader: Reader, node: Node, path: str, upstreams: dict[str, routes.UpstreamBody]
) -> routes.RouteBody:
    fields = reader.mapping(node, path, ("name", "paths", "upstream"))
    return routes.RouteBody(
        name=reader.name(fields.get("name"), f"{path}.name"),
        paths=_patterns(reader, fields.get("paths"), f"{path}.paths"),
        upstream=_known(reader, fields.get("upstream"), f"{path}.upstream", upstreams),
    )


def _exempt(
    reader: Reader, node: Node, path: str, upstreams: dict[str, routes.UpstreamBody]
) -> routes.ExemptBody:
    fields = reader.mapping(node, path, ("target", "upstream"))
    target = reader.text(fields.get("target"), f"{path}.target")
    upstream = _known(reader, fields.get("upstream"), f"{path}.upstream", upstreams)
    found = routes.ExemptBody(target=target or "", upstream=upstream)
    if target is not None and (wrong := _core_says(found)):
        reader.wrong(fields["target"].origin, f"{path}.target", wrong)
    return found


def _core_says(
    item: routes.UpstreamBody | routes.ExemptBody | routes.AttributesBody,
) -> str | None:
    """What core finds wrong with one item, asked with a table that holds nothing else."""
    if isinstance(item, routes.UpstreamBody):
        body = routes.Body(type=routes.TYPE, name="x", upstreams={"x": item}, routes=(), exempt=())
    elif isinstance(item, routes.AttributesBody):
        body = routes.Body(
            type=routes.TYPE, name="x", upstreams={}, routes=(), exempt=(), attributes=item
        )
    else:
        upstreams = {item.upstream: routes.UpstreamBody(host="127.0.0.1", port=1)}
        body = routes.Body(
            type=routes.TYPE, name="x", upstreams=upstreams, routes=(), exempt=(item,)
        )
    problems = routes.check(body)
    return problems[0].partition(": ")[2] if problems else None


def _known(
    reader: Reader, node: Node | None, path: str, upstreams: dict[str, routes.UpstreamBody]
) -> str:
    name = reader.text(node, path)
    if node is not None and name is not None and name not in upstreams:
        meant = resource.suggest(name, upstreams)
        reader.wrong(node.origin, path, f"no upstream is named {name!r}{meant}")
    return name or ""


def _patterns(reader: Reader, node: Node | None, path: str) -> tuple[str, ...]:
    items = reader.items(node, path)
    if isinstance(node, Items) and not items:
        reader.wrong(node.origin, path, "must list at least one path")
    patterns = []
    for item, where in items:
        pattern = reader.text(item, where)
        if pattern is not None and (wrong := paths.problem(pattern)):
            reader.wrong(item.origin, where, f"{pattern!r} {wrong}")
        patterns.append(pattern or "")
    return tuple(patterns)


def _distinct(reader: Reader, items: list[tuple[Node, str]], key: str) -> None:
    """Keep a problem for each item whose value under `key` another item had before."""
    seen: set[str] = set()
    for node, path in items:
        value = node.items.get(key) if isinstance(node, Table) else None
        if not isinstance(value, Scalar) or value.text is None:
            continue
        if value.text in seen:
            reader.wrong(value.origin, f"{path}.{key}", f"{value.text!r} is used twice")
        seen.add(value.text)
