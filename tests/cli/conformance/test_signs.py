"""A fault has to show everywhere at once: in answer, state and gauge."""

from typing import Any

import pytest

from sidecar.cli.conformance import signs
from sidecar.cli.conformance.check import BrokenError
from sidecar.cli.conformance.view import CHAT, Answer, State
from tests.cli.conformance.deaf import LIMIT_S, DeafView


class Closed(DeafView):
    """Denies for EG601, as far as the test wants it to show."""

    def __init__(self, *, denies: bool = True, says: bool = True, gauge: bool = True) -> None:
        super().__init__("http://in", "http://st", None, LIMIT_S)
        self._denies, self._says, self._gauge = denies, says, gauge

    async def ask(self, method: str = "POST", path: str = CHAT, headers: Any = None) -> Answer:
        if not self._denies:
            return await super().ask(method, path, headers)
        return Answer(503, {"x-epochgate-reason": "EG102"}, b'{"causes": ["EG601"]}')

    def said(self) -> State:
        state = super().said()
        if self._says:
            state["validations"][5] |= {"holds": False, "reasons": ["EG601"]}
        return state

    async def get(self, path: str) -> Answer:
        answer = await super().get(path)
        if path == "/metrics" and self._gauge:
            body = answer.body.replace(b'number="6",name="x"} 1.0', b'number="6",name="x"} 0.0')
            return Answer(200, {}, body)
        return answer

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        detail = {"step": 2, "ok": False, "evidence": {"reasons": ["EG601"]}}
        return [{"type": "lifecycle", "detail": detail}]


async def test_a_fault_that_shows_everywhere_is_seen() -> None:
    said = await signs.contained(Closed(), 6, "EG601")
    assert said == "denied EG102 because of EG601; validation 6 and its gauge: no"
    assert await signs.step_failed(Closed(), 2, "EG601", 0)


@pytest.mark.parametrize("part", ["denies", "says", "gauge"])
async def test_a_fault_that_does_not_show_somewhere_is_not_enough(part: str) -> None:
    with pytest.raises(BrokenError):
        await signs.contained(Closed(**{part: False}), 6, "EG601")


@pytest.mark.parametrize(("number", "code"), [(5, "EG601"), (6, "EG602")])
async def test_another_validation_or_reason_is_not_it(number: int, code: str) -> None:
    with pytest.raises(BrokenError):
        await signs.contained(Closed(), number, code)


async def test_another_answer_than_the_wanted_one_is_not_it() -> None:
    with pytest.raises(BrokenError):
        await signs.contained(Closed(), 6, "EG601", "EG601")


@pytest.mark.parametrize("part", ["denies", "says", "gauge"])
async def test_open_is_open_everywhere(part: str) -> None:
    only = dict.fromkeys(("denies", "says", "gauge"), False) | {part: True}
    with pytest.raises(BrokenError):
        await signs.open_again(Closed(**only))


@pytest.mark.parametrize(
    ("step", "code", "after"), [(3, "EG601", 0), (2, "EG1", 0), (2, "EG601", 1)]
)
async def test_another_step_or_an_older_one_did_not_fail(step: int, code: str, after: int) -> None:
    with pytest.raises(BrokenError):
        await signs.step_failed(Closed(), step, code, after)
