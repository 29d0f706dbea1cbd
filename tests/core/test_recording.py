"""What a signed policy says about records."""

import hashlib
import hmac
from typing import Any

import pytest

from sidecar.core import canonical, policy, recording
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.recording import PLAIN, Recording

WHOLE = {
    "durability": "strict", "headers": ["x-request-id"], "paths": "none", "receipts": True,
    "subject": "x-user", "tenant": "x-tenant",
}  # fmt: skip


def parsed(audit: dict[str, Any] | None) -> policy.Policy:
    body: dict[str, Any] = {"_type": policy.TYPE, "name": "p", "rules": []}
    return policy.parse(canonical.encode(body if audit is None else body | {"audit": audit}))


@pytest.mark.parametrize("audit", [None, {}])
def test_a_policy_that_says_nothing_asks_for_nothing(audit: dict[str, Any] | None) -> None:
    assert parsed(audit).recording == PLAIN
    assert not PLAIN.tells


def test_a_policy_can_ask_for_all_of_it() -> None:
    assert parsed(WHOLE).recording == Recording(
        strict=True, receipts=True, headers=(b"x-request-id",), paths=False,
        subject=b"x-user", tenant=b"x-tenant",
    )  # fmt: skip


@pytest.mark.parametrize("key", ["headers", "subject", "tenant"])
def test_what_is_told_of_headers_is_known_beforehand(key: str) -> None:
    assert parsed({key: WHOLE[key]}).recording.tells


@pytest.mark.parametrize(
    ("audit", "why"),
    [
        ({"durability": "fast"}, "durability"),
        ({"paths": "some"}, "paths"),
        ({"receipts": 1}, "receipts"),
        ({"subject": "X-User"}, "subject"),
        ({"headers": ["a"] * (recording.HEADERS_MAX + 1)}, "headers"),
        ({"headers": ["x-a", "x-a"]}, "twice"),
        ({"bodies": True}, "bodies"),
        *(({"headers": [name]}, "credentials") for name in sorted(recording.SECRET)),
    ],
)
def test_what_cannot_be_meant_is_refused(audit: dict[str, Any], why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as caught:
        parsed(audit)
    assert caught.value.reason is Reason.POLICY_INVALID


def test_a_digest_is_an_hmac_that_says_of_what() -> None:
    key = bytes(range(32))
    expected = hmac.new(key, b"subject\0alice", hashlib.sha256).hexdigest()
    assert recording.digest(key, b"subject", b"alice") == expected
    assert recording.digest(key, b"tenant", b"alice") != expected
    assert recording.digest(bytes(32), b"subject", b"alice") != expected
