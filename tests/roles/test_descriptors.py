"""Connections fit the file descriptors that there are."""

import io
import json
import resource
from collections.abc import Iterator

import pytest

from sidecar.config.sections import Address, Limits, Proxy
from sidecar.proxy.connections import TOLD_MAX
from sidecar.roles import descriptors
from sidecar.roles.start import StartError
from sidecar.telemetry import logs

SETTINGS = Proxy(inbound=Address("127.0.0.1", 0), limits=Limits(connections=1000))


@pytest.fixture
def soft() -> Iterator[int]:
    """A soft limit below the hard one, as most shells have it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowered = before[1] // 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowered, before[1]))
    yield lowered
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def fit(settings: Proxy) -> tuple[Proxy, list[dict[str, object]]]:
    stream = io.StringIO()
    log = logs.setup("info", stream, lambda _: None)
    found = descriptors.fitted(settings, log)
    return found, [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch, soft: int) -> int:
    """For 10 connections: lowering the real hard limit could never be undone."""
    count = descriptors.KEPT + TOLD_MAX + descriptors.UPSTREAMS * SETTINGS.warm_connections + 20
    monkeypatch.setattr(resource, "getrlimit", lambda _: (count, count))
    return count


def test_two_descriptors_for_each_connection_and_some_for_everybody_else() -> None:
    most = descriptors.fitting(1024, 4)
    assert 1024 - 2 * most >= descriptors.KEPT + TOLD_MAX + descriptors.UPSTREAMS * 4
    assert descriptors.fitting(1026, 4) == most + 1


def test_the_soft_limit_is_raised_to_the_hard_one(soft: int) -> None:
    found, said = fit(SETTINGS)
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft < now == most
    assert (found, said) == (SETTINGS, [])


def test_a_limit_that_does_not_fit_is_lowered_and_the_log_says_so(room: int) -> None:
    found, said = fit(SETTINGS)
    assert found.limits.connections == 10
    (line,) = said
    assert (line["event"], line["level"]) == ("connections_lowered", "warning")
    assert (line["limit"], line["to"], line["descriptors"]) == (1000, 10, room)


def test_a_process_without_room_for_one_connection_does_not_start(room: int) -> None:
    tight = Proxy(inbound=SETTINGS.inbound, warm_connections=SETTINGS.warm_connections + 3)
    with pytest.raises(StartError, match="are too few"):
        fit(tight)
