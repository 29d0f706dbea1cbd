"""Large bodies, and connections that idle, against the service of the benchmark itself."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks import bulk, idle, upstream_bulk
from benchmarks.bulk import BulkService
from benchmarks.load import LoadError
from sidecar.cli.demo.processes import free_ports


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BulkService]:
    one = BulkService(tmp_path_factory.mktemp("bulk"), free_ports(1)[0])
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.mark.parametrize("transfer", [bulk.up, bulk.down])
def test_a_transfer_has_its_throughput(service: BulkService, transfer: bulk.Transfer) -> None:
    found = bulk.load(service.port, transfer, 2)
    assert found.count == 2 * bulk.TIMES
    assert found.requests == bulk.TIMES
    assert found.figures["throughput, MiB/s"] > 0


def test_the_service_takes_what_it_is_sent_and_gives_what_it_is_asked_for(
    service: BulkService,
) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as sock:
        bulk.up(sock, 3_000_001)
        bulk.down(sock, 3_000_001)
        sock.settimeout(0)
        with pytest.raises(BlockingIOError):  # nothing was left over
            sock.recv(1)


def test_a_transfer_that_fails_is_an_error() -> None:
    with pytest.raises(LoadError, match="up"):
        bulk.load(free_ports(1)[0], bulk.up, 1)


def test_a_body_that_ends_too_early_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"abc")
        ours.close()
        with pytest.raises(ConnectionError, match="7 bytes are missing"):
            upstream_bulk.drop(theirs, 10)


def test_idle_connections_stay_open_once_they_were_answered(service: BulkService) -> None:
    with ExitStack() as stack:
        found = idle.opened(service.port, 5, stack)
    assert found.count == 5


def test_an_idle_connection_that_is_refused_is_an_error() -> None:
    with ExitStack() as stack, pytest.raises(LoadError, match="connection 0 of 5"):
        idle.opened(free_ports(1)[0], 5, stack)
