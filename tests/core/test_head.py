"""The head that a decision sees."""

import pytest

from sidecar.core.head import Header, RequestHead, disputed, model_of, one_value


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


MODEL = (b"x-model", b"m")
JOINED = (b"x-model", b"m,m")


@pytest.mark.parametrize(
    ("headers", "body", "name", "model", "differ"),
    [
        # No body was read: the header alone.
        ((MODEL,), None, b"x-model", b"m", False),
        ((), None, b"x-model", b"", False),
        ((MODEL,), None, None, b"", False),
        ((JOINED,), None, b"x-model", b"", False),
        # A body was: both have to say the same, and the body alone will do.
        ((MODEL,), b"m", b"x-model", b"m", False),
        ((), b"m", b"x-model", b"m", False),
        ((), b"m", None, b"m", False),
        ((MODEL,), b"other", None, b"other", False),
        ((MODEL,), b"other", b"x-model", b"", True),
        # A body that says nothing certain can not be made up for by a header, nor the reverse.
        ((MODEL,), b"", b"x-model", b"", False),
        ((), b"", b"x-model", b"", False),
        ((), b"", None, b"", False),
        ((JOINED,), b"m", b"x-model", b"", False),
        ((MODEL, MODEL), b"m", b"x-model", b"", False),
        (((b"x_model", b"m"),), b"m", b"x-model", b"", False),
        (((b"x-model", b""),), b"m", b"x-model", b"", False),
    ],
)
def test_the_model_is_what_header_and_body_agree_on(
    headers: tuple[Header, ...],
    body: bytes | None,
    name: bytes | None,
    model: bytes,
    differ: object,
) -> None:
    head = RequestHead(b"POST", b"/", b"/", headers, body)
    assert model_of(head, name) == model
    assert disputed(head, name) is differ
