"""What expressions are told: each name has one value, of the kind that is declared for it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import facts, routes
from sidecar.core.expression import DECLARED, EvaluationError
from sidecar.core.facts import Facts, Headers, Workload
from sidecar.core.head import RequestHead
from sidecar.core.instant import NS_PER_MS, BootNs, Now, WallMs
from sidecar.core.lease import Lease
from sidecar.core.quorum import PeerId
from tests import builders

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
START = builders.now()
LEASE = Lease(
    1, EPOCH.sha256, builders.make_beat(TRUST, EPOCH), (PeerId("a"), PeerId("b")),
    BootNs(START.boot + 900 * NS_PER_MS), WallMs(START.wall + 1000), "both",
)  # fmt: skip
ROUTES = routes.parse(
    builders.routes_bytes(attributes={"agent": "x-agent", "model": "x-model", "tenant": "x-tenant"})
)
HERE = Workload("chat", "eu-1", "chat-ab", "ab" * 32)


def head(target: str = "/v1/chat?a=1?b", *lines: tuple[str | bytes, str | bytes]) -> RequestHead:
    raw = target.encode()
    headers = tuple((_bytes(name), _bytes(value)) for name, value in lines)
    return RequestHead(b"POST", raw, raw.partition(b"?")[0], headers)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def known(request: RequestHead | None = None, **changes: Any) -> Facts:
    said: dict[str, Any] = {
        "routes": ROUTES, "lease": LEASE, "epoch": EPOCH, "here": HERE, "now": builders.now(250),
    }  # fmt: skip
    return Facts(head() if request is None else request, **(said | changes))


def value(name: str, told: Facts | None = None) -> object:
    return facts.VALUES[name](told or known())


KINDS = {"string": str, "int": int, "duration": int, "timestamp": int, "map": Headers}


def test_every_declared_name_has_a_value_of_its_kind_and_no_other_is_told() -> None:
    assert facts.VALUES.keys() == DECLARED.keys()
    for name, kind in DECLARED.items():
        assert type(value(name)) is KINDS[kind.kind], name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("request.method", "POST"), ("request.path", "/v1/chat"), ("request.query", "a=1?b"),
        ("epoch.seq", 1), ("epoch.domain", "test"), ("epoch.age", 250 * NS_PER_MS),
        ("lease.remaining", 650 * NS_PER_MS), ("lease.age", 250 * NS_PER_MS),
        ("lease.quorum", 2), ("lease.anchor", "both"),
        ("workload.service", "chat"), ("workload.region", "eu-1"),
        ("workload.instance", "chat-ab"), ("now", (builders.NOW + 250) * NS_PER_MS),
        ("request.parent", ""),
    ],
)  # fmt: skip
def test_what_is_told_of_request_epoch_lease_and_place(name: str, found: object) -> None:
    assert value(name) == found


def test_the_parent_is_the_one_that_was_found_to_be_good_enough() -> None:
    assert value("request.parent", known(parent="0123456789abcdef-1")) == "0123456789abcdef-1"


def test_the_earlier_deadline_ends_the_lease() -> None:
    sooner = replace(LEASE, wall_deadline=WallMs(START.wall + 300))
    assert value("lease.remaining", known(lease=sooner)) == 50 * NS_PER_MS


@pytest.mark.parametrize("name", ["epoch.age", "lease.age"])
def test_an_age_is_not_negative_when_this_clock_is_behind(name: str) -> None:
    assert value(name, known(now=Now(START.boot, WallMs(START.wall - 400)))) == 0


@pytest.mark.parametrize("name", [name for name in DECLARED if name.startswith("epoch.")])
def test_without_an_epoch_there_is_no_answer_about_one(name: str) -> None:
    with pytest.raises(EvaluationError):
        value(name, known(epoch=None))


@pytest.mark.parametrize("name", [name for name in DECLARED if name.startswith("lease.")])
def test_without_a_lease_there_is_no_answer_about_one(name: str) -> None:
    with pytest.raises(EvaluationError):
        value(name, known(lease=None))


@pytest.mark.parametrize("kind", ["model", "tenant", "agent"])
def test_who_a_request_is_for_is_told_by_exactly_one_line(kind: str) -> None:
    def told(*lines: tuple[str, str]) -> object:
        return value(f"request.{kind}", known(head("/", *lines)))

    name = f"x-{kind}"
    assert told((name, "acme")) == "acme"
    assert told() == ""
    assert told((name, "acme"), (name, "acme")) == ""
    assert told((name, "acme"), (f"x_{kind}", "other")) == ""
    assert told((name, "acme,other")) == ""
    undeclared = known(head("/", (name, "acme")), routes=routes.parse(builders.ROUTES))
    assert value(f"request.{kind}", undeclared) == ""


def test_a_model_is_what_header_and_body_agree_on() -> None:
    def told(body: bytes, *lines: tuple[str, str]) -> object:
        return value("request.model", known(replace(head("/v1/chat", *lines), model=body)))

    assert told(b"m") == "m"
    assert told(b"m", ("x-model", "m")) == "m"
    assert told(b"m", ("x-model", "other")) == ""
    assert told(b"", ("x-model", "m")) == ""


def test_lines_of_one_header_are_joined_in_order() -> None:
    told = known(head("/", ("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x_a", "4")))
    assert value("request.headers", told) == {"x-a": "1,3", "x-b": "2", "x_a": "4"}


@given(st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3)), max_size=5), st.text("aé"))
def test_headers_are_a_map_like_any_other(lines: list[tuple[bytes, bytes]], other: str) -> None:
    joined: dict[str, str] = {}
    for name, value in lines:
        known = joined.get(facts.text(name))
        joined[facts.text(name)] = facts.text(
            value if known is None else _raw(known) + b"," + value
        )
    found = Headers(tuple(lines))
    assert (dict(found), len(found), found == joined) == (joined, len(joined), True)
    assert all(name in found for name in joined)
    assert (other in found) == (other in joined)
    assert found.get(other) == joined.get(other)


def _raw(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def test_a_host_is_told_without_regard_to_case() -> None:
    assert value("request.host", known(head("/", ("host", "API.example:8000")))) == (
        "api.example:8000"
    )
    assert value("request.host", known(head("/"))) == ""


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_attack_by_an_encoding_two_values_are_equal_only_byte_for_byte(
    one: bytes, two: bytes
) -> None:
    assert (facts.text(one) == facts.text(two)) == (one == two)


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=12))
def test_text_is_told_as_a_policy_would_spell_it(value: str) -> None:
    assert facts.text(value.encode()) == value


def test_what_is_asked_twice_is_worked_out_once() -> None:
    told, asked = known(), []

    def counts(facts: Facts) -> object:
        asked.append(facts)
        return len(asked)

    ask = facts.variable("variables.x", counts)
    assert (ask(told), ask(told), len(asked)) == (1, 1, 1)
    assert ask(known()) == 2
    assert told.headers is told.headers


def test_a_variable_that_fails_fails_each_time_and_is_worked_out_once() -> None:
    told, asked = known(), []

    def fails(_: Facts) -> object:
        asked.append(1)
        raise EvaluationError("no such key")

    ask = facts.variable("variables.x", fails)
    for _ in range(2):
        with pytest.raises(EvaluationError, match="no such key"):
            ask(told)
    assert len(asked) == 1
