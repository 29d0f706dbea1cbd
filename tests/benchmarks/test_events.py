"""Event streams, from the service of the benchmark itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import events, request
from benchmarks.contestants import Contestant
from benchmarks.events import EventService
from benchmarks.load import LoadError
from benchmarks.upstream_events import EVENTS, event
from sidecar.cli.demo.processes import free_ports


@contextmanager
def started(one: Contestant) -> Iterator[int]:
    try:
        one.start()
        yield one.port
    finally:
        one.stop()


def test_every_event_of_every_stream_is_seen(tmp_path: Path) -> None:
    with started(EventService(tmp_path, free_ports(1)[0])) as port:
        found = events.load(port, streams=3, seconds=0.1)
    assert found.requests >= 3
    assert found.count == found.requests * EVENTS
    for name in ("first byte", "delay", "gap"):
        # Events that waited together come at once: a gap can be nothing.
        assert 0 <= found.figures[f"{name}: p50, µs"] <= found.figures[f"{name}: p99, µs"]
    assert found.figures["delay: p50, µs"] > 0


def test_a_connection_has_one_stream_after_another_until_it_is_cut(tmp_path: Path) -> None:
    service = EventService(tmp_path, free_ports(1)[0])
    with started(service) as port:
        sock = events.connect(port)
        stream = events.Stream(sock, events.Seen())
        with sock:
            for _ in range(2):
                stream.ask(request.wire())
                assert not stream.take()
                while not stream.take():
                    pass
            assert len(stream.seen.delays) == 2 * EVENTS
            stream.ask(request.wire())
            service.stop()
            with pytest.raises(LoadError, match="cut"):
                while not stream.take():
                    pass


def test_an_event_is_60_bytes() -> None:
    size, text, end = event(123).split(b"\r\n")
    assert len(text) == int(size, 16) == 60
    assert end == b""
