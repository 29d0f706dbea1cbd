"""One record with all that is needed to check it, in one file that can be sent to anybody.

It holds the record's own bytes, the `.tlog-proof` that leads from them to a signed checkpoint, and
for a decision what it rested on. The key of the log and the first trust document are not in it:
whoever checks has them from somewhere else, or knows nothing.

Source: protocol 1.2.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.core import canonical
from sidecar.core.canonical import Strict
from sidecar.core.log import checkpoint, merkle, note, record, tlog_proof
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.grounds import NOTHING, Grounds
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import Decision, Record
from sidecar.core.log.tlog_proof import TlogProof
from sidecar.core.reason import ProtocolError, Reason

TYPE = "urn:epochgate:proof:v1"
MAX_BYTES = 2 * (record.MAX_BYTES + tlog_proof.MAX_BYTES) + 1024 * 1024


class Body(Strict, frozen=True):
    """The file. `record`: one line of the log; `proof`: the text of its `.tlog-proof`."""

    type: str = msgspec.field(name="_type")
    record: str
    proof: str
    grounds: Grounds | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a file holds; believed by nobody until `check`.

    Attributes:
        raw: The bytes of the record.
        says: What they say.
        proof: Where they stand.
        claims: What the checkpoint says, whoever signed it.
        grounds: What a decision rested on; see `core/grounds.py`.
    """

    raw: bytes
    says: Record
    proof: TlogProof
    claims: Checkpoint
    grounds: Grounds = NOTHING

    @property
    def receipt(self) -> str:
        """What a receipt of this record says after the name of its log: index, leaf hash."""
        return f"{self.proof.index} {b64encode(merkle.leaf_hash(self.raw)).decode()}"


def make(raw: bytes, proof: TlogProof, grounds: Grounds = NOTHING) -> bytes:
    """The bytes of a file."""
    body = Body(
        type=TYPE,
        record=raw.decode(),
        proof=proof.text().decode(),
        grounds=UNSET if grounds == NOTHING else grounds,
    )
    return canonical.dump(body) + b"\n"


def parse(raw: bytes) -> Bundle:
    """Read a file.

    Raises:
        ProtocolError: it is none.
    """
    body = canonical.load(raw.removesuffix(b"\n"), Body, MAX_BYTES)
    if body.type != TYPE:
        raise ProtocolError(Reason.TYPE_CONFUSION, f"is {body.type[:64]}, not a proof")
    line = body.record.encode()
    proof = tlog_proof.parse(body.proof.encode())
    claims = checkpoint.parse(note.unverified(proof.checkpoint))
    grounds = body.grounds if isinstance(body.grounds, Grounds) else NOTHING
    return Bundle(line, record.parse(line), proof, claims, grounds)


def check(bundle: Bundle, keys: Mapping[str, NoteKey]) -> list[str]:
    """Check everything that can be checked with the log's key alone.

    Args:
        bundle: Untrusted.
        keys: Known keys by name of their log.

    Returns:
        What holds, one line each.

    Raises:
        ProtocolError: KEY_UNKNOWN when no key of that log is known; else what does not hold.
    """
    # The key of this very log: another one that is known here may not speak for it.
    key = keys.get(bundle.claims.origin)
    if key is None:
        raise ProtocolError(Reason.KEY_UNKNOWN, f"no key for the log {bundle.claims.origin}")
    signed = checkpoint.parse(note.open_note(bundle.proof.checkpoint, {key.name: key}))
    proof, says = bundle.proof, bundle.says
    if says.seq != proof.index:
        detail = f"the record says that it is number {says.seq}, the proof is for {proof.index}"
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
    if isinstance(says, Decision) and says.decision_id != record.decision_id(says.boot, says.seq):
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, "decision id is not that of its place")
    leaf = merkle.leaf_hash(bundle.raw)
    if not merkle.included(proof.index, signed.size, leaf, proof.hashes, signed.root):
        detail = "the hashes do not lead from the record to the signed root"
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
    return [
        "the record is canonical, and stands where its number and its decision id say",
        f"the checkpoint of {signed.origin} over {signed.size} records is signed by its key",
        f"the record is number {proof.index} of these (RFC 6962 inclusion proof)",
    ]
