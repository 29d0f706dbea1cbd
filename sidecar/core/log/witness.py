"""What a witness is asked, and what it answers: `add-checkpoint`, without the HTTP around it.

    old 20852014
    <hash, base64>            the consistency proof from there, at most 63 lines
    ...

    <the signed checkpoint>

Rules:

* A checkpoint is cosigned only if the log's key signed it and it extends the last one that was: so
  no two that contradict each other are ever cosigned.
* The tree without leaves is what everybody remembers of a log that it has never seen.
* Two roots of one size are answered 422, as a proof that fails is: the log has signed two pasts.
  (tlog-witness v1.0.0 says 409 without a size for them, its later text 422.)

Source: C2SP tlog-witness; RFC 6962 section 2.1.2.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sidecar.core.log import checkpoint, note
from sidecar.core.log.checkpoint import ROOT_BYTES, Checkpoint
from sidecar.core.log.merkle import EMPTY_ROOT
from sidecar.core.log.note import NoteKey
from sidecar.core.log.proof import consistent
from sidecar.core.reason import ProtocolError, Reason

PROOF_MAX = 63  # lines
MAX_BYTES = note.MAX_BYTES + 4 * 1024
SIZE_TYPE = "text/x.tlog.size"

_OLD = re.compile(rb"old (0|[1-9][0-9]{0,18})")
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


class Status(IntEnum):
    """What a witness answers; the numbers are those of HTTP."""

    COSIGNED = 200
    MALFORMED = 400
    NOT_SIGNED = 403
    UNKNOWN = 404
    OTHER_SIZE = 409
    INCONSISTENT = 422


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint to be cosigned; nothing of it was checked.

    Attributes:
        old: Size that the proof starts from.
        proof: Hashes, 32 bytes each.
        note: The signed checkpoint.
        claims: What it says.
    """

    old: int
    proof: tuple[bytes, ...]
    note: bytes
    claims: Checkpoint


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a checkpoint is not cosigned. `size`: of the one that was; told with OTHER_SIZE."""

    status: Status
    detail: str
    size: int = 0


def write(old: int, proof: Sequence[bytes], signed: bytes) -> bytes:
    """The body of a request.

    Args:
        old: Size that the proof starts from.
        proof: Hashes, 32 bytes each, at most `PROOF_MAX`.
        signed: The checkpoint.
    """
    lines = [f"old {old}", *(base64.b64encode(item).decode() for item in proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + signed


def parse(body: bytes) -> Submission:
    """Read the body of a request.

    Raises:
        ProtocolError: NONCANONICAL or OVERSIZE.
    """
    if len(body) > MAX_BYTES:
        raise ProtocolError(Reason.OVERSIZE, f"{len(body)} bytes, limit {MAX_BYTES}")
    head, blank, signed = body.partition(b"\n\n")
    first, *rest = head.split(b"\n")
    old = _OLD.fullmatch(first)
    if old is None or not blank:
        raise ProtocolError(Reason.NONCANONICAL, "does not begin with the old size")
    if len(rest) > PROOF_MAX:
        raise ProtocolError(Reason.OVERSIZE, f"more than {PROOF_MAX} hashes")
    claims = checkpoint.parse(note.unverified(signed))
    return Submission(int(old[1]), tuple(_hashes(rest)), signed, claims)


def judge(said: Submission, key: NoteKey | None, latest: Checkpoint | None) -> Refusal | None:
    """Whether a checkpoint may be cosigned; None: it may, and is the one to remember then.

    Args:
        said: What was asked.
        key: Of the log that it names; None: that log is not known.
        latest: What was cosigned last for it, or None.
    """
    claims = said.claims
    if key is None or key.name != claims.origin:
        return Refusal(Status.UNKNOWN, "unknown log")
    try:
        note.open_note(said.note, {key.name: key})
    except ProtocolError as error:
        return Refusal(Status.NOT_SIGNED, f"not signed by the key of the log: {error.detail}")
    if said.old > claims.size:
        return Refusal(Status.MALFORMED, f"old size {said.old} is beyond the new {claims.size}")
    size, root = (0, EMPTY_ROOT) if latest is None else (latest.size, latest.root)
    if said.old != size:
        return Refusal(Status.OTHER_SIZE, f"the size cosigned last is {size}", size)
    if not consistent(size, claims.size, root, claims.root, said.proof):
        return Refusal(Status.INCONSISTENT, f"does not extend the {size} records cosigned before")
    return None


def write_size(size: int) -> bytes:
    """The body that goes with OTHER_SIZE."""
    return b"%d\n" % size


def parse_size(body: bytes) -> int:
    """Read it.

    Raises:
        ProtocolError: NONCANONICAL.
    """
    match = _SIZE.fullmatch(body)
    if match is None:
        raise ProtocolError(Reason.NONCANONICAL, "is not a size")
    return int(match[1])


def _hashes(lines: Iterable[bytes]) -> Iterable[bytes]:
    for line in lines:
        try:
            raw = base64.b64decode(line, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ProtocolError(Reason.NONCANONICAL, f"hash: {error}") from None
        if len(raw) != ROOT_BYTES or base64.b64encode(raw) != line:
            raise ProtocolError(Reason.NONCANONICAL, "a hash has 32 bytes")
        yield raw
