"""Pure functions of bytes, computed once per run for each distinct input.

A fleet verifies the same beat at every sidecar, at every authority and for the truth. The answer
depends on the bytes alone, so the simulation computes it once, really, and remembers it while the
run lasts. A failure is not remembered. What each node keeps for itself is untouched: the caches of
the code under test are still filled, overrun and emptied.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sidecar.core import canonical, envelope, view
from sidecar.core.objects import halt, report

# Each takes hashable arguments and gives a value that cannot be changed.
REMEMBERED = (
    (envelope, "verify"),
    (envelope, "parse"),
    (canonical, "load"),
    (canonical, "digest"),
    (view, "open_own"),
    (halt, "reread"),
    (report, "open_report"),
)


@contextmanager
def remembering() -> Iterator[None]:
    """While it lasts, what was computed once is not computed again; a planted bug stays in."""
    computed = [(module, name, getattr(module, name)) for module, name in REMEMBERED]
    for module, name, function in computed:
        setattr(module, name, once(function))
    try:
        yield
    finally:
        for module, name, function in computed:
            setattr(module, name, function)


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a memory of its own."""
    known: dict[tuple[Any, ...], Any] = {}

    def remembered(*inputs: Any) -> Any:
        try:
            return known[inputs]
        except KeyError:
            answer = known[inputs] = function(*inputs)
            return answer

    return remembered
