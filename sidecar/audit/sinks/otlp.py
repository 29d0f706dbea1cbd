"""Sink of kind otlp: OpenTelemetry log records, as protobuf over HTTP; needs the extra `otlp`.

One record is one LogRecord: its time, the exact line as body, and what people filter by as
attributes `epochgate.*`. Denials are warnings, everything else is information.

A receiver that takes a batch and says that it has thrown some of it away (`partial_success`) must
not be sent the same again: those records count as dropped, and the log line says how many.

Source: OpenTelemetry Protocol 1.10, "OTLP/HTTP".
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import (
    SEVERITY_NUMBER_INFO,
    SEVERITY_NUMBER_WARN,
    LogRecord,
)

from sidecar import __version__
from sidecar.audit.sinks.feed import Entry
from sidecar.audit.sinks.outlet import Thread
from sidecar.audit.sinks.post import Post
from sidecar.config import sections

CONTENT_TYPE = "application/x-protobuf"
NS_PER_MS = 1_000_000
SHOWN = ("type", "decision", "outcome", "reason", "route")  # of a record, as attributes
_TRACE_ID_BYTES = 16


class OtlpPost:
    """Posts records as OpenTelemetry logs.

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
        answer = await self._post.send(lambda: encode(self._service, log, entries))
        return min(_thrown_away(answer), len(entries))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._post.close()


def encode(service: str, log: str, entries: Sequence[Entry]) -> bytes:
    """An ExportLogsServiceRequest with one LogRecord for each record."""
    request = ExportLogsServiceRequest()
    ours = request.resource_logs.add()
    said = msgspec.json.decode(entries[0].line)
    ours.resource.attributes.extend([
        _attribute("service.name", service),
        _attribute("service.version", __version__),
        _attribute("service.instance.id", str(said.get("inst"))),
        _attribute("epochgate.log", log),
    ])  # fmt: skip
    logs = ours.scope_logs.add()
    logs.scope.name, logs.scope.version = "epochgate.audit", __version__
    logs.log_records.extend(_record(entry) for entry in entries)
    body: bytes = request.SerializeToString()
    return body


def _record(entry: Entry) -> LogRecord:
    said: dict[str, Any] = msgspec.json.decode(entry.line)
    denied = said.get("decision") == "deny"
    return LogRecord(
        time_unix_nano=entry.ts * NS_PER_MS,
        observed_time_unix_nano=entry.ts * NS_PER_MS,
        severity_number=SEVERITY_NUMBER_WARN if denied else SEVERITY_NUMBER_INFO,
        severity_text="WARN" if denied else "INFO",
        body=AnyValue(string_value=entry.line.decode()),
        attributes=[
            KeyValue(key="epochgate.seq", value=AnyValue(int_value=entry.seq)),
            *_attributes(said),
        ],
        trace_id=_trace_id(said.get("trace_id")),
    )


def _attributes(said: dict[str, Any]) -> Iterator[KeyValue]:
    for key in SHOWN:
        if said.get(key):
            yield _attribute(f"epochgate.{key}", str(said[key]))


def _attribute(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _trace_id(text: object) -> bytes:
    try:
        found = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return b""
    return found if len(found) == _TRACE_ID_BYTES and any(found) else b""


def _thrown_away(answer: bytes) -> int:
    try:
        said = ExportLogsServiceResponse.FromString(answer)
    except DecodeError:
        return 0  # a 2xx acknowledges, whatever else it says
    count: int = said.partial_success.rejected_log_records
    return max(0, count)
