"""Sink of kind http: gzip JSON arrays in the shape of OPA's decision logs.

What receives the decision logs of Open Policy Agent receives these:

    labels        id and instance (name of the instance), app (the service), version, origin (log)
    decision_id   boot id and index: each record has one; of a decision it is what the client got
    path          epochgate/decision, epochgate/outcome, epochgate/transition, ...
    input         of a decision: method, path, route, upstream; of an outcome: the decision it ends
    result        of a decision: {"allow": ..., "reason": ..., "rule": ...}, and what the
                  record has of clause and annotations
    bundles       of a decision: the policy and the epoch that it rests on, by digest
    timestamp     RFC 3339
    trace_id      of a decision, where the request had one
    epochgate     the record, byte for byte: what proofs and verifiers need

Source: Open Policy Agent, "Decision Logs".
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from sidecar import __version__
from sidecar.audit.sinks.feed import Entry
from sidecar.audit.sinks.outlet import Thread
from sidecar.audit.sinks.post import Post
from sidecar.config import sections
from sidecar.core.log import record

CONTENT_TYPE = "application/json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


class OpaPost:
    """Posts records as OPA posts decisions.

    Args:
        settings: Of the sink.
        service: Name of the service behind.
        thread: Runs what blocks.

    Raises:
        OSError: the certificates to trust cannot be read.
    """

    def __init__(self, settings: sections.Sink, service: str, thread: Thread) -> None:
        self._post = Post(settings, CONTENT_TYPE, thread)
        self._service = service

    async def send(self, log: str, entries: Sequence[Entry]) -> int:
        """Post records; see `outlet.Outlet`."""
        await self._post.send(lambda: encode(self._service, log, entries))
        return 0

    async def close(self) -> None:
        """Let go of the connections."""
        await self._post.close()


def encode(service: str, log: str, entries: Sequence[Entry]) -> bytes:
    """A JSON array with one event for each record."""
    return _encode([_event(service, log, entry) for entry in entries])


def _event(service: str, log: str, entry: Entry) -> dict[str, object]:
    said: dict[str, Any] = msgspec.json.decode(entry.line)
    instance, kind = str(said.get("inst")), str(said.get("type"))
    return {
        "labels": {
            "id": instance, "instance": instance, "app": service, "version": __version__,
            "origin": log,
        },
        "decision_id": record.decision_id(str(said.get("boot")), entry.seq),
        "path": f"epochgate/{kind}",
        **_body(kind, said),
        "timestamp": _rfc3339(entry.ts),
        "epochgate": msgspec.Raw(entry.line),
    }  # fmt: skip


def _body(kind: str, said: Mapping[str, Any]) -> dict[str, object]:
    if kind == "outcome":
        return {
            "input": {"decision_id": said.get("decision_id")},
            "result": {"outcome": said.get("outcome")},
        }
    if kind != "decision":
        return {}
    body: dict[str, object] = {
        "input": {key: said.get(key) for key in ("method", "path", "route", "upstream")},
        "result": {
            "allow": said.get("decision") == "permit",
            "reason": said.get("reason"), "rule": said.get("rule"),
            **{key: said[key] for key in ("annotations", "clause") if key in said},
        },
        "bundles": {
            name: {"revision": revision}
            for name, revision in (
                ("policy", said.get("policy_sha")), ("epoch", (said.get("epoch") or {}).get("sha")),
            )
            if revision
        },
    }  # fmt: skip
    if said.get("trace_id"):
        body["trace_id"] = said["trace_id"]
    return body


def _rfc3339(wall_ms: int) -> str:
    when = _EPOCH + timedelta(milliseconds=wall_ms)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")
