"""What a check is: a fault, what has to be seen of it, and the items that it speaks for.

* A check is an async function of a deployment. It returns what was seen, in words, or raises
  `BrokenError` with what was seen instead.
* It leaves the deployment as it found it: open.
* `settle` waits for other processes by looking again: none of them could tell us.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
On = TypeVar("On")  # what a check is run on: a whole deployment, or one sidecar from outside

LOOK_S = 0.02


class BrokenError(Exception):
    """A requirement does not hold; the message says what was seen instead."""


@dataclass(frozen=True, slots=True)
class Check(Generic[On]):
    """One check.

    Attributes:
        name: Of its function.
        items: Ids of the items that it speaks for.
        about: What it does, one line.
        run: The deed; returns what was seen.
        pending: What it waits for in this build; empty: nothing. A pending check is not run.
    """

    name: str
    items: tuple[str, ...]
    about: str
    run: Callable[[On], Awaitable[str]]
    pending: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check.

    Attributes:
        check: Its name.
        items: What it speaks for.
        seen: In words.
        held: Whether the requirement held.
        spent_ms: How long it took.
        ran: Whether it could be run: the deployment was open before it.
    """

    check: str
    items: tuple[str, ...]
    seen: str
    held: bool
    spent_ms: int = 0
    ran: bool = True


def covers(*items: str, pending: str = "") -> Callable[[Callable[[On], Awaitable[str]]], Check[On]]:
    """Make a check of a function; the first line of its docstring says what it does."""

    def made(run: Callable[[On], Awaitable[str]]) -> Check[On]:
        about = (run.__doc__ or "").partition("\n")[0]
        return Check(run.__name__, items, about, run, pending)

    return made


def expect(holds: object, otherwise: str) -> None:
    """Raise `BrokenError` unless it holds.

    Args:
        holds: True, or anything that counts as true.
        otherwise: What was seen instead.
    """
    if not holds:
        raise BrokenError(otherwise)


async def settle(look: Callable[[], Awaitable[T]], limit_s: float) -> T:
    """Look until it does not raise `BrokenError`; what it returned.

    Args:
        look: One look.
        limit_s: Then the last complaint stands, with this limit.

    Raises:
        BrokenError: it never settled.
    """
    last = "nothing"
    try:
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    return await look()
                except BrokenError as broken:
                    last = str(broken)
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise BrokenError(f"not within {limit_s:g} s: {last}") from None
