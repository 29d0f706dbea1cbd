"""One record as evidence: what holds is said, and no part can be put in the place of another."""

from base64 import b64encode

import pytest

from sidecar.core import canonical
from sidecar.core.log import bundle, checkpoint, merkle, note, proof, record, tlog_proof
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.grounds import NOTHING, Grounds
from sidecar.core.log.note import NoteKey
from sidecar.core.log.tlog_proof import TlogProof
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner
from tests import builders

BOOT = "0123456789abcdef"
ORIGIN = checkpoint.origin("test", "pod-1")
SIGNER = FileSigner(bytes(range(32)))
KEY = NoteKey(ORIGIN, SIGNER.public)
KEYS = {ORIGIN: KEY}
SIZE = 5


def line(seq: int, **changes: object) -> bytes:
    said = {
        "beat": None, "boot": BOOT, "decision": "deny", "decision_id": f"{BOOT}-{seq}",
        "epoch": None, "inst": "pod-1", "lease_ms_left": None, "method": "POST", "parent_id": None,
        "path": "/v1/chat", "policy_sha": None, "prev": record.FIRST_PREV, "reason": "EG905",
        "req_h": None, "route": None, "rule": None, "seq": seq, "subject_h": None,
        "trace_id": None, "trust_v": 1, "ts": builders.NOW + seq, "type": "decision",
        "upstream": None, "v": 1,
    }  # fmt: skip
    return canonical.encode({**said, **changes})  # type: ignore[dict-item]


LINES = [line(seq) for seq in range(SIZE)]


def sealed(lines: list[bytes], origin: str = ORIGIN, signer: FileSigner = SIGNER) -> bytes:
    tree = merkle.Tree()
    for one in lines:
        tree.append(merkle.leaf_hash(one))
    text = Checkpoint(origin, tree.size, tree.root()).text()
    key = NoteKey(origin, signer.public)
    return note.seal(text, key, signer.sign(text.encode())).encode()


def made(index: int, lines: list[bytes] = LINES, **options: object) -> bytes:
    """The file for one of these lines."""
    roots = proof.Roots(proof.inclusion(index, len(lines)))
    for one in lines:
        roots.take(merkle.leaf_hash(one))
    hashes = tuple(roots.hashes())
    return bundle.make(lines[index], TlogProof(index, hashes, sealed(lines, **options)))  # type: ignore[arg-type]


def refused(raw: bytes, keys: dict[str, NoteKey] = KEYS) -> Reason:
    with pytest.raises(ProtocolError) as caught:
        bundle.check(bundle.parse(raw), keys)
    return caught.value.reason


@pytest.mark.parametrize("index", range(SIZE))
def test_what_holds_is_said(index: int) -> None:
    held = bundle.parse(made(index))
    assert (held.raw, held.says.seq, held.claims.size) == (LINES[index], index, SIZE)
    said = bundle.check(held, KEYS)
    assert any(f"number {index} of these" in one for one in said)


def test_what_a_decision_rested_on_travels_along() -> None:
    held = bundle.parse(made(1))
    assert held.grounds == NOTHING
    rested = Grounds(beat="b", epoch="e", trust=("t",))
    assert bundle.parse(bundle.make(held.raw, held.proof, rested)).grounds == rested


def test_a_receipt_names_index_and_leaf() -> None:
    leaf = b64encode(merkle.leaf_hash(LINES[1])).decode()
    assert bundle.parse(made(1)).receipt == f"1 {leaf}"


def test_a_record_of_another_place_does_not_fit() -> None:
    held = bundle.parse(made(2))
    assert refused(bundle.make(LINES[3], held.proof)) is Reason.AUDIT_CHAIN_BREAK


def test_a_changed_record_does_not_fit() -> None:
    changed = line(2, reason="EG901")
    assert refused(bundle.make(changed, bundle.parse(made(2)).proof)) is Reason.AUDIT_CHAIN_BREAK


def test_a_record_under_the_number_of_another_is_refused_although_the_log_signed_it() -> None:
    lines = [*LINES[:2], LINES[3], *LINES[3:]]
    assert refused(made(2, lines)) is Reason.AUDIT_CHAIN_BREAK


def test_a_decision_under_the_id_of_another_is_refused_although_the_log_signed_it() -> None:
    lines = [*LINES[:2], line(2, decision_id=f"{BOOT}-3"), *LINES[3:]]
    assert refused(made(2, lines)) is Reason.AUDIT_CHAIN_BREAK


def test_without_the_key_of_the_log_nothing_holds() -> None:
    assert refused(made(0), {}) is Reason.KEY_UNKNOWN


def test_a_key_that_is_known_for_another_log_does_not_speak_for_this_one() -> None:
    """Whoever holds the key of one pod must not write evidence in the name of another."""
    other = FileSigner(bytes(32))
    keys = {**KEYS, "epochgate/test/pod-2": NoteKey("epochgate/test/pod-2", other.public)}
    assert refused(made(0, signer=other), keys) is Reason.KEY_UNKNOWN
    forged = made(0).replace(ORIGIN.encode(), b"epochgate/test/pod-2")
    assert refused(forged, keys) in {Reason.KEY_UNKNOWN, Reason.SIG_INVALID}


def test_other_files_are_none() -> None:
    body = {"_type": "urn:epochgate:beat:v1", "record": "", "proof": ""}
    for raw in (b"", b"{}", canonical.encode(body), made(0) + b"\n", bytes(bundle.MAX_BYTES + 2)):
        with pytest.raises(ProtocolError):
            bundle.parse(raw)


def test_the_largest_record_and_the_longest_proof_fit_into_a_file() -> None:
    long = TlogProof(2**62, (bytes(32),) * tlog_proof.HASHES_MAX, sealed(LINES))
    assert len(bundle.make(line(0, path="/" + "x" * 59_000), long)) < bundle.MAX_BYTES
