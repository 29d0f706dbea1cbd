"""One permitted request: is it what the sidecar permitted, and is it in time?

    fence = hex(BLAKE2s(key, size 16, person "eg-fence",
                        method LF target LF decision-id LF epoch LF not-after))

Rules:

* The MAC first, the deadlines second: what nobody vouched for is never called late.
* Both clocks must be before their deadlines. The boot-time clock is the one that counts when the
  wall clock was stepped; sidecar and service share it, because they share a kernel.
* Header names are compared in lower case. A field that comes twice is refused: two readers could
  take different ones.

Source: hardening E-G7.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

KEY_BYTES = 32
MAC_BYTES = 16
PERSON = b"eg-fence"

EPOCH = b"x-epochgate-epoch"
DECISION_ID = b"x-epochgate-decision-id"
NOT_AFTER = b"x-epochgate-not-after"
FENCE = b"x-epochgate-fence"
NAMES = frozenset({EPOCH, DECISION_ID, NOT_AFTER, FENCE})

# Wall deadline and boot-time deadline, both in milliseconds. Bounded, so that both fit 64 bits.
_DEADLINES = re.compile(rb"([0-9]{1,18});boot=([0-9]{1,18})")


class Clocks(NamedTuple):
    """Both clocks, in whole milliseconds: CLOCK_BOOTTIME, and since 1970."""

    boot_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request must not reach the application.

    Attributes:
        kind: Last part of the URN that the caller is told.
        status: HTTP status of the answer.
        title: One sentence, the same for every request of that kind.
    """

    kind: Literal["late", "missing", "invalid"]
    status: int
    title: str

    @property
    def urn(self) -> str:
        """The problem type."""
        return f"urn:epochgate:fence:{self.kind}"


LATE = Refusal("late", 503, "The permit had expired when the request arrived.")
MISSING = Refusal("missing", 403, "The request did not come through the gate.")
INVALID = Refusal("invalid", 403, "The permit is not one for this request.")
NO_KEY = Refusal("invalid", 403, "The service cannot read its fence key.")
NO_TARGET = Refusal("invalid", 403, "This server does not tell the exact request target.")
CUT_SHORT = Refusal("invalid", 403, "The body ended before its announced end.")


def mac(
    key: bytes, method: bytes, target: bytes, decision_id: bytes, epoch: bytes, not_after: bytes
) -> bytes:
    """The value of the fence header: 32 lower-case hex digits.

    Args:
        key: 32 bytes, new for each start of the sidecar.
        method: As on the request line.
        target: As on the request line: path and query, not decoded.
        decision_id: Header value.
        epoch: Header value.
        not_after: Header value.
    """
    said = b"\n".join((method, target, decision_id, epoch, not_after))
    digest = hashlib.blake2s(said, key=key, digest_size=MAC_BYTES, person=PERSON)
    return digest.hexdigest().encode("ascii")


def verify(
    key: bytes, method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]], now: Clocks
) -> Refusal | None:
    """Judge one request.

    Args:
        key: 32 bytes.
        method: As on the request line.
        target: As on the request line.
        headers: All header fields, name and value.
        now: Both clocks, read for this call.

    Returns:
        None: it may be executed. Else why not: MISSING, INVALID or LATE.
    """
    fields: dict[bytes, bytes] = {}
    for raw, value in headers:
        name = raw.lower()
        if name in NAMES:
            if name in fields:
                return INVALID
            fields[name] = value
    if len(fields) < len(NAMES):
        return MISSING
    not_after = fields[NOT_AFTER]
    ours = mac(key, method, target, fields[DECISION_ID], fields[EPOCH], not_after)
    if not hmac.compare_digest(ours, fields[FENCE]) or not _DEADLINES.fullmatch(not_after):
        return INVALID
    return None if in_time(not_after, now) else LATE


def in_time(not_after: bytes, now: Clocks) -> bool:
    """Whether both clocks are before their deadlines.

    Args:
        not_after: Value of the header of a request that `verify` has let pass.
        now: Both clocks, read for this call.
    """
    deadlines = _DEADLINES.fullmatch(not_after)
    if deadlines is None:
        return False
    return now.wall_ms < int(deadlines[1]) and now.boot_ms < int(deadlines[2])


def parse_key(raw: bytes) -> bytes | None:
    """The key in a key file, or None when it holds anything but 64 hex digits and a newline."""
    match = re.fullmatch(rb"([0-9a-f]{64})\n", raw)
    return bytes.fromhex(match[1].decode("ascii")) if match else None
