"""Policies and route tables from YAML to the bytes that an epoch names."""

from pathlib import Path

import pytest

from sidecar.cli import source
from sidecar.cli.resource import ResourceError
from sidecar.core import canonical, policy, recording, routes

POLICY = """\
apiVersion: epochgate.io/v1alpha1
kind: GatePolicy
metadata: {name: p}
spec:
  failurePolicy: Fail
  rules:
    - name: chat
      action: permit
      methods: [POST]
      paths: ["/v1/**"]
      headers: [{name: x-tier, value: "1"}]
      inFlight: cut
    - {name: rest, action: deny, paths: [/**]}
"""
ROUTES = """\
apiVersion: epochgate.io/v1alpha1
kind: RouteTable
metadata: {name: r}
spec:
  upstreams: {model: "127.0.0.1:8000", six: "[::1]:9"}
  routes: [{name: all, paths: [/**], upstream: model}]
  exempt: [{target: /health, upstream: six}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.yaml"


def found(file: Path, text: str, kind: str) -> list[str]:
    """Problems of a file, without its name; it must have some."""
    file.write_text(text)
    with pytest.raises(ResourceError) as caught:
        source.load(file, kind)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_a_policy_becomes_the_bytes_that_a_sidecar_compiles(file: Path) -> None:
    file.write_text(POLICY)
    body = canonical.load(source.load_policy(file), policy.Body, policy.MAX_BYTES)
    chat, rest = body.rules
    assert chat == policy.RuleBody(
        name="chat", action="permit", methods=("POST",), paths=("/v1/**",),
        headers=(policy.HeaderEquals(name="x-tier", value="1"),), in_flight="cut",
    )  # fmt: skip
    assert rest == policy.RuleBody(
        name="rest", action="deny", methods=(), paths=("/**",), headers=(), in_flight="cut"
    )
    assert (body.name, body.type) == ("p", policy.TYPE)


def test_a_rule_can_let_what_runs_drain(file: Path) -> None:
    file.write_text(POLICY.replace("cut", "{drain: 5s}"))
    [chat, _] = policy.parse(source.load_policy(file)).rules
    assert chat.drain_ms == 5000


AUDIT = (
    "  audit:\n    durability: strict\n    receipts: true\n    headers: [x-request-id]\n"
    "    paths: none\n    subject: x-user\n    tenant: x-tenant\n"
)


def test_a_policy_says_what_is_recorded(file: Path) -> None:
    file.write_text(POLICY + AUDIT)
    body = canonical.load(source.load_policy(file), policy.Body, policy.MAX_BYTES)
    assert body.audit == recording.Body(
        durability="strict", receipts=True, headers=("x-request-id",), paths="none",
        subject="x-user", tenant="x-tenant",
    )  # fmt: skip


def test_a_policy_that_says_nothing_of_records_has_the_bytes_that_it_always_had(file: Path) -> None:
    file.write_text(POLICY)
    assert b"audit" not in source.load_policy(file)


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


@pytest.mark.parametrize(("text", "kind"), [(POLICY, source.POLICY), (ROUTES, source.ROUTES)])
def test_bytes_that_were_built_before_pass_unchanged(file: Path, text: str, kind: str) -> None:
    file.write_text(text)
    built = source.load(file)
    file.write_bytes(built[1])
    assert source.load(file, kind) == built


def test_built_bytes_that_no_sidecar_would_take_are_refused(file: Path) -> None:
    file.write_text(POLICY)
    built = source.load_policy(file)
    for damaged in (built + b"\n", built.replace(b"/v1/**", b"/v1/*x"), built[:-1]):
        file.write_bytes(damaged)
        with pytest.raises(ResourceError):
            source.load_policy(file)


def test_one_kind_is_never_taken_for_the_other(file: Path) -> None:
    for text, other in ((POLICY, source.ROUTES), (ROUTES, source.POLICY)):
        assert found(file, text, other)[0].endswith(f"must be {other}")
        file.write_text(text)
        file.write_bytes(source.load(file)[1])
        with pytest.raises(ResourceError):
            source.load(file, other)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Fail", "Ignore", "5:18: spec.failurePolicy: 'Ignore' is not Fail"),
        ("failurePolicy", "failPolicy", "unknown key; did you mean failurePolicy?"),
        ("permit", "allow", "8:15: spec.rules[0].action: 'allow' is not permit or deny"),
        ("POST", "post", "9:17: spec.rules[0].methods[0]: 'post' must be upper-case"),
        ("/v1/**", "/**/x", "10:15: spec.rules[0].paths[0]: '/**/x' ** may only be the last"),
        ('["/v1/**"]', "[]", "10:14: spec.rules[0].paths: must list at least one path"),
        ('["/v1/**"]', "['']", "10:15: spec.rules[0].paths[0]: '' must start with /"),
        ("x-tier", "X-Tier", "headers[0].name: 'X-Tier' must be a header name in lower case"),
        ('"1"', '" 1"', "headers[0].value: ' 1' must be printable ASCII"),
        ("cut", "drain", "12:17: spec.rules[0].inFlight: 'drain' is not cut"),
        ("cut", "{}", "12:17: spec.rules[0].inFlight.drain: is missing"),
        ("cut", "{drain: 5}", "12:25: spec.rules[0].inFlight.drain: must be a duration like"),
        ("cut", "{drain: 0s}", "12:25: spec.rules[0].inFlight.drain: must be 1ms to 5m"),
        ("cut", "{drain: 6m}", "12:25: spec.rules[0].inFlight.drain: must be 1ms to 5m"),
        ("name: rest", "name: chat", "13:14: spec.rules[1].name: 'chat' is used twice"),
        ("action: deny, ", "", "13:7: spec.rules[1].action: is missing"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said_with_its_place(
    file: Path, old: str, new: str, says: str
) -> None:
    assert says in "\n".join(found(file, POLICY.replace(old, new, 1), source.POLICY))


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


def test_everything_wrong_is_said_at_once(file: Path) -> None:
    text = POLICY.replace("permit", "x").replace("POST", "post").replace("name: rest", "nam: rest")
    text = text.replace("failurePolicy: Fail", "failurePolicy: Fail\n  failurePolicy: Fail")
    assert len(found(file, text, source.POLICY)) == 5
