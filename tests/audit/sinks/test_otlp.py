"""OpenTelemetry logs, read back with the messages of OpenTelemetry."""

from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from sidecar.audit.sinks import otlp
from sidecar.audit.sinks.feed import Entry
from sidecar.audit.sinks.otlp import OtlpPost
from sidecar.roles.sinks import in_thread
from tests.audit.journals import ORIGIN
from tests.audit.sinks.parts import Receiver, entries, settings
from tests.audit.sinks.test_opa import TRACE, records


def outlet(receiver: Receiver) -> OtlpPost:
    return OtlpPost(settings("otlp", receiver.url), "chat", in_thread("test"))


def attributes(of: object) -> dict[str, object]:
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value"))
        for item in of.attributes  # type: ignore[attr-defined]
    }


async def test_a_record_is_a_log_record_with_the_exact_line(
    tmp_path: Path, receiver: Receiver
) -> None:
    sent, made = records(tmp_path), outlet(receiver)
    receiver.body = ExportLogsServiceResponse().SerializeToString()
    assert await made.send(ORIGIN, sent) == 0
    await made.close()
    assert receiver.requests[0].headers["Content-Type"] == "application/x-protobuf"
    [ours] = ExportLogsServiceRequest.FromString(receiver.bodies[0]).resource_logs
    said = attributes(ours.resource)
    assert (said["service.name"], said["service.instance.id"]) == ("chat", "pod-1")
    assert said["epochgate.log"] == ORIGIN
    [scope] = ours.scope_logs
    assert [record.body.string_value.encode() for record in scope.log_records] == [
        entry.line for entry in sent
    ]
    permit, outcome, change = scope.log_records
    assert permit.time_unix_nano == sent[0].ts * 1_000_000
    assert permit.trace_id.hex() == TRACE
    assert attributes(permit) == {
        "epochgate.seq": 0, "epochgate.type": "decision", "epochgate.decision": "permit",
        "epochgate.route": attributes(permit)["epochgate.route"],
    }  # fmt: skip
    assert attributes(outcome)["epochgate.outcome"] == "permit"
    assert attributes(change) == {"epochgate.seq": 2, "epochgate.type": "transition"}
    assert {record.severity_text for record in scope.log_records} == {"INFO"}


def test_a_denial_is_a_warning_with_its_reason(folder: Path) -> None:
    raw = otlp.encode("chat", ORIGIN, entries(folder, 1))
    [record] = ExportLogsServiceRequest.FromString(raw).resource_logs[0].scope_logs[0].log_records
    assert (record.severity_text, record.severity_number) == ("WARN", 13)
    assert attributes(record)["epochgate.reason"] == "EG905"
    assert record.trace_id == b""


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (b"", 0),
        (b"\xff not protobuf", 0),
        (ExportLogsPartialSuccess(error_message="careful"), 0),
        (ExportLogsPartialSuccess(rejected_log_records=4), 4),
        (ExportLogsPartialSuccess(rejected_log_records=99), 10),
        (ExportLogsPartialSuccess(rejected_log_records=-1), 0),
    ],
)
async def test_what_a_receiver_throws_away_of_a_batch_is_told_and_not_sent_again(
    folder: Path, receiver: Receiver, answer: bytes | ExportLogsPartialSuccess, lost: int
) -> None:
    if isinstance(answer, ExportLogsPartialSuccess):
        answer = ExportLogsServiceResponse(partial_success=answer).SerializeToString()
    receiver.body = answer
    made = outlet(receiver)
    assert await made.send(ORIGIN, entries(folder, 10)) == lost
    await made.close()


@pytest.mark.parametrize("text", ["zz" * 16, "00" * 16, "ab", "", None, "0af7651916cd43dd "])
def test_a_trace_id_that_is_none_is_left_out(text: str | None) -> None:
    line = (
        b'{"type":"decision","trace_id":' + (f'"{text}"' if text is not None else "null").encode()
    )
    raw = otlp.encode("chat", ORIGIN, [Entry(0, 0, line + b"}")])
    [record] = ExportLogsServiceRequest.FromString(raw).resource_logs[0].scope_logs[0].log_records
    assert record.trace_id == b""
