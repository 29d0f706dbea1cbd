"""The report: what a sidecar signs about itself each round; and the proof that a beat covers it.

Rules:

* Signed by the instance's own key, whose public half it carries: the name of an instance ends with
  the id of its key, so nobody can report under the name of another.
* Each report holds a nonce that nobody could know before. A beat whose fleet tree contains the
  report was therefore signed after it: that is freshness without any clock.
* The leaf of the fleet tree is made of the report's digest under a prefix of its own, so no other
  log's leaf can stand in for it. A proof is not signed: it leads from the leaf to a root that is.
* Whoever can write to a peer can write reports. So a report decides nothing about another instance
  but through what an authority signs.

Source: protocol b.1 (report), b.3 steps 0 and 8; RFC 6962 section 2.1.1; Roughtime (nonces as
leaves of a signed tree).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import msgspec

from sidecar.core import canonical, envelope
from sidecar.core.canonical import Count, Name, Sha256, Strict, Text
from sidecar.core.envelope import KeyId, PublicKey
from sidecar.core.log import merkle
from sidecar.core.objects.trust import Mark, TrustRef
from sidecar.core.reason import ProtocolError, Reason

PAYLOAD_TYPE = "application/vnd.epochgate.report.v1+json"
TYPE = "urn:epochgate:report:v1"
MAX_BYTES = 8 * 1024  # bytes
LEAF_PREFIX = b"epochgate/report-leaf/v1\n"

PROOF_MAX_BYTES = 4 * 1024  # bytes; a path through 2**32 leaves has 32 digests of 64 letters
PATH_MAX = 32

Code = Annotated[str, msgspec.Meta(pattern=r"\AEG[0-9]{3}\Z")]
Instance = Annotated[str, msgspec.Meta(max_length=80, pattern=r"\A[a-z0-9._-]+-[0-9a-f]{16}\Z")]
NAME_DIGITS = 16  # of the key id, at the end of an instance's name


class Lifecycle(Strict, frozen=True):
    """The step of the lifecycle that was reached last, 1 to 10, and whether it held."""

    step: Annotated[int, msgspec.Meta(ge=1, le=10)]
    ok: bool


class BeatRef(Strict, frozen=True):
    """The beat that the lease leans on."""

    issuer: Sha256
    seq: Count
    sha256: Sha256


class AuditHead(Strict, frozen=True):
    """The head of the instance's audit log."""

    origin: Text
    size: Count
    root: Sha256


class Measured(Strict, frozen=True):
    """What was measured of the runtime; null or absent: not measured."""

    code_sha256: Sha256 | None
    config_sha256: Sha256 | None
    image_digest: Text | None
    models: dict[Name, Sha256 | None]


NOT_MEASURED = Measured(code_sha256=None, config_sha256=None, image_digest=None, models={})


class Body(Strict, frozen=True):
    """What a sidecar says, field for field as it is signed. Times in milliseconds since 1970.

    `public`: of the key that signed it. `boot_id`: 16 random bytes per process; `seq` and
    `prev_sha256` link the reports of one process. `drills`: challenges of the drill halts that it
    has read, newest last. `lease_ms_left`: 0 when there is none.
    """

    type: str = msgspec.field(name="_type")
    domain: Name
    instance: Instance
    public: Sha256
    boot_id: canonical.Id16
    seq: Annotated[int, msgspec.Meta(ge=1, lt=canonical.INTEGER_LIMIT)]
    prev_sha256: Sha256 | None
    nonce: Sha256
    sent_at: Count
    state: Name
    reasons: tuple[Code, ...]
    lifecycle: Lifecycle
    trust: TrustRef
    epoch: Mark | None
    beat: BeatRef | None
    lease_ms_left: Count
    policy_sha256: Sha256 | None
    routes_sha256: Sha256 | None
    runtime: Measured
    counters: dict[Name, Count]
    halts: Mark
    drills: tuple[Text, ...]
    audit: AuditHead | None
    region: Name
    service: Name
    build: Text


@dataclass(frozen=True, slots=True)
class Report:
    """A verified report, and the envelope that proves it.

    Attributes:
        sha256: Digest of the signed bytes, hex.
        says: What was signed.
        raw: The envelope.
    """

    sha256: str
    says: Body
    raw: bytes

    @property
    def key_id(self) -> KeyId:
        """Id of the instance's key."""
        return _key_id(PublicKey(bytes.fromhex(self.says.public)))


def instance_name(label: str, key_id: str) -> str:
    """The name of an instance: a label for people, and the id of its key."""
    return f"{label[:60]}-{key_id[:NAME_DIGITS]}"


def open_report(raw: bytes, domain: str) -> Report:
    """Verify one report by the key that it carries.

    Raises:
        ProtocolError: with the reason why it is none of this domain.
    """
    sealed = envelope.parse(raw, MAX_BYTES)
    if sealed.payload_type != PAYLOAD_TYPE:
        raise ProtocolError(Reason.TYPE_CONFUSION, f"is {sealed.payload_type[:64]}")
    unverified = read_body(sealed.unverified_payload)
    if unverified.type != TYPE or unverified.domain != domain:
        raise ProtocolError(Reason.TYPE_CONFUSION, "not a report for this domain")
    public = PublicKey(bytes.fromhex(unverified.public))
    key_id = _key_id(public)
    if not unverified.instance.endswith(f"-{key_id[:NAME_DIGITS]}"):
        raise ProtocolError(Reason.KEY_UNKNOWN, "names an instance that has another key")
    if not envelope.signed_by(sealed, {key_id: public}):
        raise ProtocolError(Reason.SIG_INVALID, "not signed by the key that it carries")
    return Report(canonical.digest(sealed.unverified_payload), unverified, raw)


_DECODER = msgspec.json.Decoder(Body)
_ENCODER = msgspec.json.Encoder(order="sorted")


def read_body(raw: bytes) -> Body:
    """What a report says, unverified: `canonical.load`, a fifth of its time where it succeeds.

    An authority reads thousands of these each second. Bytes that are the sorted encoding of what
    they decode to are canonical, as every integer of `Body` is bounded and every key is ASCII by
    its type. Whatever is not goes the long way, and gets its reason there.

    Raises:
        ProtocolError: OVERSIZE, NONCANONICAL or TYPE_CONFUSION.
    """
    if len(raw) <= MAX_BYTES:
        try:
            body = _DECODER.decode(raw)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass
        else:
            if _ENCODER.encode(body) == raw:
                return body
    return canonical.load(raw, Body, MAX_BYTES)


@lru_cache(maxsize=8192)
def _key_id(public: PublicKey) -> KeyId:
    return envelope.key_id(public)


def leaf(sha256: str) -> bytes:
    """The leaf of the fleet tree for a report, 32 bytes."""
    return merkle.leaf_hash(LEAF_PREFIX + bytes.fromhex(sha256))


class Proof(Strict, frozen=True):
    """Where a report lies in the fleet tree of a beat. Not signed.

    `beat` and `report`: digests of the two. `path`: sibling hashes from the leaf up, hex.
    """

    beat: Sha256
    report: Sha256
    index: Count
    path: Annotated[tuple[Sha256, ...], msgspec.Meta(max_length=PATH_MAX)]


def parse_proof(raw: bytes) -> Proof:
    """Read a proof, unverified.

    Raises:
        ProtocolError: OVERSIZE, NONCANONICAL or TYPE_CONFUSION.
    """
    return canonical.load(raw, Proof, PROOF_MAX_BYTES)


def verify_proof(proof: Proof, size: int, root: str) -> None:
    """Check that the report lies in a tree.

    Args:
        proof: Unverified.
        size: Leaves of the tree, from a verified beat.
        root: Its root, hex, from the same beat.

    Raises:
        ProtocolError: NONCE_PROOF_INVALID.
    """
    path = [bytes.fromhex(item) for item in proof.path]
    if not merkle.included(proof.index, size, leaf(proof.report), path, bytes.fromhex(root)):
        raise ProtocolError(Reason.NONCE_PROOF_INVALID, "the path does not lead to the root")


_CHALLENGE = re.compile(r"[\x21-\x7e]{1,128}")


def challenge(text: str) -> bool:
    """Whether a challenge may be quoted in a report: short, printable, without spaces."""
    return _CHALLENGE.fullmatch(text) is not None
