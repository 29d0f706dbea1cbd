"""Sidecars as forks of one process that has imported them already.

    python -m tests.integration.forks DESCRIPTOR

Importing is nearly all that a start costs, and some hundred tests start one. A fork is the same
program in a process of its own: `main` of `sidecar/__main__.py`, with the arguments, environment,
folder and output of whoever asked, and no descriptor but those three. It ends as an interpreter
does. Tests about the process itself (its limits, its network, the code that it finds) take a new
interpreter: mark them `fresh`.

Between it and whoever asked stands a process that waits for it: only a parent learns how a process
ended.
"""

import gc
import json
import os
import select
import socket
import subprocess
import sys
from importlib import import_module
from io import BufferedWriter
from pathlib import Path

IMPORTED = ("sidecar.__main__", "sidecar.roles.sidecar")
REQUEST_BYTES = 65_536
DESCRIPTORS_MAX = 1024


class Forked:
    """One of them. Like `subprocess.Popen`, as far as the tests need it."""

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self._status: int | None = None
        self.pid = int(told.recv(16))

    def poll(self) -> int | None:
        """How it ended: the exit status, or minus the signal. None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float) -> int:
        """The same, at the end."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return status

    def _ended(self, timeout: float) -> int | None:
        if self._status is None and select.select([self._told], [], [], timeout)[0]:
            self._status = int(self._told.recv(16))
            self._told.close()
        return self._status


class Forks:
    """The process that has imported them, from the first start on."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.forks", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )

    def start(self, arguments: list[str], output: BufferedWriter) -> Forked:
        """Run `python -m sidecar` with these arguments."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            asked = json.dumps([arguments, dict(os.environ), str(Path.cwd())]).encode()
            socket.send_fds(self._channel, [asked], [output.fileno(), theirs.fileno()])
        return Forked(ours)

    def close(self) -> None:
        """No more of them; those that run go on."""
        self._channel.close()
        self._child.wait()


def _attend(raw: bytes, output: int, told: int) -> None:
    """Fork, tell the number, wait, tell the end. Returns in the process that was asked for."""
    child = os.fork()
    if child:
        os.write(told, b"%d" % child)
        os.write(told, b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    arguments, environment, folder = json.loads(raw)
    sys.argv[1:] = arguments
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for standard, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(descriptor, standard)
    os.closerange(3, DESCRIPTORS_MAX)


def _serve(channel: int) -> None:
    """Returns in each process that was asked for, and nowhere else."""
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    attending: set[int] = set()
    with socket.socket(fileno=channel) as asking:
        while True:
            raw, given, _, _ = socket.recv_fds(asking, REQUEST_BYTES, 2)
            if not raw:
                os._exit(0)
            attending.add(os.fork())
            if 0 in attending:
                asking.detach()
                return _attend(raw, *given)
            attending = {pid for pid in attending if not os.waitpid(pid, os.WNOHANG)[0]}
            for descriptor in given:
                os.close(descriptor)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
    import_module("sidecar.__main__").main()
