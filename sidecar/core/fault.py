"""In which ways a peer fails, in a closed set: what a failed read or write is called everywhere.

Follower and issuer are told the word; sync raises the error; nobody decides anything by its text.
"""

from enum import Enum


class Fault(Enum):
    """In which way a peer failed; the value is what metrics say."""

    REFUSED = "refused"  # no connection, or it will not serve: loading, read-only, out of memory
    TIMEOUT = "timeout"
    CLOSED = "closed"
    PROTOCOL = "protocol"
    DENIED = "denied"  # authentication or permission
    OVERSIZE = "oversize"
    WRONG_TYPE = "wrong_type"


class PeerError(Exception):
    """A batch was not answered properly. Its connection is closed.

    Attributes:
        fault: In which way.
        detail: One line for people; may quote the peer.
    """

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail

    @property
    def kind(self) -> str:
        """The fault as a word, for metrics."""
        return self.fault.value
