"""Parts of a deployment: a peer and a sidecar, each a process, and what can be done to them."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from sidecar.cli.conformance.view import View
from sidecar.cli.demo import processes
from sidecar.cli.demo.processes import HOST, Process, epochgate

API = "epochgate.io/v1alpha1"
WEIGHTS = b"weights of a model\n" * 64


class Peer:
    """A Valkey server, and a client that gives up at once.

    Args:
        number: From 1.
        port: Of loopback.
        folder: Of the deployment.
    """

    def __init__(self, number: int, port: int, folder: Path) -> None:
        self.id, self.port = f"p{number}", port
        self.process = processes.valkey(number, port, folder)
        self.client = Redis(HOST, port, protocol=2, socket_timeout=1, retry=Retry(NoBackoff(), 0))

    @property
    def entry(self) -> dict[str, str]:
        """How configurations name it."""
        return {"id": self.id, "url": f"redis://{HOST}:{self.port}/0"}

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.process.start()
        self.process.wait_for(f"port {self.port}", lambda: processes.listens(self.port))

    def get(self, key: str) -> bytes | None:
        """The value of a key; None when there is none, or no answer."""
        with contextlib.suppress(RedisError):
            found = self.client.get(key)
            return found if isinstance(found, bytes) else None
        return None

    def hash(self, key: str) -> dict[str, bytes]:
        """The fields of a hash; empty when there are none, or no answer."""
        with contextlib.suppress(RedisError):
            found = self.client.hgetall(key).items()
            return {
                name.decode(): value
                for name, value in found
                if isinstance(name, bytes) and isinstance(value, bytes)
            }
        return {}

    def put(
        self,
        key: str,
        value: bytes | str,
        table: str = "",
        fields: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write a value, and fields of a hash with it, as somebody who has taken the peer over."""
        with self.client.pipeline() as batch:
            for field, held in (fields or {}).items():
                batch.hset(table, field, held)
            batch.set(key, value)
            batch.execute()

    def delete(self, *keys: str) -> None:
        """Remove keys."""
        self.client.delete(*keys)


class Gate:
    """One sidecar of the deployment, and its view.

    Args:
        name: Of its folder, and of its region.
        folder: Of the deployment.
        peers: Whom it reads.
        spec: Parts of its configuration that replace the usual ones.

    Attributes:
        view: How anybody sees it.
        up: Whether it was started and not ended.
    """

    def __init__(self, name: str, folder: Path, peers: list[Peer], spec: dict[str, Any]) -> None:
        self.name, self.folder = name, folder / name
        self.file = self.folder / "sidecar.yaml"
        self.marks = self.folder / "state" / "marks.json"
        self.weights = self.folder / "weights"
        self._spec = {
            "service": "model", "region": name, "trust": {"file": "../trust/trust.json"},
            "state": {"dir": "state"}, "listen": {"inbound": f"{HOST}:0", "status": f"{HOST}:0"},
            "integrity": {"period": "1s", "files": [{"name": "weights", "path": "weights"}]},
            "drain": {"delay": "0ms", "timeout": "500ms"},
            **spec,
        }  # fmt: skip
        self._spec["sync"] = {"peers": [peer.entry for peer in peers], **spec.get("sync", {})}
        self.up = False
        self.view = View("", "", self.folder / "state" / "audit")
        self.process = Process(
            f"sidecar {name}", epochgate("run", "sidecar", "--config", self.file),
            folder / f"{name}.log",
        )  # fmt: skip

    def prepare(self) -> None:
        """Write what it reads."""
        (self.folder / "state").mkdir(mode=0o700, parents=True)
        self.weights.write_bytes(WEIGHTS)
        self.configure()

    def configure(self, **sync: str) -> None:
        """Write its configuration; `sync` replaces values of that section."""
        spec = {**self._spec, "sync": {**self._spec["sync"], **sync}}
        document = {
            "apiVersion": API, "kind": "SidecarConfig", "metadata": {"name": self.name},
            "spec": spec,
        }  # fmt: skip
        self.file.write_text(yaml.safe_dump(document))

    def launch(self) -> None:
        """Start it."""
        self.up = True
        self.process.start()

    async def start(self) -> None:
        """Start it and wait until it listens; it takes other ports each time."""
        self.launch()
        await self.listening()

    async def listening(self) -> None:
        """Wait until it listens."""
        await asyncio.to_thread(self.process.wait_for, "its listener", self._listens)

    async def restart(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and start it again."""
        await self.end(number)
        await self.start()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        self.up = False
        await asyncio.to_thread(self.process.end, number)

    def _listens(self) -> bool:
        for fact in self.process.facts():
            address = f"http://{fact.get('address')}"
            if fact.get("event") == "status_listening":
                self.view.status = address
            if fact.get("event") == "listening":
                self.view.inbound = address
                return True
        return False


@contextlib.contextmanager
def paused(*held: Process) -> Iterator[None]:
    """Processes that stand still meanwhile: connections stay open and nothing answers."""
    try:
        for process in held:
            process.send(signal.SIGSTOP)
        yield
    finally:
        for process in held:
            process.send(signal.SIGCONT)


@contextlib.contextmanager
def changed(path: Path, body: bytes) -> Iterator[None]:
    """A file that has other content meanwhile."""
    before = path.read_bytes()
    path.write_bytes(body)
    try:
        yield
    finally:
        path.write_bytes(before)
