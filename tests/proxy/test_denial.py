"""Our own answers: the contract with clients."""

import json

import pytest

from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.reason import Reason
from sidecar.core.snapshot import CLOSED, Snapshot
from sidecar.proxy.denial import last_event, response, retry_after_s
from tests.proxy.world import EPOCH

NOW = Now(BootNs(0), WallMs(1_800_000_000_000))
SEEN = Snapshot(epoch=EPOCH, absent=Reason.LEASE_EXPIRED, faults=(Reason.QUORUM_LOST,))


def split(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    return line, dict(item.split(b": ", 1) for item in lines), body


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.code)
def test_every_reason_has_its_answer(reason: Reason) -> None:
    line, headers, body = split(response(reason, SEEN, "ab-1", NOW, b"POST", keep_alive=True))
    assert int(line.split(b" ")[1]) == reason.status
    assert int(headers[b"content-length"]) == len(body)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-epochgate-decision"] == b"deny"
    assert headers[b"x-epochgate-reason"] == reason.code.encode()
    assert headers[b"x-epochgate-decision-id"] == b"ab-1"
    assert headers[b"x-epochgate-epoch"] == b"1"
    behind = reason.status in (502, 504)
    assert headers[b"x-epochgate-origin"] == (b"upstream" if behind else b"gate")
    assert headers[b"x-should-retry"] == (b"true" if reason.retryable else b"false")
    assert (b"retry-after" in headers) == reason.retryable
    assert b"connection" not in headers
    problem = json.loads(body)
    assert list(problem) == [
        "type", "title", "status", "detail", "instance", "reason", "state", "retryable", "causes",
        "validation", "epoch", "error",
    ]  # fmt: skip
    assert problem["type"] == f"urn:epochgate:reason:{reason.code}"
    assert problem["instance"] == "urn:epochgate:decision:ab-1"
    assert (problem["state"], problem["causes"], problem["epoch"]) == ("contained", ["EG801"], 1)
    assert problem["error"]["code"] == reason.code


def test_what_the_policy_wants_said_is_said_to_people_and_to_clients_of_openai() -> None:
    message = 'only "small" models here'
    answer = response(
        Reason.POLICY_DENY, SEEN, "ab-1", NOW, b"POST", keep_alive=True, message=message
    )
    problem = json.loads(split(answer)[2])
    assert problem["detail"] == f"Denied by epochgate: policy-deny (EG204): {message}"
    assert problem["error"]["message"].endswith(f" (EG204): {message}")
    plain = json.loads(
        split(response(Reason.POLICY_DENY, SEEN, "ab-1", NOW, b"POST", keep_alive=True))[2]
    )
    assert plain["detail"] == "Denied by epochgate: policy-deny (EG204)."
    assert plain["error"]["message"].endswith(" (EG204)")


def test_clients_are_spread_and_the_same_id_waits_the_same() -> None:
    waits = [retry_after_s(f"ab-{number}") for number in range(100)]
    assert set(waits) == {1, 2}
    assert waits == [retry_after_s(f"ab-{number}") for number in range(100)]


def test_head_and_options_get_no_body_and_close_is_said() -> None:
    for method in (b"HEAD", b"OPTIONS"):
        _, headers, body = split(
            response(Reason.STARTING, CLOSED, None, NOW, method, keep_alive=False)
        )
        assert (body, headers[b"connection"]) == (b"", b"close")
        assert b"x-epochgate-decision-id" not in headers


def test_the_last_event_is_one_event() -> None:
    event = last_event(Reason.LEASE_EXPIRED, SEEN, "ab-1", NOW)
    assert event.startswith(b"event: error\ndata: {")
    assert event.count(b"\n") == 3
    assert event.endswith(b"}\n\n")
