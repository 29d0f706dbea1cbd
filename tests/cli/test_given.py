"""What a case starts from, and that it reaches expressions by the names that they use."""

from pathlib import Path

import pytest

from sidecar.cli import given, resource
from sidecar.cli.given import Given
from sidecar.cli.resource import ResourceError
from sidecar.core import routes
from sidecar.core.facts import VALUES, Facts
from sidecar.core.parent import FALSE, NO_CLAIM, Claim
from sidecar.core.policy import DENY_ALL, TYPE, Policy
from sidecar.core.policy_body import Body, ModelBody
from sidecar.core.routes import NO_ROUTES, Routes

NOTHING = Given()
NS_PER_S = 1_000_000_000
TABLE = Routes(
    routes.Body(
        type=routes.TYPE, name="r", upstreams={}, routes=(), exempt=(),
        attributes=routes.AttributesBody(agent="x-agent", model="x-model", tenant="x-tenant"),
    ),
    b"",
)  # fmt: skip


def read(text: str, defaults: Given = NOTHING, table: Routes = TABLE) -> Given:
    _, root, reader = resource.read(Path("f"), text.encode())
    found = given.read(reader, root, "given", defaults, table)
    reader.finish()
    return found


def facts(text: str) -> dict[str, object]:
    start = read(text)
    snapshot = start.snapshot(DENY_ALL, TABLE)
    known = Facts(start.head, TABLE, snapshot.lease, snapshot.epoch, start.here, start.now)
    return {name: ask(known) for name, ask in VALUES.items()}


def test_every_name_of_an_expression_can_be_given() -> None:
    found = facts("""\
now: 2026-03-01T12:00:00Z
request: {method: POST, path: /v1/x, query: a=1, host: H.example, model: m, tenant: t, agent: a,
  headers: [{name: X-One, value: " 1 "}]}
epoch: {seq: 7, age: 90s, domain: d}
lease: {age: 250ms, remaining: 2s, quorum: 2, anchor: nonce}
workload: {service: s, region: r, instance: i}
""")
    headers = found.pop("request.headers")
    assert headers == {
        "host": "H.example", "x-one": "1", "x-model": "m", "x-tenant": "t", "x-agent": "a"
    }  # fmt: skip
    assert found.pop("request.parent") == ""
    assert found == {
        "request.method": "POST", "request.path": "/v1/x", "request.query": "a=1",
        "request.host": "h.example", "request.model": "m", "request.tenant": "t",
        "request.agent": "a", "epoch.seq": 7, "epoch.age": 90 * NS_PER_S, "epoch.domain": "d",
        "lease.age": NS_PER_S // 4, "lease.remaining": 2 * NS_PER_S, "lease.quorum": 2,
        "lease.anchor": "nonce", "workload.service": "s", "workload.region": "r",
        "workload.instance": "i", "now": 1_772_366_400 * NS_PER_S,
    }  # fmt: skip


def test_a_case_replaces_what_it_names_and_keeps_the_rest() -> None:
    defaults = read("request: {path: '/a?b', tenant: t, model: m}\nepoch: {age: 1s, seq: 2}\n")
    found = read("request: {model: n}\nepoch: {age: 3s}\nlease: none\n", defaults)
    assert (found.path, found.epoch_seq, found.epoch_age_ms) == ("/a?b", 2, 3000)
    assert set(found.head.headers) == {(b"x-tenant", b"t"), (b"x-model", b"n")}
    assert found.snapshot(DENY_ALL, TABLE).lease is None
    assert read("lease: live", found).lease == "live"
    assert read("lease: {state: live}", found).lease == "live"
    assert read("lease: {age: 1s}", found).lease == "none"


def test_another_path_has_no_query_of_the_path_before() -> None:
    defaults = read("request: {path: /a, query: x=1}\n")
    assert defaults.head.target == b"/a?x=1"
    assert defaults.head.path == b"/a"
    assert read("request: {path: /b}", defaults).head.target == b"/b"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("request: {model: m}", "given.request.model: the route table says of no header"),
        ("request: {path: '/a?b', query: c}", "given.request.query: stands in path already"),
        ("epoch: {seq: 0}", "given.epoch.seq: '0' must be a whole number from 1"),
        ("epoch: {age: 1}", "given.epoch.age: must be a duration"),
        ("lease: dead", "given.lease: 'dead' is not live or none"),
        ("lease: {quorum: 101}", "given.lease.quorum: '101' must be a whole number from 0 to 100"),
        ("lease: {anchor: sun}", "given.lease.anchor: 'sun' is not clock or nonce or both"),
        ("workload: {zone: a}", "given.workload.zone: unknown key"),
        ("now: 2026-03-01T12:00:00", "given.now: '2026-03-01T12:00:00' must be like"),
        ("now: soon", "given.now: 'soon' must be like"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(ResourceError, match=says):
        read(text, table=NO_ROUTES)


def test_a_parent_that_is_given_is_a_permit_of_just_now() -> None:
    assert read("request: {parent: 0123456789abcdef-1}").head.parent == Claim(
        "permit", "0123456789abcdef-1"
    )
    assert read("request: {path: /a}").head.parent == NO_CLAIM


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{verdict: deny}", Claim("deny", "0000000000000000-1")),
        ("{id: 0123456789abcdef-1, age: 5s}", Claim("permit", "0123456789abcdef-1", 5000)),
        ("{verdict: 'false'}", FALSE),
        ("''", NO_CLAIM),
    ],
)
def test_a_parent_can_be_anything_that_a_gate_may_find(text: str, found: Claim) -> None:
    assert read(f"request: {{parent: {text}}}").head.parent == found


def test_a_body_is_seen_only_under_a_policy_that_has_it_read() -> None:
    reading = Body(type=TYPE, name="p", rules=(), model=ModelBody(max_bytes=1))
    start = read("request: {body: {model: small}}")
    assert start.head_under(Policy(reading, b"")).model == b"small"
    assert start.head_under(DENY_ALL).model is None
    assert read("request: {path: /}").head_under(Policy(reading, b"")).model is None
