"""Which test produces which reason: `@produces` notes it, `test_every_reason` compares."""

from collections.abc import Callable
from typing import TypeVar

from sidecar.core.reason import Reason

PRODUCED: dict[Reason, str] = {}

F = TypeVar("F", bound=Callable[..., object])


def produces(*reasons: Reason) -> Callable[[F], F]:
    """Note that a test makes the real sidecar say these reasons."""

    def note(test: F) -> F:
        PRODUCED.update(dict.fromkeys(reasons, test.__name__))
        return test

    return note
