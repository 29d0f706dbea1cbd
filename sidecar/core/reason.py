"""Every reason there is, in one flat table.

A reason is the same word in a header, a metric, a record, a log line and the command line. The
first digit of its code names the validation of EG-PROTOCOL-001 section 3 that it belongs to;
9 is control; 0 is the exchange itself (the request was malformed or the service behind failed),
which is no governance finding.

Columns: code, slug, title, HTTP status when the sidecar itself answers, retryable. A slug is also
the anchor of the reason in the README. The table must not grow logic.

Source: protocol b.14.
"""

from enum import Enum


class Reason(Enum):
    """Why a request was not permitted, a vote did not count, or a hold was placed."""

    # fmt: off
    # 0: the exchange. The client or the service behind is at fault, governance is not involved.
    REQUEST_MALFORMED = ("EG001", "request-malformed", "Request is malformed", 400, False)
    REQUEST_TARGET_TOO_LONG = ("EG002", "target-too-long", "Request target is too long", 414, False)
    REQUEST_HEAD_TOO_LARGE = ("EG003", "head-too-large", "Request head is too large", 431, False)
    REQUEST_BODY_TOO_LARGE = ("EG004", "body-too-large", "Request body is too large", 413, False)
    REQUEST_TIMEOUT = ("EG005", "request-timeout", "Request took too long to arrive", 408, True)
    METHOD_NOT_ALLOWED = ("EG006", "method-not-allowed", "Method is never forwarded", 405, False)
    METHOD_UNKNOWN = ("EG007", "method-unknown", "Method is not implemented", 501, False)
    VERSION_UNSUPPORTED = ("EG008", "version-unsupported", "HTTP version not supported", 505, False)
    CODING_UNSUPPORTED = ("EG009", "coding-unsupported", "Transfer coding unsupported", 501, False)
    EXPECTATION_UNSUPPORTED = ("EG010", "expectation-unsupported", "Expectation failed", 417, False)
    UPGRADE_UNSUPPORTED = ("EG011", "upgrade-unsupported", "Upgrade is not supported", 501, False)
    CONNECTION_LIMIT = ("EG012", "connection-limit", "Too many connections", 503, True)
    ANSWER_UNREAD = ("EG013", "answer-unread", "Answer is not read by the client", 408, False)
    UPSTREAM_UNREACHABLE = ("EG020", "upstream-unreachable", "Service is unreachable", 502, True)
    UPSTREAM_INVALID = ("EG021", "upstream-invalid", "Service sent an invalid response", 502, True)
    UPSTREAM_TIMEOUT = ("EG022", "upstream-timeout", "Service did not answer in time", 504, True)

    # 1: runtime synchronization continuity.
    NOT_SYNCED = ("EG101", "not-synced", "No epoch has been verified yet", 503, True)
    LEASE_EXPIRED = ("EG102", "lease-expired", "Lease has expired", 503, True)
    BEAT_STALE = ("EG103", "beat-stale", "Beat is too old", 503, True)
    BEAT_FROM_FUTURE = ("EG104", "beat-from-future", "Beat is from the future", 503, True)
    CLOCK_STEP = ("EG105", "clock-step", "Wall clock was stepped", 503, True)
    CLOCK_REGRESSION = ("EG106", "clock-regression", "Wall clock is behind its past", 503, True)
    SUSPEND_GAP = ("EG107", "suspend-gap", "Process stood still", 503, True)
    NONCE_MISSING = ("EG108", "nonce-missing", "No beat covers our report", 503, True)
    EPOCH_EXPIRED = ("EG109", "epoch-expired", "Epoch has expired", 503, False)
    EPOCH_NOT_YET_VALID = ("EG110", "epoch-not-yet-valid", "Epoch is not valid yet", 503, True)

    # 2: governance policy coordination.
    POLICY_MISSING = ("EG201", "policy-missing", "Policy could not be obtained", 503, True)
    POLICY_DIGEST_MISMATCH = ("EG202", "policy-digest-mismatch", "Policy bytes differ", 503, False)
    POLICY_INVALID = ("EG203", "policy-invalid", "Policy is not valid", 503, False)
    POLICY_DENY = ("EG204", "policy-deny", "Policy does not permit this request", 403, False)
    PROFILE_UNSUPPORTED = ("EG205", "profile-unsupported", "Epoch asks for more", 503, False)
    EPOCH_SUPERSEDED = ("EG206", "epoch-superseded", "Epoch has been superseded", 503, True)
    PARENT_DENIED = ("EG207", "parent-denied", "Parent decision does not permit", 403, False)

    # 3: execution routing consistency.
    ROUTE_DIGEST_MISMATCH = ("EG301", "route-digest-mismatch", "Route table differs", 503, False)
    ROUTE_UNKNOWN = ("EG302", "route-unknown", "No route for this request", 403, False)
    UPSTREAM_MISMATCH = ("EG303", "upstream-mismatch", "Route leads elsewhere", 403, False)
    REGION_NOT_AUTHORIZED = ("EG304", "region-not-authorized", "Region is out of scope", 503, False)
    SERVICE_NOT_AUTHORIZED = ("EG305", "service-not-authorized", "Service not in scope", 503, False)
    NOT_REDIRECTED = ("EG306", "not-redirected", "Connection was not redirected", 403, False)

    # 4: runtime integrity verification.
    CODE_DIGEST_MISMATCH = ("EG401", "code-digest-mismatch", "Code is not as signed", 503, False)
    CONFIG_DIGEST_MISMATCH = ("EG402", "config-digest-mismatch", "Settings differ", 503, False)
    MODEL_DIGEST_MISMATCH = ("EG403", "model-digest-mismatch", "Model is not as signed", 503, False)
    INTEGRITY_STALE = ("EG404", "integrity-stale", "Runtime was not measured lately", 503, True)
    STATE_CORRUPT = ("EG405", "state-corrupt", "Stored state is corrupt", 503, False)
    STATE_UNWRITABLE = ("EG406", "state-unwritable", "State cannot be stored", 503, True)

    # 5: telemetry synchronization continuity.
    TELEMETRY_UNACKED = ("EG501", "telemetry-unacked", "Reports are not acknowledged", 503, True)
    TELEMETRY_GAP = ("EG502", "telemetry-gap", "Reports are acknowledged backwards", 503, True)
    TELEMETRY_BACKPRESSURE = ("EG503", "telemetry-backpressure", "Reports are not taken", 503, True)
    REPORT_MISMATCH = ("EG504", "report-mismatch", "Another report stands for ours", 503, False)

    # 6: cryptographic synchronization validation.
    SIG_INVALID = ("EG601", "sig-invalid", "Signature is not valid", 503, False)
    THRESHOLD_NOT_MET = ("EG602", "threshold-not-met", "Too few valid signatures", 503, False)
    KEY_UNKNOWN = ("EG603", "key-unknown", "Signed by a key without that role", 503, False)
    KEY_REVOKED = ("EG604", "key-revoked", "Signed by a revoked or expired key", 503, False)
    TRUST_CHAIN_BREAK = ("EG605", "trust-chain-break", "Trust does not follow ours", 503, False)
    TRUST_EXPIRED = ("EG606", "trust-expired", "Trust document has expired", 503, False)
    TRUST_WITHHELD = ("EG607", "trust-withheld", "A newer trust document exists", 503, True)
    NONCANONICAL = ("EG608", "noncanonical", "Bytes are not canonical", 503, False)
    TYPE_CONFUSION = ("EG609", "type-confusion", "Object is of another type", 503, False)
    OVERSIZE = ("EG610", "oversize", "Object is larger than its limit", 503, False)
    NONCE_PROOF_INVALID = ("EG611", "nonce-proof-invalid", "Proof does not hold", 503, False)

    # 7: immutable audit synchronization.
    AUDIT_CHAIN_BREAK = ("EG701", "audit-chain-break", "Audit log is damaged", 503, False)
    AUDIT_UNWRITABLE = ("EG702", "audit-unwritable", "Audit log cannot be written", 503, True)
    AUDIT_BACKPRESSURE = ("EG703", "audit-backpressure", "Audit log is falling behind", 503, True)
    CHECKPOINT_STALE = ("EG704", "checkpoint-stale", "Audit log is not signed in time", 503, True)
    CHECKPOINT_UNACKED = ("EG705", "checkpoint-unacked", "Audit log lacks witnesses", 503, True)
    AUDIT_INCONSISTENT = ("EG706", "audit-inconsistent", "Audit log was rewritten", 503, False)
    AUDIT_TRUNCATED = ("EG707", "audit-truncated", "Audit log lost records", 503, False)

    # 8: distributed runtime consistency.
    QUORUM_LOST = ("EG801", "quorum-lost", "Too few peers agree", 503, True)
    ROLLBACK = ("EG802", "rollback", "Peer serves an older state", 503, False)
    EQUIVOCATION = ("EG803", "equivocation", "Two signed versions of one number", 503, False)
    EPOCH_CHAIN_BREAK = ("EG804", "epoch-chain-break", "Epoch does not follow ours", 503, False)
    PEER_DIVERGENCE = ("EG805", "peer-divergence", "Peers serve different epochs", 503, True)
    FAST_FORWARD = ("EG806", "fast-forward", "Number is too far ahead", 503, False)
    FLEET_DIVERGENCE = ("EG807", "fleet-divergence", "Too much of the fleet differs", 503, True)
    AUTHORITY_CONFLICT = ("EG808", "authority-conflict", "Authorities disagree", 503, False)

    # 9: control.
    HALT_GLOBAL = ("EG901", "halt-global", "Halted by the authority", 503, False)
    HALT_SCOPED = ("EG902", "halt-scoped", "Halted by the authority, in part", 503, False)
    QUARANTINED = ("EG903", "quarantined", "Quarantined on evidence", 503, False)
    DRAINING = ("EG904", "draining", "Sidecar is shutting down", 503, True)
    STARTING = ("EG905", "starting", "Sidecar is starting", 503, True)
    INTERNAL_ERROR = ("EG906", "internal-error", "Internal error", 503, True)
    HALT_WITHHELD = ("EG907", "halt-withheld", "A halt is known but not readable", 503, True)

    # fmt: on

    def __init__(self, code: str, slug: str, title: str, status: int, retryable: bool) -> None:  # noqa: FBT001
        self.code = code
        self.slug = slug
        self.title = title
        self.status = status
        self.retryable = retryable

    @property
    def validation(self) -> int:
        """The validation of section 3 it belongs to: 1 to 8; 9 is control, 0 the exchange."""
        return int(self.code[2])

    @property
    def urn(self) -> str:
        """The problem type of RFC 9457 for this reason."""
        return f"urn:epochgate:reason:{self.code}"


BY_CODE = {reason.code: reason for reason in Reason}


class ProtocolError(Exception):
    """Bytes from outside are not what they must be. The only exception that core raises on input.

    Attributes:
        reason: Why, from the table.
        detail: One line for a person; never part of an answer to a client.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.code} {reason.title}: {detail}")
        self.reason = reason
        self.detail = detail
