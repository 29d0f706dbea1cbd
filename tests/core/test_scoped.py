"""What a halt of a part stops: certainly what it names, and whatever cannot be told from it."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import canonical, policy, routes, scoped
from sidecar.core.gate import Denial, Exempt, Permit, decide
from sidecar.core.head import RequestHead
from sidecar.core.objects import epoch, halt
from sidecar.core.objects.halt import NO_HALTS, Halts, Order
from sidecar.core.policy import DENY_ALL
from sidecar.core.reason import Reason
from sidecar.core.routes import Routes
from sidecar.core.scoped import Scoped, stops
from tests import builders
from tests.core.test_gate import NOW, OPEN

TRUST = builders.make_trust()
HALT = builders.make_order(TRUST)
KINDS = ("global", "service", "route", "model", "tenant", "instance", "drill")
Headers = tuple[tuple[bytes, bytes], ...]


def order(kind: str, value: str, number: int = 1) -> Order:
    """Unsigned: what is verified is verified elsewhere."""
    scope = msgspec.convert({"kind": kind, "value": value}, halt.Scope)
    said = msgspec.structs.replace(HALT.says, scope=scope, halt_id=builders.halt_id(f"{number}"))
    return Order(f"{number:064x}", said, b"")


def halts(*scopes: tuple[str, str]) -> Halts:
    return NO_HALTS.union(order(kind, value, n) for n, (kind, value) in enumerate(scopes, 1))


def table(**attributes: str) -> Routes:
    return routes.parse(builders.routes_bytes(attributes=attributes))


TABLE = table(model="x-model", tenant="x-tenant")
BARE = routes.parse(builders.ROUTES)


def head(*headers: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"POST", b"/v1/chat", b"/v1/chat", headers)


def forbidden(
    found: Scoped | None, *headers: tuple[bytes, bytes], table: Routes = TABLE
) -> Reason | None:
    return None if found is None else found.forbids(table, "api", head(*headers))


def compiled(*scopes: tuple[str, str], tenants: tuple[str, ...] = ()) -> Scoped | None:
    made = builders.make_epoch(
        TRUST, scope=epoch.Scope(services=(), regions=(), tenants=tenants, instances=())
    )
    return scoped.compiled(halts(*scopes), made, DENY_ALL, None)


# -- whole sidecars


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("global", "", Reason.HALT_GLOBAL),
        ("global", "x", Reason.HALT_GLOBAL),
        ("drill", "", None),
        ("drill", "chat", None),
        ("service", "chat", Reason.HALT_SCOPED),
        ("service", "other", None),
        ("service", "Chat", None),
        ("service", "chat-1", None),
        ("service", "", Reason.HALT_SCOPED),
        ("instance", "chat-1", Reason.HALT_SCOPED),
        ("instance", "chat-2", None),
        ("instance", "chat", None),
        ("instance", "", Reason.HALT_SCOPED),
        *((kind, "chat", None) for kind in ("route", "model", "tenant")),
        *((kind, "", Reason.HALT_SCOPED) for kind in ("route", "model", "tenant")),
    ],
)
def test_a_scope_stops_the_sidecars_it_names(kind: str, value: str, reason: Reason | None) -> None:
    assert stops(order(kind, value).says.scope, "chat", "chat-1") is reason


@pytest.mark.parametrize("kind", ["service", "instance"])
def test_a_sidecar_that_does_not_know_its_name_is_meant_by_every_name(kind: str) -> None:
    assert stops(order(kind, "other").says.scope, "", "") is Reason.HALT_SCOPED


# -- requests


def test_nothing_is_compiled_while_nothing_is_ordered() -> None:
    assert compiled() is None
    assert scoped.compiled(NO_HALTS, None, DENY_ALL, Scoped(routes=frozenset({"x"}))) is None


@pytest.mark.parametrize("kind", ["global", "service", "instance", "drill"])
def test_orders_for_whole_sidecars_are_not_asked_about_at_each_request(kind: str) -> None:
    assert compiled((kind, "chat")) is None


def test_a_cleared_halt_stops_nothing() -> None:
    held = halts(("route", "api"))
    clear = builders.make_order(TRUST, clears=held.orders[0].says.halt_id)
    assert scoped.compiled(held, None, DENY_ALL, None) == Scoped(routes=frozenset({"api"}))
    assert scoped.compiled(held.union([clear]), None, DENY_ALL, None) is None


def test_what_did_not_change_stays_the_same_object() -> None:
    """Running exchanges are judged again when it is another one."""
    first = compiled(("route", "api"))
    assert scoped.compiled(halts(("route", "api")), None, DENY_ALL, first) is first
    more = scoped.compiled(halts(("route", "api"), ("route", "b")), None, DENY_ALL, first)
    assert more is not first


def test_a_halted_route_is_closed_and_another_is_not() -> None:
    assert forbidden(compiled(("route", "api"))) is Reason.HALT_SCOPED
    assert forbidden(compiled(("route", "API"))) is None
    assert forbidden(compiled(("route", "ap"))) is None


@pytest.mark.parametrize(("kind", "name"), [("model", b"x-model"), ("tenant", b"x-tenant")])
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((b"other",), None),
        ((b"acme2",), None),
        ((b"ACME",), None),  # byte for byte: another name
        ((b"acme",), Reason.HALT_SCOPED),
        ((), Reason.HALT_SCOPED),
        ((b"",), Reason.HALT_SCOPED),
        ((b"other", b"other"), Reason.HALT_SCOPED),
        ((b"other", b"acme"), Reason.HALT_SCOPED),
        ((b"other,acme",), Reason.HALT_SCOPED),
        ((b"other, ",), Reason.HALT_SCOPED),
        ((b"\xc3\xa4",), Reason.HALT_SCOPED),
    ],
)
def test_only_who_is_certainly_another_passes(
    kind: str, name: bytes, values: tuple[bytes, ...], reason: Reason | None
) -> None:
    found = forbidden(compiled((kind, "acme")), *((name, value) for value in values))
    assert found is reason


@pytest.mark.parametrize(
    "lines",
    [
        ((b"x_model", b"other"),),
        ((b"x-model", b"other"), (b"x_model", b"acme")),
        ((b"x_model", b"acme"), (b"x-model", b"other")),
    ],
)
def test_attack_by_a_second_spelling_that_applications_read_as_the_first(lines: Headers) -> None:
    assert forbidden(compiled(("model", "acme")), *lines) is Reason.HALT_SCOPED


@pytest.mark.parametrize("kind", ["model", "tenant"])
def test_a_table_that_does_not_say_where_to_look_is_stopped_whole(kind: str) -> None:
    lines = ((b"x-model", b"other"), (b"x-tenant", b"other"))
    assert forbidden(compiled((kind, "acme")), *lines, table=BARE) is Reason.HALT_SCOPED
    assert forbidden(compiled(("route", "other")), *lines, table=BARE) is None


@pytest.mark.parametrize(
    ("headers", "body", "where", "reason"),
    [
        ((), b"other", TABLE, None),
        ((), b"other", BARE, None),
        ((), b"acme", TABLE, Reason.HALT_SCOPED),
        ((), b"acme", BARE, Reason.HALT_SCOPED),
        ((), b"", TABLE, Reason.HALT_SCOPED),
        ((), b"", BARE, Reason.HALT_SCOPED),
        (((b"x-model", b"other"),), b"other", TABLE, None),
        # Either counts, whatever the other says.
        (((b"x-model", b"other"),), b"acme", TABLE, Reason.HALT_SCOPED),
        (((b"x-model", b"acme"),), b"other", TABLE, Reason.HALT_SCOPED),
        (((b"x-model", b"other"),), b"", TABLE, Reason.HALT_SCOPED),
        (((b"x-model", b"other"), (b"x_model", b"acme")), b"other", TABLE, Reason.HALT_SCOPED),
        (((b"x_model", b"acme"),), b"other", TABLE, Reason.HALT_SCOPED),
    ],
)
def test_a_halted_model_is_looked_for_in_header_and_body(
    headers: Headers, body: bytes, where: Routes, reason: Reason | None
) -> None:
    found = compiled(("model", "acme"))
    assert found is not None
    asked = replace(head(*headers), model=body)
    assert found.forbids(where, "api", asked) is reason


def test_a_halt_of_one_kind_asks_for_nothing_of_another() -> None:
    assert forbidden(compiled(("model", "acme")), (b"x-model", b"other")) is None
    assert forbidden(compiled(("tenant", "acme")), (b"x-tenant", b"other")) is None
    assert forbidden(compiled(("route", "other"))) is None


# -- the tenants that an epoch is for


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((b"acme",), None),
        ((b"globex",), None),
        ((b"other",), Reason.POLICY_DENY),
        ((), Reason.POLICY_DENY),
        ((b"",), Reason.POLICY_DENY),
        ((b"acme", b"acme"), Reason.POLICY_DENY),
        ((b"acme,globex",), Reason.POLICY_DENY),
    ],
)
def test_an_epoch_for_some_tenants_serves_nobody_else(
    values: tuple[bytes, ...], reason: Reason | None
) -> None:
    found = compiled(tenants=("acme", "globex"))
    assert forbidden(found, *((b"x-tenant", value) for value in values)) is reason


def test_a_halted_tenant_of_the_epoch_is_halted() -> None:
    found = compiled(("tenant", "acme"), tenants=("acme", "globex"))
    assert forbidden(found, (b"x-tenant", b"acme")) is Reason.HALT_SCOPED
    assert forbidden(found, (b"x-tenant", b"globex")) is None
    assert forbidden(found, (b"x-tenant", b"other")) is Reason.POLICY_DENY


def budgeted(**budgets: list[str]) -> policy.Policy:
    raw = canonical.parse(builders.POLICY, policy.MAX_BYTES)
    assert isinstance(raw, dict)
    return policy.parse(canonical.encode({**raw, "budgets": budgets}))


@pytest.mark.parametrize(("kind", "name"), [("models", b"x-model"), ("tenants", b"x-tenant")])
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((b"acme",), None),
        ((b"other",), Reason.POLICY_DENY),
        ((), Reason.POLICY_DENY),
        ((b"acme", b"acme"), Reason.POLICY_DENY),
        ((b"acme, ",), Reason.POLICY_DENY),
        ((b"ACME",), Reason.POLICY_DENY),
    ],
)
def test_a_policy_for_some_models_or_tenants_serves_nothing_else(
    kind: str, name: bytes, values: tuple[bytes, ...], reason: Reason | None
) -> None:
    found = scoped.compiled(NO_HALTS, None, budgeted(**{kind: ["acme", "globex"]}), None)
    assert forbidden(found, *((name, value) for value in values)) is reason


def test_tenants_of_epoch_and_policy_both_have_to_agree_and_may_leave_nobody() -> None:
    def served(*named: str) -> scoped.Scoped | None:
        said = epoch.Scope(services=(), regions=(), tenants=named, instances=())
        made = builders.make_epoch(TRUST, scope=said)
        return scoped.compiled(NO_HALTS, made, budgeted(tenants=["acme", "initech"]), None)

    acme, globex = (b"x-tenant", b"acme"), (b"x-tenant", b"globex")
    assert forbidden(served("acme", "globex"), acme) is None
    assert forbidden(served("acme", "globex"), globex) is Reason.POLICY_DENY
    nobody = served("globex")
    assert nobody is not None
    assert nobody.served == frozenset()
    assert forbidden(nobody, acme) is Reason.POLICY_DENY
    assert forbidden(nobody, globex) is Reason.POLICY_DENY


def test_a_halt_of_a_model_wins_over_the_budget_that_names_it() -> None:
    held = halts(("model", "acme"))
    found = scoped.compiled(held, None, budgeted(models=["acme"]), None)
    assert forbidden(found, (b"x-model", b"acme")) is Reason.HALT_SCOPED
    assert forbidden(found, (b"x-model", b"other")) is Reason.POLICY_DENY


@pytest.mark.parametrize(
    ("kind", "where", "reason"),
    [
        ("models", BARE, Reason.PROFILE_UNSUPPORTED),
        ("models", table(tenant="x-t"), Reason.PROFILE_UNSUPPORTED),
        ("models", table(model="x-m"), None),
        ("tenants", table(model="x-m"), Reason.PROFILE_UNSUPPORTED),
        ("tenants", table(tenant="x-t"), None),
    ],
)
def test_a_budget_needs_a_table_that_says_where_to_look(
    kind: str, where: Routes, reason: Reason | None
) -> None:
    made = builders.make_epoch(TRUST)
    assert scoped.unenforceable(made, budgeted(**{kind: ["acme"]}), where) is reason


@pytest.mark.parametrize(
    ("tenants", "where", "reason"),
    [
        ((), BARE, None),
        (("acme",), TABLE, None),
        (("acme",), table(tenant="x-t"), None),
        (("acme",), BARE, Reason.PROFILE_UNSUPPORTED),
        (("acme",), table(model="x-m"), Reason.PROFILE_UNSUPPORTED),
    ],
)
def test_an_epoch_for_tenants_needs_to_be_told_who_asks(
    tenants: tuple[str, ...], where: Routes, reason: Reason | None
) -> None:
    said = epoch.Scope(services=(), regions=(), tenants=tenants, instances=())
    assert scoped.unenforceable(builders.make_epoch(TRUST, scope=said), DENY_ALL, where) is reason


# -- for any orders and any request

names = st.sampled_from(["", "api", "acme", "globex", "b", "Acme", "ä"])
scopes = st.lists(st.tuples(st.sampled_from(KINDS), names), max_size=4)
lines = st.lists(
    st.tuples(
        st.sampled_from([b"x-model", b"x-tenant", b"x_model", b"x_tenant", b"accept"]),
        names.map(lambda name: name.encode()) | st.just(b"acme,globex"),
    ),
    max_size=4,
).map(tuple)
tables = st.sampled_from([TABLE, BARE, table(model="x-model"), table(tenant="x-tenant")])


def named(kind: str, value: str, table: Routes, headers: Headers, body: bytes | None) -> bool:
    """Whether a halt names the request, said as plainly as a person would."""
    if not value:
        return kind in ("route", "model", "tenant")
    if kind == "model" and body == value.encode():
        return True
    if kind == "route":
        return value == "api"
    header = {"model": table.model_header, "tenant": table.tenant_header}.get(kind)
    return header is not None and (header, value.encode()) in headers


@given(scopes, lines, tables, st.none() | names.map(str.encode))
def test_what_a_halt_names_is_never_permitted(
    given_scopes: list[tuple[str, str]], headers: Headers, where: Routes, body: bytes | None
) -> None:
    known = halts(*given_scopes)
    snapshot = replace(
        OPEN, routes=where, halts=known, scoped=scoped.compiled(known, None, DENY_ALL, None)
    )
    held = [stops(one.says.scope, "chat", "chat-1") for one in known.active]
    decision = decide(snapshot, replace(head(*headers), model=body), NOW)
    assert not isinstance(decision, Exempt)
    if any(named(kind, value, where, headers, body) for kind, value in given_scopes):
        assert isinstance(decision, Denial) or any(held)
    if isinstance(decision, Denial) and decision.reason is Reason.POLICY_DENY:
        assert body
        assert where.model_header is not None
        assert (where.model_header, body) not in headers
    elif isinstance(decision, Denial):
        assert decision.reason is Reason.HALT_SCOPED
        assert {kind for kind, _ in given_scopes} & {"route", "model", "tenant"}


@given(lines, tables)
def test_without_orders_no_header_matters(headers: Headers, where: Routes) -> None:
    assert isinstance(decide(replace(OPEN, routes=where), head(*headers), NOW), Permit)


@given(scopes, scopes, lines)
def test_one_more_halt_never_opens_anything(
    some: list[tuple[str, str]], more: list[tuple[str, str]], headers: Headers
) -> None:
    before, after = compiled(*some), compiled(*some, *more)
    assert forbidden(before, *headers) is None or forbidden(after, *headers) is not None
