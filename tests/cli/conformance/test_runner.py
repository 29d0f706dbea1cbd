"""What a check raises becomes a result; a bug of ours does not."""

import asyncio
from pathlib import Path

import pytest

from sidecar.cli.conformance import runner
from sidecar.cli.conformance.check import BrokenError, Check, expect
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.view import View
from tests.cli.conformance.deaf import LIMIT_S, DeafView


async def held(_: View) -> str:
    return "seen"


async def broken(_: View) -> str:
    raise BrokenError("stayed open")


async def grouped(_: View) -> str:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(broken(_))
    return ""


async def mistaken(_: View) -> str:
    raise AssertionError("ours")


def check(run: object) -> Check[View]:
    return Check("name", ("1.1",), "about", run)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("run", "ends", "seen"),
    [(held, True, "seen"), (broken, False, "stayed open"), (grouped, False, "stayed open")],
)
async def test_what_a_check_says_is_its_result(run: object, ends: bool, seen: str) -> None:  # noqa: FBT001
    result = await runner.on_view(check(run), DeafView("http://i", "http://s", None, LIMIT_S))
    assert (result.held, result.seen, result.items) == (ends, seen, ("1.1",))


async def test_a_mistake_of_ours_is_no_result() -> None:
    with pytest.raises(AssertionError):
        await runner.on_view(check(mistaken), DeafView("http://i", "http://s", None, LIMIT_S))


async def test_a_check_is_not_run_on_a_deployment_that_is_not_open(tmp_path: Path) -> None:
    class Shut(Deployment):
        async def mend(self) -> None: ...

        async def open(self) -> None:
            expect(holds=False, otherwise="a request got 503")

    deployment = Shut(tmp_path, LIMIT_S)
    deployment.close()
    result = await runner.on_deployment(Check("name", (), "", mistaken), deployment)  # type: ignore[arg-type]
    assert (result.held, result.ran) == (False, False)
    assert "503" in result.seen
