"""Two network namespaces with a link between them: the pod of a gate, and everybody else.

Nothing of the machine's own network is touched, and nothing has a name that could be left behind:
a namespace is gone when its descriptor and its processes are. Needs CAP_SYS_ADMIN, CAP_NET_ADMIN.
"""

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_OURS = "/proc/thread-self/ns/net"

GATE_V4, GATE_V6 = "10.117.0.1", "fd00:117::1"
OUTSIDE_V4, OUTSIDE_V6 = "10.117.0.2", "fd00:117::2"


# What the rules are made of; a kernel may lack a part of it.
_KERNEL = (
    "add table inet probe; add chain inet probe a { type nat hook prerouting priority dstnat; }; "
    "add rule inet probe a fib daddr type local tcp dport 1 redirect to :2",
    "add chain inet probe b { type filter hook output priority filter; }; "
    "add rule inet probe b meta skuid != 1 tcp dport 1 counter reject with tcp reset",
    "delete table inet probe",
)


class NotPermittedError(Exception):
    """This machine does not let us; the message says what is missing."""


class Namespace:
    """A network namespace; its loopback is up."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.home = os.open(_OURS, os.O_RDONLY)
        if self._libc.unshare(_CLONE_NEWNET):
            os.close(self.home)
            raise NotPermittedError(f"unshare: {os.strerror(ctypes.get_errno())}")
        self.fd = os.open(_OURS, os.O_RDONLY)
        self.leave()

    def enter(self) -> None:
        """From now on this thread's new sockets and processes are in it."""
        assert self._libc.setns(self.fd, _CLONE_NEWNET) == 0

    def leave(self) -> None:
        """Back to where the tests run."""
        assert self._libc.setns(self.home, _CLONE_NEWNET) == 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Enter it for a while, from anywhere, and return there."""
        before = os.open(_OURS, os.O_RDONLY)
        self.enter()
        try:
            yield
        finally:
            assert self._libc.setns(before, _CLONE_NEWNET) == 0
            os.close(before)

    def run(self, *command: str, passed: tuple[int, ...] = ()) -> None:
        """Run a command in it."""
        with self.inside():
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, pass_fds=passed
            )
        if done.returncode:
            raise NotPermittedError(f"{' '.join(command)}: {done.stderr.strip()}")

    def socket(self, family: int = socket.AF_INET) -> socket.socket:
        """A TCP socket in it; a socket stays where it was made."""
        with self.inside():
            sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(0)
        return sock

    def close(self) -> None:
        os.close(self.fd)
        os.close(self.home)


class Net:
    """The pod of a gate (`gate`) and everybody else (`outside`)."""

    def __init__(self) -> None:
        for tool in ("nft", "ip"):
            if shutil.which(tool) is None:
                raise NotPermittedError(f"{tool} is not installed")
        self.gate = Namespace()
        self.outside = Namespace()
        path = f"/proc/self/fd/{self.outside.fd}"
        self.gate.run("ip", "link", "add", "eg0", "type", "veth", "peer", "name", "eg1")
        self.gate.run("ip", "link", "set", "eg1", "netns", path, passed=(self.outside.fd,))
        for side, link, v4, v6 in (
            (self.gate, "eg0", GATE_V4, GATE_V6),
            (self.outside, "eg1", OUTSIDE_V4, OUTSIDE_V6),
        ):
            side.run("ip", "link", "set", "lo", "up")
            side.run("ip", "address", "add", f"{v4}/24", "dev", link)
            side.run("ip", "address", "add", f"{v6}/64", "dev", link, "nodad")
            side.run("ip", "link", "set", link, "up")
        for command in _KERNEL:
            self.gate.run("nft", command)

    def close(self) -> None:
        self.gate.close()
        self.outside.close()
