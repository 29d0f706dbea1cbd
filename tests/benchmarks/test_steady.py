"""Load at a fixed rate, against a service of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import request, steady
from benchmarks.load import LoadError

COUNT = 60
SECONDS = 0.2
RATE = round(COUNT / SECONDS)


class Service(ThreadingHTTPServer):
    """Counts, and answers as it was told."""

    request_queue_size = 128
    daemon_threads = True
    status = 200
    connections = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Service)
        assert self.path == request.PATH
        assert self.rfile.read(int(self.headers["content-length"])) == request.body()
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(status: int = 200) -> Iterator[Service]:
    with Service(("127.0.0.1", 0), Handler) as service:
        service.status = status
        thread = threading.Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    with served() as one:
        yield one


def test_every_request_is_answered_on_the_connections_there_are(service: Service) -> None:
    found = steady.run(service.server_port, 4, RATE, SECONDS)
    assert found.count == COUNT
    assert service.connections == 4  # busy ones make a request wait
    assert 0 < found.figures["p50, µs"] <= found.figures["p99.9, µs"]


def test_without_keeping_each_request_has_a_connection(service: Service) -> None:
    assert steady.run(service.server_port, COUNT, RATE, SECONDS, keep=False).count == COUNT
    assert service.connections == COUNT


def test_another_answer_than_200_is_an_error() -> None:
    with served(503) as service, pytest.raises(LoadError, match="503"):
        steady.run(service.server_port, 4, RATE, SECONDS)
