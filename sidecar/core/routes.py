"""The route table: which upstream a request may reach, and which targets are exempt.

Rules:

* The table is signed by digest in the epoch. There is no local list of upstreams, so no local edit
  can send traffic elsewhere.
* An upstream is an IP address and a port. No names: resolving one would let DNS choose.
* Exempt targets are the health and metrics paths of the service behind. They are matched against
  the whole target, byte for byte, for GET and HEAD only. A query string, an encoded letter or a
  double slash makes it another target. Their purpose: restarting a GPU pod because governance is
  down would turn containment into damage.
* First route whose pattern matches wins; none matched means denied.
* Which header names the model of a request, which its tenant, and which the agent that sent it, is
  part of what is signed: halts, epochs and policies that speak of them are judged by these and by
  nothing else.

Source: protocol b.8 (validation 3); hardening E-H10.
"""

import ipaddress
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.core import canonical, paths
from sidecar.core.canonical import FieldName, Name, Strict
from sidecar.core.paths import PathIndex
from sidecar.core.reason import ProtocolError, Reason

TYPE = "urn:epochgate:routes:v1"
MAX_BYTES = 1024 * 1024  # bytes; a blob

EXEMPT_METHODS = frozenset({b"GET", b"HEAD"})

# Headers that say nothing about a request as a whole: they frame it, end at the next hop, or are
# ours. No decision ever sees them (`proxy/fields.py`), so an attribute there would never be known.
_NO_ATTRIBUTES = frozenset(
    {
        "connection", "content-length", "expect", "http2-settings", "keep-alive", "proxy", "te",
        "trailer", "transfer-encoding", "upgrade", "x-epochgate",
    }
)  # fmt: skip
_NO_ATTRIBUTE_PREFIXES = ("proxy-", "x-epochgate-")


class UpstreamBody(Strict, frozen=True):
    """Where a service listens. `host`: an IP address."""

    host: Annotated[str, msgspec.Meta(max_length=45)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]


class RouteBody(Strict, frozen=True):
    """Paths that lead to one upstream."""

    name: Name
    paths: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    upstream: Name


class ExemptBody(Strict, frozen=True):
    """One target that is forwarded whatever the gate says. GET and HEAD only."""

    target: str
    upstream: Name


class AttributesBody(Strict, frozen=True):
    """Which header of a request names its model, its tenant, its agent; absent: none does."""

    agent: FieldName | UnsetType = UNSET
    model: FieldName | UnsetType = UNSET
    tenant: FieldName | UnsetType = UNSET


class Body(Strict, frozen=True):
    """A route table as it is signed. Without `attributes` it has the bytes that it always had."""

    type: str = msgspec.field(name="_type")
    name: Name
    upstreams: dict[Name, UpstreamBody]
    routes: tuple[RouteBody, ...]
    exempt: tuple[ExemptBody, ...]
    attributes: AttributesBody | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Upstream:
    """Address of the service behind: `host` is an IP address."""

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Route:
    """A compiled route; what `decide` points to in its answer."""

    name: str
    upstream: Upstream


class Routes:
    """A compiled route table.

    Attributes:
        name: For people.
        sha256: Digest of the table, hex; empty for `NO_ROUTES`, which nobody signed.
        raw: The table; empty likewise.
        exempt: Target -> where it goes.
        agent_header: Name of the header that names the agent, or None.
        model_header: The same of the model.
        tenant_header: The same of the tenant.
    """

    __slots__ = (
        "_paths", "_routes", "agent_header", "exempt", "model_header", "name", "raw", "sha256",
        "tenant_header",
    )  # fmt: skip

    def __init__(self, body: Body, raw: bytes) -> None:
        self.name = body.name
        self.raw = raw
        self.sha256 = canonical.digest(raw) if raw else ""
        upstreams = {
            name: Upstream(name, where.host, where.port) for name, where in body.upstreams.items()
        }
        self._routes = tuple(Route(item.name, upstreams[item.upstream]) for item in body.routes)
        self._paths = PathIndex([[path.encode() for path in item.paths] for item in body.routes])
        self.exempt = {item.target.encode(): upstreams[item.upstream] for item in body.exempt}
        said = AttributesBody() if body.attributes is UNSET else body.attributes
        self.agent_header = None if said.agent is UNSET else said.agent.encode()
        self.model_header = None if said.model is UNSET else said.model.encode()
        self.tenant_header = None if said.tenant is UNSET else said.tenant.encode()

    @property
    def names(self) -> tuple[str, ...]:
        """Of its routes, in order."""
        return tuple(route.name for route in self._routes)

    def match(self, path: bytes) -> Route | None:
        """The first route whose pattern matches, or None: denied."""
        found = self._paths.candidates(path)
        return self._routes[found[0]] if found else None


def parse(raw: bytes) -> Routes:
    """Read and compile a route table.

    Raises:
        ProtocolError: ROUTE_DIGEST_MISMATCH with what is wrong: bytes that hash right and do not
            parse were never a route table.
    """
    try:
        body = canonical.load(raw, Body, MAX_BYTES)
    except ProtocolError as error:
        raise ProtocolError(Reason.ROUTE_DIGEST_MISMATCH, error.detail) from None
    problems = check(body)
    if problems:
        raise ProtocolError(Reason.ROUTE_DIGEST_MISMATCH, "; ".join(problems))
    return Routes(body, raw)


def check(body: Body) -> list[str]:
    """Everything that is wrong with a table, one line each, for the person who wrote it."""
    problems = [] if body.type == TYPE else [f"_type is {body.type!r}, not {TYPE!r}"]
    for name, where in body.upstreams.items():
        if not _is_address(where.host):
            problems.append(f"upstreams.{name}: host {where.host!r} is not an IP address")
    names: set[str] = set()
    for index, route in enumerate(body.routes):
        label = f"routes[{index}] ({route.name})"
        if route.name in names:
            problems.append(f"{label}: name is used twice")
        names.add(route.name)
        if route.upstream not in body.upstreams:
            problems.append(f"{label}: no upstream named {route.upstream!r}")
        problems += [
            f"{label}: path {path!r} {wrong}"
            for path in route.paths
            if (wrong := paths.problem(path))
        ]
    targets: set[str] = set()
    for index, item in enumerate(body.exempt):
        label = f"exempt[{index}]"
        if item.target in targets:
            problems.append(f"{label}: target {item.target!r} is used twice")
        targets.add(item.target)
        if item.upstream not in body.upstreams:
            problems.append(f"{label}: no upstream named {item.upstream!r}")
        if (
            not item.target.isascii()
            or not paths.plain(item.target.encode())
            or ("*" in item.target or not item.target.startswith("/"))
        ):
            problems.append(f"{label}: target {item.target!r} must be one plain path, no wildcards")
    return problems + ([] if body.attributes is UNSET else _wrong_attributes(body.attributes))


def _wrong_attributes(said: AttributesBody) -> list[str]:
    named = {"agent": said.agent, "model": said.model, "tenant": said.tenant}
    found = {kind: name for kind, name in named.items() if name is not UNSET}
    if not found:
        return ["attributes: names no header; leave it out"]  # one value, one byte form
    return [
        f"attributes.{kind}: header {name!r} never reaches a decision"
        for kind, name in found.items()
        if (folded := name.replace("_", "-")) in _NO_ATTRIBUTES
        or folded.startswith(_NO_ATTRIBUTE_PREFIXES)
    ]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


NO_ROUTES = Routes(Body(type=TYPE, name="no-routes", upstreams={}, routes=(), exempt=()), b"")
