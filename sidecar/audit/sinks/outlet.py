"""What every kind of sink does: send a batch, or say why it could not.

Rules for the texts of errors: they name no address and no secret, because /v1/state shows them.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from sidecar.audit.sinks.feed import Entry

T = TypeVar("T")


class SinkError(Exception):
    """A batch was not acknowledged; it is sent again later.

    Args:
        why: What is wrong.
        wait_s: How long the receiver asked to be left alone; seconds.
    """

    def __init__(self, why: str, wait_s: float = 0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class RefusedError(SinkError):
    """The receiver does not want these records; somebody has to change something."""


class TooLargeError(RefusedError):
    """The receiver wants fewer records at once."""


class Thread(Protocol):
    """Runs slow work beside the event loop: files, encoding, compression."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]:
        """The result of the work."""


class Outlet(Protocol):
    """One kind of sink, connected to one receiver."""

    async def send(self, log: str, entries: Sequence[Entry]) -> int:
        """Send records of one log, in order, all or none.

        Args:
            log: Its name.
            entries: At least one.

        Returns:
            How many of them the receiver says it will never keep, although it took the batch.

        Raises:
            SinkError: not acknowledged.
        """

    async def close(self) -> None:
        """Let go of connections."""
