"""The beat: proof that an epoch is still vouched for, signed by one online key.

Rules:

* Each authority replica has its own key and its own stream of numbers, so replicas need no
  coordination, and two replicas can never look like one that contradicts itself.
* A beat names everything that could be withheld: trust version, epoch, the whole set of halts. So
  a fresh beat cannot travel without betraying what a hostile peer hides.
* `ttl_ms` bounds how long a lease may lean on it. The local bounds only shorten that.

Source: TUF timestamp role; protocol b.1, b.3 step 4.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from sidecar.core import canonical
from sidecar.core.canonical import Count, Name, Sha256, Strict
from sidecar.core.envelope import Envelope, KeyId, Payload
from sidecar.core.objects.trust import LogHead, Mark, TrustRef
from sidecar.core.reason import ProtocolError, Reason

PAYLOAD_TYPE = "application/vnd.epochgate.beat.v1+json"
TYPE = "urn:epochgate:beat:v1"
MAX_BYTES = 16 * 1024  # bytes

Duration = Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]  # milliseconds


class Fleet(Strict, frozen=True):
    """Root over the latest report of every instance; size 0 when there is none.

    `expected`: how many there should be (a closed roster), else `size`. `diverged`: how many of
    them report another epoch or trust document than this beat names.
    """

    root: Sha256
    size: Count
    expected: Count
    diverged: Count


class Body(Strict, frozen=True):
    """What the beat says, field for field as it is signed. Times in milliseconds since 1970."""

    type: str = msgspec.field(name="_type")
    domain: Name
    issuer: Sha256
    seq: Annotated[int, msgspec.Meta(ge=1, lt=canonical.INTEGER_LIMIT)]
    prev_sha256: Sha256 | None
    issued_at: Count
    ttl_ms: Duration
    interval_ms: Duration
    trust: TrustRef
    epoch: Mark
    halts: Mark
    state: Literal["run", "halt"]
    fleet: Fleet
    gov_log: LogHead


@dataclass(frozen=True, slots=True)
class Beat:
    """A verified beat: the digest of its signed bytes, what they say, and how they came.

    `sealed`: what others can verify; None for one that was handed from process to process.
    """

    sha256: str
    says: Body
    sealed: Envelope | None = field(default=None, compare=False, repr=False)

    @property
    def issuer(self) -> KeyId:
        """The key, and so the replica, whose stream this beat belongs to."""
        return KeyId(self.says.issuer)

    @property
    def seq(self) -> int:
        """Its number in that stream."""
        return self.says.seq


def parse(payload: Payload) -> Beat:
    """Read a beat whose signature was checked.

    Raises:
        ProtocolError: TYPE_CONFUSION, NONCANONICAL, or SIG_INVALID when the beat names an issuer
            that did not sign it: no key may speak in the stream of another.
    """
    said = canonical.load(payload.body, Body, MAX_BYTES)
    if said.type != TYPE:
        raise ProtocolError(Reason.TYPE_CONFUSION, f"is {said.type[:64]}")
    if said.issuer not in payload.signers:
        raise ProtocolError(Reason.SIG_INVALID, "not signed by the issuer that it names")
    return Beat(payload.sha256, said, payload.sealed)
