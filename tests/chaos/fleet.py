"""The processes of one run: five peers, two authorities, three sidecars, the service behind them.

All of it is what ships, started as a person would start it; only the addresses of the peers are
those of our links. Each process is ended by its id, whatever happens.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import yaml

from sidecar import clock, signer
from sidecar.cli.demo.processes import Process, epochgate
from sidecar.core import canonical, envelope
from sidecar.core.objects import beat
from sidecar.core.reason import ProtocolError
from tests.chaos.link import Network
from tests.chaos.schedule import AUTHORITIES, OFFICE, PEERS, QUORUM, SIDECARS, Options
from tests.integration.harness import Hand, Sidecar
from tests.valkey import HOST, ValkeyServer

DOMAIN = "chaos"
START_S = 60.0  # a failure of the machine, not of what is tested
API = "epochgate.io/v1alpha1"


class Peer(ValkeyServer):
    """A peer that can come back empty, or with what it held some time ago."""

    @property
    def _file(self) -> Path:
        return self.folder / "dump.rdb"

    def keep(self) -> None:
        """Remember what it holds now, for `restore`."""
        self.do("SAVE")
        shutil.copy(self._file, self.folder / "old.rdb")

    def kill(self, *, old: bool) -> None:
        """Kill it. Started again, it is empty, or holds what `keep` saw."""
        self.stop()
        self._file.unlink(missing_ok=True)
        if old:
            shutil.copy(self.folder / "old.rdb", self._file)


class Beats:
    """Every beat that an authority sent to any peer, as the links saw it."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, Any]] = {}
        self._raws: set[bytes] = set()

    def tap(self, process: str, peer: str, said: list[bytes]) -> None:
        if process not in AUTHORITIES or said[0] != b"SET" or b":beat:" not in said[1]:
            return
        if said[2] in self._raws:
            return
        self._raws.add(said[2])
        with contextlib.suppress(ProtocolError):
            payload = envelope.parse(said[2], beat.MAX_BYTES).unverified_payload
            says = canonical.load(payload, beat.Body, beat.MAX_BYTES)
            self.seen[canonical.digest(payload)] = {
                "by": process, "issuer": says.issuer, "seq": says.seq,
                "sha": canonical.digest(payload), "epoch_seq": says.epoch.seq,
                "epoch_sha": says.epoch.sha256, "issued_at": says.issued_at,
                "ttl_ms": says.ttl_ms, "halts": says.halts.seq,
            }  # fmt: skip

    def count(self, authority: str) -> int:
        return sum(said["by"] == authority for said in self.seen.values())


class Fleet:
    """All processes of a run.

    Args:
        folder: Empty; everything is written here.
        options: Of the run.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder, self.options = folder, options
        self.beats = Beats()
        self.network = Network(self.beats.tap)
        self.peers = {name: Peer(folder / name) for name in PEERS}
        self.authorities = {name: self._process("run", "authority", name) for name in AUTHORITIES}
        self.sidecars: dict[str, Sidecar] = {}
        self.service: Process
        self.ports: dict[str, int] = {}
        self._commands = 0

    def _process(self, *command: str) -> Process:
        name = command[-1]
        words = epochgate(*command[:-1], "--config", self.folder / f"{name}.yaml")
        return Process(name, words, self.folder / f"{name}.log")

    # -- start -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Everything, until each sidecar listens and the first epoch is on the peers."""
        async with asyncio.TaskGroup() as tasks:
            for peer in self.peers.values():
                tasks.create_task(asyncio.to_thread(peer.start))
            tasks.create_task(self._make_trust())
            tasks.create_task(self._start_service())
        for name in (*AUTHORITIES, *SIDECARS, OFFICE):
            for peer_id, peer in self.peers.items():
                await self.network.open(name, peer_id, peer.port)
        self._write_configurations()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.issue("lease"))
            for name in AUTHORITIES:
                tasks.create_task(self.start_authority(name))
            for sidecar in self.sidecars.values():
                tasks.create_task(sidecar.start())

    async def _make_trust(self) -> None:
        ttl, skew = self.options.ttl_ms, self.options.skew_ms
        await self.command(
            "trust", "init", "--domain", DOMAIN, "--out", "trust", "--peers", str(len(PEERS)),
            "--read-quorum", str(QUORUM), "--write-quorum", str(QUORUM), "--ttl-max", f"{ttl}ms",
            "--skew-max", f"{skew}ms", "--drift", "2000ppm",
        )  # fmt: skip

    async def _start_service(self) -> None:
        lanes = [{"lane": name, "http": "httptools", "key_file": None} for name in SIDECARS]
        told = json.dumps(lanes)
        command: list[str | Path] = [sys.executable, "-m", "tests.late.service", self.seen, told]
        self.service = Process("service", command, self.folder / "service.log")
        self.service.start()
        async with asyncio.timeout(START_S):
            while not self.service.lines():
                await asyncio.sleep(0.02)
        self.ports = json.loads(self.service.lines()[0])

    @property
    def seen(self) -> Path:
        """What the service wrote down, once it has ended."""
        return self.folder / "seen"

    def _write_configurations(self) -> None:
        options, trust = self.options, self.folder / "trust"
        for number, name in enumerate((*AUTHORITIES, OFFICE), start=1):
            (self.folder / name).mkdir(mode=0o700)
            spec: dict[str, Any] = {
                "trust": {"file": "trust/trust.json"}, "state": {"dir": name},
                "keys": {"beat": f"trust/keys/beat-{min(number, len(AUTHORITIES))}.key"},
                "peers": self._addresses(name),
                "beat": {"ttl": f"{options.ttl_ms}ms", "interval": f"{options.interval_ms}ms",
                         "publish": f"{options.publish_ms}ms"},
                "listen": {"status": f"{HOST}:0"},
            }  # fmt: skip
            for path, value in options.authority_spec.items():
                section, _, key = path.partition("__")
                spec.setdefault(section, {})[key] = value
            self._write(f"{name}.yaml", "AuthorityConfig", spec)
        self._write("routes.yaml", "RouteTable", {
            "upstreams": {name: f"{HOST}:{port}" for name, port in self.ports.items()},
            "routes": [{"name": name, "paths": [f"/v1/{name}/**"], "upstream": name}
                       for name in SIDECARS],
        })  # fmt: skip
        pinned = (trust / "trust.json").read_bytes()
        for name in SIDECARS:
            self.sidecars[name] = Sidecar(
                self.folder / name,
                cast("Hand", _Pinned(pinned)),
                sync__peers=self._addresses(name), sync__quorum=QUORUM,
                sync__ttl=f"{options.ttl_ms}ms", sync__skew=f"{options.skew_ms}ms",
                sync__poll=f"{options.poll_ms}ms", sync__timeout=f"{options.timeout_ms}ms",
                **options.sidecar_spec,
            )  # fmt: skip

    def _addresses(self, process: str) -> list[dict[str, str]]:
        links = self.network.links
        return [
            {"id": peer, "url": f"redis://{HOST}:{links[process, peer].port}/0"} for peer in PEERS
        ]

    def _write(self, file: str, kind: str, spec: dict[str, Any]) -> None:
        document = {"apiVersion": API, "kind": kind, "metadata": {"name": "chaos"}, "spec": spec}
        (self.folder / file).write_text(yaml.safe_dump(document))

    async def start_authority(self, name: str) -> None:
        """Start it, and wait until it vouches. Not for ever: its peers may be gone."""
        before = self.beats.count(name)
        self.authorities[name].start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while self.beats.count(name) == before:
                    await asyncio.sleep(0.02)

    # -- what people do --------------------------------------------------------------------------

    async def command(self, *arguments: str) -> dict[str, Any]:
        """Run one `epochgate` command.

        Returns:
            Its words, when it began and ended, its exit status, and what it said; `json` is its
            answer, if it was one.
        """
        self._commands += 1
        out, err = (self.folder / f"command-{self._commands}.{kind}" for kind in ("out", "err"))
        began = clock.now().wall
        child = self._spawn(arguments, out, err)
        try:
            async with asyncio.timeout(START_S):
                while child.poll() is None:
                    await asyncio.sleep(0.01)
        finally:
            child.kill()  # does nothing to one that has ended
            child.wait()
        said: Any = None
        with contextlib.suppress(ValueError):
            said = json.loads(out.read_bytes())
        return {
            "words": arguments[:2], "began": began, "ended": clock.now().wall,
            "status": child.returncode, "json": said, "err": err.read_text(errors="replace"),
        }  # fmt: skip

    def _spawn(self, arguments: tuple[str, ...], out: Path, err: Path) -> "subprocess.Popen[bytes]":
        # Into files: they are kept with the run, and nobody waits for the end of a pipe.
        with out.open("wb") as to_out, err.open("wb") as to_err:
            return subprocess.Popen(
                [str(word) for word in epochgate(*arguments)], cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=to_out, stderr=to_err,
            )  # fmt: skip

    async def issue(self, activation: str) -> dict[str, Any]:
        """Sign and publish the next epoch; its policy differs from every other one's."""
        name = f"policy-{clock.now().wall}"
        paths = [f"/v1/{sidecar}/**" for sidecar in SIDECARS]
        rule = {"name": name, "action": "permit", "methods": ["POST"], "paths": paths}
        self._write(f"{name}.yaml", "GatePolicy", {"rules": [rule]})
        return await self.command(
            "epoch", "issue", "--config", f"{OFFICE}.yaml", "--policy", f"{name}.yaml",
            "--routes", "routes.yaml", "--activation", activation, "-o", "json",
            "--key", "trust/keys/epoch-1.key", "--key", "trust/keys/epoch-2.key",
        )  # fmt: skip

    async def halt(self) -> dict[str, Any]:
        """Stop everything, with one key."""
        return await self.command(
            "halt", "--config", f"{OFFICE}.yaml", "--reason", "chaos", "-o", "json",
            "--key", "trust/keys/halt-1.key",
        )  # fmt: skip

    async def clear(self, halt_id: str) -> dict[str, Any]:
        """End a halt, with two keys."""
        return await self.command(
            "clear", halt_id, "--config", f"{OFFICE}.yaml", "--reason", "chaos", "-o", "json",
            "--key", "trust/keys/resume-1.key", "--key", "trust/keys/resume-2.key",
        )  # fmt: skip

    def issuers(self) -> dict[str, str]:
        """Authority -> id of its key."""
        keys = self.folder / "trust" / "keys"
        return {
            name: signer.load(keys / f"beat-{number}.key").key_id
            for number, name in enumerate(AUTHORITIES, start=1)
        }

    # -- the end ---------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End the sidecars as one does, so that their journals are closed; then the service."""
        async with asyncio.TaskGroup() as tasks:
            for sidecar in self.sidecars.values():
                tasks.create_task(asyncio.to_thread(sidecar.end))
        await asyncio.to_thread(self.service.end, signal.SIGTERM)

    async def kill(self) -> None:
        """End whatever still runs, stopped or not."""
        await asyncio.get_running_loop().shutdown_default_executor()  # a thread may start a peer
        await self.network.close()
        with contextlib.ExitStack() as ends:  # one that cannot be ended keeps none of the others
            for sidecar in self.sidecars.values():
                ends.callback(sidecar.end, signal.SIGKILL)
            for process in (*self.authorities.values(), getattr(self, "service", None)):
                if process is not None:
                    ends.callback(process.end)
            for peer in self.peers.values():
                ends.callback(peer.stop)


class _Pinned:
    """What a `Sidecar` wants to know of the hand that signs; the rest is configured."""

    valkeys: tuple[ValkeyServer, ...] = ()

    def __init__(self, trust_raw: bytes) -> None:
        self.trust_raw = trust_raw


@contextlib.asynccontextmanager
async def running(folder: Path, options: Options) -> AsyncIterator[Fleet]:
    """A fleet that was started; it is ended whatever happens."""
    fleet = Fleet(folder, options)
    try:
        await fleet.start()
        yield fleet
    finally:
        await fleet.kill()
