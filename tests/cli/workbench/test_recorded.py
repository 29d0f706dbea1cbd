"""What a record answers, and that it never answers what it does not hold."""

from typing import Any

import msgspec
import pytest

from sidecar.cli.workbench.recorded import AnyRoute, Recorded, UnrecordedError, value
from sidecar.core import canonical, routes
from sidecar.core.expression.environment import DECLARED
from sidecar.core.facts import NOWHERE, Workload
from sidecar.core.head import one_value
from sidecar.core.log.record import PATH_MAX_BYTES, Decision, EpochRef
from sidecar.core.policy import Policy
from sidecar.core.policy_body import TYPE, Body, ModelBody, ParentBody
from sidecar.core.recording import VALUE_MAX_BYTES
from sidecar.core.routes import Routes
from tests import builders

SHA = "0" * 64
PLAIN = Decision(
    beat=None, boot="0" * 16, decision="permit", decision_id="0-1", epoch=EpochRef(seq=7, sha=SHA),
    inst="pod", lease_ms_left=250, method="POST", parent_id=None, path="/v1/chat", policy_sha=SHA,
    prev=SHA, reason=None, req_h=None, route="chat", rule="r", seq=1, subject_h=None,
    trace_id=None, trust_v=1, ts=1_800_000_000_000, type="decision", upstream="u", v=1,
)  # fmt: skip
TABLE = routes.parse(
    canonical.dump(
        msgspec.structs.replace(
            canonical.load(builders.ROUTES, routes.Body, routes.MAX_BYTES),
            attributes=routes.AttributesBody(agent="x-agent", tenant="x-tenant"),
            exempt=(routes.ExemptBody("/health", "model"),),
        )
    )
)


def policy(here: Workload = NOWHERE, **more: Any) -> Policy:
    return Policy(Body(type=TYPE, name="p", rules=(), **more), b"", here)


ASKS_NOTHING = policy()


def recorded(
    table: Routes = TABLE,
    candidate: Policy = ASKS_NOTHING,
    listed: tuple[str, ...] = (),
    **said: Any,
) -> Recorded:
    return Recorded(msgspec.structs.replace(PLAIN, **said), listed, table, candidate)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("request.method", "POST"), ("request.path", "/v1/chat"), ("epoch.seq", 7),
        ("lease.remaining", 250_000_000), ("now", 1_800_000_000_000_000_000),
        ("request.model", ""),  # the table says of no header that it names the model
    ],
)  # fmt: skip
def test_what_every_record_holds(name: str, found: object) -> None:
    assert value(name, recorded()) == found


@pytest.mark.parametrize(
    "name",
    [
        "request.query", "request.host", "request.tenant", "request.agent", "epoch.age",
        "epoch.domain", "lease.age", "lease.quorum", "lease.anchor", "workload.service",
        "workload.region", "workload.instance", "a.name.from.tomorrow",
    ],
)  # fmt: skip
def test_what_no_plain_record_holds(name: str) -> None:
    asked = recorded()
    with pytest.raises(UnrecordedError):
        value(name, asked)
    assert asked.missing


def test_every_name_that_an_expression_can_use_has_an_answer_or_is_missed() -> None:
    for name in DECLARED:
        try:
            value(name, recorded())
        except UnrecordedError:
            continue


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ({"path": ""}, "the path"),
        ({"path": "/" + "a" * PATH_MAX_BYTES}, "the end of a long path"),
        ({"path": "/a\\x41"}, "the bytes of a path with \\"),
        ({"method": ""}, "the method"),
        ({"method": "GET", "path": "/health"}, "the query: the path is exempt without one"),
    ],
)
def test_a_request_that_is_not_wholly_known_has_no_head(said: Any, missing: str) -> None:
    with pytest.raises(UnrecordedError, match=missing.replace("\\", "\\\\")):
        recorded(**said).head()


def test_listed_headers_are_known_and_others_must_not_be_looked_for() -> None:
    asked = recorded(headers={"x-a": "1", "x-long": "y" * VALUE_MAX_BYTES, "x-odd": "\\x41"})
    lines = asked.head().headers
    assert [text for key, text in lines if key == b"x-a"] == [b"1"]
    for name in (b"x-b", b"x-long", b"x-odd"):
        with pytest.raises(UnrecordedError, match=f"header {name.decode()}"):
            [text for key, text in lines if key == name]


def test_a_header_that_was_listed_and_is_not_there_was_not_sent() -> None:
    asked = recorded(listed=("x-a", "x-b"), headers={"x-a": "1"})
    lines = asked.head().headers
    assert [text for key, text in lines if key == b"x-b"] == []
    assert [text for key, text in lines if key == b"x-a"] == [b"1"]
    headers = value("request.headers", asked)
    assert isinstance(headers, dict) is False
    assert headers["x-a"] == "1"  # type: ignore[index]
    assert "x-b" not in headers  # type: ignore[operator]
    assert not asked.missing


def test_all_headers_are_never_known() -> None:
    asked = recorded(headers={"x-a": "1"})
    headers: Any = value("request.headers", asked)
    for ask in (len, list):
        with pytest.raises(UnrecordedError, match="all headers"):
            ask(headers)
    with pytest.raises(UnrecordedError, match="all headers"):
        dict(asked.head().headers)


def test_who_it_was_for_is_known_when_its_header_was_listed() -> None:
    assert value("request.tenant", recorded(headers={"x-tenant": "acme"})) == "acme"
    assert value("request.tenant", recorded(headers={"x-tenant": "a,b"})) == ""
    assert value("request.tenant", recorded(listed=("x-tenant",))) == ""
    with pytest.raises(UnrecordedError, match=r"header x-tenant \(only its digest\)"):
        value("request.tenant", recorded(tenant_h=SHA))
    with pytest.raises(UnrecordedError, match="the route table: give --routes"):
        value("request.tenant", recorded(AnyRoute(), headers={"x-tenant": "acme"}))


def test_a_model_that_a_body_may_name_is_not_known_without_its_header() -> None:
    assert value("request.model", recorded()) == ""
    reads = policy(model=ModelBody(1))
    with pytest.raises(UnrecordedError, match="the model that the body names"):
        value("request.model", recorded(candidate=reads))


def test_a_name_that_was_recorded_is_found_in_any_spelling() -> None:
    lines = recorded(headers={"x-tenant": "acme"}).head().headers
    assert one_value(lines, b"x-tenant") == b"acme"
    with pytest.raises(UnrecordedError, match="header x-model"):
        one_value(lines, b"x-model")


def test_host_is_told_as_it_is_compared() -> None:
    assert value("request.host", recorded(headers={"host": "Model.Local"})) == "model.local"


def test_where_it_was_can_be_given() -> None:
    assert value("workload.region", recorded(candidate=policy(Workload(region="eu")))) == "eu"


def test_what_differs_from_record_to_record_is_marked() -> None:
    for name in ("now", "epoch.seq", "lease.remaining"):
        asked = recorded()
        value(name, asked)
        assert asked.varies, name
    asked = recorded(headers={"x-a": "1"})
    assert value("request.path", asked)
    assert not asked.varies


def test_a_parent_is_known_to_whoever_asks_for_one() -> None:
    assert value("request.parent", recorded(parent_id="p")) == ""
    asks = policy(parent=ParentBody(1000, required=False))
    asked = recorded(candidate=asks, parent_id="p")
    assert value("request.parent", asked) == "p"
    assert asked.varies
    with pytest.raises(UnrecordedError, match="the parent decision"):
        value("request.parent", recorded(candidate=asks))


def test_a_record_without_epoch_or_lease_does_not_know_them() -> None:
    asked = recorded(epoch=None, lease_ms_left=None)
    for name in ("epoch.seq", "lease.remaining"):
        with pytest.raises(UnrecordedError):
            value(name, asked)


def test_nothing_is_known_of_a_table_that_nobody_named() -> None:
    table = AnyRoute()
    assert table.match(b"/anything") is not None
    for name in ("model_header", "tenant_header", "agent_header", "from_tomorrow"):
        with pytest.raises(UnrecordedError, match="give --routes"):
            getattr(table, name)
