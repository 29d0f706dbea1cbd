"""The head that a decision sees."""

import pytest

from sidecar.core.head import Header, RequestHead, one_value


def test_a_head_is_its_bytes() -> None:
    head = RequestHead(b"POST", b"/v1/chat?x=1", b"/v1/chat", ((b"host", b"a"), (b"host", b"b")))
    assert head == RequestHead(b"POST", b"/v1/chat?x=1", b"/v1/chat", head.headers)
    assert head.headers[1] == (b"host", b"b")


def test_a_head_has_no_room_for_more_than_was_judged() -> None:
    """Slots: nobody hangs a note on a head on its way from the parser to the upstream."""
    assert not hasattr(RequestHead(b"GET", b"/", b"/", ()), "__dict__")


ONE = (b"x-tenant", b"acme")


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ((ONE,), b"acme"),
        ((), None),
        ((ONE, ONE), None),
        ((ONE, (b"x_tenant", b"other")), None),
        (((b"x_tenant", b"acme"),), None),
        (((b"x-tenant", b"acme, other"),), None),
        (((b"x-tenant", b""),), None),
        (((b"x-tenant", b"acm\xc3\xa9"),), None),
    ],
)
def test_a_value_is_told_only_when_there_can_be_no_other(
    headers: tuple[Header, ...], value: bytes | None
) -> None:
    assert one_value(headers, b"x-tenant") == value
