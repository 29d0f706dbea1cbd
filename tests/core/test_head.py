"""The head that a decision sees."""

from sidecar.core.head import RequestHead


def test_a_head_is_its_bytes() -> None:
    head = RequestHead(b"POST", b"/v1/chat?x=1", b"/v1/chat", ((b"host", b"a"), (b"host", b"b")))
    assert head == RequestHead(b"POST", b"/v1/chat?x=1", b"/v1/chat", head.headers)
    assert head.headers[1] == (b"host", b"b")


def test_a_head_has_no_room_for_more_than_was_judged() -> None:
    """Slots: nobody hangs a note on a head on its way from the parser to the upstream."""
    assert not hasattr(RequestHead(b"GET", b"/", b"/", ()), "__dict__")
