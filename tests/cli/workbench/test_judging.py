"""Recorded decisions under a candidate: judged when they can be, never guessed."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.cli.source import load_policy, load_routes
from sidecar.cli.workbench import judging
from sidecar.cli.workbench.flips import Group, Kind
from sidecar.cli.workbench.judging import Candidate, Replay, Terms
from sidecar.core import routes
from sidecar.core.log.record import Decision
from tests.cli.workbench.made import CHAT, policy_file, table_file
from tests.cli.workbench.test_recorded import PLAIN

DENIED = msgspec.structs.replace(PLAIN, decision="deny", reason="EG204", rule=None, route=None)


def candidate(folder: Path, *rules: str, **more: str) -> Candidate:
    table = routes.parse(load_routes(table_file(folder)))
    return Candidate(load_policy(policy_file(folder, "c", rules, **more)), Terms(table))


def when(expression: str, rule: str = CHAT) -> str:
    return f'{rule[:-1]}, matchConditions: [{{name: c, expression: "{expression}"}}]}}'


def said(record: Decision = PLAIN, **more: Any) -> Decision:
    return msgspec.structs.replace(record, **more)


def test_an_answer_that_nothing_hangs_on_may_be_missing(tmp_path: Path) -> None:
    either = candidate(tmp_path, when("request.query == 'a' || request.path == '/v1/chat'"))
    assert either.group(PLAIN).kind is Kind.MOVED
    both = candidate(tmp_path, when("request.query == 'a' && request.path == '/v1/chat'"))
    assert both.group(PLAIN) == Group(
        Kind.UNKNOWN, "permit", None, "r", "chat", why="not recorded: request.query"
    )


def test_a_rule_that_does_not_come_to_its_question_decides(tmp_path: Path) -> None:
    no = "{name: no, action: deny, paths: [/v1/other], headers: [{name: x, value: '1'}]}"
    assert candidate(tmp_path, no, CHAT).group(PLAIN).kind is Kind.MOVED
    yes = no.replace("/v1/other", "/v1/*")
    assert candidate(tmp_path, yes, CHAT).group(PLAIN).why == "not recorded: header x"


def test_a_header_condition_of_a_policy_with_expressions_is_missed_too(tmp_path: Path) -> None:
    no = "{name: no, action: deny, paths: [/v1/**], headers: [{name: x, value: '1'}]}"
    asks = candidate(tmp_path, no, when("request.method == 'POST'"))
    assert asks.policy.asks
    assert asks.group(PLAIN).why == "not recorded: header x"


def test_a_mistake_of_the_request_is_a_denial_and_not_a_missing_record(tmp_path: Path) -> None:
    asks = candidate(tmp_path, when("request.headers['x'] == '1'"))
    listing = Candidate(
        load_policy(tmp_path / "c.yaml"),
        Terms(routes.parse(load_routes(tmp_path / "routes.yaml")), listed={"0" * 64: ("x",)}),
    )
    assert asks.group(PLAIN).why == "not recorded: header x"
    found = listing.group(PLAIN)
    assert (found.kind, found.now) == (Kind.TIGHTER, "EG203")


def test_a_variable_that_misses_its_answer_is_missed_each_time(tmp_path: Path) -> None:
    asks = candidate(
        tmp_path, when("variables.q == 'a'"), variables='[{name: q, expression: "request.query"}]'
    )
    for _ in range(2):
        assert asks.group(PLAIN).why == "not recorded: request.query"


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (said(DENIED, reason="EG102"), "not of the policy: EG102 lease-expired"),
        (said(DENIED, reason="EG901"), "not of the policy: EG901 halt-global"),
        (said(DENIED, reason="EG203"), "not of the policy: EG203 policy-invalid"),
        (said(DENIED, reason="EG999"), "not of the policy: EG999"),
        (said(DENIED, reason=None), "not of the policy: None"),
    ],
)
def test_what_no_policy_denied_no_policy_can_permit(
    tmp_path: Path, record: Decision, why: str
) -> None:
    assert candidate(tmp_path, CHAT).group(record).why == why


def test_an_expression_that_failed_then_is_judged_anew(tmp_path: Path) -> None:
    found = candidate(tmp_path, CHAT).group(said(DENIED, reason="EG203", rule="r"))
    assert found.kind is Kind.LOOSER


def test_what_was_only_observed_is_compared_by_what_became_of_it(tmp_path: Path) -> None:
    seen = said(reason="EG204", rule=None)
    assert candidate(tmp_path, CHAT).group(seen).kind is Kind.MOVED
    other = CHAT.replace("/v1/chat", "/v1/other")
    assert candidate(tmp_path, other).group(seen).kind is Kind.TIGHTER
    assert candidate(tmp_path, other, mode="observe").group(seen).kind is Kind.SAME


def test_what_varies_is_judged_each_time(tmp_path: Path) -> None:
    noon = candidate(tmp_path, when("now.getHours() == 8"))
    assert noon.group(PLAIN).kind is Kind.MOVED
    assert noon.group(said(ts=PLAIN.ts + 3_600_000)).kind is Kind.TIGHTER
    assert noon.group(PLAIN).kind is Kind.MOVED


def test_what_does_not_vary_is_judged_once_and_by_all_that_it_hangs_on(tmp_path: Path) -> None:
    asks = candidate(tmp_path, when("request.headers['x'] == '1'"))
    assert asks.group(said(headers={"x": "1"})).kind is Kind.MOVED
    assert asks.group(said(headers={"x": "2"})).kind is Kind.TIGHTER
    assert asks.group(said(headers={})).kind is Kind.UNKNOWN
    assert asks.group(said(method="GET", headers={"x": "1"})).kind is Kind.TIGHTER
    assert asks.group(said(path="/v1/x", headers={"x": "1"})).kind is Kind.TIGHTER
    assert asks.group(said(headers={"x": "1"})) is asks.group(said(headers={"x": "1"}, ts=1))


def test_a_log_of_many_paths_is_judged_with_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "KNOWN_MAX", 4)
    trial = candidate(tmp_path, CHAT)
    for number in range(20):
        assert trial.group(said(path=f"/v1/{number}")).kind is Kind.TIGHTER
        assert len(trial._known) <= 4


def test_budgets_on_tenants_are_about_requests(tmp_path: Path) -> None:
    """Judged before the rules; a table that nobody named cannot say where a tenant stands."""
    asks = candidate(tmp_path, CHAT, budgets="{tenants: [acme]}")
    assert asks.group(PLAIN).why == "not recorded: header x-tenant"
    assert asks.group(said(tenant_h="0" * 64)).why == (
        "not recorded: header x-tenant (only its digest)"
    )
    assert asks.group(said(headers={"x-tenant": "acme"})).kind is Kind.MOVED
    assert asks.group(said(headers={"x-tenant": "zed"})).kind is Kind.TIGHTER
    blind = Candidate(load_policy(tmp_path / "c.yaml"), Terms())
    assert blind.group(PLAIN).why == "not recorded: the route table: give --routes"


def test_a_replay_counts_decisions_of_its_time(tmp_path: Path) -> None:
    replay = Replay(candidate(tmp_path, CHAT), PLAIN.ts, PLAIN.ts + 1)
    for ts in (PLAIN.ts - 1, PLAIN.ts, PLAIN.ts + 1):
        replay.take(said(ts=ts))
    flips = replay.flips
    assert (flips.records, flips.decisions, flips.outside) == (3, 1, 2)
    assert flips.count(Kind.MOVED) == 1


ASKS = "{required: true, maxAge: 30s}"
PARENT = "0123456789abcdef-1"


def test_a_candidate_that_asks_for_parents_judges_what_names_one(tmp_path: Path) -> None:
    asks = candidate(tmp_path, CHAT, parent=ASKS)
    for _ in range(2):  # also from what is kept in mind
        assert asks.group(said(parent_id=PARENT)).kind is Kind.MOVED
        assert asks.group(PLAIN).why == "not recorded: the parent decision"
    told = candidate(tmp_path, when(f"request.parent == '{PARENT}'"), parent=ASKS)
    assert told.group(said(parent_id=PARENT)).kind is Kind.MOVED
    other = said(parent_id="0123456789abcdef-2")
    assert told.group(other).kind is Kind.TIGHTER


def test_who_was_denied_for_a_parent_passes_where_nobody_asks_for_one(tmp_path: Path) -> None:
    orphan = said(decision="deny", reason="EG207", rule=None, route=None, parent_id=PARENT)
    assert candidate(tmp_path, CHAT).group(orphan).kind is Kind.LOOSER
    asks = candidate(tmp_path, CHAT, parent=ASKS)
    assert asks.group(orphan).why == "not of the policy: EG207 parent-denied"
