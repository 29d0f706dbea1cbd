"""Whether what a decision names is what its grounds are: trust chain, epoch, beat.

Rules:

* Everything begins with a trust document that the reader has from somewhere else. It may be older
  than the one that the record names: the documents in between are walked, none is skipped.
* An epoch or beat counts under any document of that chain: it may have been signed before the last
  rotation, and was good for the sidecar that had accepted it then.
* What is missing is said to be missing. What contradicts the record is an error.

Nothing here says that the decision was right: policy and request are not in a proof.
Source: protocol b.1, b.3, b.13.
"""

from dataclasses import dataclass
from enum import Enum

from sidecar.core import envelope
from sidecar.core.envelope import Payload
from sidecar.core.instant import WallMs
from sidecar.core.log.grounds import Grounds
from sidecar.core.log.record import BeatRef, Decision, EpochRef
from sidecar.core.objects import beat, epoch, trust
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.reason import ProtocolError, Reason


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of the grounds of a decision, one line each.

    Attributes:
        checked: What holds.
        unchecked: What could not be checked, and why.
    """

    checked: list[str]
    unchecked: list[str]


def check(said: Decision, grounds: Grounds, pinned: Trust) -> Findings:
    """Hold the grounds of a decision against it.

    Args:
        said: A record that was proved to be in its log.
        grounds: Untrusted.
        pinned: A trust document that the reader believes.

    Raises:
        ProtocolError: something is not what the record says, or not signed by whom it must be.
    """
    found = Findings([], [])
    at = WallMs(said.ts)
    chain = _chain(said, grounds, pinned, found)
    if said.epoch is None or grounds.epoch is None:
        found.unchecked.append("the epoch: the record names none, or it is not in this file")
    else:
        _epoch(said, said.epoch, _opened(grounds.epoch, _Kind.EPOCH, chain, at), found)
    if said.beat is None or grounds.beat is None:
        found.unchecked.append("the beat: the record names none, or its log keeps no beats")
    else:
        _beat(said, said.beat, _opened(grounds.beat, _Kind.BEAT, chain, at), found)
    return found


def _chain(said: Decision, grounds: Grounds, pinned: Trust, found: Findings) -> list[Trust]:
    """The documents from the pinned one to the one that the record names, the newest first."""
    chain, wanted = [pinned], said.trust_v or pinned.version
    for raw in (text.encode() for text in grounds.trust):
        if chain[0].version < trust.reread(raw).version <= wanted:
            chain.insert(0, chain[0].rotate(raw, WallMs(said.ts)))
    if chain[0].version == wanted:
        found.checked.append(
            f"trust document {wanted} is the one given, or follows it under the root keys of both"
        )
    else:
        found.unchecked.append(
            f"trust document {wanted}, which the record names: from the one given, "
            f"{pinned.version}, this file leads to {chain[0].version}"
        )
    return chain


def _opened(text: str, kind: "_Kind", chain: list[Trust], at: WallMs) -> Payload:
    sealed = envelope.parse(text.encode(), kind.max_bytes)
    failure: ProtocolError | None = None
    for document in chain:
        opener = document.open_single if kind is _Kind.BEAT else document.open
        try:
            return opener(sealed, kind.role, kind.payload_type, at)
        except ProtocolError as error:
            failure = failure or error
    assert failure is not None, "a chain has at least the document that was given"
    raise ProtocolError(failure.reason, f"{kind.role.value}: {failure.detail}")


class _Kind(Enum):
    EPOCH = (Role.EPOCH, epoch.PAYLOAD_TYPE, epoch.MAX_BYTES)
    BEAT = (Role.BEAT, beat.PAYLOAD_TYPE, beat.MAX_BYTES)

    def __init__(self, role: Role, payload_type: str, max_bytes: int) -> None:
        self.role = role
        self.payload_type = payload_type
        self.max_bytes = max_bytes


def _epoch(said: Decision, named: EpochRef, payload: Payload, found: Findings) -> None:
    opened = epoch.parse(payload)
    _same("the epoch", (named.seq, named.sha), (opened.seq, opened.sha256))
    _same("the policy", said.policy_sha, opened.says.policy.sha256)
    signers = len(payload.signers)
    found.checked.append(
        f"epoch {opened.seq} is signed by {signers} epoch keys, and is what the record names"
    )
    found.checked.append("the policy that the record names is the one of that epoch")


def _beat(said: Decision, named: BeatRef, payload: Payload, found: Findings) -> None:
    opened = beat.parse(payload)
    says = opened.says
    _same(
        "the beat", (named.issuer, named.seq, named.sha), (says.issuer, opened.seq, opened.sha256)
    )
    if said.epoch is not None:
        _same("the epoch", (said.epoch.seq, said.epoch.sha), (says.epoch.seq, says.epoch.sha256))
    found.checked.append(
        f"beat {opened.seq} is signed by a beat key, names that epoch, and is what the record names"
    )
    live = "the beat was live when the decision was made, by the clock of whoever made it"
    ends = says.issued_at + says.ttl_ms
    (found.checked if said.ts < ends else found.unchecked).append(live)


def _same(what: str, named: object, found: object) -> None:
    if named != found:
        detail = f"{what} in this file is not the one that the record names"
        raise ProtocolError(Reason.AUDIT_INCONSISTENT, detail)
