"""Epochgate with everything on, made with the commands that a person would type.

Three Valkey peers and a real authority run on the core of the load; only the sidecar is measured.
Settings are the defaults, but for the ports, the number of clients and a drain that makes nobody
wait.
"""

import http.client
import json
import signal
import subprocess
from functools import partial
from pathlib import Path

from benchmarks import request
from sidecar import clock
from sidecar.cli.demo import processes
from sidecar.cli.demo.processes import HOST, Process, epochgate

RULES = 32
PERMITTED = 200
NS_PER_MS = 1_000_000
LEASE = {"ttl": "4s", "skew": "500ms", "drift": "2000ppm"}  # what `trust init` signs by default


class FleetError(Exception):
    """A part of the fleet did not do what it should."""


class Fleet:
    """Peers, authority and sidecar.

    Args:
        folder: Existing; a folder for this start is made in it.
        connections: How many clients there may be at once.
        package: Where the sidecar's code is, unless it is this very installation.

    Attributes:
        port: Where the sidecar takes requests.
        first_permit_ms: From the start of its process to the first permit.
    """

    def __init__(self, folder: Path, connections: int, package: Path | None = None) -> None:
        number = len(list(folder.glob("fleet-*")))
        self.folder = folder / f"fleet-{number}"
        self._connections = connections
        self._package = package
        for part in ("sidecar", "authority"):
            (self.folder / part).mkdir(parents=True, mode=0o700)
        free = processes.free_ports(6)
        self._peer_ports = free[:3]
        self._authority_port, self.port, self._status_port = free[3:]
        self.first_permit_ms = 0.0
        self.peers = [
            processes.valkey(number, port, self.folder)
            for number, port in enumerate(self._peer_ports, start=1)
        ]
        self.authority = self._role("authority")
        self.sidecar = self._role("sidecar")

    def start(self, upstream: int) -> None:
        """Start everything but the sidecar, and publish an epoch that leads to a port."""
        self._configure()
        (self.folder / "policy.json").write_bytes(request.policy_bytes(RULES))
        (self.folder / "routes.json").write_bytes(request.routes_bytes(upstream))
        for process, port in zip(self.peers, self._peer_ports, strict=True):
            process.start()
            process.wait_for(f"port {port}", partial(processes.listens, port))
        self._command("trust", "init", "--domain", "bench", "--out", "trust")
        self._command(
            "epoch", "issue", "--config", "authority.yaml", "--policy", "policy.json",
            "--routes", "routes.json", "--reason", "benchmark",
            "--key", "trust/keys/epoch-1.key", "--key", "trust/keys/epoch-2.key",
        )  # fmt: skip
        self.authority.start()
        self.authority.wait_for("status port", lambda: processes.listens(self._authority_port))

    def start_sidecar(self) -> None:
        """Start it, and wait for its first permit."""
        began = clock.now().boot
        self.sidecar.start()
        self.sidecar.wait_for("the first permit", self._permits)
        self.first_permit_ms = (clock.now().boot - began) / NS_PER_MS

    def stop(self) -> None:
        """End everything."""
        for process in (self.sidecar, self.authority, *self.peers):
            process.end(signal.SIGKILL)

    def records(self) -> int:
        """How many records the sidecar has written, as its status port says."""
        with_state = http.client.HTTPConnection(HOST, self._status_port, timeout=5)
        with_state.request("GET", "/v1/state")
        found: int = json.loads(with_state.getresponse().read())["audit"]["records"]
        with_state.close()
        return found

    def gate_states(self) -> list[str]:
        """Every state the gate was in, with its reason, as the sidecar's log says."""
        return [
            f"{fact['to']} ({fact['reason']})" if fact.get("reason") else str(fact["to"])
            for fact in self.sidecar.facts()
            if fact.get("event") == "gate_state"
        ]

    def _permits(self) -> bool:
        if not processes.listens(self.port):
            return False
        client = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            client.request(
                "POST", request.PATH, request.body(), {"content-type": "application/json"}
            )
            answer = client.getresponse()
            answer.read()
            return answer.status == PERMITTED and "x-epochgate-decision" in answer.headers
        finally:
            client.close()

    def _role(self, name: str) -> Process:
        command = epochgate("run", name, "--config", self.folder / f"{name}.yaml")
        if name == "sidecar" and self._package is not None:
            # -P: not the package that lies in the working directory.
            command = ["env", f"PYTHONPATH={self._package}", command[0], "-P", *command[1:]]
        return Process(name, command, self.folder / f"{name}.log")

    def _configure(self) -> None:
        peers = [
            {"id": f"p{number}", "url": f"redis://{HOST}:{port}/0"}
            for number, port in enumerate(self._peer_ports, start=1)
        ]
        trust = {"file": "trust/trust.json"}
        self._write("AuthorityConfig", "authority", {
            "trust": trust, "state": {"dir": "authority"},
            "keys": {"beat": "trust/keys/beat-1.key"}, "peers": peers,
            "beat": {"ttl": LEASE["ttl"]},
            "listen": {"status": f"{HOST}:{self._authority_port}"},
        })  # fmt: skip
        self._write("SidecarConfig", "sidecar", {
            "service": "bench-model", "region": "here", "trust": trust,
            "state": {"dir": "sidecar"},
            "listen": {
                "inbound": f"{HOST}:{self.port}", "status": f"{HOST}:{self._status_port}",
            },
            "sync": {"peers": peers, "quorum": 2, **LEASE},
            "limits": {"connections": self._connections},
            "drain": {"delay": "0ms", "timeout": "1s"},
        })  # fmt: skip

    def _write(self, kind: str, name: str, spec: dict[str, object]) -> None:
        document = {
            "apiVersion": "epochgate.io/v1alpha1", "kind": kind, "metadata": {"name": "bench"},
            "spec": spec,
        }  # fmt: skip
        # JSON is YAML too.
        (self.folder / f"{name}.yaml").write_text(json.dumps(document, indent=1))

    def _command(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(part) for part in epochgate(*arguments)],
            cwd=self.folder, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        if done.returncode:
            raise FleetError(f"epochgate {arguments[0]}: {done.stderr.strip()}")
