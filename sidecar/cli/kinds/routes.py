"""A RouteTable as people write it, turned into what is signed.

Source: core/routes; conventions 11-J.
"""

import msgspec

from sidecar.cli import resource
from sidecar.cli.kinds.rules import FIELD_RULE, patterns
from sidecar.cli.resource import Reader
from sidecar.config import units
from sidecar.config.document import Node, Scalar, Table
from sidecar.core import canonical, routes

KIND = "RouteTable"
ATTRIBUTES = routes.AttributesBody.__struct_fields__

_LOCAL = "127.0.0.1:1"  # goes on for an address that was wrong; never leaves this module


def body(reader: Reader, root: Node) -> routes.Body:
    """What a file says.

    Raises:
        ResourceError: with everything that is wrong with the file.
    """
    name, spec = resource.frame(reader, root, KIND)
    fields = reader.mapping(spec, "spec", ("upstreams", "routes"), ("exempt", "attributes"))
    upstreams = _upstreams(reader, fields.get("upstreams"), "spec.upstreams")
    items = reader.items(fields.get("routes"), "spec.routes")
    exempt = reader.items(fields.get("exempt"), "spec.exempt")
    table = tuple(_route(reader, node, path, upstreams) for node, path in items)
    exemptions = tuple(_exempt(reader, node, path, upstreams) for node, path in exempt)
    reader.distinct(items, "name")
    reader.distinct(exempt, "target")
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
    fields = reader.mapping(node, path, (), ATTRIBUTES)
    if isinstance(node, Table) and not node.items:
        said = f"must name a header for {' or '.join(ATTRIBUTES)}, or be left out"
        reader.wrong(node.origin, path, said)
    named: dict[str, str] = {}
    for kind, value in fields.items():
        where = f"{path}.{kind}"
        name = reader.typed(value, where, canonical.FieldName, FIELD_RULE)
        if name and (wrong := _core_says(routes.AttributesBody(model=name))):
            reader.wrong(value.origin, where, wrong)
        named[kind] = name
    return routes.AttributesBody(**named)


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
        paths=patterns(reader, fields.get("paths"), f"{path}.paths"),
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
        table = routes.Body(type=routes.TYPE, name="x", upstreams={"x": item}, routes=(), exempt=())
    elif isinstance(item, routes.AttributesBody):
        table = routes.Body(
            type=routes.TYPE, name="x", upstreams={}, routes=(), exempt=(), attributes=item
        )
    else:
        upstreams = {item.upstream: routes.UpstreamBody(host="127.0.0.1", port=1)}
        table = routes.Body(
            type=routes.TYPE, name="x", upstreams=upstreams, routes=(), exempt=(item,)
        )
    problems = routes.check(table)
    return problems[0].partition(": ")[2] if problems else None


def _known(
    reader: Reader, node: Node | None, path: str, upstreams: dict[str, routes.UpstreamBody]
) -> str:
    name = reader.text(node, path)
    if node is not None and name is not None and name not in upstreams:
        meant = resource.suggest(name, upstreams)
        reader.wrong(node.origin, path, f"no upstream is named {name!r}{meant}")
    return name or ""
