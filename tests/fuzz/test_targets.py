"""Each decoder against its kept inputs, and against mutations of them from a fixed seed.

`make fuzz` looks further, guided by coverage. What it finds comes back here through the corpus.
"""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.audit import reader
from sidecar.config.read import read_any
from sidecar.config.sections import Limits
from sidecar.core import canonical, envelope
from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy import fields, http1
from sidecar.proxy.shell import Shell
from tests.fuzz import corpus, exchanges, files, objects
from tests.fuzz.exchanges import read_requests
from tests.fuzz.mutate import blindly
from tests.fuzz.targets import TARGETS

CORPUS_MAX_BYTES = 400 * 1024


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs_hold(name: str) -> None:
    for data in corpus.load(name):
        TARGETS[name].check(data)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_accepted_and_mutations_of_them_hold(name: str) -> None:
    target = TARGETS[name]
    inputs = [*target.seeds(), *corpus.load(name)]
    rng = random.Random(name)
    for data in target.seeds():
        target.check(data)
    for _ in range(target.tries):
        data = blindly(rng, rng.choice(inputs), target.words)
        try:
            target.check(data)
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise


def test_every_input_is_written_and_read_unchanged() -> None:
    rng = random.Random(1)
    for size in range(300):
        data = bytes(rng.choice(b"'\"\\\nab\xff\0") for _ in range(size % 30))
        assert corpus.unwritten(corpus.written(data)) == data
        assert "\n" not in corpus.written(data)


def test_the_corpus_is_small_and_names_a_decoder() -> None:
    paths = list(corpus.FOLDER.iterdir())
    assert {path.stem for path in paths} <= TARGETS.keys()
    assert sum(path.stat().st_size for path in paths) < CORPUS_MAX_BYTES


# The checks themselves. First: well-formed input is accepted, so that there is something to hold.


OBJECTS = [name for name, target in TARGETS.items() if target.check.__module__ == objects.__name__]


@pytest.mark.parametrize("name", OBJECTS)
def test_a_seed_of_a_signed_or_stored_object_is_accepted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, taken = objects.accepted, list[object]()

    def seen(decode: Callable[[], object]) -> object:
        value = plain(decode)
        taken.append(value)
        return value

    monkeypatch.setattr(objects, "accepted", seen)
    for data in TARGETS[name].seeds():
        taken.clear()
        TARGETS[name].check(data)
        # A peer's reply is heard as a whole: nothing is refused there, only left out.
        assert name == "reply" or any(value is not None for value in taken)


@pytest.mark.parametrize("data", TARGETS["request"].seeds())
def test_a_seed_of_a_request_is_read_to_its_end(data: bytes) -> None:
    stream = read_requests([data], exchanges.SHELL, exchanges.LIMITS, exchanges.IN_TURNS)
    assert stream.fault is None
    assert stream.requests
    assert all(one.complete for one in stream.requests)


@pytest.mark.parametrize("data", TARGETS["response"].seeds())
def test_a_seed_of_a_response_is_relayed_to_its_end(data: bytes) -> None:
    assert exchanges.relay([data[1:]], data[0]).ended == "complete"


def test_a_seed_of_a_file_is_read(tmp_path: Path) -> None:
    for data in TARGETS["config"].seeds():
        (tmp_path / "config.yaml").write_bytes(data)
        assert read_any(tmp_path / "config.yaml", {}).origins
    folder, lines = files.journal()
    (folder / "00000000.jsonl").write_bytes(files.journal_seed())
    assert reader.verify(folder, files.KEY).verified
    assert len(lines) == files.RECORDS


# Second: a planted fault is seen.


def test_a_header_that_slips_through_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "RESERVED", b"nothing-has-this-name")
    monkeypatch.setattr(exchanges, "SHELL", Shell(exchanges.LIMITS))
    with pytest.raises(AssertionError):
        TARGETS["request"].check(b"GET / HTTP/1.1\r\nHost: a\r\nX_Epochgate-Epoch: 1\r\n\r\n")


def test_a_head_that_frames_another_message_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = http1.request_head
    monkeypatch.setattr(
        http1, "request_head", lambda asked, ours: plain(replace(asked, length=1), ours)
    )
    with pytest.raises(AssertionError):
        TARGETS["request"].check(TARGETS["request"].seeds()[1])


def test_a_verdict_that_depends_on_pieces_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = exchanges.scan

    def forgetful(data: bytes, searched: int, limits: Limits) -> tuple[int, int]:
        if searched:
            raise ProtocolError(Reason.REQUEST_MALFORMED, "planted")
        return plain(data, searched, limits)

    monkeypatch.setattr(exchanges, "scan", forgetful)
    with pytest.raises(AssertionError):
        TARGETS["request"].check(TARGETS["request"].seeds()[0])


def test_a_forgery_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    beat = TARGETS["envelope"].seeds()[0]
    forged = beat.replace(b'"payload":"e', b'"payload":"f')
    TARGETS["envelope"].check(forged)
    monkeypatch.setattr(envelope, "verify", lambda *_: True)
    with pytest.raises(AssertionError):
        TARGETS["envelope"].check(forged)


def test_a_second_spelling_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    order = TARGETS["halt"].seeds()[0]
    monkeypatch.setattr(canonical, "parse", lambda raw, _: json.loads(raw))
    with pytest.raises(AssertionError):
        TARGETS["halt"].check(order + b" ")


def test_a_client_that_is_told_more_than_was_sent_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "LAST_CHUNK", b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
    with pytest.raises(AssertionError):
        TARGETS["response"].check(TARGETS["response"].seeds()[1])
