"""What a decision rested on, as the envelopes themselves; believed by nobody until it is checked.

Source: protocol b.13.
"""

from sidecar.core.canonical import Strict


class Grounds(Strict, frozen=True):
    """Envelopes that travel with a record.

    Attributes:
        beat: That the lease leaned on; None: the log kept none.
        epoch: That was in force; likewise.
        trust: Documents that followed one another, the oldest first.
    """

    beat: str | None
    epoch: str | None
    trust: tuple[str, ...]


NOTHING = Grounds(beat=None, epoch=None, trust=())
