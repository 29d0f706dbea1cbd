"""Who is connected, and who has to go when there is no room.

Rules:

* A connection that waits for a request gives way to a new one, whoever has waited longest first: a
  flood of idle connections or of heads that never end costs no client its answer. A connection with
  a running exchange or an answer that is not read yet never gives way.
* When nobody can give way the new one is told so. Those that are told linger for a moment, so only
  a few are; the rest is closed at once. Each that gives way or is turned away is counted.

Source: hardening T01, T02, T23.
"""

from collections.abc import Iterator
from enum import Enum
from heapq import nsmallest
from typing import Generic, Protocol, TypeVar

TOLD_MAX = 64  # connections that are told at a time
STEP_MAX = 32  # give way together: looking for them costs a walk over all


class Guest(Protocol):
    """What is asked of a connection."""

    @property
    def waiting_since(self) -> int:
        """Boot time since when it waits for a request; 0: it does not."""
        ...

    def give_way(self) -> None:
        """Close, now."""
        ...


G = TypeVar("G", bound=Guest)


class Place(Enum):
    """What becomes of a new connection."""

    SERVED = "served"
    TOLD = "told"  # that there are too many
    TURNED_AWAY = "turned away"


class Connections(Generic[G]):
    """The open connections of one process.

    Args:
        most: How many are served at once.
    """

    __slots__ = ("_most", "_open", "_told")

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[G] = set()
        self._told: set[G] = set()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[G]:
        """Over all that are open now; they may end meanwhile."""
        return iter(tuple(self._open))

    def add(self, guest: G) -> Place:
        """Take a new connection, or say what to do with it."""
        place = Place.SERVED
        if len(self._open) - len(self._told) >= self._most and not self._make_room():
            place = Place.TOLD if len(self._told) < TOLD_MAX else Place.TURNED_AWAY
        self._open.add(guest)
        if place is Place.TOLD:
            self._told.add(guest)
        return place

    def discard(self, guest: G) -> None:
        """A connection has ended."""
        self._open.discard(guest)
        self._told.discard(guest)

    def _make_room(self) -> bool:
        waiting = [(guest.waiting_since, id(guest), guest) for guest in self._open]
        count = max(1, min(STEP_MAX, self._most // 8))
        leaving = nsmallest(count, (entry for entry in waiting if entry[0]))
        for _, _, guest in leaving:
            self.discard(guest)  # it is as good as gone, and must not be found again
            guest.give_way()
        return bool(leaving)
