"""Route tables from YAML to the bytes that an epoch names."""

from pathlib import Path

import pytest

from sidecar.cli import source
from sidecar.core import routes
from tests.cli.written import ROUTES, found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.yaml"


def test_a_route_table_becomes_the_bytes_that_a_sidecar_compiles(file: Path) -> None:
    file.write_text(ROUTES)
    table = routes.parse(source.load_routes(file))
    assert (table.name, table.exempt[b"/health"]) == ("r", routes.Upstream("six", "::1", 9))
    route = table.match(b"/x")
    assert route is not None
    assert route.upstream == routes.Upstream("model", "127.0.0.1", 8000)


def test_a_route_table_says_where_model_and_tenant_stand(file: Path) -> None:
    file.write_text(f"{ROUTES}  attributes: {{model: x-model, tenant: x-tenant}}\n")
    table = routes.parse(source.load_routes(file))
    assert (table.model_header, table.tenant_header) == (b"x-model", b"x-tenant")
    file.write_text(f"{ROUTES}  attributes: {{tenant: x-tenant}}\n")
    table = routes.parse(source.load_routes(file))
    assert (table.model_header, table.tenant_header) == (None, b"x-tenant")


def test_a_table_without_attributes_has_the_bytes_that_it_always_had(file: Path) -> None:
    file.write_text(ROUTES)
    assert b"attributes" not in source.load_routes(file)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("127.0.0.1:8000", "localhost:8000", "5:22: spec.upstreams.model: host 'localhost' is not"),
        ("127.0.0.1:8000", "127.0.0.1", '5:22: spec.upstreams.model: must be "host:port"'),
        ("127.0.0.1:8000", "127.0.0.1:0", "port must be 1 to 65535"),
        ("127.0.0.1:8000", "127.0.0.1:70000", "port up to 65535"),
        ("model:", "Model:", "5:15: spec.upstreams.Model: 'Model' must be lower-case"),
        ("upstream: model", "upstream: modle", "no upstream is named 'modle'; did you mean model?"),
        ("upstream: six", "upstream: x", "exempt[0].upstream: no upstream is named 'x'"),
        ("target: /health", "target: /health*", "7:21: spec.exempt[0].target: target '/health*'"),
        ("[/**]", "['/a?b']", "6:32: spec.routes[0].paths[0]: '/a?b' must not contain"),
        (
            "}]\n  exempt",
            "}, {name: all, paths: [/], upstream: six}]\n  exempt",
            "spec.routes[1].name: 'all' is used twice",
        ),
        ("six}]", "six}, {target: /health, upstream: six}]", "exempt[1].target: '/health' is used"),
        ("  exempt", "  attributes: {}\n  exempt", "7:15: spec.attributes: must name a header"),
        ("  exempt", "  attributes:\n  exempt", "spec.attributes: is"),
        (
            "  exempt",
            "  attributes: {modle: x}\n  exempt",
            "attributes.modle: unknown key; did you",
        ),
        (
            "  exempt",
            "  attributes: {model: X-M}\n  exempt",
            "'X-M' must be a header name in lower",
        ),
        ("  exempt", "  attributes: {model: te}\n  exempt", "header 'te' never reaches a decision"),
        (
            "  exempt",
            "  attributes: {tenant: te}\n  exempt",
            "7:24: spec.attributes.tenant: header",
        ),
    ],
)
def test_what_is_wrong_with_a_route_table_is_said_with_its_place(
    file: Path, old: str, new: str, says: str
) -> None:
    assert says in "\n".join(found(file, ROUTES.replace(old, new, 1), source.ROUTES))
