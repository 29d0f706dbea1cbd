"""One record with all that is needed to check it, in one file that can be sent to anybody.

It holds the record's own bytes and the `.tlog-proof` that leads from them to a signed checkpoint.
The key of the log is not in it: whoever checks has it from somewhere else, or knows nothing.

Source: protocol 1.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from sidecar.core import canonical
from sidecar.core.canonical import Strict
from sidecar.core.log import checkpoint, merkle, note, record, tlog_proof
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import Decision, Record
from sidecar.core.log.tlog_proof import TlogProof
from sidecar.core.reason import ProtocolError, Reason

TYPE = "urn:epochgate:proof:v1"
MAX_BYTES = 2 * (record.MAX_BYTES + tlog_proof.MAX_BYTES)


class Body(Strict, frozen=True):
    """The file. `record`: one line of the log; `proof`: the text of its `.tlog-proof`."""

    type: str = msgspec.field(name="_type")
    record: str
    proof: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a file holds; believed by nobody until `check`.

    Attributes:
        raw: The bytes of the record.
        says: What they say.
        proof: Where they stand.
        claims: What the checkpoint says, whoever signed it.
    """

    raw: bytes
    says: Record
    proof: TlogProof
    claims: Checkpoint


def make(raw: bytes, proof: TlogProof) -> bytes:
    """The bytes of a file."""
    body = Body(type=TYPE, record=raw.decode(), proof=proof.text().decode())
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
    return Bundle(
        line, record.parse(line), proof, checkpoint.parse(note.unverified(proof.checkpoint))
    )


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
