"""Header names: what is stripped, what is denied."""

import pytest

from sidecar.core.reason import ProtocolError
from sidecar.proxy import fields
from sidecar.proxy.fields import NAMES_MAX, Names, options


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"X-Y", fields.PLAIN), (b"x_y", fields.PLAIN), (b"Host", fields.HOST),
        (b"X-EpochGate-Epoch", fields.DROPPED), (b"x_epochgate_epoch", fields.DROPPED),
        (b"X-EPOCHGATE", fields.DROPPED), (b"Proxy-Authorization", fields.DROPPED),
        (b"Proxy", fields.DROPPED), (b"Transfer_Encoding", fields.INVALID),
        (b"h\xe9", fields.INVALID), (b"a b", fields.INVALID), (b"a" * 11, fields.PLAIN),
        (b"a" * 65, fields.TOO_LONG),
    ],
)  # fmt: skip
def test_a_name_has_one_kind(raw: bytes, kind: int) -> None:
    assert Names(fields.REQUEST, 64)[raw][1] == kind


def test_remembered_names_are_bounded() -> None:
    names = Names(fields.REQUEST, 64)
    for number in range(3 * NAMES_MAX):
        assert names[b"x-%d" % number] == (b"x-%d" % number, fields.PLAIN)
        assert len(names) <= NAMES_MAX


def test_connection_options_are_lower_case_without_empty_ones() -> None:
    assert options([b"Close, ,X-A", b"keep-alive"]) == {b"close", b"x-a", b"keep-alive"}


@pytest.mark.parametrize("value", [b"Cookie", b"x_forwarded_for", b"X-Epochgate-A", b"a b"])
def test_protected_names_cannot_be_listed(value: bytes) -> None:
    with pytest.raises(ProtocolError):
        options([b"close", value])
