"""What the demo's client makes of answers."""

import pytest

from sidecar.cli.demo.client import Client, Stream, _message, _read_event


def test_an_error_body_gives_its_message() -> None:
    assert _message('{"error": {"message": "no (EG102)"}}') == "no (EG102)"
    assert _message("<html>") == ""


@pytest.mark.parametrize(
    ("line", "words", "done", "error"),
    [
        (b'data: {"choices": [{"delta": {"content": "hi"}}]}\n', 1, False, ""),
        (b'data: {"choices": [{"delta": {}}]}\n', 0, False, ""),
        (b"data: [DONE]\n", 0, True, ""),
        (b'data: {"error": {"message": "cut"}}\n', 0, False, "cut"),
        (b"event: error\n", 0, False, ""),
    ],
)
def test_each_event_of_a_stream_is_read(line: bytes, words: int, done: bool, error: str) -> None:  # noqa: FBT001
    stream = Stream()
    _read_event(line, stream)
    assert (stream.words, stream.done, stream.error) == (words, done, error)


async def test_a_service_that_is_not_there_is_an_answer_of_its_own() -> None:
    import aiohttp  # noqa: PLC0415 - only here

    async with aiohttp.ClientSession() as session:
        answer = await Client(session, "http://127.0.0.1:1").ask()
    assert (answer.status, answer.reason) == (0, "")
