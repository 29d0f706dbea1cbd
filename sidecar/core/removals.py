"""No silent removals: what an epoch takes away, by name.

What the epoch before listed and the next one does not has to be named in the next one's `removes`.
So a route that fell out of a file by mistake is found at the ceremony, and a sidecar can tell an
intended end from a lost line.

Source: protocol b.1 (`removes`), b.3 step 6.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.core.routes import Routes


@dataclass(frozen=True, slots=True)
class Listed:
    """What one epoch lists.

    Attributes:
        services: Of its scope; none: all.
        routes: The table that it names.
        policy: Name of the policy that it names; empty: not known, and not compared.
    """

    services: Iterable[str]
    routes: Routes
    policy: str

    @property
    def names(self) -> frozenset[str]:
        """Everything, as `removes` calls it: service:NAME, route:NAME, policy:NAME."""
        return frozenset((
            *(f"service:{name}" for name in self.services),
            *(f"route:{name}" for name in self.routes.names),
            *((f"policy:{self.policy}",) if self.policy else ()),
        ))  # fmt: skip


def vanished(before: Listed, after: Listed) -> tuple[str, ...]:
    """What `before` lists and `after` does not, sorted.

    A scope that was open to all services and is narrowed takes away no name, and one that is
    opened to all takes away nothing.
    """
    gone = before.names - after.names
    if not tuple(after.services):
        gone = frozenset(name for name in gone if not name.startswith("service:"))
    return tuple(sorted(gone))
