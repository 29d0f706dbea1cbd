"""Runs checks one after another, each on an open deployment, and makes a result of each."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp
from redis.exceptions import RedisError

from sidecar import clock
from sidecar.cli.conformance.check import BrokenError, Check, Result
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.view import View
from sidecar.cli.text import CliError
from sidecar.core.instant import NS_PER_MS
from sidecar.core.reason import ProtocolError

REQUEST_S = 10

# What a check meets when the deployment is not what it should be.
FAILURES = (
    BrokenError, CliError, ProtocolError, aiohttp.ClientError, RedisError, OSError, LookupError,
    ValueError, TypeError,
)  # fmt: skip


async def on_deployment(check: Check[Deployment], deployment: Deployment) -> Result:
    """Run one check. The deployment has to be open before and after it."""

    async def deed() -> str:
        async with deployment.connected():
            seen = await check.run(deployment)
            await deployment.open()
            return seen

    async def opened() -> str:
        async with deployment.connected():
            await deployment.mend()
            await deployment.open()
        return ""

    before = await _result(check.name, check.items, opened)
    if not before.held:
        return replace(before, seen=f"not open before it: {before.seen}", ran=False)
    return await _result(check.name, check.items, deed)


async def on_view(check: Check[View], view: View) -> Result:
    """Run one check that only looks, connected for as long as it takes."""

    async def deed() -> str:
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        async with aiohttp.ClientSession(timeout=timeout) as view.session:
            return await check.run(view)

    return await _result(check.name, check.items, deed)


async def _result(name: str, items: tuple[str, ...], deed: Callable[[], Awaitable[str]]) -> Result:
    began, held, seen = clock.now().boot, False, ""
    try:
        seen, held = await deed(), True
    except BaseExceptionGroup as group:
        lost, rest = group.split(FAILURES)
        if rest is not None or lost is None:
            raise
        seen = "; ".join(_words(error) for error in _leaves(lost))
    except FAILURES as error:
        seen = _words(error)
    return Result(name, items, seen, held, (clock.now().boot - began) // NS_PER_MS)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _words(error: BaseException) -> str:
    name = "" if isinstance(error, BrokenError) else f"{type(error).__name__}: "
    return " ".join(f"{name}{error}".split())
