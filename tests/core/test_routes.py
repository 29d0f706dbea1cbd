"""The route table: where a path leads, what is exempt, and tables that are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, routes
from sidecar.core.canonical import Json
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.routes import NO_ROUTES, Upstream
from sidecar.proxy import fields

MODEL = {"host": "127.0.0.1", "port": 8000}


def route(name: str, upstream: str = "model", paths: tuple[str, ...] = ("/**",)) -> dict[str, Json]:
    return {"name": name, "paths": [*paths], "upstream": upstream}


def raw(**changes: Any) -> bytes:
    table: dict[str, Any] = {
        "_type": routes.TYPE, "name": "r", "upstreams": {"model": MODEL},
        "routes": [route("all")], "exempt": [{"target": "/health", "upstream": "model"}],
    }  # fmt: skip
    return canonical.encode({**table, **changes})


def outcome(table: bytes) -> Reason | None:
    """None for a table. Anything but a ProtocolError passes through and fails the test."""
    try:
        routes.parse(table)
    except ProtocolError as error:
        return error.reason
    return None


def refused(table: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        routes.parse(table)
    assert caught.value.reason is Reason.ROUTE_DIGEST_MISMATCH
    return caught.value.detail


def test_the_first_route_whose_pattern_matches_wins() -> None:
    upstreams = {"a": MODEL, "b": {"host": "::1", "port": 1}}
    first = route("one", "b", ("/v1/x", "/v1/*"))
    second = route("two", "a", ("/v1/x", "/**"))
    table = routes.parse(raw(upstreams=upstreams, exempt=[], routes=[first, second]))
    assert table.names == ("one", "two")
    one, two = table.match(b"/v1/x"), table.match(b"/v2")
    assert one is not None
    assert two is not None
    assert (one.name, one.upstream) == ("one", Upstream("b", "::1", 1))
    assert (two.name, two.upstream) == ("two", Upstream("a", "127.0.0.1", 8000))


def test_a_path_without_a_route_leads_nowhere() -> None:
    assert routes.parse(raw(routes=[route("v1", paths=("/v1/*",))])).match(b"/v2/x") is None


def test_a_new_gate_has_no_route_and_exempts_nothing() -> None:
    assert NO_ROUTES.match(b"/") is None
    assert (NO_ROUTES.exempt, NO_ROUTES.sha256) == ({}, "")


def test_an_exempt_target_leads_to_its_upstream() -> None:
    table = routes.parse(raw())
    assert table.exempt == {b"/health": Upstream("model", "127.0.0.1", 8000)}


def test_a_table_without_attributes_has_the_bytes_that_it_always_had() -> None:
    body = canonical.load(raw(), routes.Body, routes.MAX_BYTES)
    assert canonical.dump(body) == raw()
    table = routes.parse(raw())
    assert (table.agent_header, table.model_header, table.tenant_header) == (None, None, None)


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({"agent": "x-agent"}, (b"x-agent", None, None)),
        ({"model": "x-model"}, (None, b"x-model", None)),
        ({"tenant": "host"}, (None, None, b"host")),
        ({"agent": "a", "model": "x-model", "tenant": "x_t"}, (b"a", b"x-model", b"x_t")),
    ],
)
def test_attributes_are_read_and_written_back(
    attributes: dict[str, str], found: tuple[bytes | None, ...]
) -> None:
    table = routes.parse(raw(attributes=attributes))
    assert (table.agent_header, table.model_header, table.tenant_header) == found
    body = canonical.load(table.raw, routes.Body, routes.MAX_BYTES)
    assert canonical.dump(body) == table.raw


NEVER_SEEN = sorted(
    {name.decode() for name in (*fields.FRAMING, *fields.REQUEST)} - {"host", "traceparent"}
)


@pytest.mark.parametrize(
    "name",
    [*NEVER_SEEN, "content_length", "x-epochgate-decision-id", "x_epochgate_x", "x-epochgate",
     "proxy-authorization", "proxy_x"],
)  # fmt: skip
def test_a_header_that_no_decision_ever_sees_is_no_attribute(name: str) -> None:
    assert "never reaches a decision" in refused(raw(attributes={"agent": name}))
    assert "never reaches a decision" in refused(raw(attributes={"model": name}))
    assert "never reaches a decision" in refused(raw(attributes={"tenant": name}))


def test_a_table_carries_the_digest_of_its_bytes() -> None:
    assert routes.parse(raw()).sha256 == canonical.digest(raw())


@pytest.mark.parametrize(
    "host",
    ["localhost", "model.svc", "", "127.0.0.1.", "0x7f.1", "127.1", "fe80::1%eth0", "[::1]",
     "10.0.0.0/8", "127.0.0.1\n"],
)  # fmt: skip
def test_attack_by_a_name_where_an_address_must_be(host: str) -> None:
    """A name would let whoever answers DNS choose the service."""
    assert "IP address" in refused(raw(upstreams={"model": {"host": host, "port": 1}}))


@pytest.mark.parametrize(
    "target",
    ["/health*", "/*", "/**", "/health?x=1", "/a//b", "/a/../b", "/a/.", "/%61", "health", "", "*",
     "/h\xe9", "/a;b", "/a b", "http://x/health"],
)  # fmt: skip
def test_attack_by_an_exempt_target_that_means_more_than_one_thing(target: str) -> None:
    wrong = refused(raw(exempt=[{"target": target, "upstream": "model"}]))
    assert "one plain path" in wrong


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (raw(routes=[route("a", "other")]), "no upstream named 'other'"),
        (raw(exempt=[{"target": "/health", "upstream": "other"}]), "no upstream named 'other'"),
        (raw(routes=[route("a"), route("a")]), "routes[1] (a): name is used twice"),
        (raw(exempt=[{"target": "/h", "upstream": "model"}] * 2), "target '/h' is used twice"),
        (raw(routes=[route("a", paths=("/a*",))]), "whole segment"),
        (raw(routes=[route("a", paths=())]), "length"),
        (raw(upstreams={"model": {"host": "127.0.0.1", "port": 0}}), ">= 1"),
        (raw(upstreams={"model": {"host": "127.0.0.1", "port": 65536}}), "<= 65535"),
        (raw(upstreams={"model": {"host": "127.0.0.1", "port": "80"}}), "int"),
        (raw(upstreams={"Model": MODEL}), "regex"),
        (raw(_type="urn:epochgate:policy:v1"), "_type is"),
        (raw(extra=1), "unknown"),
        (raw(attributes={}), "attributes: names no header"),
        (raw(attributes=None), "attributes"),
        (raw(attributes={"model": None}), "model"),
        (raw(attributes={"region": "x-region"}), "unknown"),
        (raw(attributes={"model": "X-Model"}), "regex"),
        (raw(attributes={"model": ""}), "regex"),
        (raw(attributes={"model": "x model"}), "regex"),
        (raw(attributes={"model": ["x-model"]}), "str"),
        (raw(attributes={"model": "te", "tenant": "expect"}), "model: header 'te' never"),
        (raw(attributes={"model": "te", "tenant": "expect"}), "tenant: header 'expect' never"),
        (b"", ""),
        (raw() + b" ", "canonical"),
    ],
)
def test_a_table_that_is_none_is_refused_whole(table: bytes, says: str) -> None:
    assert says in refused(table)


def test_a_table_beyond_its_limit_is_refused_before_it_is_parsed() -> None:
    assert "limit" in refused(b" " * (routes.MAX_BYTES + 1))


def test_every_problem_of_a_table_is_named_at_once() -> None:
    bad = {"host": "x", "port": 1}
    assert refused(raw(upstreams={"model": bad}, routes=[route("a", "b", ("c",))])).count(";") == 2


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_protocol_error(table: bytes) -> None:
    assert outcome(table) in (None, Reason.ROUTE_DIGEST_MISMATCH)


@given(
    st.sampled_from(["_type", "name", "upstreams", "routes", "exempt", "attributes"]),
    st.none() | st.integers(-9, 9) | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=2)
    | st.dictionaries(st.text("abc", max_size=3), st.text(max_size=3), max_size=2),
)  # fmt: skip
def test_any_value_in_a_table_is_read_or_a_protocol_error(key: str, value: Json) -> None:
    try:
        table = raw(**{key: value})
    except ProtocolError:
        return  # outside of what can be encoded at all
    assert outcome(table) in (None, Reason.ROUTE_DIGEST_MISMATCH)


@given(st.text(max_size=20))
def test_any_text_as_host_is_an_address_or_a_protocol_error(host: str) -> None:
    try:
        table = routes.parse(raw(upstreams={"model": {"host": host, "port": 1}}))
    except ProtocolError:
        return
    assert set(table.exempt[b"/health"].host) <= set("0123456789abcdefABCDEF.:")
