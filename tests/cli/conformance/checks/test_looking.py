"""Checks that only look: what does not agree is found, on a view that says what the test wants."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.conformance import runner
from sidecar.cli.conformance.check import Check, Result
from sidecar.cli.conformance.checks import looking
from sidecar.cli.conformance.view import CHAT, Answer, State, View
from tests.cli.conformance.deaf import LIMIT_S, DeafView

Change = Callable[[State], None]


class Lying(DeafView):
    """Says what it is told to."""

    def __init__(self, change: Change = lambda _: None, answer: Answer | None = None) -> None:
        super().__init__("http://in", "http://st", None, LIMIT_S)
        self._change, self._answer = change, answer

    def said(self) -> State:
        state = super().said()
        self._change(state)
        return state

    async def ask(self, method: str = "POST", path: str = CHAT, headers: Any = None) -> Answer:
        return self._answer or await super().ask(method, path, headers)


async def result(check: Check[View], view: View) -> Result:
    return await runner.on_view(check, view)


def drop(state: State) -> None:
    del state["validations"][7]


def doubt(state: State) -> None:
    state["validations"][0]["holds"] = False  # the gauge says that it does


def no_lease(state: State) -> None:
    state["lease"] = None


def no_reason(state: State) -> None:
    state["state"] = "contained"


async def test_a_state_that_agrees_holds() -> None:
    for check in (looking.shown_validations, looking.consistent_state):
        assert (await result(check, Lying())).held


@pytest.mark.parametrize("change", [drop, doubt])
async def test_validations_that_are_missing_or_contradict_the_gauge_are_found(
    change: Change,
) -> None:
    assert not (await result(looking.shown_validations, Lying(change))).held


@pytest.mark.parametrize("change", [no_lease, no_reason])
async def test_running_without_a_lease_or_closed_without_a_reason_is_found(change: Change) -> None:
    assert not (await result(looking.consistent_state, Lying(change))).held


DENIED = {
    "x-epochgate-origin": "gate", "x-epochgate-decision": "deny", "x-epochgate-reason": "EG302",
    "x-epochgate-decision-id": "a-1",
}  # fmt: skip
BODY = b'{"reason": "EG302", "error": {"code": "EG302"}}'


async def test_a_denial_as_promised_holds() -> None:
    view = Lying(answer=Answer(403, DENIED, BODY))
    assert (await result(looking.unrouted_request, view)).held


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {}, b"{}"),
        Answer(403, {**DENIED, "x-epochgate-reason": "EG999"}, BODY),
        Answer(403, {**DENIED, "x-epochgate-origin": "upstream"}, BODY),
        Answer(403, DENIED, b"{}"),
        Answer(0, {}, b""),
    ],
)
async def test_a_denial_that_is_none_or_does_not_agree_is_found(answer: Answer) -> None:
    assert not (await result(looking.unrouted_request, Lying(answer=answer))).held


async def test_a_trace_request_that_is_answered_is_found() -> None:
    assert not (await result(looking.refused_methods, Lying())).held


async def test_missing_metrics_are_found() -> None:
    found = await result(looking.available_status, Lying())
    assert "metrics missing" in found.seen


async def test_a_folder_without_a_log_does_not_verify(tmp_path: Path) -> None:
    view = Lying()
    view.journal = tmp_path
    assert "audit verify" in (await result(looking.verified_log, view)).seen
