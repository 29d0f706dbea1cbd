"""The next trust document: drafted, signed by people on machines of their own, checked.

Rules:

* A draft is the envelope that will be published, with the signatures it has so far. So what was
  signed apart can be merged, and a complete draft needs no further step.
* An edit makes other bytes, so the signatures under the old ones go.
* A draft is complete when `Trust.rotate` takes it, which is what a sidecar will ask; what is said
  before that is help for people.
* Plain functions of their arguments: time is passed in, files and peers are somebody else's.

Source: TUF 1.0.34 section 6.1; protocol b.11.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from sidecar.authority.ceremony import CeremonyError
from sidecar.core import canonical, envelope
from sidecar.core.envelope import KeyId
from sidecar.core.instant import WallMs
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Body, Role, Trust
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import Signer


@dataclass(frozen=True, slots=True)
class Draft:
    """The next document and who has signed it.

    Attributes:
        body: What it says.
        signatures: Key id -> signature, none of them believed yet.
    """

    body: Body
    signatures: Mapping[KeyId, bytes]

    @property
    def raw(self) -> bytes:
        """The envelope, as it is kept in a file and, once complete, published."""
        return envelope.seal(trust.PAYLOAD_TYPE, canonical.dump(self.body), self.signatures)

    @property
    def sha256(self) -> str:
        """Digest of what is signed, hex: what signers compare before they sign."""
        return canonical.digest(canonical.dump(self.body))


@dataclass(frozen=True, slots=True)
class Tally:
    """How far one document's root threshold is met.

    Attributes:
        version: Of the document whose root keys are counted.
        need: Its threshold.
        signed: Key ids that count.
        waiting: Key ids that could still sign.
    """

    version: int
    need: int
    signed: tuple[KeyId, ...]
    waiting: tuple[KeyId, ...]

    @property
    def missing(self) -> int:
        """How many more must sign."""
        return max(0, self.need - len(self.signed))


def read(raw: bytes) -> Draft:
    """Read a draft, or a finished document, without believing it.

    Raises:
        ProtocolError: it is no trust document.
    """
    sealed = envelope.parse(raw, trust.MAX_BYTES)
    if sealed.payload_type != trust.PAYLOAD_TYPE:
        raise ProtocolError(Reason.TYPE_CONFUSION, f"is {sealed.payload_type[:64]}, not trust")
    body = canonical.load(sealed.unverified_payload, Body, trust.MAX_BYTES)
    return Draft(body, dict(sealed.signatures))


def begin(current: Trust, now: WallMs) -> Draft:
    """The version after `current`, saying the same for as long again; nobody has signed it."""
    before = current.body
    issued_at = max(now, before.issued_at)
    body = msgspec.structs.replace(
        before,
        version=before.version + 1,
        prev_sha256=current.sha256,
        issued_at=issued_at,
        expires=issued_at + before.expires - before.issued_at,
    )
    return Draft(body, {})


def check(current: Trust, draft: Draft) -> Trust:
    """Whether a draft could ever follow `current`, whoever signs it.

    Returns:
        What it would be once signed.

    Raises:
        CeremonyError: what contradicts what.
    """
    said = draft.body
    if (said.domain, said.version, said.prev_sha256) != (
        current.domain, current.version + 1, current.sha256,
    ):  # fmt: skip
        follows = (said.prev_sha256 or "nothing")[:16]
        raise CeremonyError(
            f"this is version {said.version} of {said.domain} and follows {follows}, not version "
            f"{current.version} of {current.domain} ({current.sha256[:16]}): give the one before it"
        )
    try:
        after = trust.unsigned(said)
        size = len(canonical.dump(said))
    except ProtocolError as error:
        raise CeremonyError(f"this document would not be accepted: {error.detail}") from None
    if size > trust.MAX_BYTES:
        raise CeremonyError(f"this document has {size} bytes, limit {trust.MAX_BYTES}")
    _check_reachable(current, after)
    return after


def tallies(current: Trust, draft: Draft, now: WallMs) -> tuple[Tally, Tally]:
    """Who has signed and who still may: under the root role of `current`, and of the draft."""
    sealed = envelope.parse(draft.raw, trust.MAX_BYTES)
    at = WallMs(min(draft.body.issued_at, now))

    def tally(document: Trust) -> Tally:
        keys = document.usable(Role.ROOT, at)
        signed = envelope.signed_by(sealed, keys)
        waiting = tuple(sorted(keys.keys() - set(signed)))
        return Tally(document.version, document.role(Role.ROOT).threshold, signed, waiting)

    return tally(current), tally(check(current, draft))


def sign(current: Trust, draft: Draft, signers: Sequence[Signer], now: WallMs) -> Draft:
    """Add signatures.

    Raises:
        CeremonyError: a key would not count for either threshold, or there are too many.
    """
    sides = tallies(current, draft, now)
    count = {key for side in sides for key in (*side.signed, *side.waiting)}
    message = envelope.pae(trust.PAYLOAD_TYPE, canonical.dump(draft.body))
    added: dict[KeyId, bytes] = {}
    for one in signers:
        if one.key_id not in count:
            raise CeremonyError(
                f"key {one.key_id[:16]} is no usable root key of version {current.version} or "
                f"{draft.body.version}; its signature would not count"
            )
        added[one.key_id] = one.sign(message)
    return _with(draft, added)


def merge(current: Trust, draft: Draft, other: Draft, now: WallMs) -> tuple[Draft, list[KeyId]]:
    """Add the signatures of a copy that was signed elsewhere.

    Returns:
        The draft, and key ids in the copy whose signatures do not count and were left out.

    Raises:
        CeremonyError: the copy says something else.
    """
    if other.body != draft.body:
        raise CeremonyError(
            f"this is another draft: {other.sha256[:16]}, not {draft.sha256[:16]}; its signatures "
            "are over other bytes"
        )
    valid = {key for side in tallies(current, other, now) for key in side.signed}
    kept = {key: signature for key, signature in other.signatures.items() if key in valid}
    return _with(draft, kept), sorted(other.signatures.keys() - valid)


def complete(current: Trust, raw: bytes, now: WallMs) -> Trust:
    """The next document, if every sidecar that holds `current` would take it.

    Raises:
        CeremonyError: why not, and how many signatures are missing.
    """
    draft = read(raw)
    sides = tallies(current, draft, now)
    try:
        return current.rotate(raw, now)
    except ProtocolError as error:
        missing = "; ".join(
            f"{side.missing} more of version {side.version}'s root keys"
            for side in sides
            if side.missing
        )
        raise CeremonyError(
            f"version {draft.body.version} is not in force: {error.reason.code} {error.detail}"
            + (f"; needs {missing}: epochgate trust sign" if missing else "")
        ) from None


def _with(draft: Draft, added: Mapping[KeyId, bytes]) -> Draft:
    signatures = {**draft.signatures, **added}
    if len(signatures) > envelope.SIGNATURES_MAX:
        raise CeremonyError(
            f"a document takes at most {envelope.SIGNATURES_MAX} signatures; leave the needless out"
        )
    return Draft(draft.body, signatures)


def _check_reachable(current: Trust, after: Trust) -> None:
    old, new = current.keys[Role.ROOT], after.keys[Role.ROOT]
    needs = current.role(Role.ROOT).threshold, after.role(Role.ROOT).threshold
    if needs[1] > len(new):
        raise CeremonyError(
            f"role root: {len(new)} keys are left and {needs[1]} must sign: nothing could ever "
            "follow this document; add keys first"
        )
    both = min(len(old.keys() & new.keys()), *needs)
    total = sum(needs) - both
    if total > envelope.SIGNATURES_MAX:
        raise CeremonyError(
            f"{total} signatures would be needed and a document takes {envelope.SIGNATURES_MAX}; "
            "rotate the root keys in two steps"
        )
