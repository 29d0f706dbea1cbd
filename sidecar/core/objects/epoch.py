"""The epoch: what every pod of a domain must agree on, signed by a threshold of epoch keys.

An in-toto Statement: its subjects are the artefacts that the epoch authorises (policy bundle and
route table), named by digest. The predicate carries number, chain link, validity and scope.

Rules:

* `seq` grows by one and `prev_sha256` is the digest of the epoch before; the first has neither.
* The subjects repeat the digests of the predicate, so that tools which only read Statements and
  tools which only read the predicate can never see two different things.
* Validity (`not_before`, `not_after`) is judged where a lease would be granted, not here: an epoch
  that lapsed is still history that a chain walk must pass.

Source: in-toto attestation v1 Statement; protocol b.1, b.3 step 6.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from sidecar.core import canonical, envelope
from sidecar.core.canonical import Count, Name, Sha256, Strict, Text
from sidecar.core.envelope import Envelope, Payload
from sidecar.core.instant import WallMs
from sidecar.core.objects.trust import LogHead, TrustRef
from sidecar.core.reason import ProtocolError, Reason

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:epochgate:sync-epoch:v1"
MAX_BYTES = 64 * 1024  # bytes
BLOB_MAX_BYTES = 1024 * 1024  # bytes; policy bundle or route table


class Digest(Strict, frozen=True):
    """The digest set of an in-toto subject."""

    sha256: Sha256


class Subject(Strict, frozen=True):
    """One artefact that the epoch authorises."""

    name: Name
    digest: Digest


class Activation(Strict, frozen=True):
    """When the old epoch ends: `immediate` at first sight of this one, `lease` as leases lapse."""

    mode: Literal["immediate", "lease"]
    supersedes: bool


class ProfileRef(Strict, frozen=True):
    """The named set of demands that the epoch places on a sidecar: fetched by digest."""

    name: Name
    sha256: Sha256


BASELINE = ProfileRef(name="baseline", sha256=canonical.digest(b"baseline"))  # demands nothing


class Scope(Strict, frozen=True):
    """Whom the epoch is for; an empty list means everyone.

    `instances`: ids of instance keys. Listed, the roster is closed: no other instance is counted,
    and none of them gets a lease.
    """

    services: tuple[Name, ...]
    regions: tuple[Name, ...]
    tenants: tuple[Name, ...]
    instances: tuple[Sha256, ...]


class PolicyRef(Strict, frozen=True):
    """The policy bundle: fetched by digest, length checked first."""

    sha256: Sha256
    size: Annotated[int, msgspec.Meta(ge=1, le=BLOB_MAX_BYTES)]
    media_type: Text


class RoutesRef(Strict, frozen=True):
    """The route table: fetched by digest, length checked first."""

    sha256: Sha256
    size: Annotated[int, msgspec.Meta(ge=1, le=BLOB_MAX_BYTES)]


class Runtime(Strict, frozen=True):
    """Digests of what may run. Empty lists demand nothing."""

    image_digests: tuple[Text, ...]
    code_sha256: tuple[Sha256, ...]
    config_sha256: tuple[Sha256, ...]
    model_digests: dict[Name, Text]


NO_DEMANDS = Runtime(image_digests=(), code_sha256=(), config_sha256=(), model_digests={})


class Telemetry(Strict, frozen=True):
    """How long reports may go unacknowledged, milliseconds; 0 demands nothing.

    `max_diverged`: how many instances of the fleet may hold another state; null demands nothing.
    """

    max_unacked_ms: Count
    max_diverged: Count | None


class Audit(Strict, frozen=True):
    """How far the audit log may lag, milliseconds; 0 demands nothing.

    `max_checkpoint_age_ms`: how long a record may go without a signed checkpoint over it;
    `max_unacked_ms`: without one that enough witnesses have cosigned.
    """

    max_checkpoint_age_ms: Count
    max_unacked_ms: Count
    overflow: Literal["contain"]


class Predicate(Strict, frozen=True):
    """What the epoch says, field for field as it is signed. Times in milliseconds since 1970."""

    domain: Name
    seq: Annotated[int, msgspec.Meta(ge=1, lt=canonical.INTEGER_LIMIT)]
    prev_sha256: Sha256 | None
    trust: TrustRef
    issued_at: Count
    not_before: Count
    not_after: Count
    activation: Activation
    profile: ProfileRef
    scope: Scope
    policy: PolicyRef
    routes: RoutesRef
    removes: tuple[Text, ...]
    runtime: Runtime
    enforcement: Literal["enforce", "observe"]
    telemetry: Telemetry
    audit: Audit
    halts_sha256: Sha256
    gov_log: LogHead
    reason: Text


class Statement(Strict, frozen=True):
    """The in-toto Statement around the predicate."""

    type: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: Predicate


@dataclass(frozen=True, slots=True)
class Epoch:
    """A verified epoch: the digest of its signed bytes, what they say, and how they came.

    `sealed`: what others can verify; None for one that was handed from process to process.
    """

    sha256: str
    says: Predicate
    sealed: Envelope | None = field(default=None, compare=False, repr=False)

    @property
    def seq(self) -> int:
        """Its number, from 1."""
        return self.says.seq


def statement(predicate: Predicate) -> bytes:
    """The canonical bytes to sign for a predicate."""
    return canonical.dump(
        Statement(
            type=STATEMENT_TYPE,
            subject=_subjects(predicate),
            predicate_type=PREDICATE_TYPE,
            predicate=predicate,
        )
    )


def parse(payload: Payload) -> Epoch:
    """Read an epoch whose signatures were counted.

    Raises:
        ProtocolError: TYPE_CONFUSION or NONCANONICAL.
    """
    said = canonical.load(payload.body, Statement, MAX_BYTES)
    if (said.type, said.predicate_type) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise ProtocolError(Reason.TYPE_CONFUSION, f"is {said.predicate_type[:64]}")
    if said.subject != _subjects(said.predicate):
        raise ProtocolError(Reason.TYPE_CONFUSION, "subjects and predicate differ")
    if (said.predicate.seq == 1) != (said.predicate.prev_sha256 is None):
        raise ProtocolError(Reason.EPOCH_CHAIN_BREAK, "only the first epoch has no predecessor")
    return Epoch(payload.sha256, said.predicate, payload.sealed)


def reread(raw: bytes) -> Predicate:
    """What an envelope says, its signatures not counted.

    For links, whose digest a signed epoch names, and for what was verified before it was stored.

    Raises:
        ProtocolError: if the bytes are no epoch at all.
    """
    sealed = envelope.parse(raw, MAX_BYTES)
    return canonical.load(sealed.unverified_payload, Statement, MAX_BYTES).predicate


def blobs(says: Predicate) -> tuple[str, ...]:
    """Digests of what the epoch names and peers have to keep beside it: policy, routes, profile."""
    built_in = says.profile == BASELINE
    named = (says.policy.sha256, says.routes.sha256)
    return named if built_in else (*named, says.profile.sha256)


def inadmissible(epoch: Epoch, service: str, region: str, now: WallMs) -> Reason | None:
    """Why this sidecar must not serve under the epoch now, or None.

    Args:
        epoch: Verified.
        service: Name of the service that this sidecar stands in front of.
        region: Region that it runs in.
        now: Wall clock.

    Tenants are judged where the route table is known, what it says about the audit log where the
    witnesses are, its profile where that was fetched: `core/scoped.py`, `core/admission.py`.
    """
    says = epoch.says
    if says.scope.services and service not in says.scope.services:
        return Reason.SERVICE_NOT_AUTHORIZED
    if says.scope.regions and region not in says.scope.regions:
        return Reason.REGION_NOT_AUTHORIZED
    if now < says.not_before:
        return Reason.EPOCH_NOT_YET_VALID
    if now >= says.not_after:
        return Reason.EPOCH_EXPIRED
    return None


def _subjects(predicate: Predicate) -> tuple[Subject, ...]:
    return (
        Subject(name="policy", digest=Digest(sha256=predicate.policy.sha256)),
        Subject(name="routes", digest=Digest(sha256=predicate.routes.sha256)),
    )
