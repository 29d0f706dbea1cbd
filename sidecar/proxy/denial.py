"""Our own answers: a denial, or a service behind that failed, as problem+json.

Rules:

* Everything in an answer comes from the reason table and the snapshot, and what the signed policy
  wants said about one of its validations. Nothing else of the request is repeated, and nothing
  about peers, keys or prompts is told.
* The same body can be read by clients of the OpenAI API: `error` is an extension member.
* `retry-after` spreads the clients by their decision ids: a pod that comes back is not hit by all
  of them in the same second, and the same id always gets the same answer.

Source: RFC 9457; RFC 9110 section 10.2.3; conventions 11-F.
"""

import zlib
from email.utils import formatdate

import msgspec

from sidecar.core.instant import Now
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Snapshot
from sidecar.proxy import http1
from sidecar.proxy.shell import METHODS

RETRY_AFTER_S = 1  # the shortest; the jitter adds whole seconds
RETRY_JITTER_S = 2
RETRY_AFTER_MAX_S = 30

# Answers about the service behind: not governance, and clients must be able to see that.
BEHIND = frozenset({Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_INVALID, Reason.UPSTREAM_TIMEOUT})
PERMITTED_METHODS = b"allow: " + b", ".join(sorted(METHODS)) + b"\r\n"

_encode = msgspec.json.Encoder().encode


def retry_after_s(decision_id: str | None) -> int:
    """Seconds after which a client should try again, from its decision id."""
    jitter = zlib.crc32((decision_id or "").encode()) % RETRY_JITTER_S
    return min(RETRY_AFTER_S + jitter, RETRY_AFTER_MAX_S)


def problem(
    reason: Reason, snapshot: Snapshot, decision_id: str | None, now: Now, message: str = ""
) -> bytes:
    """The body of an answer.

    Args:
        reason: Why.
        snapshot: What was decided on.
        decision_id: Of the record in the journal, or None when there is none.
        now: Both clocks.
        message: What the policy says about it, or nothing.
    """
    said = f": {message}" if message else "."
    behind = reason in BEHIND
    who = "The service behind failed" if behind else "Denied by epochgate"
    return _encode(
        {
            "type": reason.urn,
            "title": reason.title,
            "status": reason.status,
            "detail": f"{who}: {reason.slug} ({reason.code}){said}",
            "instance": f"urn:epochgate:decision:{decision_id}" if decision_id else None,
            "reason": reason.code,
            "state": snapshot.state(now).value,
            "retryable": reason.retryable,
            "causes": [fault.code for fault in snapshot.faults],
            "validation": reason.validation,
            "epoch": snapshot.epoch.seq if snapshot.epoch else None,
            "error": {
                "message": f"{who}: {reason.title} ({reason.code})" + (said if message else ""),
                "type": "upstream_error" if behind else "governance_denial",
                "code": reason.code,
                "param": None,
            },
        }
    )


def response(
    reason: Reason,
    snapshot: Snapshot,
    decision_id: str | None,
    now: Now,
    method: bytes | None,
    *,
    keep_alive: bool,
    receipt: bytes = b"",
    message: str = "",
    token_line: bytes = b"",
) -> bytes:
    """A complete response.

    Args:
        reason: Why.
        snapshot: What was decided on.
        decision_id: Of the record in the journal, or None.
        now: Both clocks.
        method: Of the request, or None when it could not be read.
        keep_alive: Whether the connection stays; otherwise the client is told.
        receipt: What the client can hold against the log, or nothing.
        message: What the policy says about it, or nothing.
        token_line: The header line for gates that the client calls next, or nothing.
    """
    body = b"" if method == b"OPTIONS" else problem(reason, snapshot, decision_id, now, message)
    lines = [
        http1.status_line(reason.status),
        b"content-type: application/problem+json\r\n" if body else b"",
        b"content-length: %d\r\n" % len(body),
        b"cache-control: no-store\r\n",
        f"date: {formatdate(now.wall / 1000, usegmt=True)}\r\n".encode(),
        _headers(reason, snapshot, decision_id),
        receipt_line(receipt),
        token_line,
        b"" if keep_alive else http1.CLOSE,
        b"\r\n",
        b"" if method == b"HEAD" else body,
    ]
    return b"".join(lines)


def receipt_line(receipt: bytes) -> bytes:
    """The header that gives a client its receipt; nothing when there is none."""
    return b"x-epochgate-receipt: " + receipt + b"\r\n" if receipt else b""


def _headers(reason: Reason, snapshot: Snapshot, decision_id: str | None) -> bytes:
    origin = b"upstream" if reason in BEHIND else b"gate"
    lines = [b"x-epochgate-origin: " + origin + b"\r\n"]
    lines.append(f"x-epochgate-decision: deny\r\nx-epochgate-reason: {reason.code}\r\n".encode())
    if decision_id:
        lines.append(f"x-epochgate-decision-id: {decision_id}\r\n".encode())
    if snapshot.epoch:
        lines.append(f"x-epochgate-epoch: {snapshot.epoch.seq}\r\n".encode())
    if reason.retryable:
        lines.append(b"retry-after: %d\r\n" % retry_after_s(decision_id))
    lines.append(b"x-should-retry: %b\r\n" % (b"true" if reason.retryable else b"false"))
    if reason is Reason.METHOD_NOT_ALLOWED:
        lines.append(PERMITTED_METHODS)
    return b"".join(lines)


def last_event(reason: Reason, snapshot: Snapshot, decision_id: str | None, now: Now) -> bytes:
    """The event that ends a stream which was cut: readable by whoever reads the events."""
    body = problem(reason, snapshot, decision_id, now)
    return b"event: error\ndata: " + body + b"\n\n"
