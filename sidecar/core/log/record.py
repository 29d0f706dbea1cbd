"""What is written down about a decision or a change of state, in canonical bytes.

Rules:

* One record is one line of canonical JSON. `prev` is the SHA-256 of the record before it (64 zeros
  for the first), `seq` its index in the log, from 0. The same bytes are the leaf of the tree.
* A decision names everything it rested on: epoch, beat, policy, trust, what was left of the lease.
  All of it is inside the hash.
* Each request has exactly one end on record: its `deny` decision, or the one `outcome` that follows
  its `permit`.
* `parent_id` is the id of the decision that the request descends from, as a token with a valid MAC
  says it, when policy or profile ask for one; a `deny` may name it, too, with a verdict or an age
  that was not good enough.
* Never in a record: bodies, query strings, header values other than the trace id, unless the signed
  policy lists a header (`core/recording.py`) or makes an annotation of it. `subject_h` and
  `tenant_h` are keyed digests, there when the policy asks for them; `req_h` and `resp_h` are for
  later use.
* A field that is not there was not asked for, so records from before it was known have the bytes
  that they always had.
* The fields stand in alphabetical order, so the fast encoder writes the canonical form; a property
  test holds the two encoders against each other.

Source: protocol b.13.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.core import canonical
from sidecar.core.canonical import Count, FieldName, Integer, Name, Sha256, Strict
from sidecar.core.reason import ProtocolError, Reason

VERSION = 1
MAX_BYTES = 60_000  # bytes; below the 65,535 of a C2SP entry bundle
PATH_MAX_BYTES = 512  # of a path; longer ones are cut in the record, never in what is forwarded
FIRST_PREV = "0" * 64

BootId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{16}\Z")]  # 8 random bytes per process
OutcomeKind = Literal["permit", "abort", "error", "late"]
Half = Literal["within", "otherwise"]  # of a rollout: within its percent, or not
Code = Annotated[str, msgspec.Meta(pattern=r"\AEG[0-9]{3}\Z")]


class EpochRef(Strict, frozen=True):
    """The epoch that a decision was made under."""

    seq: Count
    sha: Sha256


class BeatRef(Strict, frozen=True):
    """The beat that the lease leaned on."""

    issuer: Sha256
    seq: Count
    sha: Sha256


class Decision(Strict, frozen=True, kw_only=True):
    """One request and what was decided about it; written before it takes effect.

    A permit with a reason was let through under an epoch or a policy that only observes: it is what
    the request would have been denied for. Times in ms since 1970 (`ts`) or as named.

    Attributes:
        annotations: What the policy has recorded, by key.
        clause: Name of the condition or validation of the policy that denied, or failed.
        rollout: Which half of the policy was in force, when it has halves.
    """

    annotations: dict[Name, str] | UnsetType = UNSET
    beat: BeatRef | None
    boot: BootId
    clause: Name | UnsetType = UNSET
    decision: Literal["permit", "deny"]
    decision_id: str
    epoch: EpochRef | None
    headers: dict[FieldName, str] | UnsetType = UNSET
    inst: str
    lease_ms_left: Integer | None
    method: str
    parent_id: str | None
    path: str
    policy_sha: Sha256 | None
    prev: Sha256
    reason: Code | None
    req_h: str | None
    rollout: Half | UnsetType = UNSET
    route: str | None
    rule: str | None
    seq: Count
    subject_h: str | None
    tenant_h: str | UnsetType = UNSET
    trace_id: str | None
    trust_v: Integer | None
    ts: Count
    type: Literal["decision"]
    upstream: str | None
    v: Literal[1]


class Outcome(Strict, frozen=True):
    """What became of a permit: exactly one for each, with its `decision_id`.

    `permit`: relayed to its end. `abort`: cut by the gate, left by the client, or never begun.
    `error`: the service behind failed, or we did. `late`: the write proved late after the fact (the
    process was stopped in between), its upstream connection was destroyed and nothing was relayed.

    Attributes:
        dur_us: From the decision to the end; microseconds.
        reason: Why, unless it was relayed to its end or the client left.
        sent: Whether anything of the request was written upstream.
        status: What the client was told; 0: nothing.
    """

    boot: BootId
    decision_id: str
    dur_us: Count
    inst: str
    outcome: OutcomeKind
    prev: Sha256
    reason: Code | None
    resp_h: str | None
    sent: bool
    seq: Count
    status: Count
    ts: Count
    type: Literal["outcome"]
    v: Literal[1]


StateType = Literal[
    "start", "stop", "transition", "sync", "lifecycle", "trust", "epoch", "beat", "halt", "clear",
    "conflict", "recovered", "gap", "runtime", "prune",
]  # fmt: skip


class StateChange(Strict, frozen=True):
    """Anything else that is worth a leaf: what changed, in `detail`."""

    boot: BootId
    detail: dict[str, object]  # Json; msgspec cannot resolve the recursive alias
    inst: str
    prev: Sha256
    seq: Count
    ts: Count
    type: StateType
    v: Literal[1]


Record = Decision | Outcome | StateChange


# Of the two kinds that a log is full of.
_DECISION = msgspec.json.Decoder(Decision)
_OUTCOME = msgspec.json.Decoder(Outcome)
_OUTCOME_END = b'"type":"outcome","v":1}'
_ENCODER = msgspec.json.Encoder(order="deterministic")


def decision_id(boot: str, seq: int) -> str:
    """The id that the client is told: boot id and index, so it can be found without a search."""
    return f"{boot}-{seq}"


def parse(line: bytes) -> Record:
    """Read one record from untrusted bytes, without its newline.

    Raises:
        ProtocolError: NONCANONICAL, OVERSIZE or TYPE_CONFUSION.
    """
    if len(line) <= MAX_BYTES and (said := _usual(line)) is not None:
        return said
    return parse_any(line)


def _usual(line: bytes) -> Decision | Outcome | None:
    """A decision or an outcome; None for anything else, and for whatever is wrong with one.

    It is its own line when it is written as that line again: the fields stand in alphabetical
    order, and their types leave room for nothing but what has a canonical form. So this accepts
    what `parse_any` accepts, in less than half of its time.
    """
    decoder = _OUTCOME if line.endswith(_OUTCOME_END) else _DECISION
    try:
        said = decoder.decode(line)
        return said if _ENCODER.encode(said) == line else None
    except (ValueError, RecursionError):
        return None


def parse_any(line: bytes) -> Record:
    """The same for any kind, and with every reason why not: checks the form, then the fields.

    Raises:
        ProtocolError: as `parse`.
    """
    value = canonical.parse(line, MAX_BYTES)
    if not isinstance(value, dict):
        raise ProtocolError(Reason.TYPE_CONFUSION, "a record is an object")
    if value.get("type") == "decision":
        return canonical.convert(value, Decision)
    if value.get("type") == "outcome":
        return canonical.convert(value, Outcome)
    return canonical.convert(value, StateChange)
