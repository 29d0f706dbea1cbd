"""The demo's fleet: three peers, an authority, a sidecar and a service, in one folder.

Everything is made with the same commands that a person would type, and each is kept in
`commands.sh`, so that the demo is also its own walk-through.
"""

import json
import shlex
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from sidecar.cli.demo import processes
from sidecar.cli.demo.processes import HOST, Process, epochgate
from sidecar.cli.text import CliError
from sidecar.core import canonical, envelope
from sidecar.core.objects import beat

DOMAIN = "demo"
TTL_MS = 2_000
SKEW_MS = 250

POLICY = """\
apiVersion: epochgate.io/v1alpha1
kind: GatePolicy
metadata: {{name: demo}}
spec:
  audit: {{receipts: true, beats: true}}
  rules:
    - {{name: chat, action: permit, methods: [POST], paths: [/v1/chat/completions]}}
{models}"""
MODELS = "    - {name: models, action: permit, methods: [GET], paths: [/v1/models]}\n"
ROUTES = """\
apiVersion: epochgate.io/v1alpha1
kind: RouteTable
metadata: {{name: demo}}
spec:
  upstreams: {{model: "127.0.0.1:{port}"}}
  routes: [{{name: model, paths: [/v1/**], upstream: model}}]
  exempt: [{{target: /health, upstream: model}}]
"""
PEER = "      - {{id: p{number}, url: 'redis://127.0.0.1:{port}/0'}}\n"
AUTHORITY = """\
apiVersion: epochgate.io/v1alpha1
kind: AuthorityConfig
metadata: {{name: demo}}
spec:
  trust: {{file: trust/trust.json}}
  state: {{dir: authority}}
  keys: {{beat: trust/keys/beat-1.key, log: trust/keys/log-1.key}}
  peers:
{peers}  beat: {{ttl: {ttl}ms, interval: 200ms, publish: 100ms}}
  listen: {{status: "127.0.0.1:{status}", public: "127.0.0.1:{public}"}}
"""
SIDECAR = """\
apiVersion: epochgate.io/v1alpha1
kind: SidecarConfig
metadata: {{name: demo}}
spec:
  service: demo-model
  region: here
  trust: {{file: trust/trust.json}}
  state: {{dir: sidecar}}
  listen: {{inbound: "127.0.0.1:{inbound}", status: "127.0.0.1:{status}"}}
  sync:
    peers:
{peers}    quorum: 2
    ttl: {ttl}ms
    skew: {skew}ms
    drift: 2000ppm
    poll: 100ms
    timeout: 200ms
  drain: {{delay: 0ms, timeout: 5s}}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of the fleet."""

    peers: tuple[int, int, int]
    authority: int
    public: int
    inbound: int
    status: int


class Fleet:
    """All processes of the demo, and what a person could do to them.

    Args:
        folder: Made for this run.
        ttl_ms: Life of its beats.
    """

    def __init__(self, folder: Path, ttl_ms: int = TTL_MS) -> None:
        self._ttl_ms = ttl_ms
        free = processes.free_ports(7)
        self.folder = folder
        self.ports = Ports((free[0], free[1], free[2]), *free[3:])
        self.peers = [
            processes.valkey(number, port, folder)
            for number, port in enumerate(self.ports.peers, start=1)
        ]
        self.seen = folder / "upstream-seen.txt"
        self.upstream = Process(
            "service",
            [*epochgate()[:1], "-m", "sidecar.cli.demo.upstream", "--seen", self.seen],
            folder / "upstream.log",
        )
        self.authority = Process(
            "authority",
            epochgate("run", "authority", "--config", folder / "authority.yaml"),
            folder / "authority.log",
        )
        self.sidecar = Process(
            "sidecar",
            epochgate("run", "sidecar", "--config", folder / "sidecar.yaml"),
            folder / "sidecar.log",
        )

    @property
    def processes(self) -> tuple[Process, ...]:
        """In start order."""
        return (*self.peers, self.upstream, self.authority, self.sidecar)

    @property
    def url(self) -> str:
        """Where clients send requests."""
        return f"http://{HOST}:{self.ports.inbound}"

    @property
    def status_url(self) -> str:
        """Where the sidecar tells about itself."""
        return f"http://{HOST}:{self.ports.status}"

    @property
    def public_url(self) -> str:
        """Where the authority hands out its own log."""
        return f"http://{HOST}:{self.ports.public}"

    @property
    def journal(self) -> Path:
        """Folder of the audit log."""
        return self.folder / "sidecar" / "audit"

    def prepare(self) -> None:
        """Write the configuration and make the keys."""
        for name in ("authority", "sidecar"):
            (self.folder / name).mkdir(mode=0o700)
        values = {
            "ttl": self._ttl_ms, "skew": SKEW_MS, "inbound": self.ports.inbound,
            "peers": "".join(
                PEER.format(number=number, port=port)
                for number, port in enumerate(self.ports.peers, start=1)
            ),
        }  # fmt: skip
        (self.folder / "authority.yaml").write_text(
            AUTHORITY.format(**values, status=self.ports.authority, public=self.ports.public)
        )
        (self.folder / "sidecar.yaml").write_text(
            SIDECAR.format(**values, status=self.ports.status)
        )
        (self.folder / "policy.yaml").write_text(POLICY.format(models=MODELS))
        (self.folder / "policy-2.yaml").write_text(POLICY.format(models=""))
        self.command(
            "trust", "init", "--domain", DOMAIN, "--out", "trust", "--peers", "3",
            "--read-quorum", "2", "--write-quorum", "2", "--ttl-max", f"{self._ttl_ms}ms",
            "--skew-max", f"{SKEW_MS}ms", "--drift", "2000ppm",
        )  # fmt: skip

    def start(self) -> None:
        """Start everything but the sidecar, and publish the first epoch."""
        for process, port in zip(self.peers, self.ports.peers, strict=True):
            process.start()
            process.wait_for(f"port {port}", lambda port=port: processes.listens(port))  # type: ignore[misc]
        self.upstream.start()
        self.upstream.wait_for("its port", lambda: bool(self.upstream.lines()))
        port = int(self.upstream.lines()[0])
        (self.folder / "routes.yaml").write_text(ROUTES.format(port=port))
        self.issue("policy.yaml", "the first epoch")
        self.authority.start()
        self.authority.wait_for("its beats", lambda: self.newest_beat() is not None)

    def issue(self, policy: str, reason: str) -> str:
        """Sign and publish the next epoch with two of the three epoch keys."""
        return self.command(
            "epoch", "issue", "--config", "authority.yaml", "--policy", policy,
            "--routes", "routes.yaml", "--activation", "immediate", "--reason", reason,
            "--key", "trust/keys/epoch-1.key", "--key", "trust/keys/epoch-2.key",
        )  # fmt: skip

    def halt(self, reason: str) -> str:
        """Stop everything, with one halt key. Returns the halt's id."""
        said = self.command(
            "halt", "--config", "authority.yaml", "--reason", reason,
            "--key", "trust/keys/halt-1.key", "-o", "json",
        )  # fmt: skip
        halt_id: str = json.loads(said)["halt_id"]
        return halt_id

    def clear(self, halt_id: str, keys: int) -> str:
        """Try to end a halt with so many resume keys."""
        held = []
        for number in range(1, keys + 1):
            held += ["--key", f"trust/keys/resume-{number}.key"]
        return self.command(
            "clear", halt_id, "--config", "authority.yaml", "--reason", "looked into", *held
        )

    def command(self, *arguments: str) -> str:
        """Run one `epochgate` command in the folder; its output.

        Raises:
            CliError: it failed; with what it said.
        """
        with (self.folder / "commands.sh").open("a") as kept:
            kept.write(f"epochgate {shlex.join(arguments)}\n")
        done = subprocess.run(  # noqa: S603 - our own command line
            [str(part) for part in epochgate(*arguments)],
            cwd=self.folder, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise CliError(f"epochgate {arguments[0]}: {said}")
        return done.stdout

    def beats(self, port: int) -> list[tuple[str, bytes]]:
        """Key and envelope of every beat that a peer holds."""
        with Redis(HOST, port, protocol=2, socket_timeout=1) as peer:
            keys = sorted(peer.keys(f"eg:{{{DOMAIN}}}:beat:*"))
            return [(key.decode(), value) for key in keys if (value := peer.get(key)) is not None]

    def put(self, port: int, key: str, value: bytes) -> None:
        """Write to a peer as somebody who has taken it over."""
        with Redis(HOST, port, protocol=2, socket_timeout=1) as peer:
            peer.set(key, value)

    def newest_beat(self) -> beat.Body | None:
        """What the newest beat on the first peer says."""
        found = [
            canonical.load(
                envelope.parse(raw, beat.MAX_BYTES).unverified_payload, beat.Body, beat.MAX_BYTES
            )
            for _, raw in self.beats(self.ports.peers[0])
        ]
        return max(found, key=lambda said: said.issued_at, default=None)

    def pause(self, *who: Process) -> None:
        """Freeze processes: connections stay open and nothing answers."""
        for process in who:
            process.send(signal.SIGSTOP)

    def resume(self, *who: Process) -> None:
        """Let them run again."""
        for process in who:
            process.send(signal.SIGCONT)
